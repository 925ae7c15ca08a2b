"""Logging in: password, then the second factor where it is on, then a session. Knows nothing of nameko.

What must be counted although the login fails is committed; so a decision gives the failure, and it is raised after the commit.
"""

from __future__ import annotations

from collections.abc import Callable

from services.identity import session as sessions
from services.identity.access_commands import CompleteLogin, LogIn, LoginAnswer
from services.identity.admission import Admission, check_account, look_up
from services.identity.challenge import end_challenge, give_challenge, take_challenge
from services.identity.credentials import lock_access, normal_source
from services.identity.events import LoginFailure
from services.identity.password_handlers import (
    NOT_GOOD,
    Verified,
    forget_failures,
    note_failure,
    still_stands,
    verify_login,
)
from services.identity.range_recovery import SESSION_LIFE, suspends_ranges, use_link
from services.identity.routing import account_of_credential
from services.identity.second_factor_handlers import accept_code
from services.identity.session_handlers import begin_session
from shared.errors import PersonErased, Unauthenticated
from shared.work import Store, Work


def log_in(store: Store, command: LogIn) -> LoginAnswer:
    """A session for login and password, or the challenge for what is still missing. Raises as `verify_login` does, and
    `AccountSuspended` (mission L3)."""
    source = normal_source(command.source)
    verified = verify_login(store, command.login, command.password, command.account_id, source)
    return _answered(store, verified.route.account_id, lambda work: _go_on(work, verified, command, source))


def _go_on(work: Work, verified: Verified, command: LogIn, source: str) -> LoginAnswer | LoginFailure:
    user_id = verified.route.user_id
    lock_access(work, user_id)
    admission = look_up(work, user_id)
    if admission is None or not still_stands(work, verified):
        raise Unauthenticated(NOT_GOOD)
    check_account(admission)
    by_link = suspends_ranges(work, admission, source, command.range_link)
    if by_link is None:
        note_failure(work, user_id, verified.attempt, source, "source")
        return "source"
    if admission.has_second_factor:
        if command.code is None:
            return give_challenge(work, admission, "second factor", verified.attempt)
        if not accept_code(work, user_id, command.code):
            note_failure(work, user_id, verified.attempt, source, "code")
            return "code"
    forget_failures(work, verified.attempt)
    if admission.must_enrol(work.now):
        return give_challenge(work, admission, "enrolment", verified.attempt)
    return _begin(work, admission, source, command.range_link if by_link else None)


def _begin(work: Work, admission: Admission, source: str, range_link: str | None) -> LoginAnswer:
    """The session. With the link, the account's IP ranges do not hold for it."""
    life = SESSION_LIFE if range_link is not None else None
    answer = begin_session(
        work, admission, source, with_second_factor=admission.has_second_factor, beyond_ranges_for=life
    )
    if range_link is not None:
        use_link(work, admission, str(answer.session_id), range_link)
    return answer


def complete_login(store: Store, command: CompleteLogin) -> LoginAnswer:
    """The session that a challenge and a code give. Raises `Unauthenticated`, `TooManyTries`, `AccountSuspended`."""
    source, digest = normal_source(command.source), sessions.digest(command.challenge)
    account_id = account_of_credential(store, digest)
    if account_id is None:
        raise Unauthenticated(NOT_GOOD)

    def decide(work: Work) -> LoginAnswer | LoginFailure:
        admission, attempt = take_challenge(work, digest, "second factor", source)
        check_account(admission)
        by_link = suspends_ranges(work, admission, source, command.range_link)
        if by_link is None:
            note_failure(work, admission.user_id, attempt, source, "source")
            return "source"
        if not accept_code(work, admission.user_id, command.code):
            note_failure(work, admission.user_id, attempt, source, "code")
            return "code"
        end_challenge(work, digest)
        forget_failures(work, attempt)
        return _begin(work, admission, source, command.range_link if by_link else None)

    return _answered(store, account_id, decide)


def _answered(store: Store, account_id: str, decide: Callable[[Work], LoginAnswer | LoginFailure]) -> LoginAnswer:
    try:
        answer = store.run(account_id, decide)
    except PersonErased:
        raise Unauthenticated(NOT_GOOD) from None
    if not isinstance(answer, LoginAnswer):
        raise Unauthenticated(NOT_GOOD)
    return answer
