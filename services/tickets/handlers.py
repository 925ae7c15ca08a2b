"""One function per command and per reaction of tickets: read, decide (`ticket.py`), append. Knows nothing of nameko."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from services.tickets.commands import ImportedMail, ImportedMails, ImportMails
from services.tickets.events import (
    Attachment,
    AttachmentName,
    MessageAdded,
    MessageContent,
    Text,
    TicketOpened,
)
from services.tickets.indexing import MailIndex
from services.tickets.intake import Gathered, Referenced, gather, thread_ids
from services.tickets.ticket import TicketState, open_for, place
from shared.account_states import check_not_gone
from shared.blobs import BlobStore
from shared.errors import PersonErased, Unavailable
from shared.events import Event
from shared.failpoints import failpoint
from shared.ids import new_id
from shared.mail import Mail, Unreadable, content_digest, read_mail
from shared.resolving import IdentifierSeen, ResolvedText, TakeIn, TakenIn, TextSeen
from shared.work import Store, Work

AskContacts = Callable[[TakeIn], TakenIn]
TRIES = 5
FIRST_PAUSE_SECONDS = 0.05


@dataclass
class Incoming:
    """One mail of a batch on its way in."""

    source: bytes
    source_digest: str
    gathered: Gathered | None
    reason: str | None = None

    @property
    def mail(self) -> Mail:
        assert self.gathered is not None
        return self.gathered.mail

    @property
    def key(self) -> str:
        return self.mail.message_id or ""

    @property
    def digest(self) -> str:
        return content_digest(self.mail).hex()

    @property
    def identity(self) -> str:
        """What makes it the same mail again: Message-ID and content; content, date and sender where it has none."""
        mail = self.mail
        senders = ",".join(one.address for one in mail.senders)
        return f"{self.key}\n{self.digest}" if self.key else f"\n{self.digest}\n{mail.sent_at}\n{senders}"


def import_mails(
    store: Store, blobs: BlobStore, account_id: str, actor: str, command: ImportMails, ask: AskContacts
) -> ImportedMails:
    """Takes in a batch of mails in their order, in one transaction. What a mail's person lost meanwhile to an erasure is
    decided anew: the write was refused by the tombstone, and contacts knows of it by then."""
    batch = [_read(source) for source in command.mails]
    for attempt in range(TRIES):
        known = store.run(account_id, lambda work: _known(work, batch), actor=actor)
        new = [one for one, is_known in zip(batch, known, strict=True) if one.gathered is not None and not is_known]
        if command.dry_run:
            return ImportedMails(mails=[_would(one, is_known) for one, is_known in zip(batch, known, strict=True)])
        resolved = ask(TakeIn(texts=[_text_seen(one) for one in new])).texts if new else []
        failpoint("tickets.import-resolved")
        answers = {id(one): answer for one, answer in zip(new, resolved, strict=True)}
        try:
            return store.run(account_id, lambda work: _take_in(work, blobs, batch, answers), actor=actor)  # noqa: B023
        except PersonErased:
            if attempt == TRIES - 1:
                raise
        time.sleep(FIRST_PAUSE_SECONDS * 3**attempt)  # contacts may hear of the erasure a little later than we did
    raise Unavailable()


def _read(source: bytes) -> Incoming:
    digest = hashlib.sha256(source).hexdigest()
    try:
        return Incoming(source, digest, gather(read_mail(source)))
    except Unreadable as unreadable:
        return Incoming(source, digest, None, unreadable.reason)


def _would(one: Incoming, is_known: bool) -> ImportedMail:
    if one.gathered is None:
        return ImportedMail(status="put aside", reason=one.reason)
    return ImportedMail(status="known" if is_known else "imported", defects=list(one.mail.defects))


def _known(work: Work, batch: Sequence[Incoming]) -> list[bool]:
    index = MailIndex(work)
    found = index.known([one.identity for one in batch if one.gathered is not None])
    return [one.gathered is not None and one.identity in found for one in batch]


def _text_seen(one: Incoming) -> TextSeen:
    assert one.gathered is not None
    dates = [moment for moment in (one.mail.sent_at, one.mail.received_at) if moment is not None]
    return TextSeen(
        message_key=one.key,
        content_digest=one.digest,
        earliest=min(dates, default=None),
        identifiers=[
            IdentifierSeen(
                kind=kind, address=address, role=seen.role, is_list=seen.is_list, name=seen.name[:1_000],
                spellings=list(seen.spellings),
            )
            for (kind, address), seen in one.gathered.seen.items()
        ],
    )  # fmt: skip


def _take_in(
    work: Work, blobs: BlobStore, batch: Sequence[Incoming], answers: dict[int, ResolvedText]
) -> ImportedMails:
    check_not_gone(work)  # blobs are written before the commit
    index = MailIndex(work)
    arrival = _Arrival(work, blobs, index)
    known = index.known([one.identity for one in batch if one.gathered is not None])
    arrival.load_threads([one for one in batch if id(one) in answers])
    results = []
    for one in batch:
        if one.gathered is None:
            index.put_aside(new_id(), one.reason or "", one.source_digest, len(one.source))
            results.append(ImportedMail(status="put aside", reason=one.reason))
        elif one.identity in known or id(one) not in answers:
            results.append(ImportedMail(status="known", defects=list(one.mail.defects)))
        elif (reason := answers[id(one)].refused) is not None:
            results.append(ImportedMail(status="refused", reason=reason, defects=list(one.mail.defects)))
        else:
            known.add(one.identity)
            results.append(arrival.add(one, answers[id(one)]))
    arrival.append()
    return ImportedMails(mails=results)


class _Arrival:
    """Gathers the events of a batch: tickets that exist, tickets that it opens, and its messages in order."""

    def __init__(self, work: Work, blobs: BlobStore, index: MailIndex) -> None:
        self._work = work
        self._blobs = blobs
        self._index = index
        self._tickets: dict[str, TicketState] = {}
        self._threads: dict[str, str] = {}
        self._events: dict[str, list[Event]] = {}
        self._first_versions: dict[str, int] = {}

    def load_threads(self, batch: Sequence[Incoming]) -> None:
        """Finds the tickets that these mails' threads lead to. Their rows are held, so that an erasure which is removing one
        of them is either before this, and the ticket is gone, or after it, and finds one more message in it."""
        wanted = {name for one in batch for name in (*thread_ids(one.mail), one.key) if name}
        self._threads = self._index.tickets_of_threads(wanted)
        rows = self._work.fetch(
            "SELECT t.ticket_id, t.requester_id, (SELECT max(version) FROM event e WHERE e.account_id = t.account_id"
            " AND e.stream = 'ticket/' || t.ticket_id) FROM ticket t"
            " WHERE t.account_id = %s AND t.ticket_id = ANY (%s::uuid[]) AND t.messages > 0"
            " ORDER BY t.ticket_id FOR UPDATE OF t",
            (self._work.account_id, sorted(set(self._threads.values()))),
        )
        dead = self._work.cut_persons(row[1] for row in rows if row[1])
        for ticket, requester, version in rows:
            self._tickets[ticket] = TicketState(ticket, None if requester in dead else requester, version)

    def add(self, one: Incoming, answer: ResolvedText) -> ImportedMail:
        """Puts one mail into its ticket, or opens one for it."""
        assert one.gathered is not None
        referenced = Referenced(one.gathered, answer.identifiers)
        author = referenced.author()
        author_id = author.person_ids[0] if author is not None and author.person_ids else None
        is_outgoing = author is not None and author.owner == "account"
        ticket = self._ticket_of(one.mail)
        subject = referenced.subject()
        if ticket is None:
            ticket = open_for(new_id(), author_id, is_outgoing, referenced.first_recipient())
            self._tickets[ticket.ticket_id] = ticket
            opened = TicketOpened(
                ticket_id=ticket.ticket_id, requester_id=ticket.requester_id, channel="e-mail", subject=subject
            )
            self._note(ticket, opened)
        message_id = new_id()
        placement = place(ticket, message_id, author_id, is_outgoing)
        stream = f"ticket/{ticket.ticket_id}"
        key = self._work.item_key_for_writing(
            placement.item_id, stream=stream, persons=(placement.owner_id,) if placement.owner_id else ()
        )
        names, attachments = self._store_blobs(one.mail, one.identity, referenced, key)
        content = MessageContent(
            headers=referenced.headers(), subject=subject, text=referenced.text(), attachments=names,
            mail_key=one.key, digest=one.digest,
        )  # fmt: skip
        self._note(
            ticket,
            MessageAdded(
                ticket_id=ticket.ticket_id, message_id=message_id, author_id=placement.author_id,
                item_id=placement.item_id, owner_id=placement.owner_id, direction=placement.direction,
                sent_at=one.mail.sent_at, attachments=attachments, content=content,
            ),
        )  # fmt: skip
        texts = [text for number in range(len(names)) if (text := referenced.attachment_text(number)) is not None]
        self._index.add(message_id, one.identity, one.source_digest, content, texts)
        for name in {*thread_ids(one.mail), one.key} - {""}:
            if name not in self._threads:
                self._threads[name] = ticket.ticket_id
                self._index.add_thread(name, ticket.ticket_id, message_id)
        return ImportedMail(
            status="imported", ticket_id=ticket.ticket_id, message_id=message_id, defects=list(one.mail.defects)
        )

    def append(self) -> None:
        """Hands all events to the unit of work."""
        for ticket_id, events in self._events.items():
            self._work.append(f"ticket/{ticket_id}", self._first_versions[ticket_id], events)
        self._index.write()

    def _ticket_of(self, mail: Mail) -> TicketState | None:
        for name in (*thread_ids(mail), mail.message_id or ""):
            if name and (ticket := self._tickets.get(self._threads.get(name, ""))) is not None:
                return ticket
        return None

    def _note(self, ticket: TicketState, event: Event) -> None:
        self._first_versions.setdefault(ticket.ticket_id, ticket.version)
        self._events.setdefault(ticket.ticket_id, []).append(event)

    def _store_blobs(
        self, mail: Mail, identity: str, referenced: Referenced, key: bytes
    ) -> tuple[list[AttachmentName], list[Attachment]]:
        names, attachments = [], []
        for number, one in enumerate(mail.attachments):
            blob_id = self._index.blob_id(identity, number, key)
            text = referenced.attachment_text(number)
            content = one.content if text is None else text_bytes(text)
            self._blobs.write(self._work.account_id, blob_id, key, content)
            failpoint("tickets.blob-written")
            names.append(
                AttachmentName(blob_id=blob_id, name=referenced.attachment_name(number), media_type=one.media_type)
            )
            attachments.append(Attachment(blob_id=blob_id, size=len(one.content), is_text=text is not None))
        return names, attachments


def text_bytes(text: Text) -> bytes:
    """A text attachment as a blob: with its references, as MessagePack."""
    return msgspec.msgpack.encode(text)

