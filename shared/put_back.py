"""Whether a database was put back from a copy: then nothing answers until what was cut since is cut again (`recovery.py`).

A relay commits an event's place before its leaf is signed, so a database is never behind the signed log, unless it was put
back. That is looked at when a service starts, and at each connection that it makes: a server that is put back under a running
service ends its connections. Reads files and one number; knows nothing of accounts.
"""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2

from shared.errors import Tampered, Unavailable
from shared.log_signer import LogSigner
from shared.root_keys import sync_folder
from shared.settings import Settings

RECOVERING = "LETHE_RECOVERING"
"""In the environment of what works on such a database: a recovery, and the services that it needs before it has ended."""
_SIZE = "SELECT COALESCE(max(index), -1) + 1 FROM lethe.log"


class PutBack(Unavailable):
    """The service's database is older than its signed log: nothing answers until what was cut since is cut again."""

    default = "the database is older than the signed log, or its recovery has not ended: lethe recover"


def refuse_if_put_back(settings: Settings, service: str, connection: Any) -> None:
    """Raises `PutBack`. `connection` is in autocommit."""
    if os.environ.get(RECOVERING):
        return
    signed = _signed_size(settings, service)  # first: a place that is given meanwhile makes the database no older
    cursor = connection.cursor()
    cursor.execute(_SIZE)
    (size,) = cursor.fetchone() or (0,)
    if size < signed or _marker(settings, service).exists():
        raise PutBack()


def needs_recovery(settings: Settings, service: str) -> bool:
    """Whether a service's database is behind its signed log, or a recovery of it has begun and not ended. Raises `Unavailable`
    where it can't be asked."""
    if _marker(settings, service).exists():
        return True
    signed = _signed_size(settings, service)
    try:
        with closing(psycopg2.connect(settings.database_url(service, "service"), connect_timeout=5)) as connection:
            cursor = connection.cursor()
            cursor.execute(_SIZE)
            (size,) = cursor.fetchone() or (0,)
            return bool(size < signed)
    except psycopg2.OperationalError as error:
        raise Unavailable("the database can't be reached", service=service) from error


def begin(settings: Settings, service: str) -> None:
    """Keeps the service from answering until `finish`."""
    marker = _marker(settings, service)
    marker.touch()
    sync_folder(marker.parent)


def finish(settings: Settings, service: str) -> None:
    """Lets the service answer. Called when its log has been verified."""
    _marker(settings, service).unlink(missing_ok=True)


def signer_of(settings: Settings, service: str) -> LogSigner:
    """What signs the service's log."""
    return LogSigner(settings.path("root-keys", service), settings.path("tiles", service), f"{settings.cell}/{service}")


def _marker(settings: Settings, service: str) -> Path:
    return settings.path("tiles", service) / "recovering"


def _signed_size(settings: Settings, service: str) -> int:
    """0 where nothing was signed; also where what is published is not what was signed: the relay stops then, and the watch
    says so, and the service need not."""
    published = settings.path("tiles", service) / "checkpoint"
    if not published.exists() and not settings.path("root-keys", service, "log-signer.json").exists():
        return 0
    try:
        return signer_of(settings, service).record().size
    except Tampered:
        return 0
