"""The facts about customers in the portal: how they got in, what they saved, and which apps act for them. No credential is in
them.

The stream of a customer begins with a link that they asked for: what is sealed there comes later, so the item of the person is
minted once. What a customer wrote or where they came from travels sealed.
"""

from __future__ import annotations

from typing import Annotated, Literal

from shared.events import ERASED, Erased, Event, HexDigest
from shared.ids import StoredId
from shared.personal import InTransit, Personal

SignInBy = Literal["link", "password"]
PortalSessionsEnd = Literal["signed out", "password changed"]
GrantScope = Literal["read", "write"]
GrantEnd = Literal["by the customer", "by the app", "code used twice", "token used twice"]
"""Why a grant ended. The last two say that somebody else may have had what was used twice."""

_SAFETY = "to notice when somebody else signs in as a customer"
_FINDING = "to find again what a customer looks for"
_REGISTERING = "to tell a customer which app asks, and where it may be answered"


class PortalLinkAsked(Event, frozen=True, kw_only=True):
    """Somebody asked for a sign-in link. Without a person where the address is nobody's: then no mail went out."""

    link_id: StoredId
    person_id: StoredId | None


class PortalSignedIn(Event, frozen=True, kw_only=True):
    """A customer's session began."""

    person_id: StoredId
    session_id: StoredId
    by: SignInBy
    source: Annotated[
        str | Erased, Personal(category="ip-address", purpose=_SAFETY, item="person_id", person="person_id")
    ] = ERASED


class PortalSignInFailed(Event, frozen=True, kw_only=True):
    """Somebody knew an address of the customer, and not the password."""

    person_id: StoredId
    source: Annotated[
        str | Erased, Personal(category="ip-address", purpose=_SAFETY, item="person_id", person="person_id")
    ] = ERASED


class PortalPasswordSet(Event, frozen=True, kw_only=True):
    """The customer has a new password. The password and its hash are no part of any event."""

    person_id: StoredId


class PortalSessionsEnded(Event, frozen=True, kw_only=True):
    """Sessions of a customer ended before their time."""

    person_id: StoredId
    session_ids: list[StoredId]
    reason: PortalSessionsEnd


class SavedSearchAdded(Event, frozen=True, kw_only=True):
    """A customer keeps a search. It is an item of its own, so that it can be forgotten by itself."""

    search_id: StoredId
    person_id: StoredId
    name: Annotated[
        str | Erased, Personal(category="content", purpose=_FINDING, item="search_id", person="person_id")
    ] = ERASED
    words: Annotated[
        str | Erased, Personal(category="content", purpose=_FINDING, item="search_id", person="person_id")
    ] = ERASED


class SavedSearchRemoved(Event, frozen=True, kw_only=True):
    """The customer does not want it kept: its key was cut with this event."""

    search_id: StoredId
    keys: list[HexDigest]


class AppRegistered(Event, frozen=True, kw_only=True):
    """A program may ask customers of the account to act for them. What it is called is the account's."""

    app_id: StoredId
    name: Annotated[
        str | Erased, Personal(category="content", purpose=_REGISTERING, item="app_id", person=None, retention="account")
    ] = ERASED
    redirect_uris: Annotated[
        list[Annotated[str, InTransit(category="content")]] | Erased,
        Personal(category="content", purpose=_REGISTERING, item="app_id", person=None, retention="account"),
    ] = ERASED


class AppRemoved(Event, frozen=True, kw_only=True):
    """The program is not known any more. All that customers granted it ended with this event."""

    app_id: StoredId


class AppGranted(Event, frozen=True, kw_only=True):
    """A customer lets an app act for them."""

    person_id: StoredId
    app_id: StoredId
    grant_id: StoredId
    scope: GrantScope


class AppGrantEnded(Event, frozen=True, kw_only=True):
    """The app can't act for the customer any more."""

    person_id: StoredId
    grant_id: StoredId
    reason: GrantEnd


PORTAL_TYPES: dict[str, type[Event]] = {
    one.__name__: one
    for one in (
        PortalLinkAsked, PortalSignedIn, PortalSignInFailed, PortalPasswordSet, PortalSessionsEnded, SavedSearchAdded,
        SavedSearchRemoved, AppRegistered, AppRemoved, AppGranted, AppGrantEnded,
    )
}  # fmt: skip
"""By their names, which never change."""


class PortalNames:
    """The full names of the types, for queries."""

    SAVED_SEARCH_ADDED = "identity.SavedSearchAdded"
    APP_REGISTERED = "identity.AppRegistered"
