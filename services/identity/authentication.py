"""Whose request is this? Asked once by the gateway for each request; gives the actor token that the other services check.

For a session or an API token it is one transaction of reads. What this process remembers saves work only and decides nothing:
where a random token leads, which never changes, and that a password was right a moment ago, bound to the row of its hash.
"""

from __future__ import annotations

import hmac
import os
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from services.identity import api_token as api_tokens
from services.identity import session as sessions
from services.identity.access_commands import Authenticate, Authenticated, Scope
from services.identity.admission import (
    ADMISSION,
    WORKS_HERE,
    Admission,
    check_account,
    check_request,
    check_source,
    lets_in,
    look_up,
)
from services.identity.api_token_handlers import midnight
from services.identity.credentials import append_for_user, lock_access, normal_source
from services.identity.customer_authentication import find_customer, is_customers
from services.identity.events import ApiTokenUsedOnDay, PasswordUsedOnDay
from services.identity.password_handlers import NOT_GOOD, Verified, forget_failures, still_stands, verify_login
from services.identity.queries import login_token
from services.identity.rights import hold_rights
from services.identity.routing import LoginRoute, account_of_credential
from shared import clock
from shared.door import Door
from shared.errors import InvalidArgument, PersonErased, SecondFactorRequired, Unauthenticated
from shared.tokens import Actor, TokenIssuer
from shared.work import Store, Work

ACTOR_TOKEN_LIFE = timedelta(seconds=60)
RECALLED_FOR = timedelta(seconds=60)
_ROUTES_AT_MOST = 20_000
_PASSWORDS_AT_MOST = 2_000
_SESSION = (
    f"SELECT {ADMISSION}, c.session_id, c.used_at, c.expires_at, c.ranges_suspended FROM session c"
    " JOIN app_user u USING (account_id, user_id)"
    f" WHERE c.account_id = %s AND c.digest = %s AND {WORKS_HERE}"
)
_TOUCH = (
    "UPDATE session SET used_at = %s WHERE account_id = %s AND session_id = (SELECT session_id FROM session"
    " WHERE account_id = %s AND session_id = %s AND used_at < %s FOR UPDATE SKIP LOCKED)"
)
"""Waits for nobody: whoever holds the row notes a use too, or ends the session and may be waiting for us."""
_API_TOKEN = (
    f"SELECT {ADMISSION}, c.api_token_id, c.scope, c.expires_at, c.used_on FROM api_token c"
    f" JOIN app_user u USING (account_id, user_id) WHERE c.account_id = %s AND c.digest = %s AND {WORKS_HERE}"
)


class _Found(NamedTuple):
    """A credential that is good, and what it is good for."""

    admission: Admission
    scope: Scope
    by: Literal["session", "api token", "password"]
    id: str | None


class Authenticator:
    """One process's part in it. `issuer` vouches for users."""

    def __init__(self, store: Store, issuer: TokenIssuer) -> None:
        self._store = store
        self._issuer = issuer
        self._routes: dict[bytes, LoginRoute] = {}
        self._recent = RecentPasswords()

    def authenticate(self, request: Authenticate) -> Authenticated:
        """The user of a request. Raises `Unauthenticated` in the same words for everything that is wrong with a credential,
        `AccountSuspended`, `SecondFactorRequired`, `PermissionRefused` from outside of the account's IP ranges; and as
        `verify_login` does."""
        source = normal_source(request.source)
        if request.token is not None and request.login is None and request.secret is None:
            if is_customers(request.token):
                return self._by_customers_token(request.token, request.account_id)
            if request.token.startswith(sessions.PREFIX):
                return self._by_session(request.token, request.account_id, source)
            return self._by_api_token(request.token, request.account_id, None, source)
        if request.token is None and request.login is not None and request.secret is not None:
            if api_tokens.has_form(request.secret):
                return self._by_api_token(request.secret, request.account_id, request.login, source)
            return self._by_password(request.login, request.secret, request.account_id, source)
        raise InvalidArgument(field="token", rule="either this, or login and secret")

    def _by_customers_token(self, token: str, named: str | None) -> Authenticated:
        account = account_of_credential(self._store, sessions.digest(token))
        if account is None or named not in (None, account):
            raise Unauthenticated(NOT_GOOD)
        with self._store.work(account) as work:
            found = find_customer(work, token)
        if found is None:
            raise Unauthenticated(NOT_GOOD)
        door = Door(kind=found.by, id=found.id)
        actor = Actor(kind="customer", id=found.person_id, account_id=account, role="customer", scope=found.scope, door=door)
        expires_at = clock.now() + ACTOR_TOKEN_LIFE
        return Authenticated(
            actor_token=self._issuer.mint(actor, ACTOR_TOKEN_LIFE), expires_at=expires_at, account_id=account,
            user_id=found.person_id, role="customer", scope=found.scope, by=found.by,
            session_id=found.id if found.by == "portal session" else None,
        )  # fmt: skip

    def _by_session(self, token: str, account_id: str | None, source: str) -> Authenticated:
        digest = sessions.digest(token)
        route = self._route_of("session", digest, account_id)
        with self._store.work(route.account_id) as work:
            hold_rights(work, route.user_id)
            row = work.fetch_one(_SESSION, (work.account_id, digest))
            if row is None:
                raise Unauthenticated(NOT_GOOD)
            session_id, used_at, expires_at, ranges_suspended = row[-4:]
            if not sessions.is_good(used_at, expires_at, work.now):
                raise Unauthenticated(NOT_GOOD)
            admission = Admission.of(row)
            check_request(admission, work.now)
            if not ranges_suspended:
                check_source(work, admission, source)
            if sessions.needs_touch(used_at, work.now):
                work.mark_repeatable()
                work.later(_TOUCH, (work.now, work.account_id, work.account_id, session_id, work.now))
            return self._vouch(work.account_id, _Found(admission, "manage", "session", session_id))

    def _by_api_token(self, token: str, account_id: str | None, login: str | None, source: str) -> Authenticated:
        if not api_tokens.has_form(token):
            raise Unauthenticated(NOT_GOOD)
        digest = sessions.digest(token)
        route = self._route_of("api_token", digest, account_id)
        with self._store.work(route.account_id) as work:
            hold_rights(work, route.user_id)
            row = work.fetch_one(_API_TOKEN, (work.account_id, digest))
            if row is None:
                raise Unauthenticated(NOT_GOOD)
            api_token_id, scope, expires_at, used_on = row[-4:]
            admission = Admission.of(row)
            if expires_at <= work.now or (login is not None and not _is_login_of(work, login, admission.user_id)):
                raise Unauthenticated(NOT_GOOD)
            check_request(admission, work.now)
            check_source(work, admission, source)
            found = _Found(admission, scope, "api token", api_token_id)
            answer, is_first_today = self._vouch(work.account_id, found), used_on != work.now.date()
        if is_first_today:
            self._note_token_use(route, api_token_id)
        return answer

    def _by_password(self, login: str, password: str, account_id: str | None, source: str) -> Authenticated:
        def recall(route: LoginRoute, row_id: str) -> bool:
            return self._recent.knows(route, row_id, password)

        def admit(work: Work) -> Authenticated:
            return self._vouch(work.account_id, _Found(_admit_password(work, verified, source), "manage", "password", None))

        verified = verify_login(self._store, login, password, account_id, source, recall)
        try:
            answer = self._store.run(verified.route.account_id, admit)
        except PersonErased:
            raise Unauthenticated(NOT_GOOD) from None
        if not verified.was_recalled:
            self._recent.remember(verified.route, verified.row_id, password)
        return answer

    def _route_of(self, table: str, digest: bytes, named: str | None) -> LoginRoute:
        """Where a credential leads. A route never changes, so it is remembered; that it is good, its row has to say each
        time."""
        route = self._routes.get(digest) or self._look_for_route(table, digest)
        if route is None or named not in (None, route.account_id):
            raise Unauthenticated(NOT_GOOD)
        return route

    def _look_for_route(self, table: str, digest: bytes) -> LoginRoute | None:
        account = account_of_credential(self._store, digest)
        if account is None:
            return None
        with self._store.work(account) as work:
            row = work.fetch_one(f"SELECT user_id FROM {table} WHERE account_id = %s AND digest = %s", (account, digest))
        if row is None:
            return None
        if len(self._routes) >= _ROUTES_AT_MOST:
            self._routes.clear()
        route = self._routes[digest] = LoginRoute(account, row[0])
        return route

    def _vouch(self, account_id: str, found: _Found) -> Authenticated:
        user_id, role = found.admission.user_id, found.admission.role
        expires_at = clock.now() + ACTOR_TOKEN_LIFE  # not after what stands in the token
        door = Door(kind=found.by, id=found.id)
        actor = Actor(kind="user", id=user_id, account_id=account_id, role=role, scope=found.scope, door=door)
        return Authenticated(
            actor_token=self._issuer.mint(actor, ACTOR_TOKEN_LIFE), expires_at=expires_at, account_id=account_id,
            user_id=user_id, role=role, scope=found.scope, by=found.by, comply_by=found.admission.comply_by,
            session_id=found.id if found.by == "session" else None,
            api_token_id=found.id if found.by == "api token" else None,
        )  # fmt: skip

    def _note_token_use(self, route: LoginRoute, api_token_id: str) -> None:
        """The day of a token's last use, and the event; once a day for a token, whoever is first."""
        account_id, user_id = route.account_id, route.user_id

        def decide(work: Work) -> None:
            lock_access(work, user_id)
            today = work.now.date()
            first = work.change(
                "UPDATE api_token SET used_on = %s WHERE account_id = %s AND api_token_id = %s AND used_on IS DISTINCT FROM %s"
                " RETURNING api_token_id",
                (today, account_id, api_token_id, today),
            )
            if first:
                used = ApiTokenUsedOnDay(user_id=user_id, api_token_id=api_token_id, day=midnight(today))
                append_for_user(work, user_id, [used])

        self._store.run(account_id, decide, actor=user_id)


def _is_login_of(work: Work, login: str, user_id: str) -> bool:
    return bool(
        work.fetch(
            "SELECT 1 FROM login_token WHERE account_id = %s AND token = %s AND user_id = %s",
            (work.account_id, login_token(work, login), user_id),
        )
    )


def _admit_password(work: Work, verified: Verified, source: str) -> Admission:
    """A password alone, over HTTP Basic: not for who has a second factor (mission I1: *every* login needs the code)."""
    user_id = verified.route.user_id
    if not verified.was_recalled:
        lock_access(work, user_id)
    hold_rights(work, user_id)
    admission = look_up(work, user_id)
    if admission is None or not still_stands(work, verified) or not lets_in(work, admission, source):
        raise Unauthenticated(NOT_GOOD)
    check_account(admission)
    if admission.has_second_factor or admission.must_enrol(work.now):
        raise SecondFactorRequired()
    if not verified.was_recalled:
        forget_failures(work, verified.attempt)
        _note_password_use(work, user_id)
    return admission


def _note_password_use(work: Work, user_id: str) -> None:
    today = work.now.date()
    first = work.change(
        "UPDATE password SET used_on = %s WHERE account_id = %s AND user_id = %s AND used_on IS DISTINCT FROM %s"
        " RETURNING user_id",
        (today, work.account_id, user_id, today),
    )
    if first:
        work.actor = user_id
        append_for_user(work, user_id, [PasswordUsedOnDay(user_id=user_id, day=midnight(today))])


class RecentPasswords:
    """Which passwords were found right in the last minute, so that not every request over HTTP Basic is hashed.

    Kept is an HMAC under a key that this process made for itself, over the password and the row of its hash: a new password has
    a new row. In memory only, and worth nothing without the key; a row that is gone or locked out is not recalled, since it is
    read anew each time.
    """

    def __init__(self) -> None:
        self._key = os.urandom(32)
        self._until: dict[bytes, datetime] = {}

    def remember(self, route: LoginRoute, row_id: str, password: str) -> None:
        """It was right."""
        if len(self._until) >= _PASSWORDS_AT_MOST:
            self._until.clear()
        self._until[self._name(route, row_id, password)] = clock.now() + RECALLED_FOR

    def knows(self, route: LoginRoute, row_id: str, password: str) -> bool:
        """Whether it was right within the last minute."""
        name, now = self._name(route, row_id, password), clock.now()
        until = self._until.get(name)
        if until is None:
            return False
        if not now < until <= now + RECALLED_FOR:
            del self._until[name]
            return False
        return True

    def _name(self, route: LoginRoute, row_id: str, password: str) -> bytes:
        text = "\n".join((route.account_id, route.user_id, row_id, password))
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")
