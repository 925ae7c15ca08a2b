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
PAGE_BYTES = 16 << 20
"""Sealed bytes of messages after which a page ends: what is opened of them has to fit into one answer."""
_MARKER = str(ERASED)
TICKET = "SELECT t.ticket_id, t.requester_id, t.channel, t.opened_at, t.messages, t.subject, t.event_id FROM ticket t"
MESSAGE_COLUMNS = "m.message_id, m.ticket_id, m.author_id, m.direction, m.sent_at, m.added_at, m.content, m.event_id, m.place"
_MESSAGE = f"SELECT {MESSAGE_COLUMNS} FROM message m"
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
            f"{TICKET} WHERE {' AND '.join(clauses)} ORDER BY t.opened_at, t.ticket_id LIMIT %s", (*values, query.limit + 1)
        )
        views = ticket_views(work, rows[: query.limit], ask)
    return TicketPage(tickets=views, next_after=views[-1].ticket_id if len(rows) > query.limit else None)


def show_ticket(store: Store, account_id: str, query: ShowTicket, ask: AskSpellings) -> TicketWithMessages:
    """A ticket with a page of its messages in order. Messages of an erased person are not there."""
    clauses, values = ["m.account_id = %s", "m.ticket_id = %s"], [account_id, query.ticket_id]
    if query.after is not None:
        clauses.append("m.place > (SELECT place FROM message WHERE account_id = %s AND message_id = %s)")
        values += [account_id, query.after]
    with store.work(account_id) as work:
        rows = work.fetch(f"{TICKET} WHERE t.account_id = %s AND t.ticket_id = %s", (account_id, query.ticket_id))
        if not rows:
            raise NotFound()
        (ticket,) = ticket_views(work, rows, ask)
        rows, next_after = message_rows(work, clauses, values, ["place"], query.limit)
        messages = message_views(work, rows, ask)
    if not messages and query.after is None:
        raise NotFound()
    return TicketWithMessages(ticket=ticket, messages=messages, next_after=next_after)


def messages_of(store: Store, account_id: str, query: MessagesOf, ask: AskSpellings) -> MessagePage:
    """The messages that belong to a person, in the order of their coming in."""
    clauses, values = ["m.account_id = %s", "m.owner_id = %s", *_after(query.after)], [account_id, query.person_id]
    if query.after is not None:
        values += [account_id, query.after]
    with store.work(account_id) as work:
        rows, next_after = message_rows(work, clauses, values, ["added_at", "message_id"], query.limit)
        return MessagePage(messages=message_views(work, rows, ask), next_after=next_after)


def _after(message_id: str | None) -> list[str]:
    """The clause of a page that begins after a message, where one is named: the account's id and its own are its values."""
    if message_id is None:
        return []
    return ["(m.added_at, m.message_id) > (SELECT added_at, message_id FROM message WHERE account_id = %s AND message_id = %s)"]


def message_rows(
    work: Work, clauses: Sequence[str], values: Sequence[Any], order: Sequence[str], limit: int
) -> tuple[list[tuple[Any, ...]], str | None]:
    """A page of living messages, and the last of them where more follow: at most `limit`, and what fits into one answer."""
    by = ", ".join(order)
    size = "coalesce(octet_length(content), 0)"
    rows = work.fetch(
        f"SELECT * FROM (SELECT page.*, count(*) OVER () AS found, sum({size}) OVER (ORDER BY {by}) - {size} AS bytes_before"
        f" FROM ({_MESSAGE} WHERE {' AND '.join([*clauses, _LIVING_MESSAGE])} ORDER BY {by} LIMIT %s) AS page) AS page"
        f" WHERE bytes_before <= %s ORDER BY {by}",
        (*values, limit + 1, PAGE_BYTES),
    )
    shown = rows[:limit]
    return shown, shown[-1][0] if shown and shown[0][-2] > len(shown) else None


def search(store: Store, account_id: str, query: SearchTickets, ask: AskSpellings) -> tuple[SearchHits, Shown]:
    """Messages with all the words, and whose they are. Found by token, and looked at again after opening: 64-bit tokens can
    collide."""
    with store.work(account_id) as work:
        index = work.blind_index()
        found = words(query.words)
        if not found:
            return SearchHits(hits=[], next_after=None), Shown([], [])
        by_word = [index.token("word", word) for word in found]
        rows = _with_tokens(work, by_word, query.after, query.limit + 1)
        if not rows and (query.after is None or not _with_tokens(work, by_word, None, 1)):
            by_beginning = index.tokens("start", typed_beginnings(query.words))
            rows = _with_tokens(work, by_beginning, query.after, query.limit + 1) if by_beginning else []
        more, rows = len(rows) > query.limit, rows[: query.limit]
        contents = contents_of(work, rows)
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
    found_hits = SearchHits(hits=hits, next_after=rows[-1][0] if more else None)
    return found_hits, Shown([row[2] for row in opened], [row[1] for row in opened])


def _with_tokens(work: Work, tokens: Sequence[int], after: str | None, limit: int) -> list[tuple[Any, ...]]:
    """Living messages that have all of these tokens, in the order of their coming in."""
    clauses = " AND ".join(["m.account_id = %s", _LIVING_MESSAGE, *_after(after)])
    return work.fetch(
        f"{_MESSAGE} JOIN (SELECT message_id FROM search_token WHERE account_id = %s AND token = ANY (%s::bigint[])"
        " GROUP BY message_id HAVING count(*) = %s) AS hit ON hit.message_id = m.message_id"
        f" WHERE {clauses} ORDER BY m.added_at, m.message_id LIMIT %s",
        (
            work.account_id, list(tokens), len(tokens), work.account_id,
            *((work.account_id, after) if after is not None else ()), limit,
        ),
    )  # fmt: skip


def _excerpt(text: str, sought: str) -> str:
    folded = " ".join(text.split())
    at = min((place for word in sought.split() if (place := folded.casefold().find(word.casefold())) >= 0), default=0)
    start = max(0, at - EXCERPT_CHARS // 3)
    return folded[start : start + EXCERPT_CHARS]


def show_attachment(
    store: Store, blobs: BlobStore, account_id: str, query: ShowAttachment, ask: AskSpellings, seen_by: str | None = None
) -> tuple[AttachmentContent, Shown]:
    """An attachment's name, type and bytes, and whose it is. With `seen_by`, a customer's person, only of messages that they
    may see: those in tickets that they requested, and those that belong to them."""
    with store.work(account_id) as work:
        rows = work.fetch(
            "SELECT m.message_id, m.ticket_id, m.author_id, m.direction, m.sent_at, m.added_at, m.content, m.event_id,"
            " a.item_id, a.is_text FROM attachment a JOIN message m USING (account_id, message_id)"
            f" WHERE a.account_id = %s AND a.blob_id = %s AND {_LIVING_MESSAGE}"
            " AND (%s::uuid IS NULL OR m.owner_id = %s OR EXISTS (SELECT 1 FROM ticket t WHERE t.account_id = m.account_id"
            " AND t.ticket_id = m.ticket_id AND t.requester_id = %s))",
            (account_id, query.blob_id, seen_by, seen_by, seen_by),
        )
        if not rows:
            raise NotFound()
        content = contents_of(work, rows)[0]
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
    """A page of the mails that could not be parsed at all."""
    with store.work(account_id) as work:
        rows = work.fetch(
            "SELECT put_aside_id, reason, size, put_aside_at FROM put_aside WHERE account_id = %s AND (%s::uuid IS NULL"
            " OR (put_aside_at, put_aside_id) > (SELECT put_aside_at, put_aside_id FROM put_aside"
            " WHERE account_id = %s AND put_aside_id = %s)) ORDER BY put_aside_at, put_aside_id LIMIT %s",
            (account_id, query.after, account_id, query.after, query.limit + 1),
        )
    mails = [_put_aside(row) for row in rows[: query.limit]]
    return PutAsideList(mails=mails, next_after=mails[-1].put_aside_id if len(rows) > query.limit else None)


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


def ticket_views(work: Work, rows: Sequence[tuple[Any, ...]], ask: AskSpellings) -> list[TicketView]:
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


def contents_of(work: Work, rows: Sequence[tuple[Any, ...]]) -> list[MessageContent | None]:
    opened = work.open([SealedValue(row[6], f"ticket/{row[1]}", row[7], Names.MESSAGE_ADDED, "content") for row in rows])
    return [content if isinstance(content, MessageContent) else None for content in opened]


def message_views(work: Work, rows: Sequence[tuple[Any, ...]], ask: AskSpellings) -> list[MessageView]:
    pairs = [(row, content) for row, content in zip(rows, contents_of(work, rows), strict=True) if content is not None]
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

