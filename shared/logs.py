"""Logs that can't hold personal data: JSON lines on stderr, made of what is on a list of safe fields and
nothing else.

Our own records come through structlog: an event (a constant text) and fields, of which only those in
`SAFE_FIELDS` pass, and only if their value looks like an id, a name of ours or a number. Of foreign loggers
(nameko, kombu, amqp, sqlalchemy …) only the logger's name, the level and the exception's type pass: their
messages and arguments hold bodies and values. Of an exception its type and the places in the code, never its
text.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from types import TracebackType
from typing import Any, Final

import msgspec
import structlog

from shared import clock
from shared.errors import LetheError

SAFE_FIELDS: Final = frozenset(
    (
        "account", "actor_kind", "attempt", "attempts", "bytes", "cell", "code", "count", "cpu_ms",
        "delay_seconds", "delivery_count", "duration_ms", "epoch", "event_id", "event_type", "events",
        "exit_status", "file", "holder", "index", "indices", "kind", "level", "logger", "mail_id", "method",
        "origin", "pid", "port", "prefetch", "queue", "reaction", "reason", "replica", "role", "root_hash", "rows",
        "seconds", "sequence", "service", "signal", "size", "sqlstate", "state", "step", "stream", "term",
        "version", "where", "workers",
    )
)  # fmt: skip
"""The fields that a log line may have. Add one only if no value of it can come from a person."""

_SAFE_TEXT = re.compile(r"[A-Za-z0-9_.:/+, ()'-]{0,200}")
_SAFE_EVENT = re.compile(r"[A-Za-z0-9_.:/, ()';-]{0,120}")
WITHHELD: Final = "[withheld]"
_FRAMES = 6

_encoder = msgspec.json.Encoder()
_place = {"service": "", "replica": ""}


def get_logger(name: str) -> Any:
    """A logger of ours: `log.info("constant text", method=…, code=…)`; `error=` takes an exception."""
    return structlog.get_logger(logger_name=name)  # the name `logger` is structlog's own


def configure(service: str, replica: str = "0", level: int = logging.INFO) -> None:
    """Sets up this process: our loggers, all foreign ones, warnings, and what would print a traceback."""
    _place.update(service=service, replica=replica)
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, _only_safe, _to_line],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_ForeignFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.INFO))
    logging.raiseExceptions = False  # logging's own complaints print arguments
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda arguments: _log_uncaught(
        arguments.exc_type, arguments.exc_value or arguments.exc_type(), arguments.exc_traceback
    )
    sys.unraisablehook = lambda arguments: _log_uncaught(
        arguments.exc_type, arguments.exc_value or arguments.exc_type(), arguments.exc_traceback
    )


def describe_error(error: BaseException) -> dict[str, str]:
    """What may be said of an exception: its type, its code if it is ours, and where it came from in the
    code.
    """
    said = {"error": type(error).__name__, "where": _places(error.__traceback__)}
    if isinstance(error, LetheError):
        said["code"] = error.code
    if error.__cause__ is not None:
        said["cause"] = type(error.__cause__).__name__
    return said


def _places(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)[-_FRAMES:]
    return " ".join(f"{'/'.join(frame.filename.split('/')[-2:])}:{frame.lineno}" for frame in frames)


def _safe_value(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str) and _SAFE_TEXT.fullmatch(value):
        return value
    return WITHHELD


def _line(level: str, event: str, fields: dict[str, Any]) -> str:
    return _encoder.encode({"time": clock.now(), **_place, "level": level, "event": event, **fields}).decode()


def _only_safe(_logger: Any, _method: str, record: structlog.typing.EventDict) -> structlog.typing.EventDict:
    event = record.pop("event", "")
    level = record.pop("level", "info")
    error = record.pop("error", None) or record.pop("exc_info", None)
    record["logger"] = record.pop("logger_name", None)
    safe = {name: _safe_value(value) for name, value in record.items() if name in SAFE_FIELDS}
    if isinstance(error, bool):
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        safe |= describe_error(error)
    said = event if isinstance(event, str) and _SAFE_EVENT.fullmatch(event) else WITHHELD
    return {"level": level, "event": said, "fields": safe}


def _to_line(_logger: Any, _method: str, record: structlog.typing.EventDict) -> str:
    return _line(record["level"], record["event"], record["fields"])


class _ForeignFormatter(logging.Formatter):
    """Replaces the message of a foreign record by what is safe of it."""

    def format(self, record: logging.LogRecord) -> str:
        name = record.name if _SAFE_TEXT.fullmatch(record.name) else WITHHELD
        fields: dict[str, Any] = {"logger": name, "where": f"{record.module}:{record.lineno}"}
        if record.exc_info and isinstance(record.exc_info[1], BaseException):
            fields |= describe_error(record.exc_info[1])
        return _line(record.levelname.lower(), "record of another library", fields)


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    sys.stderr.write(_line("critical", "uncaught", describe_error(error)) + "\n")
