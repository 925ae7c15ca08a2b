"""The lifecycle service: accounts. RPC methods and reactions, nothing else; the work is in `handlers.py`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future

import msgspec
from nameko.timer import timer

from services.lifecycle import handlers, queries
from services.lifecycle.commands import (
    AccountEndView,
    AccountPage,
    AccountView,
    FindAccount,
    ListAccounts,
    NoteBilling,
    OfAccount,
    OpenAccount,
    SuspendAccount,
)
from services.lifecycle.events import TYPES
from services.lifecycle.holdings import HOLDINGS
from services.lifecycle.periods import Periods
from services.lifecycle.projections import project
from services.lifecycle.routing import Routing
from shared.account_states import KeepAccountState, KeptAccountState
from shared.bus import reaction
from shared.erasing import Holdings
from shared.errors import AccountSuspended, InvalidArgument, LetheError
from shared.events import Envelope
from shared.logs import get_logger
from shared.rpc import Call, rpc_method
from shared.service import OPERATORS, SERVICES_ONLY, USERS, Resources, Runtime, Service, account_of, actor_of
from shared.settings import ACCOUNT_SERVICES

log = get_logger("lethe.lifecycle")
TELL_SECONDS = 5.0
"""How long suspending waits for a service that does not say that it has closed the account."""
ANSWER_SECONDS = 1.0
LOOK_EVERY_SECONDS = 1.0
"""How often each replica looks whether the period of an account is over."""
KEEPS_SECONDS = 5.0


class AccountKept(msgspec.Struct, frozen=True, kw_only=True):
    """Erasure's answer to what keeps an account from ending."""

    holds: int
    erasures: int


class LifecycleResources:
    """The service's resources with the cell's routing: names lead to accounts."""

    def __init__(self, resources: Resources) -> None:
        self.store = resources.store
        self.client = resources.client
        self.routing = Routing.of(resources.settings)
        try:
            self.periods = Periods.load()
        except InvalidArgument as error:
            log.error("a setting is wrong", reason=f"{error.field}: {error.rule}")
            raise


class LifecycleService(Service):
    """Accounts: active, suspended, dissolved, ended; and when they become so by themselves."""

    name = "lifecycle"
    runtime = Runtime(TYPES, project, LifecycleResources)

    def tell_end_again(self, account_id: str) -> None:
        handlers.tell_end_again(self.store, account_id)

    @property
    def holdings(self) -> Holdings:
        return HOLDINGS

    @rpc_method(argument=OpenAccount, result=AccountView, roles=OPERATORS | SERVICES_ONLY, scope="write")
    def open_account(self, call: Call) -> AccountView:
        """A new account."""
        return handlers.open_account(
            self.store, self.runtime.routing, self.runtime.periods, actor_of(call), call.argument, call.idempotency_key
        )

    @rpc_method(argument=ListAccounts, result=AccountPage, roles=OPERATORS, scope="read")
    def list_accounts(self, call: Call) -> AccountPage:
        """A page of the cell's accounts."""
        return queries.list_accounts(self.store, self.runtime.periods, call.argument)

    @rpc_method(argument=FindAccount, result=AccountView, roles=OPERATORS | SERVICES_ONLY, scope="read")
    def find_account(self, call: Call) -> AccountView:
        """The account of a name."""
        return queries.find_account(self.store, self.runtime.periods, self.runtime.routing, call.argument)

    @rpc_method(result=AccountView, roles=USERS | OPERATORS | SERVICES_ONLY, scope="read", allow_suspended=True)
    def show_account(self, call: Call) -> AccountView:
        """The account that the call is about. While it is closed, of its users the owner alone sees that it is; what is
        ahead of it (that its billing fails, say) agents do not see."""
        found = queries.show_account(self.store, self.runtime.periods, account_of(call))
        if call.actor.kind != "user" or call.actor.role == "owner":
            return found
        if found.state != "active":
            raise AccountSuspended()
        return found if call.actor.role == "admin" else msgspec.structs.replace(found, ahead=[])

    @rpc_method(argument=SuspendAccount, result=AccountView, roles=OPERATORS, scope="manage")
    def suspend_account(self, call: Call) -> AccountView:
        """No login and no access to data, for anybody."""
        tell = self._tell(account_of(call), call.remaining_seconds)
        return handlers.suspend_account(
            self.store, self.runtime.periods, account_of(call), actor_of(call), call.argument, tell
        )

    @rpc_method(result=AccountView, roles=OPERATORS, scope="manage")
    def resume_account(self, call: Call) -> AccountView:
        """Opens the account again. Not once it is dissolved."""
        tell = self._tell(account_of(call), call.remaining_seconds)
        return handlers.resume_account(self.store, self.runtime.periods, account_of(call), actor_of(call), tell)

    @rpc_method(result=AccountView, roles=OPERATORS, scope="manage")
    def upgrade_account(self, call: Call) -> AccountView:
        """The account is paid for from now on: its trial has no end any more. A suspended one stays so until it is resumed."""
        return handlers.upgrade_account(self.store, self.runtime.periods, account_of(call), actor_of(call))

    @rpc_method(argument=NoteBilling, result=AccountView, roles=OPERATORS, scope="manage")
    def note_billing(self, call: Call) -> AccountView:
        """Billing the account failed, or works again. Where it fails for too long, the account is suspended."""
        return handlers.note_billing(self.store, self.runtime.periods, account_of(call), actor_of(call), call.argument)

    @timer(interval=LOOK_EVERY_SECONDS)  # type: ignore[untyped-decorator]
    def take_due_steps(self) -> None:
        """Suspends, dissolves and ends the accounts whose time is over."""

        def tell(account: str, away: Collection[str]) -> handlers.Tell:
            return self._tell(account, lambda: TELL_SECONDS + ANSWER_SECONDS, away)

        handlers.take_due_steps(self.store, self.runtime.periods, self._keeps, tell)

    @rpc_method(argument=OfAccount, result=AccountEndView, roles=OPERATORS, scope="manage")
    def end_account(self, call: Call) -> AccountEndView:
        """Remove a suspended or dissolved account everywhere, for good. Returns at once; the progress is in
        `show_account_end`."""
        account_id: str = call.argument.account_id
        return handlers.end_account(self.store, account_id, actor_of(call), *self._keeps(account_id))

    @rpc_method(argument=OfAccount, result=AccountEndView, roles=OPERATORS, scope="read")
    def show_account_end(self, call: Call) -> AccountEndView:
        """How far the end of an account is, service by service."""
        return queries.show_account_end(self.store, call.argument.account_id)

    @reaction("contacts.AccountGone")
    def on_contacts_gone(self, envelope: Envelope) -> None:
        handlers.take_receipt(self.store, envelope)

    @reaction("erasure.AccountGone")
    def on_erasure_gone(self, envelope: Envelope) -> None:
        handlers.take_receipt(self.store, envelope)

    @reaction("identity.AccountGone")
    def on_identity_gone(self, envelope: Envelope) -> None:
        handlers.take_receipt(self.store, envelope)

    @reaction("lifecycle.AccountGone")
    def on_lifecycle_gone(self, envelope: Envelope) -> None:
        handlers.take_receipt(self.store, envelope)

    @reaction("tickets.AccountGone")
    def on_tickets_gone(self, envelope: Envelope) -> None:
        handlers.take_receipt(self.store, envelope)

    def _keeps(self, account_id: str) -> tuple[int, int]:
        keeps: AccountKept = self.runtime.client.call(
            "erasure", "what_keeps_account", account=account_id, timeout_seconds=KEEPS_SECONDS, repeatable=True,
            result_type=AccountKept,
        )  # fmt: skip
        return keeps.holds, keeps.erasures

    def _tell(
        self, account_id: str, remaining_seconds: Callable[[], float], away: Collection[str] = ()
    ) -> handlers.Tell:
        """Calls all others at once, but for those that are away, and leaves the time to answer the caller."""

        def tell(state: KeepAccountState) -> list[str]:
            seconds = min(TELL_SECONDS, remaining_seconds() - ANSWER_SECONDS)
            futures = {
                service: self.runtime.client.call_async(
                    service, "keep_account_state", state, account=account_id, timeout_seconds=seconds, repeatable=True,
                    result_type=KeptAccountState,
                )
                for service in ACCOUNT_SERVICES
                if service != self.name and service not in away and seconds > 0
            }  # fmt: skip
            told = {service for service, future in futures.items() if _keeps(future, state.version)}
            return [service for service in ACCOUNT_SERVICES if service not in told | {self.name}]

        return tell


def _keeps(future: Future[KeptAccountState], version: int) -> bool:
    try:
        return future.result().version >= version
    except LetheError:
        return False
