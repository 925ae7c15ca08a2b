"""One step of a recovery in one service, in a process of its own: `python -m shared.recovery_runner SERVICE places|cuts`.

`places` gives the log its rows back, reloads keys, and empties the service's queues: what waits there is of a time that the
database does not know, and what matters of it is published again. `cuts` repeats the cuts. Writes what it did to stdout, as
JSON; ends with 1 and a line of JSON (code, message) where it can't be done. `recovery.py` says why in this order.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import amqp
import msgspec

from shared import put_back, recovery
from shared.broker_url import connection_parameters
from shared.bus import queue_name, reactions_of
from shared.errors import LetheError
from shared.recovery import PLACES, Recovered
from shared.service import CellService, Service
from shared.service_classes import service_class
from shared.settings import Settings
from shared.transport import register_serializer


def run(service: str, step: str, settings: Settings) -> Recovered:
    """Runs a step."""
    kind = service_class(service)
    if step == PLACES:
        put_back.begin(settings, service)
        recovery.give_back_places(settings, service)
        keys = recovery.reload_keys(settings, service)
        empty_queues(settings.amqp_url, [queue_name(service, type_) for type_ in reactions_of(kind)])
        return Recovered(service=service, keys_reloaded=keys, persons=0, items=0, accounts=0)
    running = _with_resources(kind)
    _, cause = recovery.tell_lost(running.store)
    persons, items, accounts = repeat(running, cause)
    return Recovered(service=service, keys_reloaded=0, persons=persons, items=items, accounts=accounts)


def repeat(service: CellService, cause: str | None) -> tuple[int, int, int]:
    """Repeats the cuts of a service that holds what belongs to accounts; how many persons, items and accounts."""
    if not isinstance(service, Service):
        return 0, 0, 0
    return recovery.repeat_cuts(service.store, service, cause)


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
    """The command line. Returns the exit status."""
    logging.disable(logging.WARNING)
    os.environ[put_back.RECOVERING] = "1"
    service, step = arguments
    try:
        done = run(service, step, Settings.load())
    except LetheError as error:
        answer = msgspec.json.encode({"code": error.code, "message": error.message, "details": error.details})
        sys.stdout.write(answer.decode() + "\n")
        return 1
    sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
