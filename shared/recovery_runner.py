"""One step of a recovery in one service, in a process of its own: `python -m shared.recovery_runner SERVICE places|cuts|holds`.

`places` gives the log its rows back, reloads keys, and empties the service's queues: what waits there is of a time that the
database does not know, and what matters of it is published again. `cuts` repeats the cuts. `holds` has erasure end holds, which
come by stdin. Writes what it did to stdout, as JSON; ends with 1 and a line of JSON (code, message) where it can't be done.
`recovery.py` says why in this order.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import amqp
import msgspec
import psycopg2

from shared import put_back
from shared.broker_url import connection_parameters
from shared.bus import queue_name, reactions_of
from shared.errors import LetheError, Unavailable, to_wire
from shared.recovery import HOLDS, PLACES, Recovered, ReleasedHold, repeat_cuts
from shared.recovery_keys import reload_keys
from shared.recovery_log import give_back_places, tell_lost
from shared.service import CellService, Service
from shared.service_classes import service_class
from shared.settings import Settings
from shared.transport import register_serializer

RELAY_PATIENCE_SECONDS: Final = 120.0


def run(service: str, step: str, settings: Settings, holds: Sequence[ReleasedHold] = ()) -> Recovered:
    """Runs a step. `holds` are those that erasure is to end in the last one."""
    kind = service_class(service)
    if step == PLACES:
        give_back_places(settings, service)
        keys = reload_keys(settings, service)
        empty_queues(settings.amqp_url, [queue_name(service, type_) for type_ in reactions_of(kind)])
        return Recovered(service=service, keys_reloaded=keys)
    running = _with_resources(kind)
    deadline = time.monotonic() + RELAY_PATIENCE_SECONDS
    while True:
        try:
            return end_holds(running, holds) if step == HOLDS else repeat(running)
        except Unavailable:  # the relay publishes a day's events first, and the end of an account waits for it
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def repeat(service: CellService) -> Recovered:
    """Tells what is lost, and repeats the cuts of a service that holds what belongs to accounts."""
    _, cause = tell_lost(service.store)
    return repeat_cuts(service.store, service, cause) if isinstance(service, Service) else Recovered(service=service.name)


def end_holds(service: CellService, holds: Sequence[ReleasedHold]) -> Recovered:
    """Has erasure end the holds that other services noted as ended, since somebody they had kept was cut."""
    if isinstance(service, Service):
        for hold in holds:
            service.end_hold_again(hold.account_id, hold.hold_id)
    return Recovered(service=service.name)


def empty_queues(amqp_url: str, queues: list[str]) -> None:
    """Empties queues that are there."""
    with amqp.Connection(**connection_parameters(amqp_url)) as connection:
        channel = connection.channel()
        for queue in queues:
            channel.queue_purge(queue)


def _with_resources(kind: Any) -> CellService:
    register_serializer()
    kind.runtime.setup()
    running: CellService = kind()
    running.runtime = kind.runtime.resources
    return running


def main(arguments: list[str]) -> int:
    """The command line; holds come by stdin. Returns the exit status."""
    logging.disable(logging.WARNING)
    os.environ[put_back.RECOVERING] = "1"
    service, step = arguments
    try:
        holds = msgspec.json.decode(sys.stdin.read() or "[]", type=list[ReleasedHold])
        sys.stdout.write(msgspec.json.encode(run(service, step, Settings.load(), holds)).decode() + "\n")
        return 0
    except LetheError as error:
        return _say(error)
    except (psycopg2.Error, amqp.AMQPError, OSError) as error:
        return _say(Unavailable(f"a server or a file can't be reached: {type(error).__name__}"))


def _say(error: LetheError) -> int:
    sys.stdout.write(msgspec.json.encode(to_wire(error)).decode() + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
