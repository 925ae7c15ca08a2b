"""Passwords at work: one is checked against a login, and one is set. Knows nothing of nameko.

A password is hashed outside of every transaction, since that takes long. So whoever goes on from a checked password looks
again, in the transaction that has an effect, whether it is still the one (`still_stands`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from services.identity import password as passwords
from services.identity.access_commands import ChangePassword, SetFirstPassword
from services.identity.admission import Admission, look_up
from services.identity.commands import Done
from services.identity.credentials import append_for_user, end_sessions, lock_access, normal_source, open_for_row, seal_for_row
from services.identity.events import LoginFailed, LoginFailure, PasswordChange, PasswordSet
from services.identity.login_confirmation import mail_confirmation
from services.identity.login_delay import wait_of_login, wait_of_source
from services.identity.mailed_links import remove_login_changes
from services.identity.queries import find_user
from services.identity.rights import cut_off
from services.identity.routing import (
    NO_SOURCE,
    TRIED_AT_MOST,
    LoginRoute,
    confirm_login_route,
    counted,
    login_route_token,
    routes_of_login,
    source_token,
)
from shared.errors import Conflict, InvalidArgument, NotFound, PersonErased, TooManyTries, Unauthenticated
from shared.ids import new_id
from shared.work import SYSTEM_ACTOR, Store, Work

NOT_GOOD = "The credentials are not valid. Where a login belongs to several accounts, the account has to be named."
"""The one answer to everything that is wrong with a credential."""
_ANY_LOGIN = 0
"""In place of a login's token: failures of a source over all logins."""
ANY_ADDRESS = 1
"""The same over all addresses of customers, in all portals. Nothing is counted under one: it would outlive its person."""

Recall = Callable[[LoginRoute, str], bool]
"""(route, row of the password) → whether this password was found right a moment ago, so that it need not be hashed again."""


class Attempt(NamedTuple):
    """A try with a login from a source, as keyed tokens; what its failures are counted under."""

    login: int
    source: int

    @classmethod
    def of(cls, store: Store, login: str, source: str | None) -> Attempt:
        """`source` is None for who is in already: then the login alone counts."""
        return cls(login_route_token(store.settings, login), source_token(store.settings, source))


class StoredPassword(NamedTuple):
    """A user's password row, opened."""

    row_id: str
    hash: str
    stands_alone: bool
    failures: int

    @property
    def is_locked(self) -> bool:
        """Whether it lets nobody in any more until it is reset."""
        return self.failures >= passwords.FAILURES_AT_MOST


class Verified(NamedTuple):
    """The password was this user's a moment ago."""

    route: LoginRoute
    row_id: str
    attempt: Attempt
    was_recalled: bool


def verify_login(
    store: Store, login: str, password: str, account_id: str | None, source: str, recall: Recall = lambda *_: False
) -> Verified:
    """Whose login and password these are. `source` is in its normal form.

    Where no account is named the password is tried in each whose user has confirmed the mailbox, up to a bound. If it is right
    in several, the account has to be named.
    Raises `Unauthenticated` in the same words, and after the same time, for an unknown login and for a wrong password, in
    however many accounts there is such a login; `TooManyTries` while failures delay the next one; `Busy`.
    """
    attempt = Attempt.of(store, login, source)
    with store.work(SYSTEM_ACTOR) as work:
        check_delay(work, attempt)
        routes = counted(routes_of_login(work, attempt.login), account_id)
    begun = time.monotonic()
    found = [(route, stored) for route in routes if (stored := _stored_for(store, route, login)) is not None]
    for route, stored in found:
        if recall(route, stored.row_id) and not stored.is_locked:
            return Verified(route, stored.row_id, attempt, True)
    right = [one for one in found if passwords.matches(one[1].hash, password)]
    if not found:
        passwords.matches(passwords.NOBODYS_HASH, password)
    if len(right) == 1 and not right[0][1].is_locked:
        route, stored = right[0]
        if passwords.is_outdated(stored.hash):
            stored = stored._replace(row_id=_hash_again(store, route, stored, password))
        return Verified(route, stored.row_id, attempt, False)
    if len(right) < 2:  # otherwise it is the account's name that is missing
        _note_failures(store, right or found, attempt, source, "locked" if right else "password")
    if account_id is None:
        tried = max(1, len(found))
        time.sleep((time.monotonic() - begun) / tried * (TRIED_AT_MOST - tried))  # cooperative: eventlet has patched it
    raise Unauthenticated(NOT_GOOD)


def _note_failures(
    store: Store, failed: Sequence[tuple[LoginRoute, StoredPassword]], attempt: Attempt, source: str, reason: LoginFailure
) -> None:
    """Counts one failure of the login from this source, and tells each user of it."""
    if not failed:
        with store.work(SYSTEM_ACTOR) as work:
            count_failure(work, attempt)
    for place, (route, _) in enumerate(failed):
        _tell_failure(store, route, attempt, source, reason, is_counted=place == 0)


def _stored_for(store: Store, route: LoginRoute, login: str) -> StoredPassword | None:
    """The password of a user who works for the account now. A token can collide, so the login is looked at once more."""
    with store.work(route.account_id) as work:
        try:
            if find_user(work, login).user_id != route.user_id or look_up(work, route.user_id) is None:
                return None
        except NotFound:
            return None
        return stored_password(work, route.user_id)


def stored_password(work: Work, user_id: str) -> StoredPassword | None:
    """A user's password; None where there is none, or its key is cut."""
    row = work.fetch_one(
        "SELECT row_id, hash, stands_alone, failures FROM password WHERE account_id = %s AND user_id = %s",
        (work.account_id, user_id),
    )
    if row is None:
        return None
    plain = open_for_row(work, user_id, row[0], "hash", row[1])
    return None if plain is None else StoredPassword(row[0], plain.decode(), row[2], row[3])


def still_stands(work: Work, verified: Verified) -> bool:
    """Whether the password that was checked is the user's still, and its user not locked out meanwhile; then its failures are
    forgotten. Under `lock_access`."""
    row = work.fetch_one(
        "SELECT row_id, failures FROM password WHERE account_id = %s AND user_id = %s",
        (work.account_id, verified.route.user_id),
    )
    if row is None or row[0] != verified.row_id or row[1] >= passwords.FAILURES_AT_MOST:
        return False
    if row[1]:
        work.later(
            "UPDATE password SET failures = 0 WHERE account_id = %s AND user_id = %s", (work.account_id, verified.route.user_id)
        )
    return True


def check_delay(work: Work, attempt: Attempt) -> None:
    """Raises `TooManyTries` while failures of the login from this source, or of any from it, delay the next try."""
    waits = [0]
    for login in _counted_under(attempt):
        wait = wait_of_source if login in (_ANY_LOGIN, ANY_ADDRESS) else wait_of_login
        row = work.fetch_one("SELECT failures, failed_at FROM lethe.login_failures(%s, %s)", (login, attempt.source))
        if row is not None:
            waits.append(wait(row[0], row[1], work.now))
    if max(waits):
        raise TooManyTries(retry_after_seconds=max(waits))


def count_failure(work: Work, attempt: Attempt) -> None:
    """One failure more of the login from this source, known or not, and of the source."""
    for login in _counted_under(attempt):
        work.later("SELECT lethe.note_login_failure(%s, %s, %s)", (login, attempt.source, work.now))


def _counted_under(attempt: Attempt) -> Sequence[int]:
    """Who is in already has no source: it would be one for all of them. A customer's failures delay no user's login."""
    if attempt.login == ANY_ADDRESS or attempt.source == NO_SOURCE:
        return (attempt.login,)
    return (attempt.login, _ANY_LOGIN)


def forget_failures(work: Work, attempt: Attempt) -> None:
    """The login from this source is complete: what failed before delays nothing any more."""
    work.later("SELECT lethe.forget_login_failures(%s, %s)", attempt)


def fail(store: Store, route: LoginRoute, attempt: Attempt, source: str, reason: LoginFailure) -> NoReturn:
    """Counts a failure of a known user and tells it. Always raises `Unauthenticated`."""
    _tell_failure(store, route, attempt, source, reason)
    raise Unauthenticated(NOT_GOOD)


def _tell_failure(
    store: Store, route: LoginRoute, attempt: Attempt, source: str, reason: LoginFailure, *, is_counted: bool = True
) -> None:
    def decide(work: Work) -> None:
        lock_access(work, route.user_id)
        note_failure(work, route.user_id, attempt, source, reason, is_counted=is_counted)

    try:
        store.run(route.account_id, decide, actor=SYSTEM_ACTOR)
    except PersonErased:
        pass  # nobody is left to be told


def note_failure(
    work: Work, user_id: str, attempt: Attempt, source: str, reason: LoginFailure, *, is_counted: bool = True
) -> None:
    """The same in a transaction under way, which has to be committed. `is_counted`: it delays the next try."""
    if is_counted:
        count_failure(work, attempt)
    admission = look_up(work, user_id)
    if admission is None:
        return
    if reason == "password":
        work.later(
            "UPDATE password SET failures = failures + 1 WHERE account_id = %s AND user_id = %s", (work.account_id, user_id)
        )
    failed = LoginFailed(user_id=user_id, person_id=admission.person_id, reason=reason, source=source)
    append_for_user(work, user_id, [failed])


def set_password(
    work: Work, admission: Admission, hashed: str, stands_alone: bool, how: PasswordChange
) -> str:
    """Gives a user another password and ends their sessions and actor tokens; gives the row's new id. Under `lock_access`."""
    row_id = _write(work, admission, hashed, stands_alone)
    ended = end_sessions(work, admission.user_id, "password changed")
    cut = [] if how == "first" else [cut_off(work, admission.user_id)]
    append_for_user(work, admission.user_id, [PasswordSet(user_id=admission.user_id, how=how), *ended, *cut])
    return row_id


def _write(work: Work, admission: Admission, hashed: str, stands_alone: bool) -> str:
    row_id = new_id()
    sealed = seal_for_row(work, admission.user_id, admission.person_id, row_id, "hash", hashed.encode())
    work.later(
        "INSERT INTO password (account_id, user_id, person_id, row_id, hash, stands_alone, failures, changed_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, 0, %s) ON CONFLICT (account_id, user_id) DO UPDATE SET row_id = EXCLUDED.row_id,"
        " hash = EXCLUDED.hash, stands_alone = EXCLUDED.stands_alone, failures = 0, changed_at = EXCLUDED.changed_at",
        (work.account_id, admission.user_id, admission.person_id, row_id, sealed, stands_alone, work.now),
    )
    return row_id


def _hash_again(store: Store, route: LoginRoute, stored: StoredPassword, password: str) -> str:
    """Today's parameters are higher than those of the hash. No new password, so nothing ends; gives the row's new id."""
    hashed = passwords.hashed(password)

    def decide(work: Work) -> str:
        lock_access(work, route.user_id)
        admission, now = look_up(work, route.user_id), stored_password(work, route.user_id)
        if admission is None or now is None or now.row_id != stored.row_id:
            raise Unauthenticated(NOT_GOOD)
        return _write(work, admission, hashed, stored.stands_alone)

    return store.run(route.account_id, decide)


class OwnPassword(NamedTuple):
    """The password of a user who is in was shown once more, a moment ago."""

    login: str
    has_second_factor: bool
    verified: Verified


def check_own_password(
    store: Store, account_id: str, user_id: str, password: str | None, source: str | None
) -> OwnPassword:
    """Whether a password is that of a user who is in: for what somebody who has their session must not do. Raises
    `InvalidArgument` where it is missing, `Unauthenticated` where it is wrong, which counts as a failed login; `TooManyTries`,
    `Busy`."""
    if password is None or source is None:
        raise InvalidArgument(field="password", rule="is there: this needs the password once more")
    source = normal_source(source)
    with store.work(account_id) as work:
        view, admission, stored = find_user(work, user_id), look_up(work, user_id), stored_password(work, user_id)
        attempt = Attempt.of(store, str(view.login), source)
        check_delay(work, attempt)
    if admission is None or stored is None:
        raise NotFound()
    route = LoginRoute(account_id, user_id)
    if not passwords.matches(stored.hash, password) or stored.is_locked:
        fail(store, route, attempt, source, "password")
    return OwnPassword(str(view.login), admission.has_second_factor, Verified(route, stored.row_id, attempt, False))


def change_password(store: Store, account_id: str, user_id: str, command: ChangePassword) -> Done:
    """One's own password, with the old one. Raises `Unauthenticated` where that is wrong, which counts as a failed login,
    `InvalidArgument` for a new one that may not be."""
    own = check_own_password(store, account_id, user_id, command.old_password, command.source)
    passwords.check_new(
        command.new_password, own.login, has_second_factor=own.has_second_factor, field="new_password"
    )
    hashed = passwords.hashed(command.new_password)

    def decide(work: Work) -> None:
        lock_access(work, user_id)
        current = look_up(work, user_id)
        alone = passwords.stands_alone(command.new_password)
        if current is None or not still_stands(work, own.verified):
            raise Unauthenticated(NOT_GOOD)
        if not (alone or current.has_second_factor):
            raise Conflict("The second factor was switched off at this moment.")
        forget_failures(work, own.verified.attempt)
        remove_login_changes(work, user_id)  # who had the old password asked for them
        set_password(work, current, hashed, alone, "own")

    store.run(account_id, decide, actor=user_id)
    return Done()


def set_first_password(
    store: Store, account_id: str, command: SetFirstPassword, *, is_confirmed: bool = True
) -> Done:
    """For a user who has none. Where the operator gives it, they vouch for the mailbox as well (`is_confirmed`). Raises
    `Conflict` for who has one: nobody but the user changes it."""
    with store.work(account_id) as work:
        view = find_user(work, command.user)
    passwords.check_new(command.password, str(view.login), has_second_factor=False)
    hashed = passwords.hashed(command.password)

    def decide(work: Work) -> None:
        lock_access(work, view.user_id)
        admission = look_up(work, view.user_id)
        if admission is None:
            raise NotFound()
        if stored_password(work, view.user_id) is not None:
            raise Conflict("This user has a password already.", field="user")
        set_password(work, admission, hashed, True, "first")
        if is_confirmed:
            confirm_login_route(work, view.user_id)
        else:
            mail_confirmation(work, view.user_id, view.person_id, str(view.login))

    store.run(account_id, decide)
    return Done()
