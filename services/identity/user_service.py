"""The part of the identity service that is about users: who they are, invitations, links, and from where they are let in. RPC
methods and reactions, nothing else; `service.py` has the rest of the class."""

from __future__ import annotations

from typing import Final

import msgspec
from nameko.timer import timer

from services.identity import (
    account_handlers,
    invitation_handlers,
    ip_range_handlers,
    login_address_handlers,
    mailed_links,
    queries,
    range_recovery,
    reset_handlers,
    user_handlers,
)
from services.identity.access_commands import LoginAnswer
from services.identity.commands import (
    AcceptInvitation,
    ChangeProfile,
    ChangeRole,
    ConfirmLogin,
    DeactivateUser,
    DeleteUser,
    Done,
    InvitationList,
    InvitationView,
    InviteUser,
    IpRanges,
    ListInvitations,
    ReactivateUser,
    RequestPasswordReset,
    RequestRangeRecovery,
    ResetPassword,
    SetIpRanges,
    UserView,
    WithdrawInvitation,
)
from services.identity.handlers import Caller, PersonOf
from shared.bus import reaction
from shared.events import Envelope
from shared.ids import Id
from shared.item_cuts import finish_cut
from shared.rpc import Call, rpc_method
from shared.service import OPERATORS, SERVICES_ONLY, USERS, Service, account_of, actor_of

SWEEP_EVERY_SECONDS: Final = 60
MANAGERS = frozenset({"owner", "admin"})
FIRST_OWNER_BY = OPERATORS | SERVICES_ONLY
"""Who gives a new account its first owner: the operator, and the gateway for somebody who signs up."""


class PersonOfUser(msgspec.Struct, frozen=True, kw_only=True):
    """Contacts' answer to whose a login is."""

    id: Id


class UserMethods(Service):
    """Users, invitations, password resets, IP ranges."""

    def person_of(self, account: str) -> PersonOf:
        """Asks contacts for the person of a login."""

        def ask(login: str, name: str) -> str:
            return self._person(account, {"address": login, "name": name})

        return ask

    def _person_with(self, account: str) -> login_address_handlers.PersonWith:
        def ask(login: str, person_id: str) -> str:
            return self._person(account, {"address": login, "name": "", "person_id": person_id})

        return ask

    def _person(self, account: str, asked: dict[str, str]) -> str:
        person: PersonOfUser = self.runtime.client.call(
            "contacts", "add_user_person", asked, account=account, repeatable=True, result_type=PersonOfUser
        )
        return person.id

    @rpc_method(argument=ChangeRole, result=UserView, roles=MANAGERS, scope="manage")
    def change_role(self, call: Call) -> UserView:
        """Give a user another role. Nobody grants more than they hold."""
        return user_handlers.change_role(self.store, account_of(call), caller_of(call), call.argument)

    @rpc_method(argument=ChangeProfile, result=UserView, roles=USERS, scope="manage")
    def change_profile(self, call: Call) -> UserView:
        """Change a user's name or login; another login of one's own needs the password, and a link that is mailed to it."""
        account = account_of(call)
        return user_handlers.change_profile(
            self.store, account, caller_of(call), call.argument, self._person_with(account)
        )

    @rpc_method(argument=DeactivateUser, result=UserView, roles=MANAGERS, scope="manage")
    def deactivate_user(self, call: Call) -> UserView:
        """Let a user do nothing until they are reactivated. Sessions and API tokens end."""
        return user_handlers.deactivate_user(self.store, account_of(call), caller_of(call), call.argument)

    @rpc_method(argument=ReactivateUser, result=UserView, roles=MANAGERS, scope="manage")
    def reactivate_user(self, call: Call) -> UserView:
        """Let a user in again."""
        return user_handlers.reactivate_user(self.store, account_of(call), caller_of(call), call.argument)

    @rpc_method(argument=DeleteUser, result=Done, roles=MANAGERS, scope="manage")
    def delete_user(self, call: Call) -> Done:
        """Delete a user's profile for good. A last owner stays."""
        return user_handlers.delete_user(self.store, account_of(call), caller_of(call), call.argument)

    @rpc_method(argument=InviteUser, result=InvitationView, roles=MANAGERS | FIRST_OWNER_BY, scope="manage")
    def invite_user(self, call: Call) -> InvitationView:
        """Mail a one-time link with which somebody becomes a user."""
        account = account_of(call)
        return invitation_handlers.invite_user(
            self.store, account, caller_of(call), call.idempotency_key, call.argument, self.person_of(account)
        )

    @rpc_method(argument=ListInvitations, result=InvitationList, roles=MANAGERS, scope="read")
    def list_invitations(self, call: Call) -> InvitationList:
        """A page of the invitations that are open."""
        return queries.list_invitations(self.store, account_of(call), call.argument)

    @rpc_method(argument=WithdrawInvitation, result=Done, roles=MANAGERS, scope="manage")
    def withdraw_invitation(self, call: Call) -> Done:
        """Make an invitation's link lead nowhere."""
        return invitation_handlers.withdraw_invitation(self.store, account_of(call), caller_of(call), call.argument)

    @rpc_method(argument=AcceptInvitation, result=LoginAnswer, roles=SERVICES_ONLY, scope="manage")
    def accept_invitation(self, call: Call) -> LoginAnswer:
        """Become a user by a mailed link, with a session. For the gateway."""
        return invitation_handlers.accept_invitation(self.store, call.argument)

    @rpc_method(argument=RequestPasswordReset, result=Done, roles=SERVICES_ONLY, scope="manage")
    def request_password_reset(self, call: Call) -> Done:
        """Mail a one-time link for a new password, if there is such a user. For the gateway."""
        return reset_handlers.request_password_reset(self.store, call.argument)

    @rpc_method(argument=ResetPassword, result=Done, roles=SERVICES_ONLY, scope="manage")
    def reset_password(self, call: Call) -> Done:
        """Set a new password by a mailed link. For the gateway."""
        return reset_handlers.reset_password(self.store, call.argument)

    @rpc_method(argument=RequestRangeRecovery, result=Done, roles=SERVICES_ONLY, scope="manage")
    def request_range_recovery(self, call: Call) -> Done:
        """Mail an owner a one-time link past the account's IP ranges, if there is such an owner. For the gateway."""
        return range_recovery.request_range_recovery(self.store, call.argument)

    @rpc_method(argument=ConfirmLogin, result=Done, roles=SERVICES_ONLY, scope="manage")
    def confirm_login(self, call: Call) -> Done:
        """Show by a mailed link that the mailbox of a login is one's own. For the gateway."""
        return login_address_handlers.confirm_login(self.store, call.argument, self._person_with)

    @rpc_method(argument=SetIpRanges, result=IpRanges, roles=MANAGERS, scope="manage")
    def set_ip_ranges(self, call: Call) -> IpRanges:
        """Set from where users of the account are let in."""
        return ip_range_handlers.set_ip_ranges(self.store, account_of(call), caller_of(call), call.argument)

    @rpc_method(result=IpRanges, roles=MANAGERS, scope="read")
    def show_ip_ranges(self, call: Call) -> IpRanges:
        """From where users of the account are let in."""
        return queries.show_ip_ranges(self.store, account_of(call))

    @timer(interval=SWEEP_EVERY_SECONDS)  # type: ignore[untyped-decorator]
    def sweep_links(self) -> None:
        """Removes mailed links that are over."""
        mailed_links.sweep_links(self.store)

    @reaction("lifecycle.AccountSuspended")
    def on_account_suspended(self, envelope: Envelope) -> None:
        """Closes the account to its users, and tells its owners."""
        super().on_account_suspended(envelope)
        account_handlers.note_suspension(self.store, envelope)

    @reaction("lifecycle.AccountDissolved")
    def on_account_dissolved(self, envelope: Envelope) -> None:
        """Removes what the account has set up for itself, and tells its owners."""
        account_handlers.note_dissolution(self.store, envelope)

    @reaction("identity.UserDeleted")
    def on_user_deleted(self, envelope: Envelope) -> None:
        """Journals the cut of the profile and removes its ciphertext."""
        finish_cut(self.store, envelope, str(envelope.data["user_id"]))

    @reaction("identity.InvitationAccepted")
    def on_invitation_accepted(self, envelope: Envelope) -> None:
        """The same for an invitation that was used."""
        finish_cut(self.store, envelope, str(envelope.data["invitation_id"]))

    @reaction("identity.InvitationWithdrawn")
    def on_invitation_withdrawn(self, envelope: Envelope) -> None:
        """The same for one that leads nowhere any more."""
        finish_cut(self.store, envelope, str(envelope.data["invitation_id"]))

    @reaction("identity.SavedSearchRemoved")
    def on_saved_search_removed(self, envelope: Envelope) -> None:
        """The same for a customer's saved search."""
        finish_cut(self.store, envelope, str(envelope.data["search_id"]))


def caller_of(call: Call) -> Caller:
    """Who gives a command. A service that may give it stands where the operator does: it adds a first owner, nobody else."""
    return Caller(actor_of(call), is_operator=call.actor.kind != "user")
