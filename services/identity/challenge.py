"""The challenge: what a login gets that was right so far, and waits for the second factor. Rows only, in the caller's
transaction."""

from __future__ import annotations

from typing import Literal

from services.identity import session as sessions
from services.identity.access_commands import LoginAnswer
from services.identity.admission import Admission, look_up
from services.identity.credentials import lock_access
from services.identity.password_handlers import NOT_GOOD, Attempt, check_delay
from services.identity.routing import add_credential_route, remove_credential_routes, source_token
from shared.errors import Unauthenticated
from shared.work import Work

Purpose = Literal["second factor", "enrolment"]


def give_challenge(work: Work, admission: Admission, purpose: Purpose, attempt: Attempt) -> LoginAnswer:
    """A challenge for a user whose password was right. It says nothing of the user."""
    token = sessions.new_token(sessions.CHALLENGE_PREFIX)
    digest, expires_at = sessions.digest(token), work.now + sessions.CHALLENGE_LIFE
    work.pin_persons((admission.person_id,))
    work.later(
        "INSERT INTO challenge (account_id, digest, user_id, person_id, purpose, login_token, expires_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (work.account_id, digest, admission.user_id, admission.person_id, purpose, attempt.login, expires_at),
    )
    add_credential_route(work, digest)
    return LoginAnswer(
        status=purpose, account_id=work.account_id, challenge=token, expires_at=expires_at, comply_by=admission.comply_by
    )


def take_challenge(work: Work, digest: bytes, purpose: Purpose, source: str | None) -> tuple[Admission, Attempt]:
    """Whose challenge this is, under `lock_access`; it stays until `end_challenge`. Raises `Unauthenticated`,
    `TooManyTries`."""
    row = _row(work, digest, purpose)
    lock_access(work, row[0])
    user_id, login_token = _row(work, digest, purpose)  # not used up while we waited
    admission = look_up(work, user_id)
    if admission is None:
        raise Unauthenticated(NOT_GOOD)
    attempt = Attempt(login_token, source_token(work.store.settings, source))
    check_delay(work, attempt)
    return admission, attempt


def _row(work: Work, digest: bytes, purpose: Purpose) -> tuple[str, int]:
    row = work.fetch_one(
        "SELECT user_id, login_token FROM challenge WHERE account_id = %s AND digest = %s AND purpose = %s AND expires_at > %s",
        (work.account_id, digest, purpose, work.now),
    )
    if row is None:
        raise Unauthenticated(NOT_GOOD)
    return row[0], row[1]


def end_challenge(work: Work, digest: bytes) -> None:
    """It has served."""
    work.later("DELETE FROM challenge WHERE account_id = %s AND digest = %s", (work.account_id, digest))
    remove_credential_routes(work, [digest])
