"""Sessions at work: begun, listed, ended. Knows nothing of nameko."""

from __future__ import annotations

from datetime import timedelta

from services.identity import session as sessions
from services.identity.access_commands import (
    EndSession,
    EndSessions,
    ListSessions,
    LoginAnswer,
    SessionList,
    SessionsEndedAnswer,
    SessionView,
)
from services.identity.admission import Admission, lets_in
from services.identity.commands import Done
from services.identity.credentials import append_for_user, end_sessions, lock_access, open_rows, seal_for_row
from services.identity.events import SessionsEnd, SessionsEnded, UserLoggedIn
from services.identity.password_handlers import NOT_GOOD
from services.identity.queries import find_user, role_held
from services.identity.routing import add_credential_route, remove_credential_routes
from services.identity.user import check_manages
from shared.errors import Unauthenticated
from shared.ids import new_id
from shared.personal import ERASED
from shared.work import Store, Work

_CLEARED_AT_ONCE = 100


def begin_session(
    work: Work, admission: Admission, source: str, *, with_second_factor: bool, beyond_ranges_for: timedelta | None = None
) -> LoginAnswer:
    """A new session; the token is in the answer only. From here on it is the user who acts. Raises `Unauthenticated` from
    outside of the account's IP ranges, whatever was right before; unless they do not hold for it, and then it lasts for so
    long (`beyond_ranges_for`)."""
    if beyond_ranges_for is None and not lets_in(work, admission, source):
        raise Unauthenticated(NOT_GOOD)
    work.actor = admission.user_id
    token, session_id = sessions.new_token(), new_id()
    digest, expires_at = sessions.digest(token), work.now + (beyond_ranges_for or sessions.ABSOLUTE)
    _make_room(work, admission.user_id)
    sealed = seal_for_row(work, admission.user_id, admission.person_id, session_id, "source", source.encode())
    work.later(
        "INSERT INTO session (account_id, session_id, user_id, person_id, digest, began_at, used_at, expires_at, source,"
        " ranges_suspended) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            work.account_id, session_id, admission.user_id, admission.person_id, digest, work.now, work.now, expires_at, sealed,
            beyond_ranges_for is not None,
        ),
    )  # fmt: skip
    add_credential_route(work, digest)
    began = UserLoggedIn(
        user_id=admission.user_id, person_id=admission.person_id, session_id=session_id, source=source,
        with_second_factor=with_second_factor,
    )  # fmt: skip
    append_for_user(work, admission.user_id, [began])
    return LoginAnswer(
        status="in", account_id=work.account_id, user_id=admission.user_id, role=admission.role, session_token=token,
        session_id=session_id, expires_at=expires_at, comply_by=admission.comply_by,
    )  # fmt: skip


def _make_room(work: Work, user_id: str) -> None:
    """Removes what is over, of the whole account, and the user's sessions beyond the most that one may have."""
    over = work.change(
        "DELETE FROM session WHERE account_id = %s AND session_id IN (SELECT session_id FROM session WHERE account_id = %s"
        " AND (expires_at <= %s OR used_at <= %s) LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING digest",
        (work.account_id, work.account_id, work.now, work.now - sessions.IDLE, _CLEARED_AT_ONCE),
    )
    over += work.change(
        "DELETE FROM challenge WHERE account_id = %s AND digest IN (SELECT digest FROM challenge WHERE account_id = %s"
        " AND expires_at <= %s LIMIT %s FOR UPDATE SKIP LOCKED) RETURNING digest",
        (work.account_id, work.account_id, work.now, _CLEARED_AT_ONCE),
    )
    over += work.change(
        "DELETE FROM session WHERE account_id = %s AND session_id IN (SELECT session_id FROM session WHERE account_id = %s"
        " AND user_id = %s ORDER BY used_at DESC OFFSET %s) RETURNING digest",
        (work.account_id, work.account_id, user_id, sessions.SESSIONS_AT_MOST - 1),
    )
    remove_credential_routes(work, [digest for (digest,) in over])


def list_sessions(store: Store, account_id: str, actor_id: str, query: ListSessions) -> SessionList:
    """Sessions that are good now, newest first. Raises `PermissionRefused` for those of a user who is not below oneself."""
    with store.work(account_id) as work:
        user_id = whose(work, actor_id, query.user)
        rows = work.fetch(
            "SELECT session_id, began_at, used_at, expires_at, source FROM session WHERE account_id = %s AND user_id = %s"
            " AND expires_at > %s AND used_at > %s ORDER BY began_at DESC, session_id LIMIT %s",
            (account_id, user_id, work.now, work.now - sessions.IDLE, sessions.SESSIONS_AT_MOST),
        )
        sources = open_rows(work, [(user_id, row[0], "source", row[4]) for row in rows])
    return SessionList(
        sessions=[
            SessionView(
                session_id=row[0], user_id=user_id, began_at=row[1], used_at=row[2], expires_at=row[3],
                source=ERASED if source is None else source.decode(),
            )
            for row, source in zip(rows, sources, strict=True)
        ]
    )  # fmt: skip


def end_session(store: Store, account_id: str, actor_id: str, command: EndSession) -> Done:
    """Ends one session; one that has ended already is done. Raises `PermissionRefused` as listing does."""

    def decide(work: Work) -> None:
        row = work.fetch_one(
            "SELECT user_id FROM session WHERE account_id = %s AND session_id = %s", (account_id, command.session_id)
        )
        if row is None:
            return
        user_id = whose(work, actor_id, row[0])
        lock_access(work, user_id)
        gone = work.change(
            "DELETE FROM session WHERE account_id = %s AND session_id = %s RETURNING digest", (account_id, command.session_id)
        )
        if not gone:
            return
        remove_credential_routes(work, [digest for (digest,) in gone])
        reason: SessionsEnd = "logged out" if user_id == actor_id else "by a manager"
        append_for_user(work, user_id, [SessionsEnded(user_id=user_id, session_ids=[command.session_id], reason=reason)])

    store.run(account_id, decide, actor=actor_id)
    return Done()


def end_all_sessions(store: Store, account_id: str, actor_id: str, command: EndSessions) -> SessionsEndedAnswer:
    """Ends all sessions of a user, except the one to keep."""

    def decide(work: Work) -> int:
        user_id = whose(work, actor_id, command.user)
        lock_access(work, user_id)
        reason: SessionsEnd = "logged out" if user_id == actor_id else "by a manager"
        ended = end_sessions(work, user_id, reason, keep=command.keep)
        append_for_user(work, user_id, ended)
        return sum(len(one.session_ids) for one in ended)

    return SessionsEndedAnswer(ended=store.run(account_id, decide, actor=actor_id))


def whose(work: Work, actor_id: str, user: str | None) -> str:
    """The user that a query or command about credentials is about: the actor, or one whom the actor manages. Raises `NotFound`,
    `PermissionRefused`."""
    if user is None or user == actor_id:
        return actor_id
    found = find_user(work, user)
    if found.user_id != actor_id:
        check_manages(role_held(work, actor_id), found.role)
    return found.user_id


