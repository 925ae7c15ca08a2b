"""The identity service: who works for the account, and their tokens. RPC methods and reactions, nothing else; the work is in
`handlers.py`."""

from __future__ import annotations

import msgspec

from services.identity import handlers, queries
from services.identity.commands import (
    AddUser,
    ListUsers,
    MintedToken,
    MintToken,
    RemoveUser,
    ShowUser,
    UserList,
    UsersOfPersons,
    UsersOfPersonsAnswer,
    UserView,
)
from services.identity.events import TYPES
from services.identity.handlers import Caller
from services.identity.holdings import HOLDINGS
from services.identity.projections import project
from shared.erasing import Holdings
from shared.ids import Id
from shared.rpc import Call, rpc_method
from shared.service import OPERATORS, SERVICES_ONLY, USERS, Resources, Runtime, Service, account_of, actor_of
from shared.tokens import USER_ISSUER, TokenIssuer

MANAGERS = frozenset({"owner", "admin"})


class PersonOfUser(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts' answer to whose a login is."""

    id: Id


class IdentityResources:
    """The service's resources with the key that vouches for users."""

    def __init__(self, resources: Resources) -> None:
        self.store = resources.store
        self.client = resources.client
        self.issuer = TokenIssuer(USER_ISSUER, resources.settings.path("root-keys", USER_ISSUER, "token.key"))


class IdentityService(Service):
    """Users of accounts: added, removed, vouched for."""

    name = "identity"
    runtime = Runtime(TYPES, project, IdentityResources)

    @property
    def holdings(self) -> Holdings:
        return HOLDINGS

    @rpc_method(argument=AddUser, result=UserView, roles=MANAGERS | OPERATORS, scope="manage")
    def add_user(self, call: Call) -> UserView:
        """Add a user. An operator adds the first owner; owners and admins add the others, nobody more than they hold."""
        account = account_of(call)

        def person_of(login: str, name: str) -> str:
            person: PersonOfUser = self.runtime.client.call(
                "contacts", "add_user_person", {"address": login, "name": name}, account=account, repeatable=True,
                result_type=PersonOfUser,
            )  # fmt: skip
            return person.id

        return handlers.add_user(self.store, account, _caller(call), call.idempotency_key, call.argument, person_of)

    @rpc_method(argument=ListUsers, result=UserList, roles=USERS | OPERATORS | SERVICES_ONLY, scope="read")
    def list_users(self, call: Call) -> UserList:
        """A page of the account's users."""
        return queries.list_users(self.store, account_of(call), call.argument)

    @rpc_method(argument=ShowUser, result=UserView, roles=USERS | OPERATORS | SERVICES_ONLY, scope="read")
    def show_user(self, call: Call) -> UserView:
        """One user, by id or login, or the first of the owners."""
        return queries.show_user(self.store, account_of(call), call.argument)

    @rpc_method(argument=UsersOfPersons, result=UsersOfPersonsAnswer, roles=SERVICES_ONLY, scope="read")
    def users_of_persons(self, call: Call) -> UsersOfPersonsAnswer:
        """Which of these persons work for the account."""
        return queries.users_of_persons(self.store, account_of(call), call.argument)

    @rpc_method(argument=RemoveUser, result=UserView, roles=MANAGERS, scope="manage")
    def remove_user(self, call: Call) -> UserView:
        """Take a user's rights away. A last owner stays."""
        return handlers.remove_user(self.store, account_of(call), _caller(call), call.argument)

    @rpc_method(argument=MintToken, result=MintedToken, roles=OPERATORS, scope="manage")
    def mint_token(self, call: Call) -> MintedToken:
        """A token with which to act as a user. None while the account is suspended."""
        return handlers.mint_token(self.store, self.runtime.issuer, account_of(call), call.argument)


def _caller(call: Call) -> Caller:
    return Caller(actor_of(call), is_operator=call.actor.kind == "operator")
