"""What the credentials of users have in common: how they are sealed, in which order they change, and how they end.

Credentials are no events: a hash or a seed in a log that lasts for ever would outlive them. They are rows, sealed under the
user's item key and bound to their row, so that they are gone with the key; what has happened to them is told by events without
them.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.identity.events import SessionsEnd, SessionsEnded
from services.identity.ip_ranges import address_of
from services.identity.routing import remove_credential_routes
from services.identity.user import stream_of
from shared.events import Event
from shared.sealing import open_sealed, place_of, seal
from shared.work import Work

TABLES = ("password", "session", "challenge", "api_token", "second_factor", "recovery_code")
"""All tables of credentials; each has the person, for the erasure."""
_ROUTED = ("session", "challenge", "api_token")


def lock_access(work: Work, user_id: str) -> None:
    """Makes what happens to a user's credentials happen in turn, until the commit: what is read after it is decided."""
    work.fetch("SELECT pg_advisory_xact_lock(hashtextextended('identity.access ' || %s, 0))", (user_id,))


def seal_for_row(work: Work, user_id: str, person_id: str, row_id: str, field: str, plain: bytes) -> bytes:
    """Seals a value of a row of credentials. The write is refused (`PersonErased`) if the person is erased."""
    key = work.item_key_for_writing(user_id, stream=stream_of(user_id), persons=(person_id,))
    work.pin_persons((person_id,))
    return seal(key, plain, _place(work, user_id, row_id, field))


def open_rows(work: Work, values: Sequence[tuple[str, str, str, bytes | memoryview]]) -> list[bytes | None]:
    """Opens values of rows: (user, row, field, sealed) each. None where the key is cut."""
    keys = work.item_keys([user for user, _, _, _ in values]) if values else {}
    return [
        None if user not in keys else open_sealed(keys[user], bytes(sealed), _place(work, user, row_id, field))
        for user, row_id, field, sealed in values
    ]


def open_for_row(work: Work, user_id: str, row_id: str, field: str, sealed: bytes | memoryview) -> bytes | None:
    """Opens one value of a row."""
    return open_rows(work, [(user_id, row_id, field, sealed)])[0]


def _place(work: Work, user_id: str, row_id: str, field: str) -> bytes:
    return place_of(work.store.service, stream_of(user_id), row_id, "row", field)


def append_for_user(work: Work, user_id: str, events: Sequence[Event]) -> None:
    """Appends to a user's stream, after its last event, one of this transaction included."""
    stream = stream_of(user_id)
    if events:
        work.flush()
        work.append(stream, work.versions_of([stream])[stream], events)


def end_sessions(work: Work, user_id: str, reason: SessionsEnd, *, keep: str | None = None) -> list[SessionsEnded]:
    """Ends a user's sessions, except one, and the logins that are not complete. Gives what to append: nothing where there
    were none."""
    sessions = work.change(
        "DELETE FROM session WHERE account_id = %s AND user_id = %s AND session_id IS DISTINCT FROM %s::uuid"
        " RETURNING session_id, digest",
        (work.account_id, user_id, keep),
    )
    challenges = work.change(
        "DELETE FROM challenge WHERE account_id = %s AND user_id = %s RETURNING digest", (work.account_id, user_id)
    )
    remove_credential_routes(work, [*(one for _, one in sessions), *(one for (one,) in challenges)])
    ended = sorted(session for session, _ in sessions)
    return [SessionsEnded(user_id=user_id, session_ids=ended, reason=reason)] if ended else []


def end_all_access(work: Work, user_id: str) -> None:
    """Takes all credentials of a user away, for good."""
    _remove(work, "user_id = %s", user_id)


def remove_of_persons(work: Work, persons: Sequence[str]) -> int:
    """Removes the credentials of persons who are cut; gives how many rows there were."""
    return _remove(work, "person_id = ANY (%s::uuid[])", list(persons))


def count_of_persons(work: Work, persons: Sequence[str]) -> dict[str, int]:
    """How many rows of credentials there are of persons, by kind."""
    looks = ", ".join(
        f"(SELECT count(*) FROM {table} WHERE account_id = %s AND person_id = ANY (%s::uuid[]))" for table in TABLES
    )
    (counts,) = work.fetch(f"SELECT {looks}", [work.account_id, list(persons)] * len(TABLES))
    names = ("passwords", "sessions", "logins under way", "API tokens", "second factors", "recovery codes")
    return dict(zip(names, counts, strict=True))


def _remove(work: Work, condition: str, value: object) -> int:
    gone = 0
    for table in TABLES:
        what = "digest" if table in _ROUTED else "NULL"
        removal = f"DELETE FROM {table} WHERE account_id = %s AND {condition} RETURNING {what}"
        rows = work.change(removal, (work.account_id, value))
        if table in _ROUTED:
            remove_credential_routes(work, [digest for (digest,) in rows])
        gone += len(rows)
    return gone


def normal_source(source: str) -> str:
    """A source address in its one form; IPv4 that came in IPv6's clothes is IPv4. Raises `InvalidArgument`."""
    return str(address_of(source))
