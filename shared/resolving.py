"""The questions that services ask each other about the people in a text: the one contract that several services share.

A service with texts (tickets; chat, later) asks contacts, in one idempotent call for a batch, who the identifiers in them
are (`TakeIn`) and what references read as (`RenderSpellings`). Contacts asks erasure what was erased (`CheckSuppressed`).
Personal data passes here in sealed RPC bodies only.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec

from shared.ids import Id
from shared.personal import InTransit, NotPersonal

IdentifierKind = Literal["address", "phone"]
Owner = Literal["person", "list", "account"]
"""Whose an identifier is: a person's, a mailing list's, or one of the account's own mailboxes."""

Address = Annotated[str, msgspec.Meta(min_length=3, max_length=998), InTransit(category="e-mail")]
Spelling = Annotated[str, msgspec.Meta(min_length=1, max_length=4_000), InTransit(category="e-mail")]
Name = Annotated[str, msgspec.Meta(max_length=1_000), InTransit(category="name")]
MailKey = Annotated[str, msgspec.Meta(max_length=4_000), InTransit(category="content")]
Digest = Annotated[str, msgspec.Meta(max_length=64), NotPersonal("a digest, in transit only")]
Role = Literal["sender", "recipient", "quoted"]
Reason = Annotated[str, NotPersonal("a reason from a fixed list")]


class IdentifierSeen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An identifier as it occurs in one mail or text, with each distinct spelling of it there."""

    kind: IdentifierKind
    address: Address
    role: Role
    is_list: bool = False
    name: Name = ""
    spellings: Annotated[list[Spelling], msgspec.Meta(max_length=5_000)]


class TextSeen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One mail, chat or note that comes in: its keys for the suppression list, and its identifiers."""

    message_key: MailKey
    content_digest: Digest
    earliest: datetime | None
    identifiers: Annotated[list[IdentifierSeen], msgspec.Meta(max_length=20_000)]


class TakeIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Resolve the identifiers of a batch of texts to persons, adding whoever is new. Idempotent."""

    texts: Annotated[list[TextSeen], msgspec.Meta(max_length=200)]


class ResolvedIdentifier(msgspec.Struct, frozen=True, kw_only=True):
    """What stands in the text now: an identifier and its spellings' ids, or nothing where the identifier is erased."""

    identifier_id: Id | None
    person_ids: list[Id]
    owner: Owner
    spelling_ids: list[Id]


class ResolvedText(msgspec.Struct, frozen=True, kw_only=True):
    """Of one text: refused with a reason, or its identifiers in the order given."""

    refused: Reason | None
    identifiers: list[ResolvedIdentifier]


class TakenIn(msgspec.Struct, frozen=True, kw_only=True):
    texts: list[ResolvedText]


class RenderSpellings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The texts of references."""

    spelling_ids: Annotated[list[Id], msgspec.Meta(max_length=20_000)]


class RenderedSpellings(msgspec.Struct, frozen=True, kw_only=True):
    """In the order asked; None where the identifier is erased (or was never there: the two can't be told apart)."""

    texts: list[Spelling | None]


class MailToCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mail's keys for the suppression list. The content counts together with a sender (or, of an answer by the
    account, a recipient): a "Thank you." is not one person's."""

    message_key: MailKey
    content_digest: Digest
    senders: Annotated[list[Address], msgspec.Meta(max_length=20_000)] = []


class IdentifierToCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    kind: IdentifierKind
    address: Address


class CheckSuppressed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of these mails and identifiers belonged to somebody who was erased?"""

    mails: Annotated[list[MailToCheck], msgspec.Meta(max_length=5_000)]
    identifiers: Annotated[list[IdentifierToCheck], msgspec.Meta(max_length=100_000)]


class Suppress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Mails of the persons of a request, told by a participant before its cut. `identifiers` of theirs only where the request
    itself may be lost."""

    request_id: Id
    mails: Annotated[list[MailToCheck], msgspec.Meta(max_length=1_000)]
    identifiers: Annotated[list[Annotated[str, InTransit(category="e-mail")]], msgspec.Meta(max_length=5_000)] = []
    cut_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """Where that was before today."""


class SuppressedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """In the order asked: whether the mail is suppressed; the last day on which the identifier's person was erased."""

    mails: list[bool]
    identifiers: list[date | None]
