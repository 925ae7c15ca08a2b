"""The suppression list: what came before an erasure can't come back (mission E10).

Entries are HMACs under one key per account, which erasure alone has, which is never rotated and ends with the account; with the
day and nothing else, so that an entry tells neither whose it is nor which request made it. What is added is written outside of
the database first (`shared/suppression_files.py`, where what was added together stands together): a copy of it that is put back
does not know who was erased since.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from services.erasure.queries import addresses_of_request
from shared.account_states import check_not_gone
from shared.blind_index import BlindIndex
from shared.errors import AccountGone, NotFound, Tampered
from shared.failpoints import failpoint
from shared.keys import account_item
from shared.recovery_journals import journal_of
from shared.references import normalise_address, normalise_phone
from shared.resolving import CheckSuppressed, MailToCheck, Suppress, SuppressedAnswer
from shared.suppression_files import SuppressionEntries, SuppressionFiles, TakenBack
from shared.work import Store, Work

PURPOSE = "suppression"
"""Of the account's key that entries are made with."""


def add_entries(work: Work, entries: Iterable[tuple[str, str]], day: date) -> None:
    """Adds (kind, text) entries; a later day replaces an earlier one.

    Outside they are before the commit, also where there are none: that there is a list says that it is whole, so one that is
    not there begins with what the database has. Where the commit fails they stand there although nothing was erased, if nobody
    asks again; only a recovery would notice. Raises `AccountGone`, `Unavailable`.
    """
    files = SuppressionFiles(work.store.settings)
    try:
        check_not_gone(work)
    except AccountGone:
        files.remove(work.account_id)  # what a try of ours wrote that the account's end did not wait for
        raise
    key = _key(work)
    index = BlindIndex(key)
    tokens = sorted({index.token(kind, text) for kind, text in entries})
    before = [] if files.has(work.account_id) else _lines(work.account_id, _known(work))
    files.add(work.account_id, key, [*before, SuppressionEntries(account=work.account_id, tokens=tokens, day=day)])
    failpoint("erasure.suppressed-outside")
    _insert(work, tokens, day)


def take_back(store: Store) -> TakenBack:
    """Puts the lists that are outside into a database that was put back; each has what the other had then. Repeatable. Raises
    `Tampered` where a list is not as it was signed, or its key is lost."""
    files, journal = SuppressionFiles(store.settings), journal_of(store.settings, store.service)
    erased_in = {cut.account for cut in journal if cut.kind == "person"}
    ended = {cut.account for cut in journal if cut.kind == "account"}
    entries = incomplete = 0
    for account in sorted({*files.accounts(), *(erased_in - ended)}):
        lines = files.entries(account)  # a long one takes longer to verify than a transaction may do nothing
        try:
            if lines:
                store.run(account, lambda work: _take_key_back(work, files))
            count, is_whole = store.run(account, lambda work: _take_back(work, files, lines))  # noqa: B023
        except AccountGone:
            files.remove(account)
            continue
        entries, incomplete = entries + count, incomplete + (not is_whole)
    return TakenBack(entries, incomplete)


def _take_back(work: Work, files: SuppressionFiles, lines: Sequence[SuppressionEntries]) -> tuple[int, bool]:
    """How many entries the account has, and whether its list lacked none when any recovery came to it."""
    check_not_gone(work)
    listed: dict[int, date] = {}
    for line in lines:
        listed |= {token: max(line.day, listed.get(token, line.day)) for token in line.tokens}
    known = _known(work)
    lacking = {token: day for token, day in known.items() if token not in listed or listed[token] < day}
    added = _lines(work.account_id, lacking, begins_anew=True)
    if not lines and not added:
        added = [SuppressionEntries(account=work.account_id, tokens=[], day=work.now.date(), begins_anew=True)]
    files.add(work.account_id, _key(work), added)
    for line in _lines(work.account_id, listed):
        _insert(work, line.tokens, line.day)
    return len(listed | known), not any(line.begins_anew for line in (*lines, *added))


def _take_key_back(work: Work, files: SuppressionFiles) -> None:
    check_not_gone(work)
    try:
        work.keep_secret(PURPOSE, files.key(work.account_id))
    except (NotFound, Tampered):  # then the database must have it
        if not work.item_keys([account_item(work.account_id, PURPOSE)]):
            raise Tampered("the key of a suppression list is lost", account=work.account_id) from None


def _key(work: Work) -> bytes:
    """The account's key for entries. Committed before anything is made with it: one that loses against another replica's would
    stand outside otherwise. By a transaction of its own, so this one must have made no key of the account before."""
    if not work.item_keys([account_item(work.account_id, PURPOSE)]):
        work.store.run(work.account_id, lambda first: first.secret(PURPOSE))
    return work.secret(PURPOSE)


def _known(work: Work) -> dict[int, date]:
    """Token → day of all entries of the account in the database."""
    return dict(work.fetch("SELECT token, day FROM suppression WHERE account_id = %s", (work.account_id,)))


def _lines(account: str, days: Mapping[int, date], begins_anew: bool = False) -> list[SuppressionEntries]:
    """Entries as lines, one for each day."""
    of_day: dict[date, list[int]] = defaultdict(list)
    for token, day in days.items():
        of_day[day].append(token)
    return [
        SuppressionEntries(account=account, tokens=sorted(of_day[day]), day=day, begins_anew=begins_anew)
        for day in sorted(of_day)
    ]


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
        index = BlindIndex(work.secret(PURPOSE))
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
