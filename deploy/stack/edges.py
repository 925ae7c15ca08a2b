"""The processes that speak with the world outside: how one is started, where it listens, whether it answers.

Each has two ports, one for HTTPS and one that only leads there, and settings in its environment (`LETHE_GATEWAY_…`).
"""

from __future__ import annotations

import http.client
import os
import ssl
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from deploy.stack import certificate
from deploy.stack.processes import CHECKOUT, EDGE, Program, base_environment
from shared.settings import EDGES

ANSWER_SECONDS = 2.0
FIRST = f"{EDGES[0]}-0"
"""The one whose address stands in the mails of a local stack."""


def is_edge(name: str) -> bool:
    """Whether this is the name of one process of an edge, as in "gateway-0"."""
    edge, _, replica = name.rpartition("-")
    return edge in EDGES and replica.isdecimal()


def port_names(name: str) -> tuple[str, str]:
    """Under which names its ports are kept: that of HTTPS, and the plain one."""
    return name, f"{name}-plain"


def program(home: Path, name: str, ports: dict[str, int]) -> Program:
    """What to run. The local stack lets anybody sign up, unless the environment says otherwise."""
    edge, _, replica = name.rpartition("-")
    https, plain = port_names(name)
    settings = {
        "LETHE_GATEWAY_SIGN_UP": os.environ.get("LETHE_GATEWAY_SIGN_UP", "open"),
        "LETHE_GATEWAY_HTTPS_PORT": str(ports[https]),
        "LETHE_GATEWAY_HTTP_PORT": str(ports[plain]),
    }
    arguments = [sys.executable, "-m", f"services.{edge}.main", replica]
    return Program(name, arguments, base_environment(home) | settings, str(CHECKOUT), layer=EDGE)


def url_of(port: int) -> str:
    """Where an edge is reached on this machine."""
    return f"https://127.0.0.1:{port}"


def answers(home: Path, port: int) -> bool:
    """Whether an edge answers at this port."""
    return asked(home, port, "/v1/health/live") == 200


def asked(home: Path, port: int, path: str) -> int | None:
    """The status that an edge answers with, behind the certificate that it should have; None where there is no such answer."""
    try:
        context = ssl.create_default_context(cafile=str(trusted(home)))
        with closing(http.client.HTTPSConnection("127.0.0.1", port, timeout=ANSWER_SECONDS, context=context)) as connection:
            connection.request("GET", path)
            return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None


def trusted(home: Path) -> Path:
    """The certificate that a client of this stack trusts."""
    return Path(os.environ.get("LETHE_GATEWAY_TLS_CERTIFICATE") or certificate.place(home)[0])


def view(home: Path, names: list[str], ports: dict[str, int]) -> dict[str, Any] | None:
    """What `status` says of the edges that run; None where there is none."""
    urls = [url_of(ports[name]) for name in sorted(names) if name in ports]
    return {"url": urls[0], "urls": urls, "certificate": str(trusted(home))} if urls else None
