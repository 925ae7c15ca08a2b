"""An AMQP URL as the arguments of a py-amqp connection. Pure; connects to nothing. Never log its result: it
has the password.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import unquote, urlsplit

HEARTBEAT_SECONDS: Final = 10
CONNECT_TIMEOUT_SECONDS: Final = 5.0


def connection_parameters(amqp_url: str) -> dict[str, Any]:
    """What py-amqp wants to know of an AMQP URL (`amqp://user:password@host:port/vhost`; no path is the vhost
    `/`).
    """
    parts = urlsplit(amqp_url)
    tls = parts.scheme == "amqps"
    return {
        "host": f"{parts.hostname or '127.0.0.1'}:{parts.port or (5671 if tls else 5672)}",
        "userid": unquote(parts.username or "guest"),
        "password": unquote(parts.password or "guest"),
        "virtual_host": unquote(parts.path[1:]) or "/",
        "login_method": "PLAIN",
        "ssl": tls,
        "heartbeat": HEARTBEAT_SECONDS,
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    }
