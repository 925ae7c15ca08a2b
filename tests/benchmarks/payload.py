"""The one payload that every append and every reading is measured with: a message of a support ticket.

Ours carries it sealed in a `MessageAdded` event; the peers get the same fields and the same text. It is as large as the median
message of a real mail corpus: sealed, 1.5 kB.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import msgspec

from services.tickets.events import Headers, MessageAdded, MessageContent, Text, TicketOpened
from shared.ids import new_id

_WORDS = (
    "kettle lid handle order delivery parcel invoice refund warranty the a my your this that it was is has not and but"
    " arrived broken late twice again yesterday morning please could would tell me when where how many thank you kind regards"
).split()
_TEXT_WORDS = 165
_REFERENCES = 3
_CONTENTS = 200


class MessagePayload:
    """Makes messages from a seed. What they say was made up before: that is not to be measured."""

    def __init__(self, seed: int, words: int = _TEXT_WORDS) -> None:
        self._text_words = words
        self._random = random.Random(seed)
        self._contents = [self._content() for _ in range(_CONTENTS)]
        self._next = 0

    def opened(self, ticket_id: str, requester_id: str) -> TicketOpened:
        """The event that begins a ticket."""
        subject = Text(parts=[self._words(5)], spellings=[])
        return TicketOpened(ticket_id=ticket_id, requester_id=requester_id, channel="e-mail", subject=subject)

    def message(self, ticket_id: str, person_id: str) -> MessageAdded:
        """The next message of a ticket, by the ticket's own person."""
        self._next = (self._next + 1) % _CONTENTS
        return MessageAdded(
            ticket_id=ticket_id, message_id=new_id(), author_id=person_id, item_id=ticket_id, owner_id=person_id,
            direction="incoming", sent_at=datetime.now(UTC), attachments=[], content=self._contents[self._next],
        )  # fmt: skip

    def fields(self) -> list[dict[str, Any]]:
        """Messages as plain data: what a peer is given to store, in turns."""
        return [msgspec.to_builtins(self.message(new_id(), new_id())) for _ in range(_CONTENTS)]

    def _content(self) -> MessageContent:
        spellings: list[str | None] = [new_id() for _ in range(_REFERENCES)]
        share = self._text_words // _REFERENCES
        parts: list[str | int] = []
        for place in range(_REFERENCES):
            parts += [self._words(share), place]
        return MessageContent(
            headers=Headers(senders=spellings[:1], reply_to=[], to=spellings[1:2], cc=spellings[2:]),
            subject=Text(parts=[self._words(5)], spellings=[]),
            text=Text(parts=parts, spellings=list(spellings)),
            attachments=[],
            mail_key=f"{self._random.getrandbits(64):016x}@example.org",
            digest=f"{self._random.getrandbits(256):064x}",
        )

    def _words(self, count: int) -> str:
        return " ".join(self._random.choices(_WORDS, k=count))
