"""What tickets holds of persons, and how it lets go of it: its part in an erasure (`shared/erasing.py` has the protocol)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.tickets.events import MessageContent, Names
from services.tickets.projections import removal
from shared.blobs import BlobStore
from shared.erasing import Retained
from shared.resolving import MailToCheck
from shared.work import SealedValue, Statement, Store, Work

BATCH = 500
INDEX_TABLES = ("message_tokens", "mail_token", "thread_token")
"""The keyed index tables with a row for each message; `search_token` goes by the list in `message_tokens`."""
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

    def before_cut(self, store: Store, account_id: str, request_id: str, persons: Sequence[str]) -> int:
        """While they still open: the Message-IDs and content digests of the person's mails go to the suppression list, so
        that importing them again brings nothing back (mission E10)."""
        after, told = "00000000-0000-0000-0000-000000000000", 0
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
            told += len(rows)
            if len(rows) < BATCH:
                return told
            after = rows[-1][0]

    def to_tell(self, work: Work, persons: Sequence[str]) -> int:
        (messages,) = work.fetch(f"SELECT count(*) FROM message WHERE {_THEIRS}", (work.account_id, list(persons)))[0]
        return int(messages)

    def inventory(self, work: Work, persons: Sequence[str]) -> list[str]:
        """Their messages and the blobs of these."""
        values = (work.account_id, list(persons))
        messages = work.fetch(f"SELECT message_id FROM message WHERE {_THEIRS}", values)
        blobs = work.fetch(
            "SELECT blob_id FROM attachment WHERE account_id = %s AND message_id IN"
            f" (SELECT message_id FROM message WHERE {_THEIRS})",
            (work.account_id, *values),
        )
        return [one for (one,) in (*messages, *blobs)]

    def kept(self, work: Work, persons: Sequence[str]) -> list[str]:
        return []

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
        index, rows = index_removal(work.account_id, messages), removal(work.account_id, list(persons), only=messages)
        for statement in (*index, *rows):
            work.later(statement.sql, statement.values)
        return len(messages) + len(tickets)

    def traces(
        self, work: Work, persons: Sequence[str], addresses: Sequence[str], inventory: Sequence[str]
    ) -> dict[str, int]:
        """Looks by person, and by the ids that were there: rows, index rows and blobs."""
        traces = {kind: count for kind, count in self.count(work, persons).items() if count}
        for table in ("message", *INDEX_TABLES):
            (left,) = work.fetch(
                f"SELECT count(*) FROM {table} WHERE account_id = %s AND message_id = ANY (%s::uuid[])",
                (work.account_id, list(inventory)),
            )[0]
            if left:
                traces[f"rows of {table} of messages that are gone"] = left
        blobs = sum(1 for one in inventory if self._blobs.exists(work.account_id, one))
        if blobs:
            traces["blobs"] = blobs
        return traces


def index_removal(account: str, messages: Sequence[str]) -> list[Statement]:
    """Removes the index rows of messages; the search tokens by their primary key, from the list kept for this."""
    which = (account, list(messages))
    return [
        Statement(
            "DELETE FROM search_token s USING (SELECT message_id, unnest(tokens) AS token FROM message_tokens"
            " WHERE account_id = %s AND message_id = ANY (%s::uuid[])) AS old"
            " WHERE s.account_id = %s AND s.token = old.token AND s.message_id = old.message_id",
            (*which, account),
        ),
        *(
            Statement(f"DELETE FROM {table} WHERE account_id = %s AND message_id = ANY (%s::uuid[])", which)
            for table in INDEX_TABLES
        ),
    ]
