"""The identity service: who works for the account, and who is let in. RPC methods and reactions, nothing else; the work is in
`handlers.py` and the `…_handlers.py` of each kind of credential; what customers call is in `portal_service.py`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from services.identity import (
    api_token_handlers,
    handlers,
    invitation_handlers,
    login_handlers,
    password_handlers,
    queries,
    saved_search_handlers,
    second_factor_handlers,
    session_handlers,
    user_handlers,
)
from services.identity.access_commands import (
    ApiTokenList,
    Authenticate,
    Authenticated,
    BeginSecondFactor,
    ChangePassword,
    CompleteLogin,
    ConfirmSecondFactor,
    CreateApiToken,
    CreatedApiToken,
    DisableSecondFactor,
    EndSession,
    EndSessions,
    ListApiTokens,
    ListSessions,
    LogIn,
    LoginAnswer,
    RecoveryCodes,
    RenewRecoveryCodes,
    RequireSecondFactor,
    ResetSecondFactor,
    RevokeApiToken,
    SecondFactorBegun,
    SecondFactorOn,
    SecondFactorPolicy,
    SecondFactorView,
    SessionList,
    SessionsEndedAnswer,
    SetFirstPassword,
    ShowSecondFactor,
)
from services.identity.authentication import Authenticator
from services.identity.commands import (
    AddFirstOwner,
    AddUser,
    Done,
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
from services.identity.handlers import Caller, note_mail_given_up
from services.identity.holdings import HOLDINGS
from services.identity.portal_service import PortalMethods
from services.identity.projections import project
from services.identity.routing import remove_routes_of_account
from services.identity.staff_service import StaffMethods
from services.identity.user_service import UserMethods
from shared.erasing import Holdings
from shared.errors import InvalidArgument, NotFound, PermissionRefused
from shared.ids import Id
from shared.mail_sender import MailSending
from shared.read_records import Shown
from shared.rpc import Call, rpc_method
from shared.service import (
    MANAGERS,
    OPERATORS,
    READERS,
    SERVICES_ONLY,
    USERS,
    Resources,
    Runtime,
    account_of,
    actor_of,
)
from shared.settings import LOCAL_CELL
from shared.tokens import USER_ISSUER, TokenIssuer
from shared.work import Work

OWNERS = frozenset({"owner"})


class PersonOfUser(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts' answer to whose a login is."""

    id: Id


class IdentityResources:
    """The service's resources with the key that vouches for users."""

    def __init__(self, resources: Resources) -> None:
        self.store = resources.store
        self.client = resources.client
        self.reads = resources.reads
        self.issuer = TokenIssuer(USER_ISSUER, resources.settings.path("root-keys", USER_ISSUER, "token.key"))
        self.authenticator = Authenticator(self.store, self.issuer)


class IdentityService(UserMethods, StaffMethods, PortalMethods):
    """Users of accounts: added, removed, let in, vouched for. Customers of the portal, and the vendor's staff under a grant."""

    name = "identity"
    runtime = Runtime(TYPES, project, IdentityResources)
    mail_sending = MailSending(note_mail_given_up)

    def end_item_again(self, work: Work, item_id: str) -> None:
        invitation_handlers.withdraw_again(work, item_id)
        user_handlers.delete_again(work, item_id)
        saved_search_handlers.remove_again(work, item_id)

    def end_logins(self, account_id: str) -> None:
        """Sessions, logins under way, mailed links and tokens of apps: which of them were over is not known any more, so all
        are."""

        def decide(work: Work) -> None:
            for table in ("session", "challenge", "link", "portal_session", "sign_in_link", "app_code", "app_token"):
                work.later(f"DELETE FROM {table} WHERE account_id = %s", (account_id,))

        self.store.run(account_id, decide)

    def tidy_account(self, account_id: str) -> None:
        """Nothing leads to the account any more."""
        remove_routes_of_account(self.store, account_id)

    @property
    def holdings(self) -> Holdings:
        return HOLDINGS

    @rpc_method(argument=AddUser, result=UserView, roles=MANAGERS | OPERATORS, scope="manage")
    def add_user(self, call: Call) -> UserView:
        """Add a user. An operator adds the first owner; owners and admins add the others, nobody more than they hold."""
        account = account_of(call)
        return handlers.add_user(
            self.store, account, _caller(call), call.idempotency_key, call.argument, self._person_of(account)
        )

    @rpc_method(argument=AddFirstOwner, result=UserView, roles=OPERATORS | SERVICES_ONLY, scope="manage")
    def add_first_owner(self, call: Call) -> UserView:
        """Add the first owner of an account, with a password."""
        account = account_of(call)
        return handlers.add_first_owner(
            self.store, account, call.idempotency_key, call.argument, self._person_of(account),
            is_confirmed=call.actor.kind == "operator",
        )  # fmt: skip

    def _person_of(self, account: str) -> handlers.PersonOf:
        def person_of(login: str, name: str) -> str:
            person: PersonOfUser = self.runtime.client.call(
                "contacts", "add_user_person", {"address": login, "name": name}, account=account, repeatable=True,
                result_type=PersonOfUser,
            )  # fmt: skip
            return person.id

        return person_of

    @rpc_method(argument=ListUsers, result=UserList, roles=READERS | OPERATORS | SERVICES_ONLY, scope="read")
    def list_users(self, call: Call) -> UserList:
        """A page of the account's users."""
        self._check_operator(call)
        page = queries.list_users(self.store, account_of(call), call.argument)
        self.note_read(call, "list_users", _others(call, page.users), "administration")
        return page

    @rpc_method(argument=ShowUser, result=UserView, roles=READERS | OPERATORS | SERVICES_ONLY, scope="read")
    def show_user(self, call: Call) -> UserView:
        """One user, by id or login, or the first of the owners."""
        self._check_operator(call)
        try:
            found = queries.show_user(self.store, account_of(call), call.argument)
        except NotFound:
            self.note_read(call, "show_user", Shown([], []), "administration")  # that a login is nobody's is an answer as well
            raise
        self.note_read(call, "show_user", _others(call, [found]), "administration")
        return found

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
        """A token with which to act as a user, on a local stack. None while the account is suspended."""
        self._check_operator(call)
        return handlers.mint_token(self.store, self.runtime.issuer, account_of(call), call.argument)

    @rpc_method(argument=Authenticate, result=Authenticated, roles=SERVICES_ONLY, scope="read")
    def authenticate(self, call: Call) -> Authenticated:
        """Whose request is this? For the gateway, for each request; gives an actor token."""
        authenticator: Authenticator = self.runtime.authenticator
        return authenticator.authenticate(call.argument)

    @rpc_method(argument=LogIn, result=LoginAnswer, roles=SERVICES_ONLY, scope="manage")
    def log_in(self, call: Call) -> LoginAnswer:
        """A session for login and password, and the code where the second factor is on."""
        return login_handlers.log_in(self.store, call.argument)

    @rpc_method(argument=CompleteLogin, result=LoginAnswer, roles=SERVICES_ONLY, scope="manage")
    def complete_login(self, call: Call) -> LoginAnswer:
        """The session for a challenge and a code."""
        return login_handlers.complete_login(self.store, call.argument)

    @rpc_method(argument=ChangePassword, result=Done, roles=USERS, scope="manage")
    def change_password(self, call: Call) -> Done:
        """Change one's own password. All sessions end."""
        return password_handlers.change_password(self.store, account_of(call), call.actor.id, call.argument)

    @rpc_method(argument=SetFirstPassword, result=Done, roles=OPERATORS, scope="manage")
    def set_first_password(self, call: Call) -> Done:
        """Give a user who has no password the first one."""
        return password_handlers.set_first_password(self.store, account_of(call), call.argument)

    @rpc_method(argument=ListSessions, result=SessionList, roles=USERS, scope="read")
    def list_sessions(self, call: Call) -> SessionList:
        """One's own sessions, or those of a user whom one manages."""
        return session_handlers.list_sessions(self.store, account_of(call), call.actor.id, call.argument)

    @rpc_method(argument=EndSession, result=Done, roles=USERS, scope="manage")
    def end_session(self, call: Call) -> Done:
        """End a session: log out."""
        return session_handlers.end_session(self.store, account_of(call), call.actor.id, call.argument)

    @rpc_method(argument=EndSessions, result=SessionsEndedAnswer, roles=USERS, scope="manage")
    def end_sessions(self, call: Call) -> SessionsEndedAnswer:
        """End all sessions of a user, except the one to keep."""
        return session_handlers.end_all_sessions(self.store, account_of(call), call.actor.id, call.argument)

    @rpc_method(argument=CreateApiToken, result=CreatedApiToken, roles=USERS, scope="manage")
    def create_api_token(self, call: Call) -> CreatedApiToken:
        """Create a token for a program that acts as oneself."""
        return api_token_handlers.create_api_token(
            self.store, account_of(call), call.actor.id, call.actor.scope, call.argument, call.idempotency_key
        )

    @rpc_method(argument=ListApiTokens, result=ApiTokenList, roles=USERS, scope="read")
    def list_api_tokens(self, call: Call) -> ApiTokenList:
        """One's own API tokens, or those of a user whom one manages."""
        return api_token_handlers.list_api_tokens(self.store, account_of(call), call.actor.id, call.argument)

    @rpc_method(argument=RevokeApiToken, result=Done, roles=USERS, scope="manage")
    def revoke_api_token(self, call: Call) -> Done:
        """Revoke an API token. From the answer on it is good for nothing."""
        return api_token_handlers.revoke_api_token(self.store, account_of(call), call.actor.id, call.argument)

    @rpc_method(argument=ShowSecondFactor, result=SecondFactorView, roles=USERS, scope="read")
    def show_second_factor(self, call: Call) -> SecondFactorView:
        """One's own second factor."""
        return second_factor_handlers.show_second_factor(self.store, account_of(call), call.actor.id)

    @rpc_method(argument=BeginSecondFactor, result=SecondFactorBegun, roles=USERS | SERVICES_ONLY, scope="manage")
    def begin_second_factor(self, call: Call) -> SecondFactorBegun:
        """A new seed for the authenticator app, as text and as a QR code."""
        challenge = challenge_of(call)
        if challenge is not None:
            return second_factor_handlers.begin_in_login(self.store, challenge)
        return second_factor_handlers.begin_second_factor(self.store, account_of(call), call.actor.id, call.idempotency_key)

    @rpc_method(argument=ConfirmSecondFactor, result=SecondFactorOn, roles=USERS | SERVICES_ONLY, scope="manage")
    def confirm_second_factor(self, call: Call) -> SecondFactorOn:
        """Switch the second factor on with a code of the new seed."""
        if challenge_of(call) is not None:
            return second_factor_handlers.confirm_in_login(self.store, call.argument)
        return second_factor_handlers.confirm_second_factor(
            self.store, account_of(call), call.actor.id, call.argument, call.idempotency_key
        )

    @rpc_method(argument=DisableSecondFactor, result=Done, roles=USERS, scope="manage")
    def disable_second_factor(self, call: Call) -> Done:
        """Switch the second factor off with a code."""
        return second_factor_handlers.disable_second_factor(self.store, account_of(call), call.actor.id, call.argument)

    @rpc_method(argument=RenewRecoveryCodes, result=RecoveryCodes, roles=USERS, scope="manage")
    def renew_recovery_codes(self, call: Call) -> RecoveryCodes:
        """Ten new recovery codes for a code."""
        return second_factor_handlers.renew_recovery_codes(
            self.store, account_of(call), call.actor.id, call.argument, call.idempotency_key
        )

    @rpc_method(argument=ResetSecondFactor, result=Done, roles=MANAGERS, scope="manage")
    def reset_second_factor(self, call: Call) -> Done:
        """Take the second factor of a user away who has lost it. The user is told by mail."""
        return second_factor_handlers.reset_second_factor(self.store, account_of(call), call.actor.id, call.argument)

    @rpc_method(argument=RequireSecondFactor, result=SecondFactorPolicy, roles=OWNERS, scope="manage")
    def require_second_factor(self, call: Call) -> SecondFactorPolicy:
        """Require the second factor of everybody in the account, or leave it to each."""
        return second_factor_handlers.require_second_factor(self.store, account_of(call), call.actor.id, call.argument)

    def _check_operator(self, call: Call) -> None:
        """On a local stack its operator may look at users and act as them; in any other cell nobody of the vendor's does, but
        under a grant (mission I7)."""
        if call.actor.kind == "operator" and self.store.settings.cell != LOCAL_CELL:
            raise PermissionRefused("This needs a grant of the account's owner, except on a local stack.")


def challenge_of(call: Call) -> str | None:
    """The challenge of a login for which the gateway calls; a user who is in calls without one, for themselves."""
    challenge: str | None = call.argument.challenge
    if (challenge is None) != (call.actor.kind == "user"):
        raise InvalidArgument(field="challenge", rule="is there for a login that waits, and only then")
    return challenge


def _others(call: Call, users: Sequence[UserView]) -> Shown:
    """The persons shown, without the one who looks: that somebody saw their own profile is no access to anybody's data."""
    return Shown([one.person_id for one in users if one.user_id != call.actor.id], [])


def _caller(call: Call) -> Caller:
    return Caller(actor_of(call), is_operator=call.actor.kind == "operator")
