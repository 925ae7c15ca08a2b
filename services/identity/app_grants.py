"""The rows of apps, codes, tokens and grants, in one unit of work. Tokens and codes are kept as digests only.

A grant is what a customer allowed an app once. Its tokens follow one another: a refresh token is exchanged once, for the next
two. If one is brought again, somebody else may have it, and the grant ends for both (RFC 9700 §4.14.2).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import NamedTuple

from services.identity import session
from services.identity.app import ACCESS_LIFE, ACCESS_PREFIX, CODE_LIFE, REFRESH_LIFE, REFRESH_PREFIX, App, stream_of
from services.identity.customer_credentials import append_for_customer
from services.identity.portal_events import AppGranted, AppGrantEnded, GrantEnd, GrantScope, PortalNames
from services.identity.routing import add_credential_route, remove_credential_routes
from shared.ids import new_id
from shared.work import SealedValue, Work

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Code(NamedTuple):
    """A code that is good."""

    digest: bytes
    app_id: str
    person_id: str
    scope: GrantScope
    redirect_place: int
    challenge: str


class Token(NamedTuple):
    """A token that is good, or a grant's latest."""

    digest: bytes
    grant_id: str
    app_id: str
    person_id: str
    scope: GrantScope


class Grant(NamedTuple):
    """What a customer lets an app do."""

    grant_id: str
    app_id: str
    scope: GrantScope


class IssuedTokens(NamedTuple):
    """Two tokens that nobody else has."""

    access: str
    refresh: str


class AppGrants:
    """Reads and changes them under one account."""

    def __init__(self, work: Work) -> None:
        self._work = work

    # -- apps

    def apps(self, app_id: str | None = None) -> list[tuple[App, datetime]]:
        """The account's apps with the time of their coming; one of them if asked. One that does not open is none."""
        rows = self._work.fetch(
            "SELECT app_id, added_at, name, redirect_uris, event_id FROM app WHERE account_id = %s"
            " AND (%s::uuid IS NULL OR app_id = %s) ORDER BY added_at, app_id",
            (self._work.account_id, app_id, app_id),
        )
        opened = self._work.open(
            [
                SealedValue(sealed, stream_of(row[0]), row[4], PortalNames.APP_REGISTERED, field)
                for row in rows
                for field, sealed in (("name", row[2]), ("redirect_uris", row[3]))
            ]
        )
        return [
            (App(row[0], opened[2 * place], tuple(opened[2 * place + 1])), row[1])
            for place, row in enumerate(rows)
            if isinstance(opened[2 * place], str) and isinstance(opened[2 * place + 1], list)
        ]

    def app(self, app_id: str) -> App | None:
        """The app with an id as somebody gave it."""
        found = self.apps(app_id) if _UUID.fullmatch(app_id) else []
        return found[0][0] if found else None

    # -- codes

    def add_code(self, code: str, app_id: str, person_id: str, scope: GrantScope, redirect_place: int, challenge: str) -> None:
        """Keeps a new code, bound to app, customer, address and challenge. Codes of the customer that are over go."""
        work = self._work
        work.pin_persons((person_id,))
        work.later(
            "DELETE FROM app_code WHERE account_id = %s AND person_id = %s AND expires_at <= %s",
            (work.account_id, person_id, work.now - CODE_LIFE),
        )
        work.later(
            "INSERT INTO app_code (account_id, digest, app_id, person_id, scope, redirect_place, challenge, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                work.account_id, session.digest(code), app_id, person_id, scope, redirect_place, challenge,
                work.now + CODE_LIFE,
            ),
        )  # fmt: skip

    def hold_code(self, code: str, app_id: str) -> Code | None:
        """The code of an app, held until the commit so that nobody else uses it meanwhile; None for one that is not good. One
        that was used before ends the grant that came of it."""
        work = self._work
        row = work.fetch_one(
            "SELECT digest, app_id, person_id, scope, redirect_place, challenge, grant_id, expires_at FROM app_code"
            " WHERE account_id = %s AND digest = %s FOR UPDATE",
            (work.account_id, session.digest(code)),
        )
        if row is None or row[1] != app_id:
            return None
        if row[6] is not None:
            self.end(row[6], "code used twice")
            return None
        return Code(bytes(row[0]), *row[1:6]) if row[7] > work.now else None

    def mark_used(self, code: Code, grant_id: str) -> None:
        """The code has become a grant."""
        self._work.later(
            "UPDATE app_code SET grant_id = %s WHERE account_id = %s AND digest = %s",
            (grant_id, self._work.account_id, code.digest),
        )

    # -- tokens

    def begin(self, app_id: str, person_id: str, scope: GrantScope) -> str:
        """A new grant, with its event."""
        grant_id = new_id()
        granted = AppGranted(person_id=person_id, app_id=app_id, grant_id=grant_id, scope=scope)
        append_for_customer(self._work, person_id, [granted])
        return grant_id

    def new_tokens(self) -> IssuedTokens:
        """Tokens to give out. They are good once `keep` has kept them."""
        return IssuedTokens(session.new_token(ACCESS_PREFIX), session.new_token(REFRESH_PREFIX))

    def keep(self, tokens: IssuedTokens, grant_id: str, app_id: str, person_id: str, scope: GrantScope) -> None:
        """Makes these the tokens of a grant: access tokens before them are over."""
        work = self._work
        work.pin_persons((person_id,))
        gone = work.change(
            "DELETE FROM app_token WHERE account_id = %s AND grant_id = %s AND (kind = 'access' OR expires_at <= %s)"
            " RETURNING digest",
            (work.account_id, grant_id, work.now),
        )
        remove_credential_routes(work, [digest for (digest,) in gone])
        for kind, token, life in (("access", tokens.access, ACCESS_LIFE), ("refresh", tokens.refresh, REFRESH_LIFE)):
            work.later(
                "INSERT INTO app_token (account_id, digest, kind, grant_id, app_id, person_id, scope, expires_at)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                (work.account_id, session.digest(token), kind, grant_id, app_id, person_id, scope, work.now + life),
            )
        add_credential_route(work, session.digest(tokens.access))

    def hold_refresh(self, token: str, app_id: str) -> Token | None:
        """The refresh token of an app, held until the commit; None for one that is not good. One that was exchanged before
        ends its grant."""
        work = self._work
        row = work.fetch_one(
            "SELECT digest, grant_id, app_id, person_id, scope, used_at, expires_at FROM app_token"
            " WHERE account_id = %s AND digest = %s AND kind = 'refresh' FOR UPDATE",
            (work.account_id, session.digest(token)),
        )
        if row is None or row[2] != app_id:
            return None
        if row[5] is not None:
            self.end(row[1], "token used twice")
            return None
        return Token(bytes(row[0]), *row[1:5]) if row[6] > work.now else None

    def mark_exchanged(self, token: Token) -> None:
        """The refresh token has given the next ones."""
        self._work.later(
            "UPDATE app_token SET used_at = %s WHERE account_id = %s AND digest = %s",
            (self._work.now, self._work.account_id, token.digest),
        )

    def good_access(self, digest: bytes) -> Token | None:
        """The access token of a digest, if it is good and its person is not erased."""
        row = self._work.fetch_one(
            "SELECT t.digest, t.grant_id, t.app_id, t.person_id, t.scope FROM app_token t"
            " JOIN app_grant g USING (account_id, grant_id)"
            " WHERE t.account_id = %s AND t.digest = %s AND t.kind = 'access' AND t.expires_at > %s",
            (self._work.account_id, digest, self._work.now),
        )
        if row is None or self._work.cut_persons([row[3]]):
            return None
        return Token(bytes(row[0]), *row[1:])

    def token(self, text: str) -> Token | None:
        """Any token of a grant, whether it is good or not."""
        row = self._work.fetch_one(
            "SELECT digest, grant_id, app_id, person_id, scope FROM app_token WHERE account_id = %s AND digest = %s",
            (self._work.account_id, session.digest(text)),
        )
        return Token(bytes(row[0]), *row[1:]) if row else None

    # -- grants

    def of_customer(self, person_id: str) -> list[tuple[Grant, datetime]]:
        """What a customer has granted, the newest first."""
        rows = self._work.fetch(
            "SELECT grant_id, app_id, scope, granted_at FROM app_grant WHERE account_id = %s AND person_id = %s"
            " ORDER BY granted_at DESC, grant_id",
            (self._work.account_id, person_id),
        )
        return [(Grant(*row[:3]), row[3]) for row in rows]

    def end(self, grant_id: str, reason: GrantEnd, *, of_customer: str | None = None) -> bool:
        """Ends a grant with all its tokens, with its event; False where there is none (of this customer)."""
        work = self._work
        row = work.fetch_one(
            "SELECT person_id FROM app_grant WHERE account_id = %s AND grant_id = %s"
            " AND (%s::uuid IS NULL OR person_id = %s) FOR UPDATE",
            (work.account_id, grant_id, of_customer, of_customer),
        )
        if row is None:
            return False
        self._remove_tokens("grant_id", grant_id)
        append_for_customer(work, row[0], [AppGrantEnded(person_id=row[0], grant_id=grant_id, reason=reason)])
        return True

    def end_all_of_app(self, app_id: str) -> None:
        """Takes all codes and tokens of an app away. The grants go by the event of its removal."""
        self._remove_tokens("app_id", app_id)
        self._work.later(
            "DELETE FROM app_code WHERE account_id = %s AND app_id = %s", (self._work.account_id, app_id)
        )

    def _remove_tokens(self, column: str, value: str) -> None:
        gone = self._work.change(
            f"DELETE FROM app_token WHERE account_id = %s AND {column} = %s RETURNING digest", (self._work.account_id, value)
        )
        remove_credential_routes(self._work, [digest for (digest,) in gone])
