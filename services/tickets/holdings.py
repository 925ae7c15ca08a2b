"""What tickets holds of persons, and how it lets go of it: its part in an erasure (`shared/erasing.py` has the protocol)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.tickets.events import MessageContent, Names
from services.tickets.projections import removal
from shared.blobs import BlobStore
from shared.erasing import Retained
from shared.resolving import MailToCheck
from shared.work import SealedValue, Store, Work

BATCH = 500
Suppress = Callable[[str, str, Sequence[MailToCheck]], None]
"""(account, request, mails): puts mails on erasure's suppression list. Repeatable."""

_THEIRS = "account_id = %s AND owner_id = ANY (%s::uuid[])"


class TicketsHoldings:
    """Tickets, messages, attachments and the search index."""

    def __init__(self, blobs: BlobStore, suppress: Suppress) -> None:
        self._blobs = blobs
        self._suppress = suppress

    def count(self, work: Work, persons: Sequence[str]) -> dict[str, int]:
        values = (work.account_id, list(persons))
        rows = work.fetch(
            f"SELECT (SELECT count(*) FROM ticket WHERE account_id = %s AND requester_id = ANY (%s::uuid[])),"
            f" (SELECT count(*) FROM message WHERE {_THEIRS}),"
            f" (SELECT count(*) FROM attachment a JOIN message m USING (account_id, message_id) WHERE m.{_THEIRS}),"
            f" (SELECT count(*) FROM attachment a JOIN message m USING (account_id, message_id) WHERE m.{_THEIRS}"
            "   AND NOT a.is_text)",
            (*values, *values, *values, *values),
        )
        names = ("tickets", "messages", "attachments", "attachments whose format is not searched for identifiers")
        return dict(zip(names, rows[0], strict=True))

    def before_cut(self, store: Store, account_id: str, request_id: str, persons: Sequence[str]) -> None:
        """While they still open: the Message-IDs and content digests of the person's mails go to the suppression list, so
        that importing them again brings nothing back (mission E10)."""
        after = "00000000-0000-0000-0000-000000000000"
        while True:
            with store.work(account_id) as work:
                rows = work.fetch(
                    "SELECT message_id, ticket_id, content, event_id FROM message"
                    f" WHERE {_THEIRS} AND message_id > %s ORDER BY message_id LIMIT %s",
                    (account_id, list(persons), after, BATCH),
                )
                opened = work.open(
                    [
                        SealedValue(content, f"ticket/{ticket}", event, Names.MESSAGE_ADDED, "content")
                        for _, ticket, content, event in rows
                    ]
                )
            mails = [
                MailToCheck(message_key=one.mail_key, content_digest=one.digest)
                for one in opened
                if isinstance(one, MessageContent)
            ]
            if mails:
                self._suppress(account_id, request_id, mails)
            if len(rows) < BATCH:
                return
            after = rows[-1][0]

    def retained(self, work: Work, persons: Sequence[str]) -> list[Retained]:
        return []

    def remove(self, work: Work, persons: Sequence[str]) -> int:
        """A batch of messages with their blobs, index rows and attachments. The blobs go first: after a crash the rows still
        name them, and removing what is gone does no harm."""
        values = (work.account_id, list(persons))
        messages = [
            one for (one,) in work.fetch(f"SELECT message_id FROM message WHERE {_THEIRS} LIMIT {BATCH}", values)
        ]
        tickets = [
            one
            for (one,) in work.fetch(
                "SELECT ticket_id FROM ticket WHERE account_id = %s AND requester_id = ANY (%s::uuid[])", values
            )
        ]
        blobs = work.fetch(
            "SELECT blob_id FROM attachment WHERE account_id = %s AND message_id = ANY (%s::uuid[])",
            (work.account_id, messages),
        )
        self._blobs.remove(work.account_id, [blob for (blob,) in blobs])
        for statement in index_removal(work.account_id, messages):
            work.later(*statement)
        for statement in removal(work.account_id, list(persons), only=messages):
            work.later(*statement)
        # Message-IDs that lead to a ticket which is gone now
        work.later(
            "DELETE FROM thread_token t WHERE account_id = %s AND NOT EXISTS (SELECT 1 FROM ticket"
            " WHERE ticket.account_id = t.account_id AND ticket.ticket_id = t.ticket_id) AND t.ticket_id = ANY (%s::uuid[])",
            (work.account_id, tickets),
        )
        return len(messages) + len(tickets)

    def traces(self, work: Work, persons: Sequence[str], addresses: Sequence[str]) -> dict[str, int]:
        return {kind: count for kind, count in self.count(work, persons).items() if count}


def index_removal(account: str, messages: Sequence[str]) -> list[tuple[str, tuple[object, ...]]]:
    """Removes the index rows of messages; the search tokens by their primary key, from the list kept for this."""
    which = (account, list(messages))
    return [
        (
            "DELETE FROM search_token s USING (SELECT message_id, unnest(tokens) AS token FROM message_tokens"
            " WHERE account_id = %s AND message_id = ANY (%s::uuid[])) AS old"
            " WHERE s.account_id = %s AND s.token = old.token AND s.message_id = old.message_id",
            (*which, account),
        ),
        *(
            (f"DELETE FROM {table} WHERE account_id = %s AND message_id = ANY (%s::uuid[])", which)
            for table in ("message_tokens", "mail_token", "mentioned")
        ),
    ]
