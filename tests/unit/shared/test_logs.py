"""Nothing personal gets into a log line, whoever writes it. Each test runs its lines in a process of their
own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

SECRET = "anna@example.com"
BEGIN = f"""
import logging, threading, warnings
from shared import logs
from shared.errors import Conflict
SECRET = "{SECRET}"
logs.configure("tickets", "1")
log = logs.get_logger("lethe.rpc")
"""


def logged(code: str) -> list[dict[str, Any]]:
    """What a process that runs this code wrote to stderr, line by line."""
    run = subprocess.run([sys.executable, "-c", BEGIN + code], capture_output=True, text=True, timeout=30)
    assert "anna" not in run.stderr
    return [json.loads(line) for line in run.stderr.splitlines()]


def test_safe_fields_pass() -> None:
    """Our own line has the time, the place, the level, the event and the fields that are on the list."""
    (line,) = logged("log.info('call', method='tickets.open_ticket', duration_ms=1.5, code='ok')")
    assert line.pop("time").endswith("Z")
    assert {
        "service": "tickets", "replica": "1", "level": "info", "event": "call", "logger": "lethe.rpc",
        "method": "tickets.open_ticket", "duration_ms": 1.5, "code": "ok",
    } == line  # fmt: skip


def test_other_fields_and_values_do_not() -> None:
    """A field that is not on the list is left out; a value, or an event, that does not look like ours is
    withheld.
    """
    first, second = logged("""
log.info("call", address=SECRET, method=SECRET, code={"name": SECRET})
log.warning(f"mail from {SECRET}")
""")
    assert ("address" not in first, "[withheld]", "[withheld]") == (True, first["method"], first["code"])
    assert "[withheld]" == second["event"]


def test_an_exception_leaves_type_and_place_only() -> None:
    """Of an exception the type, our code and the places in the code are logged, never its text."""
    (line,) = logged("""
try:
    try:
        raise KeyError(SECRET)
    except KeyError as cause:
        raise Conflict(f"about {SECRET}") from cause
except Conflict as error:
    log.error("call failed", error=error)
""")
    assert ("Conflict", "conflict", "KeyError") == (line["error"], line["code"], line["cause"])
    assert line["where"].startswith("<string>:")


def test_foreign_records_lose_their_message() -> None:
    """Of a record of another library only the logger, the level and the exception's type are left."""
    first, second, third = logged("""
logging.getLogger("nameko.containers").warning("error handling %s", SECRET)
try:
    raise ValueError(SECRET)
except ValueError:
    logging.getLogger("kombu.mixins").exception("body: %r", SECRET)
warnings.warn(SECRET)
""")
    assert ("nameko.containers", "warning") == (first["logger"], first["level"])
    assert ("kombu.mixins", "ValueError") == (second["logger"], second["error"])
    assert "py.warnings" == third["logger"]


def test_uncaught_exceptions_print_no_values() -> None:
    """An exception that nobody caught, in the main thread or another, is one line without its text."""
    lines = logged("""
def fail(): raise ValueError(SECRET)
thread = threading.Thread(target=fail); thread.start(); thread.join()
fail()
""")
    assert ["ValueError", "ValueError"] == [line["error"] for line in lines]
