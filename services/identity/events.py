"""The facts that identity publishes: who works for an account, and as what. Names and logins travel sealed."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from services.identity.portal_events import PORTAL_TYPES
from shared.erasing import ErasureReceipted, SubjectCut
from shared.events import ERASED, Erased, Event, EventTypes
from shared.ids import StoredId
from shared.personal import Personal

Role = Literal["owner", "admin", "agent"]
State = Literal["active", "deactivated", "removed"]
RemovalReason = Literal["left", "not needed", "security"]
"""Why a user was removed. A fixed list: what somebody typed could tell of a person."""
MailReason = Literal["refused", "too old"]
"""Why a mail was given up: the mail server will never take it, or it took too long."""

_WORKING = "to let the account's people in, and to show who did what"


class UserAdded(Event, frozen=True, kw_only=True):
    """Somebody works for the account from now on. A user is a person too: contacts knows the person."""

    user_id: StoredId
    person_id: StoredId
    role: Role
    name: Annotated[str | Erased, Personal(category="name", purpose=_WORKING, item="user_id", person="person_id")] = ERASED
    login: Annotated[str | Erased, Personal(category="e-mail", purpose=_WORKING, item="user_id", person="person_id")] = ERASED


class UserRemoved(Event, frozen=True, kw_only=True):
    """The user may do nothing any more. Their profile stays until their person is erased."""

    user_id: StoredId
    reason: RemovalReason


class MailGivenUp(Event, frozen=True, kw_only=True):
    """A mail to a person could not be delivered and is not tried any more."""

    mail_id: StoredId
    item_id: StoredId
    person_id: StoredId
    reason: MailReason
    attempts: int
    reply_code: int
    """The mail server's last answer (RFC 5321, section 4.2); 0 where there was none."""


class Names:
    """The full names of the types, for reactions and queries."""

    USER_ADDED: ClassVar = "identity.UserAdded"


TYPES = EventTypes(
    "identity",
    {
        "UserAdded": UserAdded,
        "UserRemoved": UserRemoved,
        "MailGivenUp": MailGivenUp,
        **PORTAL_TYPES,
        "SubjectCut": SubjectCut,
        "ErasureReceipted": ErasureReceipted,
    },
)
