"""On whose behalf a command speaks to the services: the settings, one RPC client, the account, and the actor's token.

On the local stack the operator's key mints an operator's token, with which identity mints the token of `--as USER` or of
the account's owner. For a member of the vendor's staff (`LETHE_STAFF`) it bears their id, and under `LETHE_STAFF_GRANT`
identity mints tokens that read, a minute each. `LETHE_TOKEN` overrides all that: then the account is the token's. No token is
ever printed or kept.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self, TypeVar, overload

from services.identity.commands import MintedToken, MintToken
from services.identity.staff_commands import OfStaffGrant, StaffSession
from services.lifecycle.commands import AccountPage, AccountView, FindAccount, ListAccounts
from shared import clock
from shared.door import OPERATOR_DOOR
from shared.errors import InvalidArgument, NotFound, TimedOut, Unauthenticated, Unavailable
from shared.rpc_client import Argument, RpcClient
from shared.settings import Settings
from shared.tokens import Actor, TokenIssuer, TokenSource

T = TypeVar("T")
Place = TypeVar("Place", str, int)
"""Where a page of a list begins: after an id, or after a number."""

OPERATOR_TOKEN_LIFE: Final = timedelta(minutes=30)
USER_TOKEN_MINUTES: Final = 60
STAFF_TOKEN_SECONDS: Final = 40.0
"""For so long a staff token is used, which is good for a minute."""

DEFAULT_TIMEOUT_SECONDS: Final = 20.0
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Session:
    """One command's way to the services. Use it as a context manager; it connects at the first call."""

    def __init__(self, account: str | None = None, as_user: str | None = None, staff: str | None = None) -> None:
        self.settings = load_settings()
        self._given_token = os.environ.get("LETHE_TOKEN") or None
        self._named_account = account
        self._as_user = as_user
        self._staff = staff or os.environ.get("LETHE_STAFF") or None
        self._staff_grant = (os.environ.get("LETHE_STAFF_GRANT") or None) if as_user is None else None
        self._account_id: str | None = None
        self._user_token: tuple[datetime, str] | None = None
        self._operator: TokenSource | None = None
        self._client: RpcClient | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            self._client.close()

    @property
    def client(self) -> RpcClient:
        """The client, without an account; it speaks as an operator where no token is handed to it."""
        if self._client is None:
            os.environ.setdefault("LETHE_HOME", str(self.settings.home))
            self._client = RpcClient(self.settings.amqp_url, self._operator_token)
        return self._client

    @property
    def account_id(self) -> str:
        """The account that the command is about. Raises `NotFound`, or `InvalidArgument` where it must be named."""
        if self._account_id is None:
            self._account_id = self._find_account()
        return self._account_id

    @overload
    def call(
        self, service: str, method: str, argument: Argument = None, *, result_type: type[T],
        timeout_seconds: float = ..., repeatable: bool = ..., idempotency_key: str | None = ...,
    ) -> T: ...  # fmt: skip

    @overload
    def call(
        self, service: str, method: str, argument: Argument = None, *, result_type: None = None,
        timeout_seconds: float = ..., repeatable: bool = ..., idempotency_key: str | None = ...,
    ) -> Any: ...  # fmt: skip

    def call(
        self, service: str, method: str, argument: Argument = None, *, result_type: Any = None,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS, repeatable: bool = False, idempotency_key: str | None = None,
    ) -> Any:  # fmt: skip
        """Calls a method in the account, as its user."""
        return self.client.call(
            service, method, argument, account=self.account_id, token=self.user_token(), result_type=result_type,
            timeout_seconds=timeout_seconds, repeatable=repeatable, idempotency_key=idempotency_key,
        )  # fmt: skip

    def query(self, service: str, method: str, argument: Argument, result_type: type[T]) -> T:
        """A call that only reads, and so may be repeated."""
        return self.call(service, method, argument, result_type=result_type, repeatable=True)

    @overload
    def operate(
        self, service: str, method: str, argument: Argument = None, *, account: str | None = None, result_type: type[T],
        repeatable: bool = ..., timeout_seconds: float = ..., idempotency_key: str | None = ...,
    ) -> T: ...  # fmt: skip

    @overload
    def operate(
        self, service: str, method: str, argument: Argument = None, *, account: str | None = None, result_type: None = None,
        repeatable: bool = ..., timeout_seconds: float = ..., idempotency_key: str | None = ...,
    ) -> Any: ...  # fmt: skip

    def operate(
        self, service: str, method: str, argument: Argument = None, *, account: str | None = None, result_type: Any = None,
        repeatable: bool = False, timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS, idempotency_key: str | None = None,
    ) -> Any:  # fmt: skip
        """Calls a method as the operator of the stack."""
        return self.client.call(
            service, method, argument, account=account, result_type=result_type, repeatable=repeatable,
            timeout_seconds=timeout_seconds, idempotency_key=idempotency_key,
        )  # fmt: skip

    def user_token(self) -> str:
        """A good token of the user on whose behalf the command speaks; kept while it is good, should identity be away."""
        if self._given_token:
            return self._given_token
        if self._staff_grant:
            return self._staff_token(self._staff_grant)
        now, held = clock.now(), self._user_token
        if held is None or now >= held[0] + timedelta(minutes=USER_TOKEN_MINUTES / 2):
            try:
                minted = self.operate(
                    "identity", "mint_token",
                    MintToken(user=self._as_user or "owner", minutes=USER_TOKEN_MINUTES),
                    account=self.account_id, result_type=MintedToken, repeatable=True,
                )  # fmt: skip
            except (Unavailable, TimedOut):
                if held is None or now >= held[0] + timedelta(minutes=USER_TOKEN_MINUTES - 1):
                    raise
                return held[1]
            held = self._user_token = (now, minted.token)
        return held[1]

    def _staff_token(self, grant: str) -> str:
        now, held = clock.now(), self._user_token
        if held is None or now >= held[0] + timedelta(seconds=STAFF_TOKEN_SECONDS):
            opened = self.operate(
                "identity", "open_staff_session", OfStaffGrant(grant_id=grant), account=self.account_id,
                result_type=StaffSession,
            )  # fmt: skip
            held = self._user_token = (now, opened.token)
        return held[1]

    def accounts(self) -> list[AccountView]:
        """All accounts of the cell."""

        def fetch(after: str | None) -> tuple[list[AccountView], str | None]:
            asked = ListAccounts(after=after, limit=500)
            page = self.operate("lifecycle", "list_accounts", asked, result_type=AccountPage, repeatable=True)
            return page.accounts, page.next_after

        return pages(fetch)

    def _operator_token(self) -> str:
        if self._operator is None:
            path = self.settings.path("root-keys", "operator", "token.key")
            try:
                issuer = TokenIssuer("operator", path)
            except OSError:
                raise Unauthenticated(
                    "This home has no operator key that you may read; set LETHE_TOKEN to a user's token."
                ) from None
            actor = Actor(kind="operator", id=self._staff or "operator", role="operator", door=OPERATOR_DOOR)
            self._operator = TokenSource(issuer, actor, OPERATOR_TOKEN_LIFE)
        return self._operator()

    def _find_account(self) -> str:
        name = self._named_account
        if name is not None and _UUID.fullmatch(name):
            return name
        if name is None and self._given_token:
            return _account_in(self._given_token)
        if name is not None:
            found = self.operate(
                "lifecycle", "find_account", FindAccount(name=name), result_type=AccountView, repeatable=True
            )
            return found.account_id
        accounts = self.accounts()
        if not accounts:
            raise NotFound("There is no account yet. Make one: lethe account create NAME --owner ADDRESS")
        if len(accounts) > 1:
            raise InvalidArgument(
                "There are several accounts; name one with --account or LETHE_ACCOUNT: lethe account list",
                field="account", rule="is required",
            )  # fmt: skip
        return accounts[0].account_id


def load_settings() -> Settings:
    """The stack's settings; `Unavailable` where there is none."""
    try:
        return Settings.load()
    except FileNotFoundError:
        home = os.environ.get("LETHE_HOME", ".lethe")
        raise Unavailable(f"There is no stack in {home}. Start one: lethe up") from None


def _account_in(token: str) -> str:
    """The account that a token says it is for. The services check it; here it only saves naming it."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        account: object = claims["account_id"]
    except (IndexError, ValueError, KeyError, TypeError):
        raise Unauthenticated("LETHE_TOKEN is not a token") from None
    if not isinstance(account, str):
        raise InvalidArgument(
            "This token is for no account; name one with --account.", field="account", rule="is required"
        )
    return account


def pages(fetch: Callable[[Place | None], tuple[list[T], Place | None]]) -> list[T]:
    """All of a paged list: `fetch` gives one page and where the next begins."""
    found: list[T] = []
    after: Place | None = None
    while True:
        page, after = fetch(after)
        found += page
        if after is None:
            return found
