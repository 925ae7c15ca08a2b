"""The index rows of a message: keyed tokens of its words, of its mail and of its thread. Never the words themselves."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from services.tickets.events import MessageContent, Text
from services.tickets.intake import plain_words
from shared.sealing import key_id
from shared.words import beginnings, words
from shared.work import Work

MAX_TOKENS = 4_000


class MailIndex:
    """Looks up and gathers index rows of one account in one unit of work; `write` sends them as one statement a table."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._index = work.blind_index()
        self._mails: list[tuple[int, str]] = []
        self._threads: list[tuple[int, str, str]] = []
        self._tokens: list[tuple[str, list[int]]] = []
        self._taken_in: list[int] = []

    def known(self, identities: Sequence[str]) -> set[str]:
        """Which of these mails (by `Incoming.identity`) are in already."""
        by_token = {self._index.token("mail", identity): identity for identity in identities}
        rows = self._work.fetch(
            "SELECT token FROM mail_token WHERE account_id = %s AND token = ANY (%s::bigint[])",
            (self._work.account_id, list(by_token)),
        )
        return {by_token[token] for (token,) in rows}

    def known_sources(self, digests: Sequence[str]) -> list[bool]:
        """Which of these mails (by the digest of their bytes) are in already."""
        tokens = [self._index.token("source", digest) for digest in digests]
        rows = self._work.fetch(
            "SELECT token FROM mail_token WHERE account_id = %s AND token = ANY (%s::bigint[])",
            (self._work.account_id, tokens),
        )
        found = {token for (token,) in rows}
        return [token in found for token in tokens]

    def tickets_of_threads(self, names: Iterable[str]) -> dict[str, str]:
        """The tickets that Message-IDs lead to; the oldest where there are several."""
        by_token = {self._index.token("thread", name): name for name in names}
        rows = self._work.fetch(
            "SELECT DISTINCT ON (t.token) t.token, t.ticket_id FROM thread_token t JOIN ticket USING (account_id, ticket_id)"
            " WHERE t.account_id = %s AND t.token = ANY (%s::bigint[]) ORDER BY t.token, ticket.opened_at, t.ticket_id",
            (self._work.account_id, list(by_token)),
        )
        return {by_token[token]: ticket for token, ticket in rows}

    def add(
        self,
        message_id: str,
        identity: str,
        source_digest: str,
        content: MessageContent,
        attached: Sequence[Text],
    ) -> None:
        """The rows of one message."""
        self._mails.append((self._index.token("mail", identity), message_id))
        self._mails.append((self._index.token("source", source_digest), message_id))
        self._taken_in.append(self._index.token("put aside", source_digest))
        found = words(plain_words(content.subject) + "\n" + plain_words(content.text))
        for text in attached:
            found |= words(plain_words(text))
        starts = beginnings(plain_words(content.subject))
        tokens = {*self._index.tokens("word", found), *self._index.tokens("start", starts)}
        self._tokens.append((message_id, sorted(tokens)[:MAX_TOKENS]))

    def blob_id(self, identity: str, number: int, key: bytes) -> str:
        """The id of a mail's attachment under an item's key: the same each time that the mail is taken in under that key, so
        that an import which was killed and goes on writes over what it left. Under another key it is another one: of two
        workers that take in one mail at once, each mints a key, one commits, and its blob must not be written over. Keyed,
        so that it tells nothing of the mail."""
        text = f"{identity}\n{number}\n{key_id(key).hex()}"
        halves = [self._index.token(f"blob {half}", text) & (1 << 64) - 1 for half in (1, 2)]
        return str(uuid.UUID(int=halves[0] << 64 | halves[1], version=4))

    def add_thread(self, name: str, ticket_id: str, message_id: str) -> None:
        """A Message-ID that leads to a ticket, and the message that brought it."""
        self._threads.append((self._index.token("thread", name), ticket_id, message_id))

    def put_aside(self, put_aside_id: str, reason: str, source_digest: str, size: int) -> None:
        """Notes a mail that can't be parsed at all: its reason and size, nothing of its content."""
        self._work.later(
            "INSERT INTO put_aside (account_id, put_aside_id, reason, size, put_aside_at, source_token)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (
                self._work.account_id, put_aside_id, reason, size, self._work.now,
                self._index.token("put aside", source_digest),
            ),
        )  # fmt: skip

    def write(self) -> None:
        """Hands the gathered rows to the unit of work."""
        account = self._work.account_id
        if self._mails:
            self._work.later(
                # the same bytes under two identities (no Message-ID, twice in an archive) share a source token
                "INSERT INTO mail_token (account_id, token, message_id)"
                " SELECT DISTINCT ON (token) %s::uuid, token, id FROM unnest(%s::bigint[], %s::uuid[]) AS new (token, id)",
                (account, [token for token, _ in self._mails], [message for _, message in self._mails]),
            )
            self._work.later(
                "DELETE FROM put_aside WHERE account_id = %s AND source_token = ANY (%s::bigint[])", (account, self._taken_in)
            )
        if self._threads:
            self._work.later(
                "INSERT INTO thread_token (account_id, token, ticket_id, message_id)"
                " SELECT %s, token, ticket, message FROM unnest(%s::bigint[], %s::uuid[], %s::uuid[])"
                " AS new (token, ticket, message) ON CONFLICT DO NOTHING",
                (account, *(list(column) for column in zip(*self._threads, strict=True))),
            )
        for message_id, tokens in self._tokens:
            self._work.later(
                "INSERT INTO search_token (account_id, token, message_id) SELECT %s, unnest(%s::bigint[]), %s",
                (account, tokens, message_id),
            )
            self._work.later(
                "INSERT INTO message_tokens (account_id, message_id, tokens) VALUES (%s, %s, %s::bigint[])",
                (account, message_id, tokens),
            )
