"""The suppression list: what came before an erasure can't come back (mission E10).

Entries are HMACs under one key per account, which erasure alone has, which is never rotated and ends with the account; with the
day and nothing else, so that an entry tells neither whose it is nor which request made it. What is added is written outside of
the database first (`shared/suppression_files.py`): a copy of it that is put back does not know who was erased since.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from services.erasure.queries import addresses_of_request
from shared.account_states import check_not_gone
from shared.blind_index import BlindIndex
from shared.errors import AccountGone, NotFound, Tampered
from shared.keys import account_item
from shared.references import normalise_address, normalise_phone
from shared.resolving import CheckSuppressed, MailToCheck, Suppress, SuppressedAnswer
from shared.suppression_files import Suppressed, SuppressionFiles
from shared.work import Store, Work

PURPOSE = "suppression"
"""Of the account's key that entries are made with."""


def add_entries(work: Work, entries: Iterable[tuple[str, str]], day: date) -> None:
    """Adds (kind, text) entries; a later day replaces an earlier one.

    Outside they are before the commit. Where it fails they are one erasure early there, which only a recovery could notice: who
    asked for the erasure, or a participant, asks again. Also where there are none: that a list is there says that it is whole.
    """
    secret = work.secret(PURPOSE)
    index = BlindIndex(secret)
    tokens = sorted({index.token(kind, text) for kind, text in entries})
    check_not_gone(work)
    SuppressionFiles(work.store.settings).add(secret, Suppressed(account=work.account_id, tokens=tokens, day=day))
    _insert(work, tokens, day)


def take_back(store: Store) -> int:
    """Puts the lists that are outside into a database that was put back. Repeatable; returns how many entries there are. Raises
    `Tampered` where a list is not as it was signed, or its key is lost."""
    files, count = SuppressionFiles(store.settings), 0

    def decide(work: Work) -> int:
        check_not_gone(work)
        entries = files.entries(work.account_id)
        try:
            work.keep_secret(PURPOSE, files.secret(work.account_id))
        except NotFound:  # its epoch has ended: then the database must have it
            if not work.item_keys([account_item(work.account_id, PURPOSE)]):
                raise Tampered("the key of a suppression list is lost", account=work.account_id) from None
        known = {token for one in entries for token in one.tokens}
        rows = work.fetch("SELECT token FROM suppression WHERE account_id = %s", (work.account_id,))
        if not known >= {token for (token,) in rows}:
            raise Tampered("a suppression list lacks entries that its database has", account=work.account_id)
        for one in entries:
            _insert(work, one.tokens, one.day)
        return len(known)

    for account in files.accounts():
        try:
            count += store.run(account, decide)
        except AccountGone:
            files.remove(account)
    return count


def _insert(work: Work, tokens: Sequence[int], day: date) -> None:
    if tokens:
        work.later(
            "INSERT INTO suppression (account_id, token, day) SELECT %s, unnest(%s::bigint[]), %s"
            " ON CONFLICT (account_id, token) DO UPDATE SET day = greatest(suppression.day, EXCLUDED.day)",
            (work.account_id, list(tokens), day),
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
