"""Rows → answers of tickets. Opens what is sealed under living keys, and asks contacts what the references read as."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from services.tickets.commands import (
    AttachmentContent,
    AttachmentView,
    ListPutAside,
    ListTickets,
    MessagePage,
    MessagesOf,
    MessageView,
    PutAsideList,
    PutAsideView,
    SearchHit,
    SearchHits,
    SearchTickets,
    ShowAttachment,
    ShowPutAside,
    ShowTicket,
    TicketPage,
    TicketView,
    TicketWithMessages,
)
from services.tickets.events import MessageContent, Names, Text
from services.tickets.intake import rendered
from shared.blobs import BlobStore
from shared.errors import NotFound
from shared.personal import ERASED
from shared.read_records import Shown
from shared.resolving import RenderedSpellings, RenderSpellings
from shared.words import typed_beginnings, words
from shared.work import SealedValue, Store, Work

AskSpellings = Callable[[RenderSpellings], RenderedSpellings]
SPELLINGS_AT_ONCE = 10_000
EXCERPT_CHARS = 160
_MARKER = str(ERASED)
_TICKET = "SELECT t.ticket_id, t.requester_id, t.channel, t.opened_at, t.messages, t.subject, t.event_id FROM ticket t"
_MESSAGE = (
    "SELECT m.message_id, m.ticket_id, m.author_id, m.direction, m.sent_at, m.added_at, m.content, m.event_id FROM message m"
)
_LIVING_MESSAGE = (
    "NOT EXISTS (SELECT 1 FROM keys.person dead WHERE dead.account_id = m.account_id AND dead.person_id = m.owner_id"
    " AND dead.cut_at IS NOT NULL)"
)


class Rendering:
    """The spellings of references, asked for once for a whole answer."""

    def __init__(self, ask: AskSpellings, texts: Iterable[Text], mailboxes: Iterable[str | None] = ()) -> None:
        wanted = {spelling for text in texts for spelling in text.spellings if spelling} | {one for one in mailboxes if one}
        ids = sorted(wanted)
        self._spellings: dict[str, str | None] = {}
        for at in range(0, len(ids), SPELLINGS_AT_ONCE):
            part = ids[at : at + SPELLINGS_AT_ONCE]
            self._spellings.update(zip(part, ask(RenderSpellings(spelling_ids=part)).texts, strict=True))

    def text(self, text: Text) -> str:
        """A text as it was written, with the marker in place of what is erased."""
        return rendered(text, self._spellings, _MARKER)

    def mailboxes(self, ids: Sequence[str | None]) -> list[str]:
        """Header mailboxes as they were written."""
        return [(self._spellings.get(one) if one else None) or _MARKER for one in ids]


def list_tickets(store: Store, account_id: str, query: ListTickets, ask: AskSpellings) -> TicketPage:
    """A page of tickets, oldest first."""
    clauses, values = ["t.account_id = %s"], [account_id]
    if query.requester_id is not None:
        clauses.append("t.requester_id = %s")
        values.append(query.requester_id)
    if query.after is not None:
        clauses.append(
            "(t.opened_at, t.ticket_id) > (SELECT opened_at, ticket_id FROM ticket WHERE account_id = %s AND ticket_id = %s)"
        )
        values += [account_id, query.after]
    with store.work(account_id) as work:
        rows = work.fetch(
            f"{_TICKET} WHERE {' AND '.join(clauses)} ORDER BY t.opened_at, t.ticket_id LIMIT %s", (*values, query.limit + 1)
        )
        views = _tickets(work, rows[: query.limit], ask)
    return TicketPage(tickets=views, next_after=views[-1].ticket_id if len(rows) > query.limit else None)


def show_ticket(store: Store, account_id: str, query: ShowTicket, ask: AskSpellings) -> TicketWithMessages:
    """A ticket with its messages in order. Messages of an erased person are not there."""
    with store.work(account_id) as work:
        rows = work.fetch(f"{_TICKET} WHERE t.account_id = %s AND t.ticket_id = %s", (account_id, query.ticket_id))
        if not rows:
            raise NotFound()
        (ticket,) = _tickets(work, rows, ask)
        messages = _messages(
            work,
            work.fetch(
                f"{_MESSAGE} WHERE m.account_id = %s AND m.ticket_id = %s AND {_LIVING_MESSAGE} ORDER BY m.place",
                (account_id, query.ticket_id),
            ),
            ask,
        )
    if not messages:
        raise NotFound()
    return TicketWithMessages(ticket=ticket, messages=messages)


def messages_of(store: Store, account_id: str, query: MessagesOf, ask: AskSpellings) -> MessagePage:
    """The messages that belong to a person, in the order of their coming in."""
    clauses, values = ["m.account_id = %s", "m.owner_id = %s", _LIVING_MESSAGE], [account_id, query.person_id]
    if query.after is not None:
        clauses.append(
            "(m.added_at, m.message_id) > (SELECT added_at, message_id FROM message"
            " WHERE account_id = %s AND message_id = %s)"
        )
        values += [account_id, query.after]
    with store.work(account_id) as work:
        rows = work.fetch(
            f"{_MESSAGE} WHERE {' AND '.join(clauses)} ORDER BY m.added_at, m.message_id LIMIT %s", (*values, query.limit + 1)
        )
        views = _messages(work, rows[: query.limit], ask)
    return MessagePage(messages=views, next_after=rows[query.limit - 1][0] if len(rows) > query.limit else None)


def search(store: Store, account_id: str, query: SearchTickets, ask: AskSpellings) -> tuple[SearchHits, Shown]:
    """Messages with all the words, and whose they are. Found by token, and looked at again after opening: 64-bit tokens can
    collide."""
    with store.work(account_id) as work:
        index = work.blind_index()
        found = words(query.words)
        if not found:
            return SearchHits(hits=[]), Shown([], [])
        stems = {word: index.token("word", word) for word in found}
        rows = work.fetch(
            f"{_MESSAGE} JOIN (SELECT message_id FROM search_token WHERE account_id = %s AND token = ANY (%s::bigint[])"
            " GROUP BY message_id HAVING count(*) = %s) AS hit ON hit.message_id = m.message_id"
            f" WHERE m.account_id = %s AND {_LIVING_MESSAGE} ORDER BY m.added_at, m.message_id LIMIT %s",
            (account_id, list(stems.values()), len(stems), account_id, query.limit),
        )
        if not rows:
            rows = _by_beginning(work, query)
        contents = _contents(work, rows)
        render = Rendering(ask, [text for content in contents if content for text in (content.subject, content.text)])
        hits = [
            SearchHit(
                ticket_id=row[1], message_id=row[0], subject=render.text(content.subject),
                excerpt=_excerpt(render.text(content.text), query.words),
            )
            for row, content in zip(rows, contents, strict=True)
            if content is not None
        ]  # fmt: skip
    opened = [row for row, content in zip(rows, contents, strict=True) if content is not None]
    return SearchHits(hits=hits), Shown([row[2] for row in opened], [row[1] for row in opened])


def _by_beginning(work: Work, query: SearchTickets) -> list[tuple[Any, ...]]:
    index = work.blind_index()
    tokens = index.tokens("start", typed_beginnings(query.words))
    if not tokens:
        return []
    return work.fetch(
        f"{_MESSAGE} JOIN (SELECT message_id FROM search_token WHERE account_id = %s AND token = ANY (%s::bigint[])"
        " GROUP BY message_id HAVING count(*) = %s) AS hit ON hit.message_id = m.message_id"
        f" WHERE m.account_id = %s AND {_LIVING_MESSAGE} ORDER BY m.added_at, m.message_id LIMIT %s",
        (work.account_id, tokens, len(tokens), work.account_id, query.limit),
    )


def _excerpt(text: str, sought: str) -> str:
    folded = " ".join(text.split())
    at = min((place for word in sought.split() if (place := folded.casefold().find(word.casefold())) >= 0), default=0)
    start = max(0, at - EXCERPT_CHARS // 3)
    return folded[start : start + EXCERPT_CHARS]


def show_attachment(
    store: Store, blobs: BlobStore, account_id: str, query: ShowAttachment, ask: AskSpellings
) -> tuple[AttachmentContent, Shown]:
    """An attachment's name, type and bytes, and whose it is."""
    with store.work(account_id) as work:
        rows = work.fetch(
            "SELECT m.message_id, m.ticket_id, m.author_id, m.direction, m.sent_at, m.added_at, m.content, m.event_id,"
            " a.item_id, a.is_text FROM attachment a JOIN message m USING (account_id, message_id)"
            f" WHERE a.account_id = %s AND a.blob_id = %s AND {_LIVING_MESSAGE}",
            (account_id, query.blob_id),
        )
        if not rows:
            raise NotFound()
        content = _contents(work, rows)[0]
        key = work.item_keys([rows[0][8]]).get(rows[0][8])
        if content is None or key is None:
            raise NotFound()
        raw = blobs.read(account_id, query.blob_id, key)
    (named,) = [one for one in content.attachments if one.blob_id == query.blob_id]
    texts = [named.name]
    if rows[0][9]:
        text = msgspec.msgpack.decode(raw, type=Text)
        render = Rendering(ask, [*texts, text])
        raw = render.text(text).encode("utf-8", "surrogatepass")
    else:
        render = Rendering(ask, texts)
    answer = AttachmentContent(name=render.text(named.name), media_type=named.media_type, content=raw)
    return answer, Shown([rows[0][2]], [rows[0][1]])


def list_put_aside(store: Store, account_id: str, query: ListPutAside) -> PutAsideList:
    """The mails that could not be parsed at all."""
    with store.work(account_id) as work:
        rows = work.fetch(
            "SELECT put_aside_id, reason, size, put_aside_at FROM put_aside WHERE account_id = %s"
            " ORDER BY put_aside_at, put_aside_id LIMIT %s",
            (account_id, query.limit),
        )
    return PutAsideList(mails=[_put_aside(row) for row in rows])


def show_put_aside(store: Store, account_id: str, query: ShowPutAside) -> PutAsideView:
    """One of them."""
    with store.work(account_id) as work:
        row = work.fetch_one(
            "SELECT put_aside_id, reason, size, put_aside_at FROM put_aside WHERE account_id = %s AND put_aside_id = %s",
            (account_id, query.put_aside_id),
        )
    if row is None:
        raise NotFound()
    return _put_aside(row)


def _put_aside(row: tuple[Any, ...]) -> PutAsideView:
    return PutAsideView(put_aside_id=row[0], reason=row[1], size=row[2], put_aside_at=row[3])


def _tickets(work: Work, rows: Sequence[tuple[Any, ...]], ask: AskSpellings) -> list[TicketView]:
    subjects = work.open(
        [SealedValue(row[5], f"ticket/{row[0]}", row[6], Names.TICKET_OPENED, "subject") for row in rows]
    )
    render = Rendering(ask, [subject for subject in subjects if isinstance(subject, Text)])
    return [
        TicketView(
            ticket_id=row[0], requester_id=row[1], channel=row[2], opened_at=row[3], messages=row[4],
            subject=render.text(subject) if isinstance(subject, Text) else _MARKER,
        )
        for row, subject in zip(rows, subjects, strict=True)
    ]  # fmt: skip


def _contents(work: Work, rows: Sequence[tuple[Any, ...]]) -> list[MessageContent | None]:
    opened = work.open([SealedValue(row[6], f"ticket/{row[1]}", row[7], Names.MESSAGE_ADDED, "content") for row in rows])
    return [content if isinstance(content, MessageContent) else None for content in opened]


def _messages(work: Work, rows: Sequence[tuple[Any, ...]], ask: AskSpellings) -> list[MessageView]:
    pairs = [(row, content) for row, content in zip(rows, _contents(work, rows), strict=True) if content is not None]
    texts = [text for _, one in pairs for text in (one.subject, one.text, *(name.name for name in one.attachments))]
    headers = [one.headers for _, one in pairs]
    mailboxes = [box for one in headers for box in (*one.senders, *one.reply_to, *one.to, *one.cc)]
    render = Rendering(ask, texts, mailboxes)
    sizes = dict(
        work.fetch(
            "SELECT blob_id, size FROM attachment WHERE account_id = %s AND message_id = ANY (%s::uuid[])",
            (work.account_id, [row[0] for row, _ in pairs]),
        )
    )
    return [
        MessageView(
            message_id=row[0], author_id=row[2], direction=row[3], sent_at=row[4], added_at=row[5],
            senders=render.mailboxes(content.headers.senders), to=render.mailboxes(content.headers.to),
            cc=render.mailboxes(content.headers.cc), reply_to=render.mailboxes(content.headers.reply_to),
            subject=render.text(content.subject), text=render.text(content.text),
            attachments=[
                AttachmentView(
                    blob_id=one.blob_id, name=render.text(one.name), media_type=one.media_type, size=sizes.get(one.blob_id, 0)
                )
                for one in content.attachments
            ],
        )
        for row, content in pairs
    ]  # fmt: skip

