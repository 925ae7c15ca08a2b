"""Mail that a service sends: a queue of sealed mails in its own database, written in the unit of work that causes the mail.

Place in the way of a mail: `queue_mail` in a handler's transaction; `mail_sender.py` claims the row, `mail_delivery.py` hands
the mail over by SMTP, and the row goes in the transaction that notes it. Address, subject and text are at rest only sealed
under an item key of the person, so they go with the person. This module must not connect to anything but the database.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

import msgspec

from shared import clock
from shared.errors import InvalidArgument
from shared.ids import Id, StoredId, new_id
from shared.personal import Personal
from shared.sealing import open_sealed, place_of, seal
from shared.work import SYSTEM_ACTOR, Store, Work

RETRY_DELAYS_SECONDS = (5, 30, 120, 600, 3_600)
"""The pause after each failed try; the last is that of all later ones."""
LONGEST_LIFE = timedelta(hours=24)
"""After a failed try, a mail that is older than this is given up."""
NO_ACCOUNT = SYSTEM_ACTOR
"""The account of a claim, which is about none: row-level security shows no row to it."""

_TELLING = "to tell a person what concerns their access"
_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]+@[^\s@<>()\[\],;:\\\"\x00-\x1f\x7f]+")
_THEIRS = "account_id = %s AND person_id = ANY (%s::uuid[])"


class OutgoingMail(msgspec.Struct, frozen=True, kw_only=True):
    """What is sealed of a mail, with the ids of whose it is."""

    item_id: StoredId
    person_id: StoredId
    to: Annotated[str, Personal(category="e-mail", purpose=_TELLING, item="item_id", person="person_id")]
    subject: Annotated[str, Personal(category="content", purpose=_TELLING, item="item_id", person="person_id")]
    text: Annotated[str, Personal(category="content", purpose=_TELLING, item="item_id", person="person_id")]


class ClaimedMail(NamedTuple):
    """A mail that this sender may try to deliver now. `mail` is None where its key is cut: nobody may send it any more."""

    account_id: str
    mail_id: str
    item_id: str
    person_id: str
    attempts: int
    """Tries with this one: 1 at the first."""
    created_at: datetime
    mail: OutgoingMail | None


def queue_mail(
    work: Work, *, item_id: Id, person_id: Id, to: str, subject: str, text: str, stream: str = ""
) -> str:
    """A mail to a person, on its way once this unit of work is committed; gives its id.

    It is sealed under the key of `item_id`, an item of that person. `stream` is the stream whose events the item seals; it is
    needed only where the item may have no key yet. Raises `InvalidArgument` for what is no address; `NotFound` for an item
    without a key, as that of somebody who is erased, where no stream is given; at commit `PersonErased`.
    """
    if not _ADDRESS.fullmatch(to):
        raise InvalidArgument(field="to", rule="a mail address, as in name@example.org")
    mail_id = new_id()
    work.pin_persons((person_id,))
    key = work.item_key_for_writing(item_id, stream=stream, persons=(person_id,))
    mail = OutgoingMail(item_id=item_id, person_id=person_id, to=to, subject=" ".join(subject.split()), text=text)
    sealed = seal(key, msgspec.msgpack.encode(mail), _place(work.store, work.account_id, mail_id))
    work.later(
        "INSERT INTO lethe.outgoing_mail (account_id, mail_id, item_id, person_id, sealed, next_try_at, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        (work.account_id, mail_id, item_id, person_id, sealed, work.now, work.now),
    )
    return mail_id


def claim(store: Store) -> tuple[str, str] | None:
    """(account, mail) of the mail that has been due the longest, leased to this sender for 60 s; None where none is due.

    A transaction of its own and no unit of work: it is about no account, and comes every second. If its answer is lost, the
    mail is free again when the lease ends."""
    with store.database.transaction(NO_ACCOUNT) as transaction:
        rows = transaction.fetch("SELECT account_id, mail_id FROM lethe.claim_mail(%s)", (clock.now(),))
        transaction.commit()
    return (rows[0][0], rows[0][1]) if rows else None


def read_claimed(store: Store, account_id: str, mail_id: str) -> ClaimedMail | None:
    """The claimed mail, opened; None where its row is gone: its person was erased meanwhile."""
    with store.work(account_id) as work:
        row = work.fetch_one(
            "SELECT item_id, person_id, attempts, created_at, sealed FROM lethe.outgoing_mail"
            " WHERE account_id = %s AND mail_id = %s AND state = 'sending'",
            (account_id, mail_id),
        )
        if row is None:
            return None
        item_id, person_id, attempts, created_at, sealed = row
        key = work.item_keys([item_id]).get(item_id)
        mail = None
        if key is not None and not work.cut_persons([person_id]):
            plain = open_sealed(key, bytes(sealed), _place(store, account_id, mail_id))
            mail = msgspec.msgpack.decode(plain, type=OutgoingMail)
    return ClaimedMail(account_id, mail_id, item_id, person_id, attempts, created_at, mail)


def remove(work: Work, mail_id: str) -> None:
    """The mail is delivered, or nobody may send it any more: nothing of it stays."""
    work.later("DELETE FROM lethe.outgoing_mail WHERE account_id = %s AND mail_id = %s", (work.account_id, mail_id))


def try_again(work: Work, claimed: ClaimedMail) -> None:
    """Puts a mail back after a failed try. Of a sender that has lost its claim to another it changes nothing."""
    work.later(
        "UPDATE lethe.outgoing_mail SET state = 'queued', claimed_until = NULL, next_try_at = %s"
        " WHERE account_id = %s AND mail_id = %s AND state = 'sending' AND attempts = %s",
        (work.now + retry_delay(claimed.attempts), work.account_id, claimed.mail_id, claimed.attempts),
    )


def give_up(work: Work, claimed: ClaimedMail) -> bool:
    """Ends the tries; what was sealed goes, the ids stay. False where another sender has the claim, or the row is gone."""
    return bool(
        work.change(
            "UPDATE lethe.outgoing_mail SET state = 'given up', claimed_until = NULL, sealed = NULL"
            " WHERE account_id = %s AND mail_id = %s AND state = 'sending' AND attempts = %s RETURNING 1",
            (work.account_id, claimed.mail_id, claimed.attempts),
        )
    )


def retry_delay(attempts: int) -> timedelta:
    """The pause after so many failed tries."""
    return timedelta(seconds=RETRY_DELAYS_SECONDS[min(attempts, len(RETRY_DELAYS_SECONDS)) - 1])


def is_too_old(created_at: datetime, now: datetime) -> bool:
    """Whether a mail that failed now is not tried again."""
    return now - created_at >= LONGEST_LIFE


# -- for the holdings of a service that sends mail


def mails_of_persons(work: Work, persons: Sequence[str]) -> int:
    """How many mails to these persons there are, those that were given up included."""
    (count,) = work.fetch(f"SELECT count(*) FROM lethe.outgoing_mail WHERE {_THEIRS}", (work.account_id, list(persons)))[0]
    return int(count)


def remove_mails_of_persons(work: Work, persons: Sequence[str]) -> None:
    """Removes all mails to these persons, one that is being sent at this moment included."""
    work.later(f"DELETE FROM lethe.outgoing_mail WHERE {_THEIRS}", (work.account_id, list(persons)))


def _place(store: Store, account_id: str, mail_id: str) -> bytes:
    """What a sealed mail is bound to: it opens in no other account and under no other id."""
    return place_of(store.service, f"outgoing_mail/{account_id}", mail_id, "OutgoingMail", "mail")
