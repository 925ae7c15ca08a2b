"""Mail on its way, from the unit of work that queues it to a real SMTP server that takes it, or does not."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from services.identity.events import TYPES, MailGivenUp, UserAdded
from services.identity.handlers import note_mail_given_up
from services.identity.holdings import HOLDINGS
from services.identity.projections import project
from services.identity.user import stream_of
from shared import clock
from shared.erasing import erase_subject, probe
from shared.errors import InvalidArgument, NotFound, PersonErased
from shared.events import Envelope
from shared.ids import new_id
from shared.mail_delivery import MailServer
from shared.mail_sender import MailSender
from shared.outgoing_mail import claim, queue_mail, read_claimed
from shared.settings import Settings
from shared.work import Store
from tests.support.byte_scan import scan_bytes
from tests.support.databases import superuser
from tests.support.mail_server import MailTaker, mail_taker

TO, SUBJECT, TEXT = "vera.quince@orchard.example", "Your way in, Vera", "Dear Vera Quince,\nhere it is: lethe_portal_31337\n"
SENDER = "The Desk <desk@support.example>"


class Post:
    """One account's user, to whom mails go, and a sender of mails."""

    def __init__(self, settings: Settings, taker: MailTaker) -> None:
        self.settings = settings
        self.taker = taker
        self.store = Store(TYPES, project, settings)
        self.account, self.user, self.person = new_id(), new_id(), new_id()
        added = UserAdded(user_id=self.user, person_id=self.person, role="owner", name="Vera Quince", login=TO)
        self.store.run(self.account, lambda work: work.append(stream_of(self.user), 0, [added]))

    def sender(self, store: Store | None = None) -> MailSender:
        server = MailServer.of(f"smtp://127.0.0.1:{self.taker.port}")
        return MailSender(store or self.store, server, SENDER, note_mail_given_up)

    def queue(self, to: str = TO, subject: str = SUBJECT, stream: str = "") -> str:
        return self.store.run(
            self.account,
            lambda work: queue_mail(
                work, item_id=self.user, person_id=self.person, to=to, subject=subject, text=TEXT, stream=stream
            ),
        )

    def send_all(self) -> int:
        """Sends what is due; gives how many tries it was."""
        sender, tries = self.sender(), 0
        while sender.send_next():
            tries += 1
        return tries

    def rows(self, columns: str = "state, attempts") -> list[tuple[Any, ...]]:
        return self.as_superuser(f"SELECT {columns} FROM lethe.outgoing_mail WHERE account_id = %s", self.account)

    def end_leases(self) -> None:
        """What 60 seconds do."""
        self.as_superuser(
            "UPDATE lethe.outgoing_mail SET claimed_until = clock_timestamp() WHERE account_id = %s AND state = 'sending'"
            " RETURNING 1", self.account,
        )  # fmt: skip

    def as_superuser(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        connection = superuser(self.settings, "identity")
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            found: list[tuple[Any, ...]] = cursor.fetchall()
        connection.close()
        return found

    def given_up(self, mail_id: str) -> MailGivenUp:
        with self.store.work(self.account) as work:
            (recorded,) = work.load(f"mail/{mail_id}")
        assert isinstance(recorded.event, MailGivenUp)
        return recorded.event

    def erase(self) -> dict[str, int]:
        """Erases the person; gives what the receipt counted. A second owner has been there, so that nothing is retained."""
        other = UserAdded(user_id=new_id(), person_id=new_id(), role="owner", name="Olga Owl", login="olga@desk.example")
        self.store.run(self.account, lambda work: work.append(stream_of(other.user_id), 0, [other]))
        request = new_id()
        data = {"request_id": request, "person_ids": [self.person]}
        envelope = Envelope(
            account=self.account, actor=new_id(), causation=None, data=data, event=new_id(), schema=1, sealed=[],
            service="erasure", stream=f"request/{request}", time=clock.now(), type="erasure.SubjectErased", version=1,
        )  # fmt: skip
        erase_subject(self.store, HOLDINGS, envelope)
        with self.store.work(self.account) as work:
            assert {} == probe(HOLDINGS, work, request, [self.person], [TO])
            counts: dict[str, int] = work.load(f"erasure/{request}")[-1].envelope.data["counts"]
        return counts


@pytest.fixture
def taker() -> Iterator[MailTaker]:
    """A mail server that takes everything."""
    with mail_taker() as made:
        yield made


@pytest.fixture
def post(settings: Settings, taker: MailTaker) -> Post:
    """A fresh account with a user. What other tests left is not due to anybody: their rows go."""
    made = Post(settings, taker)
    made.as_superuser("DELETE FROM lethe.outgoing_mail WHERE account_id <> %s RETURNING 1", made.account)
    return made


def test_a_queued_mail_is_delivered_and_its_row_is_gone(post: Post) -> None:
    """What was queued arrives as it was written, with who sends it, when it was queued, and that no person typed it."""
    mail_id = post.queue(subject="Ihr Zugang:\nfür Vera, äöü")
    assert 1 == post.send_all()
    (message,) = post.taker.received
    assert [TO] == post.taker.recipients
    assert (SENDER, TO) == (message["From"], message["To"])
    assert "Ihr Zugang: für Vera, äöü" == message["Subject"]
    assert TEXT == message.get_content().replace("\r\n", "\n")
    assert f"<{mail_id}@support.example>" == message["Message-ID"]
    assert "auto-generated" == message["Auto-Submitted"]
    assert abs(parsedate_to_datetime(message["Date"]) - clock.now()) < timedelta(minutes=1)
    assert [] == post.rows()


def test_a_mail_whose_transaction_fails_is_not_sent(post: Post) -> None:
    """A mail is on its way only if what it tells of is committed."""

    def decide(work: Any) -> None:
        queue_mail(work, item_id=post.user, person_id=post.person, to=TO, subject=SUBJECT, text=TEXT)
        raise NotFound()

    with pytest.raises(NotFound):
        post.store.run(post.account, decide)
    assert 0 == post.send_all()


@pytest.mark.parametrize("answer", ["451 4.3.0 try later", "421 4.7.0 too many", "530 5.7.0 log in first"])
def test_what_the_server_does_not_take_now_is_tried_again_after_a_growing_pause(post: Post, answer: str) -> None:
    """A mail that the server does not take now comes again: after 5 s, then after 30 s, and then it is delivered."""
    post.taker.to_text = [answer, answer]
    post.queue()
    assert 1 == post.send_all()
    clock.advance(timedelta(seconds=6))
    assert 1 == post.send_all()
    assert [("queued", 2)] == post.rows()
    clock.advance(timedelta(seconds=6))
    assert 0 == post.send_all()
    clock.advance(timedelta(seconds=25))
    assert 1 == post.send_all()
    assert 1 == len(post.taker.received)
    assert [] == post.rows()


@pytest.mark.parametrize("is_about", ["recipient", "text"])
def test_a_rejected_mail_is_given_up_and_recorded(
    post: Post, is_about: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a 5xx there is no further try; the text is gone, and an event says who was not told, by ids alone. What is logged
    holds the server's code and nothing else of its answer."""
    answers = post.taker.to_recipient if is_about == "recipient" else post.taker.to_text
    answers.append(f"550 5.1.1 <{TO}> is not known here")
    mail_id = post.queue()
    assert 1 == post.send_all()
    said = "".join(capsys.readouterr())
    assert "550" in said and TO not in said
    clock.advance(timedelta(hours=30))
    assert 0 == post.send_all()
    assert [("given up", 1, None)] == post.rows("state, attempts, sealed")
    event = post.given_up(mail_id)
    assert ("rejected", 1, 550) == (event.failure, event.attempts, event.reply_code)
    assert (mail_id, post.user, post.person) == (event.mail_id, event.item_id, event.person_id)


def test_a_mail_is_given_up_after_a_day(post: Post) -> None:
    """What could not be delivered for 24 hours is not tried any more."""
    mail_id = post.queue()
    post.taker.stop()
    for _ in range(40):
        post.send_all()
        if post.rows("state") == [("given up",)]:
            break
        clock.advance(timedelta(hours=1, seconds=1))
    event = post.given_up(mail_id)
    assert ("too old", 0) == (event.failure, event.reply_code)
    assert 24 == event.attempts - 1


def test_a_server_that_was_away_gets_the_mail_when_it_is_back(post: Post) -> None:
    """Nothing is lost while the mail server does not listen."""
    post.taker.stop()
    post.queue()
    assert 1 == post.send_all()
    assert [("queued", 1)] == post.rows()
    post.taker.start()
    clock.advance(timedelta(seconds=6))
    assert 1 == post.send_all()
    assert [TO] == post.taker.recipients


def test_two_senders_at_once_deliver_each_mail_once(post: Post) -> None:
    """Replicas share the work: no mail is sent by two of them."""
    sent = {post.queue(subject=f"number {number}") for number in range(30)}
    stores = [Store(TYPES, project, post.settings) for _ in range(3)]

    def run(store: Store) -> int:
        sender, tries = post.sender(store), 0
        while sender.send_next():
            tries += 1
        return tries

    with ThreadPoolExecutor(3) as pool:
        tries = list(pool.map(run, stores))
    assert 30 == sum(tries) == len(post.taker.received)
    assert sent == {str(one["Message-ID"])[1:37] for one in post.taker.received}


def test_a_claim_is_for_one_and_ends(post: Post) -> None:
    """While one sender has a mail no other gets it; when its lease is over, the next one does, and the first notes nothing."""
    mail_id = post.queue()
    assert (post.account, mail_id) == claim(post.store)
    first = read_claimed(post.store, post.account, mail_id)
    assert claim(post.store) is None
    post.end_leases()
    assert (post.account, mail_id) == claim(post.store)
    assert first is not None
    sender = post.sender()
    post.taker.stop()
    sender._note(first, sender._try(first))
    assert [("sending", 2)] == post.rows()


def test_an_erased_person_gets_no_mail(post: Post) -> None:
    """Erasing a person removes the mails to them, counts them, and lets no further one in."""
    post.queue()
    post.queue()
    assert 2 == post.erase()["outgoing mails"]
    assert [] == post.rows()
    assert 0 == post.send_all()
    assert [] == post.taker.received
    with pytest.raises(NotFound):
        post.queue()
    with pytest.raises(PersonErased):
        post.queue(stream=stream_of(post.user))


def test_an_erasure_also_takes_what_was_given_up(post: Post) -> None:
    """The ids of a mail that was given up go with its person, too."""
    post.taker.to_text = ["554 no"]
    post.queue()
    post.send_all()
    assert 1 == post.erase()["outgoing mails"]
    assert [] == post.rows()


def test_a_claimed_mail_whose_key_is_cut_is_dropped(post: Post) -> None:
    """A cut between the claim and the reading leaves nothing to send, although the row is still there."""
    post.queue()
    post.store.run(
        post.account,
        lambda work: work.change(
            "SELECT keys.cut_person(%s, %s, %s, %s)", (post.account, post.person, new_id(), work.now)
        ),
    )
    assert 1 == post.send_all()
    assert [] == post.taker.received
    assert [] == post.rows()


def test_nothing_of_a_mail_is_readable_in_the_database(post: Post) -> None:
    """No column of any row holds the address, the subject or the text in any form; what is found is what was planted."""
    post.queue()
    words = [TO, SUBJECT, "lethe_portal_31337", "Quince"]
    (rows,) = zip(*post.as_superuser("SELECT one::text FROM lethe.outgoing_mail AS one"), strict=True)
    (sealed,) = zip(*post.rows("sealed"), strict=True)
    stored = b"\n".join([*(row.encode() for row in rows), *map(bytes, sealed)])
    assert [] == scan_bytes(stored, words)
    assert set(words) == {word for _, word in scan_bytes(stored + " ".join(words).encode(), words)}


def test_a_mail_opens_in_its_place_only(post: Post) -> None:
    """The sealed bytes of one mail do not open under the id of another: a row can't be given another mail's text."""
    one, other = post.queue(), post.queue("somebody.else@orchard.example")
    post.as_superuser(
        "UPDATE lethe.outgoing_mail SET sealed = (SELECT sealed FROM lethe.outgoing_mail WHERE mail_id = %s)"
        " WHERE mail_id = %s RETURNING 1", other, one,
    )  # fmt: skip
    with pytest.raises(Exception, match="a sealed part was changed, or stands in another place"):
        post.send_all()
    assert "somebody.else@orchard.example" not in post.taker.recipients[:-1]


def test_an_account_sees_its_own_mails_only(post: Post) -> None:
    """Row-level security keeps the queue to its account; a claim over all accounts tells two ids and nothing else."""
    post.queue()
    with post.store.work(new_id()) as work:
        assert [] == work.fetch("SELECT 1 FROM lethe.outgoing_mail")
    with post.store.work(post.account) as work:
        assert 1 == len(work.fetch("SELECT 1 FROM lethe.outgoing_mail"))
    assert 2 == len(claim(post.store) or ())


@pytest.mark.parametrize(
    "address",
    ["", "vera", "a@b@c", "a@x.example, b@y.example", "a@x.example\nBcc: b@y.example", "<a@x.example>"],
)
def test_what_is_no_single_address_is_not_queued(post: Post, address: str) -> None:
    """Nobody adds a recipient or a header to a mail by what they typed."""
    with pytest.raises(InvalidArgument):
        post.queue(address)
    assert [] == post.rows()


def test_an_item_without_a_key_needs_its_stream(post: Post) -> None:
    """A key is minted only where it is said whose events it seals, so that pruning finds them."""

    def queue(stream: str) -> str:
        item = new_id()
        return post.store.run(
            post.account,
            lambda work: queue_mail(
                work, item_id=item, person_id=post.person, to=TO, subject=SUBJECT, text=TEXT, stream=stream
            ),
        )

    with pytest.raises(NotFound):
        queue("")
    queue(f"user/{new_id()}")
    assert 1 == post.send_all()
