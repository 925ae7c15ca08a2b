"""Whether a database was put back from a copy: then nothing answers until what was cut since is cut again (`recovery.py`).

A relay commits an event's place before its leaf is signed, so a database is never behind the signed log, unless it was put
back. That is looked at when a service starts, and at each connection that it makes: a server that is put back under a running
service ends its connections. Reads files and one number; knows nothing of accounts.
"""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2

from shared.cut_journal import journal_path
from shared.durable_files import replace
from shared.errors import Tampered, Unavailable
from shared.log_signer import LogSigner
from shared.settings import Settings

RECOVERING = "LETHE_RECOVERING"
"""In the environment of what works on such a database: a recovery, and the services that it needs before it has ended."""
LOST_PLACES = "lost.json"
"""Beside a log's tiles: all places that were ever lost (`recovery_log.py`)."""
_TAIL_BYTES = 65_536
_LAST_CUTS = 50
_IS_GONE = "SELECT EXISTS (SELECT 1 FROM lethe.account_state WHERE account_id = %s AND state = 'gone')"
_KNOWN = {
    "person": "SELECT 1 FROM keys.person WHERE account_id = %(account)s AND person_id = %(subject)s AND cut_at IS NOT NULL",
    "item": "SELECT 1 FROM keys.cut_item WHERE account_id = %(account)s AND item_id = %(subject)s UNION ALL SELECT 1"
    " FROM lethe.event WHERE account_id = %(account)s AND stream = 'recut/' || %(subject)s",
    "account": "SELECT 1 WHERE false",  # it is gone, or it is not known
}
_SIZE = "SELECT COALESCE(max(index), -1) + 1 FROM lethe.log"


class PutBack(Unavailable):
    """The service's database is older than its signed log: nothing answers until what was cut since is cut again."""

    default = "the database is older than the signed log, or its recovery has not ended: lethe recover"


def refuse_if_put_back(settings: Settings, service: str, connection: Any) -> None:
    """Raises `PutBack`. `connection` is in autocommit."""
    if os.environ.get(RECOVERING):
        return
    signed = _signed_size(settings, service)  # first: a place that is given meanwhile makes the database no older
    if _size_in(connection) < signed or _marker(settings, service).exists():
        raise PutBack()


def needs_recovery(settings: Settings, service: str) -> bool:
    """Whether a service's database is behind its signed log, or a recovery of it has begun and not ended. Raises `Unavailable`
    where it can't be asked."""
    if _marker(settings, service).exists():
        return True
    signed = _signed_size(settings, service)
    try:
        with closing(psycopg2.connect(settings.database_url(service, "service"), connect_timeout=5)) as connection:
            return _size_in(connection) < signed or not _knows_last_cuts(connection.cursor(), settings, service)
    except psycopg2.OperationalError as error:
        raise Unavailable("the database can't be reached", service=service) from error


def is_empty(settings: Settings, service: str) -> bool:
    """Whether a service's database has nothing in its log, although something was signed: was its copy forgotten?"""
    with closing(psycopg2.connect(settings.database_url(service, "service"), connect_timeout=5)) as connection:
        return not _size_in(connection) and _signed_size(settings, service) > 0


def begin(settings: Settings, service: str, size: int) -> int:
    """Keeps the service from answering until `finish`. `size` is how many places the database has: what the first call says is
    kept, and returned."""
    marker = _marker(settings, service)
    if not marker.exists():
        marker.parent.mkdir(parents=True, exist_ok=True)
        replace(marker, json.dumps({"size": size}).encode())
    return size_of_copy(settings, service)


def size_of_copy(settings: Settings, service: str) -> int:
    """How many places the database had when its recovery began; -1 where that is not known."""
    try:
        return int(json.loads(_marker(settings, service).read_bytes())["size"])
    except FileNotFoundError:
        return -1


def finish(settings: Settings, service: str) -> None:
    """Lets the service answer. Called when its log has been verified."""
    _marker(settings, service).unlink(missing_ok=True)


def signer_of(settings: Settings, service: str) -> LogSigner:
    """What signs the service's log."""
    return LogSigner(settings.path("root-keys", service), settings.path("tiles", service), f"{settings.cell}/{service}")


def _size_in(connection: Any) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_SIZE)
        (size,) = cursor.fetchone()
        return int(size)


def _knows_last_cuts(cursor: Any, settings: Settings, service: str) -> bool:
    """Whether the database knows the last entries of the cut journal: one that was committed and journalled, and was not in the
    signed log yet when the database was lost, shows nowhere else. The journal's signatures are the recovery's business."""
    try:
        with journal_path(settings.path("tiles", service)).open("rb") as journal:
            journal.seek(max(0, journal.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = journal.read().split(b"\n")[1 if journal.tell() > _TAIL_BYTES else 0 : -1]
    except FileNotFoundError:
        return True
    cuts = [json.loads(line)["cut"] for line in lines]
    for cut in [one for one in cuts if one["kind"] in _KNOWN][-_LAST_CUTS:]:
        cursor.execute("SELECT set_config('lethe.account', %s, true)", (cut["account"],))
        cursor.execute(_IS_GONE, (cut["account"],))
        (is_gone,) = cursor.fetchone()
        if is_gone:
            continue
        cursor.execute(_KNOWN[cut["kind"]], {"account": cut["account"], "subject": cut["subject"]})
        if cursor.fetchone() is None:
            return False
    return True


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
