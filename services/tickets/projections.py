"""Events → rows of tickets. Uses what the envelope says and the sealed bytes as they are; opens nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.tickets.events import MessageAdded, TicketOpened
from shared.erasing import ErasureReceipted
from shared.events import Recorded
from shared.read_records import ReadsRecorded, project_reads
from shared.work import Statement


def project(recorded: Recorded) -> Iterator[Statement]:
    """The statements that bring the read model up to an event. Table names are without schema: a replay sets another one."""
    envelope, event = recorded.envelope, recorded.event
    account = envelope.account
    match event:
        case TicketOpened():
            yield Statement(
                "INSERT INTO ticket (account_id, ticket_id, requester_id, channel, opened_at, changed_at, messages, subject,"
                " event_id) VALUES (%s, %s, %s, %s, %s, %s, 0, %s, %s)",
                (
                    account, event.ticket_id, event.requester_id, event.channel, envelope.time, envelope.time,
                    recorded.sealed.get("subject"), envelope.event,
                ),
            )  # fmt: skip
        case MessageAdded():
            yield Statement(
                "INSERT INTO message (account_id, message_id, ticket_id, place, author_id, owner_id, direction, sent_at,"
                " added_at, content, event_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    account, event.message_id, event.ticket_id, envelope.version, event.author_id, event.owner_id,
                    event.direction, event.sent_at, envelope.time, recorded.sealed.get("content"), envelope.event,
                ),
            )  # fmt: skip
            yield Statement(
                "UPDATE ticket SET messages = messages + 1, changed_at = %s WHERE account_id = %s AND ticket_id = %s",
                (envelope.time, account, event.ticket_id),
            )
            for one in event.attachments:
                yield Statement(
                    "INSERT INTO attachment (account_id, blob_id, message_id, item_id, size, is_text)"
                    " VALUES (%s, %s, %s, %s, %s, %s)",
                    (account, one.blob_id, event.message_id, event.item_id, one.size, one.is_text),
                )
        case ErasureReceipted():
            gone = [person for person in event.person_ids if person not in event.kept]
            if gone:
                yield from removal(account, gone)
        case ReadsRecorded():
            yield from project_reads(recorded, event)
        case _:
            pass


def removal(account: str, persons: Sequence[str], only: Sequence[str] | None = None) -> Iterator[Statement]:
    """Removes the rows of persons: their messages with attachments, the subjects of their tickets, and tickets left empty.

    A ticket in which other people wrote stays, with their messages, and without its subject. `only` names the messages of
    one batch; without it all go. The tickets are locked before they are counted: somebody else may be writing in one."""
    theirs, values = "account_id = %s AND owner_id = ANY (%s::uuid[])", (account, list(persons))
    if only is not None:
        theirs, values = theirs + " AND message_id = ANY (%s::uuid[])", (*values, list(only))  # type: ignore[assignment]
    yield Statement(
        f"DELETE FROM attachment WHERE account_id = %s AND message_id IN (SELECT message_id FROM message WHERE {theirs})",
        (account, *values),
    )
    yield Statement(
        "SELECT 1 FROM ticket WHERE account_id = %s AND ticket_id IN"
        f" (SELECT ticket_id FROM message WHERE {theirs}) ORDER BY ticket_id FOR UPDATE",
        (account, *values),
    )
    yield Statement(
        f"WITH gone AS (DELETE FROM message WHERE {theirs} RETURNING ticket_id),"
        " fewer AS (SELECT ticket_id, count(*) AS n FROM gone GROUP BY 1),"
        " emptied AS (DELETE FROM ticket USING fewer WHERE ticket.account_id = %s AND ticket.ticket_id = fewer.ticket_id"
        " AND ticket.messages <= n)"
        " UPDATE ticket SET messages = messages - n FROM fewer"
        " WHERE ticket.account_id = %s AND ticket.ticket_id = fewer.ticket_id AND ticket.messages > n",
        (*values, account, account),
    )
    yield Statement(
        "UPDATE ticket SET subject = NULL, requester_id = NULL WHERE account_id = %s AND requester_id = ANY (%s::uuid[])",
        (account, list(persons)),
    )
