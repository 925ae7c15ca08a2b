"""The sender of a service's outgoing mail: a loop in the service's process that takes what is due and hands it over by SMTP.

Any number of replicas may run it: each mail is claimed by one at a time. Delivery is at least once. If the process dies between
the hand-over and the note, the mail is sent again, with the same Message-ID, when the claim's lease is over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any, Literal

from nameko.extensions import DependencyProvider

from shared import logs
from shared.failpoints import failpoint
from shared.mail_delivery import Delivery, MailServer, address_of, deliver, message_of
from shared.message_consumer import DRAIN_LIMIT_SECONDS
from shared.outgoing_mail import ClaimedMail, claim, give_up, is_too_old, read_claimed, remove, try_again
from shared.service import Runtime
from shared.settings import Settings
from shared.work import Store, Work

POLL_SECONDS = 1.0
TROUBLE_PAUSE_SECONDS = 2.0
"""After an error that is not the mail's or the server's: the database is away."""
STOPPING_SECONDS = 0.05

Failure = Literal["rejected", "too old"]
NoteGivenUp = Callable[[Work, ClaimedMail, Failure, int], None]
"""(unit of work, mail, failure, reply code): what the service does in the transaction that gives a mail up: append an event."""

log = logs.get_logger("lethe.mail")


class MailSender:
    """Sends the mails of one service's store by one server."""

    def __init__(self, store: Store, server: MailServer, sender: str, note_given_up: NoteGivenUp) -> None:
        address_of(sender)  # what is set wrongly shows at the start, not at the first mail
        self._store = store
        self._server = server
        self._sender = sender
        self._note_given_up = note_given_up

    @classmethod
    def of(cls, store: Store, settings: Settings, note_given_up: NoteGivenUp) -> MailSender | None:
        """With a stack's settings; None where they name no mail server. Raises `ValueError` where they are wrong."""
        if settings.smtp_url is None:
            return None
        return cls(store, MailServer.of(settings.smtp_url), settings.smtp_from, note_given_up)

    def send_next(self) -> bool:
        """Takes the mail that has been due the longest and tries to deliver it, once. False where none is due."""
        found = claim(self._store)
        if found is None:
            return False
        claimed = read_claimed(self._store, *found)
        if claimed is None:
            return True
        if claimed.mail is None:
            self._store.run(claimed.account_id, lambda work: remove(work, claimed.mail_id))
            log.info("mail to an erased person dropped", account=claimed.account_id, mail_id=claimed.mail_id)
            return True
        self._note(claimed, self._try(claimed))
        return True

    def _try(self, claimed: ClaimedMail) -> Delivery:
        assert claimed.mail is not None
        try:
            message = message_of(claimed.mail, claimed.mail_id, claimed.created_at, self._sender)
        except Exception:  # whatever the library finds in an address: it would find it at each try
            return Delivery("rejected")
        delivery = deliver(self._server, message)
        if delivery.outcome == "delivered":
            failpoint("mail.sent")
        return delivery

    def _note(self, claimed: ClaimedMail, delivery: Delivery) -> None:
        """What came of it, in one transaction."""

        def note(work: Work) -> str:
            if delivery.outcome == "delivered":
                work.mark_repeatable()
                remove(work, claimed.mail_id)
                return "mail delivered"
            if delivery.outcome == "failed" and not is_too_old(claimed.created_at, work.now):
                work.mark_repeatable()
                try_again(work, claimed)
                return "mail not delivered, tried again later"
            if give_up(work, claimed):
                self._note_given_up(work, claimed, "rejected" if delivery.outcome == "rejected" else "too old", delivery.code)
            return "mail given up"

        said = self._store.run(claimed.account_id, note)
        log.info(
            said, account=claimed.account_id, mail_id=claimed.mail_id, attempt=claimed.attempts, code=delivery.code
        )


class MailSending(DependencyProvider):  # type: ignore[misc]
    """The nameko extension that runs the loop in a service's process. It gives its workers nothing.

    At a stop a mail on its way is finished, for as long as a service drains. One that takes longer is sent again.
    """

    def __init__(self, note_given_up: NoteGivenUp) -> None:
        self.note_given_up = note_given_up
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._ended.set()

    def start(self) -> None:
        """Begins once the service's resources are there: nameko sets all extensions up before it starts any."""
        runtime = next(one for one in self.container.dependencies if isinstance(one, Runtime))
        store: Store = runtime.resources.store
        try:
            sender = MailSender.of(store, store.settings, self.note_given_up)
        except ValueError:  # nobody is to be locked out of an account because mail is set up wrongly
            log.error("the settings of mail are wrong: mails wait")
            return
        if sender is None:
            log.warning("no mail server is set: mails wait")
            return
        self._ended.clear()
        self.container.spawn_managed_thread(lambda: self._run(sender))

    def stop(self) -> None:
        self._stopping.set()
        latest = monotonic() + DRAIN_LIMIT_SECONDS
        while not self._ended.is_set() and monotonic() < latest:
            sleep(STOPPING_SECONDS)

    def _run(self, sender: MailSender) -> None:
        try:
            while not self._stopping.is_set():
                self._stopping.wait(self._pause_after_one(sender))
        finally:
            self._ended.set()

    def _pause_after_one(self, sender: MailSender) -> float:
        """Sends one mail; gives the seconds until the next look. What goes wrong here must not end the service."""
        try:
            return 0.0 if sender.send_next() else POLL_SECONDS
        except Exception as error:
            log.error("mail sender in trouble", error=error)
            return TROUBLE_PAUSE_SECONDS

    def get_dependency(self, worker_ctx: Any) -> None:
        """Handlers queue mail in their own transaction (`queue_mail`)."""
