"""Runs one service in one process: `python -m shared.service_runner <service> [replica]`.

Finds the service's class, starts nameko's container for it, and ends it gracefully on SIGTERM or SIGINT: it
stops taking messages, finishes those it has begun, and leaves. `home/run/service-<service>-<replica>.ready`
is there while it consumes. Nothing is imported before eventlet has made the standard library cooperative, so
import this module from nowhere else.
"""

from __future__ import annotations

import os

# Names are resolved by the system's resolver. Eventlet's own would let others go on meanwhile; but a process resolves when it
# connects, and without its broker or its database it has nothing to go on with (libpq waits in any case). It costs each process
# a quarter of its start and 9 MB.
os.environ.setdefault("EVENTLET_NO_GREENDNS", "yes")

import eventlet

eventlet.monkey_patch()

import signal  # noqa: E402
import sys  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any, Final  # noqa: E402

import eventlet.debug  # noqa: E402
import eventlet.tpool  # noqa: E402
import nameko  # noqa: E402
from nameko.containers import ServiceContainer  # noqa: E402

from shared import core_dumps, heavy_work, logs  # noqa: E402
from shared.errors import Unavailable  # noqa: E402
from shared.message_consumer import DRAIN_LIMIT_SECONDS, HEARTBEAT_SECONDS  # noqa: E402
from shared.put_back import RECOVERING, PutBack, needs_recovery  # noqa: E402
from shared.service_classes import service_class  # noqa: E402
from shared.settings import SERVICES, Settings  # noqa: E402
from shared.transport import SERIALIZER, register_serializer  # noqa: E402

MAX_WORKERS: Final = 10
"""Handlers that run at once in one process; the database pool must be as large."""
STOP_LIMIT_SECONDS: Final = DRAIN_LIMIT_SECONDS + 5.0
"""After this long a stop is forced: what is not acknowledged goes back to the broker."""

DATABASE_PATIENCE_SECONDS: Final = 300.0
"""For so long a service that starts waits for its database; then it ends, to be started again."""

log = logs.get_logger("lethe.service")


def run(kind: type, settings: Settings, service: str, replica: str) -> None:
    """Runs a service until it is told to stop. Raises what made the container die, if it did."""
    register_serializer()
    heavy_work.run_in_threads(eventlet.tpool.execute)
    nameko.config.setup(
        {
            "AMQP_URI": settings.amqp_url,
            "HEARTBEAT": HEARTBEAT_SECONDS,
            "max_workers": MAX_WORKERS,
            "serializer": SERIALIZER,
            "ACCEPT": [SERIALIZER],
        }
    )
    container = ServiceContainer(kind)
    ready = settings.path("run", f"service-{service}-{replica}.ready")
    _stop_on_signals(container)
    try:
        container.start()
        ready.parent.mkdir(parents=True, exist_ok=True)
        ready.write_text(f"{os.getpid()}\n")
        log.info("ready", pid=os.getpid())
        _wait(container)
    finally:
        ready.unlink(missing_ok=True)
    log.info("stopped")


def _stop_on_signals(container: Any) -> None:
    stopping: list[Any] = []

    def stop(number: int, _frame: Any) -> None:
        if stopping:
            return
        # a signal's handler runs in the hub and may not wait, so a green thread does the stopping
        stopping.append(eventlet.spawn(container.stop))
        eventlet.spawn_after(STOP_LIMIT_SECONDS, _force)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)


def _force() -> None:
    log.error("stop took too long")
    os._exit(1)


def _wait(container: Any) -> None:
    """Waits in a green thread of its own: a signal would break a wait of the main one (EINTR)."""
    waiting = eventlet.spawn(container.wait)
    while True:
        try:
            waiting.wait()
            return
        except InterruptedError:
            continue


def main(arguments: list[str]) -> int:
    """The command line. Returns the exit status."""
    if not 1 <= len(arguments) <= 2:
        sys.stderr.write("usage: python -m shared.service_runner <service> [replica]\n")
        return 2
    service, replica = arguments[0], (arguments[1] if len(arguments) == 2 else "0")
    return serve(service, replica, lambda: service_class(service))


def serve(service: str, replica: str, find_class: Callable[[], type]) -> int:
    """Makes this process the service's: no core dumps, safe logs, then runs it. Returns the exit status."""
    core_dumps.switch_off()
    logs.configure(service, replica)
    eventlet.debug.hub_exceptions(False)  # the hub would print tracebacks
    try:
        settings = Settings.load()
        if service in SERVICES and not os.environ.get(RECOVERING):
            _refuse_if_put_back(settings, service)
        run(find_class(), settings, service, replica)
    except PutBack as error:
        log.critical(error.message)
        return os.EX_CONFIG  # nothing but somebody's `lethe recover` helps: a supervisor need not hurry to start it again
    except Exception as error:
        log.critical("service died", error=error)
        return 1
    return 0


def _refuse_if_put_back(settings: Settings, service: str) -> None:
    """Raises `PutBack` where the database is behind the signed log. One that is away is waited for."""
    deadline = time.monotonic() + DATABASE_PATIENCE_SECONDS
    while True:
        try:
            if needs_recovery(settings, service):
                raise PutBack()
            return
        except PutBack:
            raise
        except Unavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
