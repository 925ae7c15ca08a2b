"""The suppression list: what came before an erasure can't come back (mission E10).

Entries are HMACs under one key per account, which lives here only, is never rotated and ends with the account; with the day
and nothing else, so that an entry tells neither whose it is nor which request made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from services.erasure.queries import addresses_of_request
from shared.blind_index import BlindIndex
from shared.errors import NotFound
from shared.references import normalise_address, normalise_phone
from shared.resolving import CheckSuppressed, MailToCheck, Suppress, SuppressedAnswer
from shared.work import Store, Work


def add_entries(work: Work, entries: Iterable[tuple[str, str]], day: date) -> None:
    """Adds (kind, text) entries; a later day replaces an earlier one."""
    index = BlindIndex(work.secret("suppression"))
    tokens = sorted({index.token(kind, text) for kind, text in entries})
    if tokens:
        work.later(
            "INSERT INTO suppression (account_id, token, day) SELECT %s, unnest(%s::bigint[]), %s"
            " ON CONFLICT (account_id, token) DO UPDATE SET day = greatest(suppression.day, EXCLUDED.day)",
            (work.account_id, tokens, day),
        )


def identifier_entries(identifiers: Sequence[str]) -> list[tuple[str, str]]:
    """The entries of a person's exact identifiers."""
    entries = []
    for one in identifiers:
        phone = normalise_phone(one) if "@" not in one else None
        entries.append(("phone", phone) if phone else ("address", normalise_address(one)))
    return entries


def mail_entries(mails: Sequence[MailToCheck], senders: Sequence[str]) -> list[tuple[str, str]]:
    """The entries of mails: by Message-ID, and by content together with each address of the sender."""
    entries = [("mail", one.message_key) for one in mails if one.message_key]
    return entries + [("content", f"{one.content_digest}\n{sender}") for one in mails for sender in senders]


def suppress(store: Store, account_id: str, command: Suppress) -> None:
    """Takes mails of a request's persons onto the list. Repeatable; told by a participant before it cuts. After a database was
    put back the request may be lost: then mails go by their Message-ID alone, and identifiers are told as well."""

    def decide(work: Work) -> None:
        try:
            known = identifier_entries(addresses_of_request(work, command.request_id))
        except NotFound:
            known = []
        told = identifier_entries(command.identifiers)
        senders = [text for kind, text in (*known, *told) if kind == "address"]
        add_entries(work, [*told, *mail_entries(command.mails, senders)], (command.cut_at or work.now).date())

    store.run(account_id, decide)


def check(store: Store, account_id: str, query: CheckSuppressed) -> SuppressedAnswer:
    """Which of these mails and identifiers are on the list."""
    with store.work(account_id) as work:
        if not work.fetch("SELECT 1 FROM suppression WHERE account_id = %s LIMIT 1", (account_id,)):
            return SuppressedAnswer(mails=[False] * len(query.mails), identifiers=[None] * len(query.identifiers))
        index = BlindIndex(work.secret("suppression"))
        mails = [[index.token(*entry) for entry in mail_entries([one], one.senders)] for one in query.mails]
        identifiers = [index.token(one.kind, one.address) for one in query.identifiers]
        wanted = {token for tokens in mails for token in tokens} | set(identifiers)
        days = dict(
            work.fetch(
                "SELECT token, day FROM suppression WHERE account_id = %s AND token = ANY (%s::bigint[])",
                (account_id, sorted(wanted)),
            )
        )
    return SuppressedAnswer(
        mails=[any(token in days for token in tokens) for tokens in mails],
        identifiers=[days.get(token) for token in identifiers],
    )
