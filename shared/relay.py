"""The relay's process: `python -m shared.relay <service>`. It takes the lease, leads while it has it, and
says how it is.

Several may run for one service; one leads, the others stand by and take over when its lease has run out. The
work of leading is in `shared/sequencer.py`. What can't be right (a log that is shorter than what was signed,
other bytes in a tile) stops it: it keeps the lease, so that nobody else walks into the same, says why in its
log and its state file, and looks again every few seconds. Plain Python threads: never imported together with
eventlet.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from types import FrameType

import psycopg2

from shared.checkpoint_push import CheckpointPusher
from shared.durable_files import read_if_there, replace
from shared.errors import LetheError, Tampered
from shared.log_signer import LogSigner, TermOver
from shared.publisher import Publisher
from shared.relay_database import LEASE_SECONDS, RelayDatabase
from shared.relay_state import RelayState, StateFile
from shared.sequencer import Sequencer
from shared.settings import Settings
from shared.wakeup import Wakeup

RENEW_SECONDS = LEASE_SECONDS / 3
STANDBY_SECONDS = 0.25
LOOK_AGAIN_SECONDS = 5.0
SHORTEST_STEP_SECONDS = 0.015
"""Under load one batch in this time at most: each costs some syncs of the disk, whether it has one event or a
hundred.
"""
DRAIN_SECONDS = 2.0

log = logging.getLogger("lethe.relay")


class Relay:
    """The relay of one service, until `stop` is called."""

    def __init__(self, settings: Settings, service: str) -> None:
        self._service = service
        self._settings = settings
        self._origin = f"{settings.cell}/{service}"
        self._holder = f"{socket.gethostname()}:{os.getpid()}"
        self._poll_seconds = float(os.environ.get("LETHE_RELAY_POLL_SECONDS", "0.25"))
        run = settings.path("run")
        run.mkdir(parents=True, exist_ok=True)
        self._tiles = settings.path("tiles", service)
        self._tiles.mkdir(parents=True, exist_ok=True)
        self._wakeup = Wakeup(run / f"relay-{service}.sock")
        self._state = StateFile(run / f"relay-{service}.json")
        self._signer = LogSigner(settings.path("root-keys", service), self._tiles, self._origin)
        CheckpointPusher(settings, service, self._signer.verifier)  # settings that can't be understood end the start
        self._stopping = False
        self._said = ("", 0.0)

    def stop(self, *_: int | FrameType | None) -> None:
        """Asks for a clean stop; also the handler of SIGTERM."""
        self._stopping = True
        self._wakeup.notify()

    def run(self) -> None:
        """Stands by and leads, by turns, until the stop."""
        publish_verifier(self._settings, self._service, self._signer)
        while not self._stopping:
            try:
                self._run_connected()
            except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
                self._stand_by(f"the database does not answer ({type(error).__name__})")
                self._wakeup.wait(STANDBY_SECONDS)
        self._state.write(RelayState("standby", "ended"))

    def _run_connected(self) -> None:
        database = RelayDatabase(self._settings.database_url(self._service, "relay"), self._holder)
        try:
            while not self._stopping:
                term = database.take_lease(self._signer.term())
                if term is None:
                    self._stand_by("another relay leads")
                    self._wakeup.wait(STANDBY_SECONDS)
                    continue
                try:
                    self._hold(database, term)
                except TermOver:
                    self._stand_by("another relay has taken over")
                finally:
                    self._wakeup.close_socket()
        finally:
            database.close()

    def _hold(self, database: RelayDatabase, term: int) -> None:
        """Leads for a term; where that is refused, waits with the lease in hand and tries again."""
        while not self._stopping:
            try:
                self._lead(database, term)
            except TermOver:
                raise
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                raise
            except (LetheError, OSError, psycopg2.Error) as error:
                self._wait_stopped(database, term, error)
        database.release_lease(term)

    def _lead(self, database: RelayDatabase, term: int) -> None:
        sequencer = Sequencer(database, self._tiles, self._signer, term)
        source = f"/{self._origin}"
        publisher = Publisher(self._settings.amqp_url, source, sequencer.published, self._wakeup.notify)
        pusher = CheckpointPusher(self._settings, self._service, self._signer.verifier)
        publisher.start()
        pusher.start()
        self._wakeup.listen()
        log.info("leading service=%s term=%d size=%d", self._service, term, sequencer.signed_size)
        try:
            renew_at = time.monotonic()
            while not self._stopping:
                started = time.monotonic()
                if started >= renew_at:
                    sequencer.renew()
                    renew_at = started + RENEW_SECONDS
                worked = sequencer.step()
                if time.monotonic() >= renew_at + LEASE_SECONDS - RENEW_SECONDS:
                    continue  # we were stopped, or that took too long: first see whether we lead still
                sequencer.feed(publisher)
                self._say_leading(sequencer, publisher, term)
                if not worked:
                    self._wakeup.wait(min(self._poll_seconds, renew_at - time.monotonic()))
                time.sleep(max(0.0, started + SHORTEST_STEP_SECONDS - time.monotonic()))
            self._drain(sequencer, publisher)
        finally:
            pusher.stop()
            publisher.stop()

    def _drain(self, sequencer: Sequencer, publisher: Publisher) -> None:
        """Waits a little for the confirms of what was sent, so that the next relay need not send it again."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while publisher.waiting and publisher.broker == "connected" and time.monotonic() < deadline:
            self._wakeup.wait(0.05)
        sequencer.note_confirmed(publisher)

    def _wait_stopped(self, database: RelayDatabase, term: int, error: Exception) -> None:
        reason = error.message if isinstance(error, LetheError) else type(error).__name__
        log.error("stopped service=%s term=%d reason=%s", self._service, term, reason)
        self._state.write(RelayState("stopped", reason, size=self._signed_size(), term=term))
        deadline = time.monotonic() + LOOK_AGAIN_SECONDS
        while not self._stopping and time.monotonic() < deadline:
            if database.renew_lease(term) is None:
                raise TermOver(term=term)
            self._wakeup.wait(RENEW_SECONDS)

    def _signed_size(self) -> int:
        try:
            return self._signer.published().size
        except (LetheError, OSError):
            return 0

    def _stand_by(self, reason: str) -> None:
        if self._said[0] != reason or time.monotonic() - self._said[1] > 60:
            log.info("standby service=%s reason=%s", self._service, reason)
            self._said = (reason, time.monotonic())
        self._state.write(RelayState("standby", reason))

    def _say_leading(self, sequencer: Sequencer, publisher: Publisher, term: int) -> None:
        self._said = ("", 0.0)
        self._state.write(
            RelayState("leading", "", sequencer.signed_size, sequencer.published, term, publisher.broker)
        )


def publish_verifier(settings: Settings, service: str, signer: LogSigner) -> None:
    """Puts the log's verifier key into `home/verifiers/log-<service>.vkey`. Raises `Tampered` if another one
    is there.
    """
    path = settings.path("verifiers", f"log-{service}.vkey")
    path.parent.mkdir(parents=True, exist_ok=True)
    octets = f"{signer.verifier}\n".encode()
    existing = read_if_there(path)
    if existing is None:
        replace(path, octets)
    elif existing != octets:
        raise Tampered("the published verifier key of this log is another one", file=path.name)


def main() -> None:
    """Runs the relay of the service named on the command line until SIGTERM or SIGINT."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("pika").setLevel(
        logging.CRITICAL
    )  # it logs what it is connected to; we say what matters ourselves
    sys.setswitchinterval(
        0.001
    )  # two threads: the sequencer, back from a sync, must not wait 5 ms for the publisher
    relay = Relay(Settings.load(), sys.argv[1])
    signal.signal(signal.SIGTERM, relay.stop)
    signal.signal(signal.SIGINT, relay.stop)
    relay.run()


if __name__ == "__main__":
    main()
