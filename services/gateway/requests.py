"""What callers send to the gateway where that is not simply a command of a service: without what the gateway adds itself.

The address that a request comes from is never in a body: a client could say what it likes. Each is checked as a command is.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from services.identity.access_commands import Challenge, Code
from services.identity.commands import IpRange, LinkToken, Login, Password, UserName
from services.identity.events import Role
from services.identity.portal_commands import TypedAddress
from services.lifecycle.commands import AccountName
from shared.ids import Id


class FirstOwner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who the account belongs to, with the password that they choose."""

    name: UserName
    login: Login
    password: Password


class OpenAccountWithOwner(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new account and its first owner."""

    name: AccountName
    owner: FirstOwner


class OpenSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Login and password, and at once the code where the second factor is on. `account_id` picks one of several accounts;
    `range_link` is what a mailed link past the IP ranges ends with."""

    login: Login
    password: Password
    code: Code | None = None
    account_id: Id | None = None
    range_link: LinkToken | None = None


class CompleteSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The challenge that a login gave, and a code of the second factor; with its `range_link`, if it had one."""

    challenge: Challenge
    code: Code
    range_link: LinkToken | None = None


class FirstCode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The challenge of a login that waits for the second factor to be switched on, and the first code of the new seed."""

    challenge: Challenge
    code: Code


class EnrolAtLogin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The challenge of a login that waits for the second factor to be switched on."""

    challenge: Challenge


class FactorCode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A code of the authenticator app."""

    code: Code


class NewPassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One's own old password and the new one."""

    old_password: Password
    new_password: Password


class ForgottenPassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """To whom a link is mailed. `account_id` where the login exists in several accounts."""

    login: Login
    account_id: Id | None = None


class ChosenPassword(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands behind the # of the link in the mail, and a new password."""

    link_token: LinkToken
    password: Password


class AcceptedInvitation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands behind the # of the link of the invitation, and who somebody wants to be."""

    link_token: LinkToken
    name: UserName
    password: Password


class MailedLink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands behind the # of a mailed link."""

    link_token: LinkToken


class LinkSignIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands behind the # of a mailed link to the portal."""

    link_token: LinkToken


class PasswordSignIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A customer's address and their password."""

    address: TypedAddress
    password: Password


class AllowedRanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """From where users of the account are let in; from anywhere where the list is empty."""

    ranges: Annotated[list[IpRange], msgspec.Meta(max_length=200)]


class EditedProfile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another name or login; what is left out stays. Another login of one's own needs one's password."""

    name: UserName | None = None
    login: Login | None = None
    password: Password | None = None


class NewRole(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Another role."""

    role: Role
