"""What happened, in words: one sentence for every type of event, from one table. Pure.

A sentence is made of what the envelope holds: ids (the first eight letters of each; JSON has them whole), numbers, times and
words from fixed lists. What travelled sealed (names, addresses, texts, where somebody came from) is in none. A type that has
no sentence here fails a test, so that nothing happens in a log that the trail can't tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from services.erasure.participants import event_types
from shared.errors import Tampered
from shared.events import Envelope

MOST_NAMED = 3
"""So many ids of a list stand in a sentence; of a longer one the others are counted."""

Sentence = Callable[[Any], str]
"""Tells of one event; its argument is an instance of the event's type."""


def short(identifier: str | None) -> str:
    """An id as it stands in a sentence."""
    return "nobody known" if identifier is None else identifier[:8]


def several(noun: str, ids: Sequence[str]) -> str:
    """A noun with its ids: `person 1f3a0c55`, `persons 1f3a0c55, 99e2a1d0`, `persons a, b, c and 4 more`."""
    shown = ", ".join(short(one) for one in ids[:MOST_NAMED])
    more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
    return f"{noun if len(ids) == 1 else f'{noun}s'} {shown}{more}" if ids else f"no {noun}"


def count(number: int, noun: str) -> str:
    """A number with its noun: `1 key`, `3 keys`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def moment(value: datetime) -> str:
    """A time, to the minute, UTC."""
    return f"{value:%Y-%m-%d %H:%M} UTC"


def what_was_shown(persons: Sequence[str], tickets: Sequence[str]) -> str:
    """Whom and what a read or a look-up showed something of."""
    shown = [several(noun, ids) for noun, ids in (("person", persons), ("ticket", tickets)) if ids]
    return " and ".join(shown) or "nothing, there was nothing to show"


def _receipt(e: Any) -> str:
    counts = ", ".join(f"{number} {kind}" for kind, number in sorted(e.counts.items()))
    retained = "".join(f"; kept {one.what}, {one.reason}, until {one.until}" for one in e.retained)
    return f"Receipt for request {short(e.request_id)}: {e.outcome}{f' ({counts})' if counts else ''}{retained}"


def _incomplete(e: Any) -> str:
    unanswered = [f"no answer from {', '.join(e.unanswered)}"] if e.unanswered else []
    traces = [
        f"{service} still has {', '.join(f'{number} {kind}' for kind, number in sorted(left.items()))}"
        for service, left in sorted(e.traces.items())
    ]
    return f"Probed request {short(e.request_id)}: incomplete ({'; '.join([*unanswered, *traces])}); it is tried again"


_SHARED: Final[Mapping[str, Sentence]] = {
    "SubjectCut": lambda e: (
        f"Cut {count(len(e.keys), 'key')} of person {short(e.person_id)} for request {short(e.request_id)}"
        + (f"; {count(e.shared_items, 'item')} stayed, since others share them" if e.shared_items else "")
    ),
    "ErasureReceipted": _receipt,
    "LeavesGone": lambda e: (
        f"With account {short(e.account_id)} went {count(sum(last - first + 1 for first, last in e.ranges), 'event')} of this"
        " log; their commitments stay"
    ),
    "AccountGone": lambda e: (
        f"Nothing of account {short(e.account_id)} is stored here any more: {count(e.events, 'event')} and"
        f" {count(e.rows, 'row')} removed"
    ),
    "RowsLost": lambda e: (
        f"The database was put back from a copy: {count(sum(last - first + 1 for first, last in e.ranges), 'event')} of this"
        " log are lost; their commitments stay"
    ),
    "CutRepeated": lambda e: (
        f"Item {short(e.item_id)}, which the database had forgotten to be cut, was cut again: {count(len(e.keys), 'key')}"
    ),
    "PersonsHeld": lambda e: f"Nothing of {several('person', e.person_ids)} is cut here any more: hold {short(e.hold_id)}",
    "KeptItemCut": lambda e: (
        f"Item {short(e.item_id)}, which hold {short(e.hold_id)} had kept, was cut: {count(len(e.keys), 'key')}"
    ),
    "PersonsReleased": lambda e: f"Hold {short(e.hold_id)} keeps {several('person', e.person_ids)} here no longer",
    "ReadsRecorded": lambda e: f"Put {count(len(e.reads), 'read')} by users on record",
    "StaffLookedUp": lambda e: (
        f"Vendor staff {short(e.staff_id)} was shown {what_was_shown(e.person_ids, e.ticket_ids)} by {e.method},"
        f" for {e.purpose}, under grant {short(e.grant_id)}"
    ),
}
"""Types that several services have, by the name without the service."""

_CONTACTS: Final[Mapping[str, Sentence]] = {
    "PersonAdded": lambda e: f"Person {short(e.person_id)} became known, as {e.origin}",
    "PersonNamed": lambda e: f"A name of person {short(e.person_id)} became known",
    "PersonRecognised": lambda e: f"Person {short(e.person_id)}, only quoted so far, took part, as {e.origin}",
    "OrganisationAdded": lambda e: f"Organisation {short(e.organisation_id)} was added",
    "IdentifierAdded": lambda e: (
        f"{'An address' if e.kind == 'address' else 'A phone number'} ({e.owner}) was added, {short(e.identifier_id)},"
        f" of {several('person', e.person_ids)}"
    ),
    "IdentifierShared": lambda e: f"Person {short(e.person_id)} turned out to use identifier {short(e.identifier_id)} as well",
    "IdentifierMarkedAsList": lambda e: f"Identifier {short(e.identifier_id)} turned out to be a mailing list's",
    "SpellingAdded": lambda e: (
        f"A spelling of identifier {short(e.identifier_id)} was met in a text, of {several('person', e.person_ids)}"
    ),
}

_TICKETS: Final[Mapping[str, Sentence]] = {
    "TicketOpened": lambda e: (
        f"Ticket {short(e.ticket_id)} was opened by {e.channel}, requested by person {short(e.requester_id)}"
    ),
    "MessageAdded": lambda e: (
        f"{'A message' if e.direction == 'incoming' else 'An answer'} joined ticket {short(e.ticket_id)}"
        + (f", written by person {short(e.author_id)}" if e.author_id else "")
        + (f", with {count(len(e.attachments), 'attachment')}" if e.attachments else "")
    ),
}

_ERASURE: Final[Mapping[str, Sentence]] = {
    "ErasureRequested": lambda e: f"Erasure of {several('person', e.person_ids)} was requested: request {short(e.request_id)}",
    "ErasureHeld": lambda e: f"Request {short(e.request_id)} waits for the end of {several('hold', e.hold_ids)}",
    "AddressesRenewed": lambda e: f"Request {short(e.request_id)} has what its persons came to be known by while it waited",
    "SubjectErased": lambda e: (
        f"Every participant was told to erase {several('person', e.person_ids)} for request {short(e.request_id)}"
    ),
    "ErasureIncomplete": _incomplete,
    "ErasureCompleted": lambda e: (
        f"Probed clean; request {short(e.request_id)} is completed, its own {count(len(e.keys), 'key')} cut, its certificate"
        f" signed (SHA-256 {e.certificate[:16]}…)"
    ),
    "HoldPlaced": lambda e: (
        f"Hold {short(e.hold_id)} was placed on {several('person', e.person_ids)}, for {e.basis}, until {moment(e.expires_at)}"
    ),
    "HoldEnded": lambda e: (
        f"Hold {short(e.hold_id)} on {several('person', e.person_ids)}"
        f" {'was released' if e.end == 'released' else 'expired'}, its own {count(len(e.keys), 'key')} cut"
    ),
}

_LIFECYCLE: Final[Mapping[str, Sentence]] = {
    "AccountOpened": lambda e: (
        f"Account {short(e.account_id)} was opened, on the plan {e.plan}"
        + (f", as a trial until {moment(e.trial_ends_at)}" if e.trial_ends_at else "")
    ),
    "AccountUpgraded": lambda e: f"Account {short(e.account_id)} is paid for from now on",
    "BillingFailed": lambda e: (
        f"Billing account {short(e.account_id)} failed: it is suspended on {moment(e.suspended_at)}, unless that recovers"
    ),
    "BillingRecovered": lambda e: f"Billing account {short(e.account_id)} works again",
    "AccountSuspended": lambda e: (
        f"Account {short(e.account_id)} was suspended ({e.reason}): no login, no access to data; dissolved on"
        f" {moment(e.dissolved_at)}, unless it is resumed"
    ),
    "AccountDissolved": lambda e: (
        f"Account {short(e.account_id)} was dissolved: its configuration goes, its data stays in storage until"
        f" {moment(e.ended_at)}"
    ),
    "AccountEnded": lambda e: f"Account {short(e.account_id)} ended: every service is to remove all of it, for good",
    "AccountResumed": lambda e: f"Account {short(e.account_id)} is open again",
}

_FAILED_BY: Final = {
    "password": "wrong password", "code": "wrong code of the second factor", "locked": "locked after too many failures",
    "source": "from where the account lets nobody in",
}  # fmt: skip

_USERS: Final[Mapping[str, Sentence]] = {
    "UserAdded": lambda e: f"User {short(e.user_id)} was added as {e.role}; their person is {short(e.person_id)}",
    "UserRemoved": lambda e: f"User {short(e.user_id)} was removed ({e.reason})",
    "PasswordSet": lambda e: (
        f"User {short(e.user_id)} has a new password"
        f" ({ {'first': 'their first', 'own': 'they changed it', 'reset': 'by a reset'}.get(e.how, e.how) })"
    ),
    "UserLoggedIn": lambda e: (
        f"User {short(e.user_id)} logged in {'with' if e.with_second_factor else 'without'} a second factor,"
        f" session {short(e.session_id)}"
    ),
    "LoginFailed": lambda e: f"A login as user {short(e.user_id)} failed: {_FAILED_BY.get(e.reason, e.reason)}",
    "SessionsEnded": lambda e: f"Ended {count(len(e.session_ids), 'session')} of user {short(e.user_id)}: {e.reason}",
    "PasswordUsedOnDay": lambda e: f"User {short(e.user_id)} used the API with their password on {e.day:%Y-%m-%d}",
    "ApiTokenCreated": lambda e: (
        f"API token {short(e.api_token_id)} of user {short(e.user_id)} was created: scope {e.scope},"
        f" until {moment(e.expires_at)}"
    ),
    "ApiTokenRevoked": lambda e: f"API token {short(e.api_token_id)} of user {short(e.user_id)} was revoked",
    "ApiTokenUsedOnDay": lambda e: (
        f"API token {short(e.api_token_id)} of user {short(e.user_id)} was used on {e.day:%Y-%m-%d}"
    ),
    "SecondFactorEnabled": lambda e: f"User {short(e.user_id)} turned the second factor on",
    "SecondFactorDisabled": lambda e: f"The second factor of user {short(e.user_id)} was turned off",
    "SecondFactorReset": lambda e: (
        f"The second factor of user {short(e.user_id)} was taken away by somebody above them"
        f"{', and the password, which is too short to stand alone' if e.is_password_void else ''}"
    ),
    "LoginChangeRequested": lambda e: f"User {short(e.user_id)} asked for another login; a link was mailed to the new address",
    "LoginConfirmed": lambda e: f"User {short(e.user_id)} confirmed the mailbox of their login",
    "RangeRecoveryRequested": lambda e: f"Owner {short(e.user_id)} asked for a link that lets in from outside of the ranges",
    "IpRangesSuspended": lambda e: (
        f"Owner {short(e.user_id)} got in from outside of the address ranges by a mailed link, session {short(e.session_id)}"
    ),
    "RecoveryCodeUsed": lambda e: f"User {short(e.user_id)} used a recovery code; {e.left} are left",
    "RecoveryCodesRenewed": lambda e: f"User {short(e.user_id)} has new recovery codes",
    "SecondFactorRequirementSet": lambda e: (
        "A second factor is each user's own choice"
        if e.required_from is None
        else f"A second factor is required of every user from {moment(e.required_from)}"
    ),
    "UserInvited": lambda e: (
        f"Person {short(e.person_id)} was invited to become {e.role}: invitation {short(e.invitation_id)},"
        f" until {moment(e.expires_at)}"
    ),
    "InvitationAccepted": lambda e: f"Invitation {short(e.invitation_id)} was accepted by user {short(e.user_id)}",
    "InvitationWithdrawn": lambda e: f"Invitation {short(e.invitation_id)} was withdrawn",
    "RoleChanged": lambda e: f"User {short(e.user_id)} became {e.role}",
    "ProfileChanged": lambda e: f"The profile of user {short(e.user_id)} changed",
    "UserDeactivated": lambda e: f"User {short(e.user_id)} was deactivated",
    "UserReactivated": lambda e: f"User {short(e.user_id)} was let in again",
    "UserDeleted": lambda e: (
        f"The profile of user {short(e.user_id)} was deleted for good, {count(len(e.keys), 'key')} cut"
    ),
    "PasswordResetRequested": lambda e: f"A link to reset the password of user {short(e.user_id)} was mailed",
    "IpRangesSet": lambda e: (
        f"Users are let in from {count(e.count, 'address range')} only" if e.count else "Users are let in from anywhere"
    ),
    "MailGivenUp": lambda e: (
        f"A mail to person {short(e.person_id)} was given up after {count(e.attempts, 'attempt')}: {e.failure}"
        + (f" (reply code {e.reply_code})" if e.reply_code else "")
    ),
    "ActorCutOff": lambda e: f"Tokens of {short(e.user_id)} from before {moment(e.not_before)} are good for nothing any more",
}

_PORTAL: Final[Mapping[str, Sentence]] = {
    "PortalLinkAsked": lambda e: (
        "A sign-in link was asked for, for an address that is nobody's"
        if e.person_id is None
        else f"A sign-in link for person {short(e.person_id)} was asked for and mailed"
    ),
    "PortalSignedIn": lambda e: f"Person {short(e.person_id)} signed in to the portal by {e.by}",
    "PortalSignInFailed": lambda e: f"A sign-in to the portal as person {short(e.person_id)} failed",
    "PortalPasswordSet": lambda e: f"Person {short(e.person_id)} set a password for the portal",
    "PortalSessionsEnded": lambda e: (
        f"Ended {count(len(e.session_ids), 'portal session')} of person {short(e.person_id)}: {e.reason}"
    ),
    "SavedSearchAdded": lambda e: f"Person {short(e.person_id)} saved search {short(e.search_id)}",
    "SavedSearchRemoved": lambda e: f"Saved search {short(e.search_id)} was removed, {count(len(e.keys), 'key')} cut",
    "AppRegistered": lambda e: f"App {short(e.app_id)} was registered",
    "AppRemoved": lambda e: f"App {short(e.app_id)} was removed, with all that was granted to it",
    "AppGranted": lambda e: (
        f"Person {short(e.person_id)} let app {short(e.app_id)} {e.scope} for them, grant {short(e.grant_id)}"
    ),
    "AppGrantEnded": lambda e: f"Grant {short(e.grant_id)} of person {short(e.person_id)} to an app ended: {e.reason}",
}

_STAFF: Final[Mapping[str, Sentence]] = {
    "StaffAccessRequested": lambda e: (
        f"Vendor staff {short(e.staff_id)} asked for access for {count(e.minutes, 'minute')}, for {e.purpose}:"
        f" grant {short(e.grant_id)}"
    ),
    "StaffAccessApproved": lambda e: (
        f"Owner {short(e.user_id)} approved grant {short(e.grant_id)}, until {moment(e.expires_at)}"
    ),
    "StaffAccessDenied": lambda e: f"Owner {short(e.user_id)} denied grant {short(e.grant_id)}",
    "StaffAccessExpired": lambda e: (
        f"Grant {short(e.grant_id)} expired ({'its time was over' if e.was == 'active' else 'nobody decided in time'})"
    ),
    "StaffAccessEnded": lambda e: f"Vendor staff {short(e.staff_id)} gave grant {short(e.grant_id)} back",
    "StaffAccessRevoked": lambda e: f"Owner {short(e.user_id)} revoked grant {short(e.grant_id)}",
    "StaffSessionOpened": lambda e: (
        f"Vendor staff {short(e.staff_id)} used grant {short(e.grant_id)}: a token until {e.expires_at:%H:%M:%S} UTC"
    ),
    "BreakGlassAsked": lambda e: (
        f"Vendor staff {short(e.staff_id)} asked for access in an emergency, for {count(e.minutes, 'minute')}, for"
        f" {e.purpose}: grant {short(e.grant_id)}"
    ),
    "BreakGlassOpened": lambda e: (
        f"A second staff member ({short(e.staff_id)}) confirmed emergency grant {short(e.grant_id)}, until"
        f" {moment(e.expires_at)}; the owners were told"
    ),
}

_AUDIT: Final[Mapping[str, Sentence]] = {
    "AlertRaised": lambda e: f"Alert {short(e.alert_id)} about the log of {e.service}: {e.cause} ({e.reason})",
    "AlertCleared": lambda e: f"Alert {short(e.alert_id)} was cleared by {e.cleared_by}",
}

SENTENCES: Final[Mapping[str, Sentence]] = {
    f"{service}.{name}": sentence
    for service, table in (
        ("contacts", _CONTACTS), ("tickets", _TICKETS), ("erasure", _ERASURE), ("lifecycle", _LIFECYCLE),
        ("identity", {**_USERS, **_PORTAL, **_STAFF}), ("audit", _AUDIT),
    )
    for name, sentence in table.items()
}  # fmt: skip
"""By the full name of the type."""


types_of_services = cache(event_types)
"""The event types of every service, loaded once."""


def sentence_for(event_type: str) -> Sentence | None:
    """What tells of events of a type; None for a type that this program does not know."""
    return SENTENCES.get(event_type) or _SHARED.get(event_type.partition(".")[2])


def tell(envelope: Envelope) -> str:
    """What happened, in one sentence. An event of a version later than this program is told by its type alone."""
    sentence, types = sentence_for(envelope.type), types_of_services().get(envelope.service)
    unknown = f"An event that this program does not know: {envelope.type}, version {envelope.schema}"
    if sentence is None or types is None:
        return unknown
    try:
        return sentence(types.decode(envelope))
    except (Tampered, KeyError):
        return unknown
