"""What the credentials of customers have in common: how they are sealed, found, and how they end. (Users: `credentials.py`.)

They are rows outside the log: digests of random tokens, and what is sealed under the item of the person, bound to its row. So
they are gone with the person. What has happened to them is told by events without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from services.identity import session
from services.identity.customer import SESSION_PREFIX, stream_of
from services.identity.portal_events import PortalSessionsEnd, PortalSessionsEnded, PortalSignedIn, SignInBy
from services.identity.routing import add_credential_route, remove_credential_routes
from shared.events import Event
from shared.ids import new_id
from shared.sealing import open_sealed, place_of, seal
from shared.work import Work


class BegunSession(NamedTuple):
    """A session whose token nobody else has."""

    token: str
    session_id: str
    expires_at: datetime


class CustomerSession(NamedTuple):
    """A session that is good."""

    session_id: str
    person_id: str
    expires_at: datetime


def append_for_customer(work: Work, person_id: str, events: Sequence[Event]) -> None:
    """Appends to a customer's stream, after its last event. The write is refused (`PersonErased`) if the person is erased."""
    work.pin_persons((person_id,))
    stream = stream_of(person_id)
    work.append(stream, work.versions_of([stream])[stream], events)


def seal_for_customer(work: Work, person_id: str, row_id: str, field: str, plain: bytes) -> bytes:
    """Seals a value of a row. Refused at commit (`PersonErased`) if the person is erased."""
    work.pin_persons((person_id,))
    key = work.item_key_for_writing(person_id, stream=stream_of(person_id), persons=(person_id,))
    return seal(key, plain, _place(work, person_id, row_id, field))


def open_for_customer(
    work: Work, person_id: str, values: Sequence[tuple[str, str, bytes | memoryview]]
) -> list[bytes | None]:
    """Opens values of rows of one customer: (row, field, sealed) each. None where the key is cut."""
    key = work.item_keys([person_id]).get(person_id) if values else None
    return [
        None if key is None else open_sealed(key, bytes(sealed), _place(work, person_id, row_id, field))
        for row_id, field, sealed in values
    ]


def _place(work: Work, person_id: str, row_id: str, field: str) -> bytes:
    return place_of(work.store.service, stream_of(person_id), row_id, "row", field)


# -- sessions


def begin_session(work: Work, person_id: str, by: SignInBy, source: str) -> BegunSession:
    """A new session, with its event. What of the person is over makes room, and where they have very many, the idlest one."""
    token, session_id = session.new_token(SESSION_PREFIX), new_id()
    expires_at = work.now + session.ABSOLUTE
    _make_room(work, person_id)
    work.later(
        "INSERT INTO portal_session (account_id, session_id, person_id, digest, began_by, began_at, used_at, expires_at,"
        " source) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            work.account_id, session_id, person_id, session.digest(token), by, work.now, work.now, expires_at,
            seal_for_customer(work, person_id, session_id, "source", source.encode()),
        ),
    )  # fmt: skip
    add_credential_route(work, session.digest(token))
    append_for_customer(
        work, person_id, [PortalSignedIn(person_id=person_id, session_id=session_id, by=by, source=source)]
    )
    return BegunSession(token, session_id, expires_at)


def _make_room(work: Work, person_id: str) -> None:
    """Removes what is over: where somebody came from is kept for no longer than it shows an open session."""
    rows = work.change(
        "DELETE FROM portal_session WHERE account_id = %s AND person_id = %s AND (expires_at <= %s OR used_at <= %s"
        " OR session_id IN (SELECT session_id FROM portal_session WHERE account_id = %s AND person_id = %s"
        " ORDER BY used_at DESC, session_id OFFSET %s)) RETURNING digest",
        (
            work.account_id, person_id, work.now, work.now - session.IDLE, work.account_id, person_id,
            session.SESSIONS_AT_MOST - 1,
        ),
    )  # fmt: skip
    remove_credential_routes(work, [digest for (digest,) in rows])


def good_session(work: Work, digest: bytes) -> CustomerSession | None:
    """The session of a token, if it is good and its person is not erased; its use is noted to the minute."""
    row = work.fetch_one(
        "SELECT session_id, person_id, used_at, expires_at FROM portal_session WHERE account_id = %s AND digest = %s",
        (work.account_id, digest),
    )
    if row is None or not session.is_good(row[2], row[3], work.now) or work.cut_persons([row[1]]):
        return None
    if session.needs_touch(row[2], work.now):
        work.later(
            "UPDATE portal_session SET used_at = greatest(used_at, %s) WHERE account_id = %s AND session_id = %s",
            (work.now, work.account_id, row[0]),
        )
        work.mark_repeatable()
    return CustomerSession(row[0], row[1], row[3])


def end_sessions(
    work: Work, person_id: str, reason: PortalSessionsEnd, *, only: str | None = None, keep: str | None = None
) -> int:
    """Ends a customer's sessions: one, or all but one, or all. Gives how many there were."""
    rows = work.change(
        "DELETE FROM portal_session WHERE account_id = %s AND person_id = %s AND (%s::uuid IS NULL OR session_id = %s)"
        " AND session_id IS DISTINCT FROM %s::uuid RETURNING session_id, digest",
        (work.account_id, person_id, only, only, keep),
    )
    remove_credential_routes(work, [digest for _, digest in rows])
    if rows:
        ended = PortalSessionsEnded(
            person_id=person_id, session_ids=sorted(session_id for session_id, _ in rows), reason=reason
        )
        append_for_customer(work, person_id, [ended])
    return len(rows)
