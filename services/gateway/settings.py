"""What a gateway's process is told: the home of the stack, and `LETHE_GATEWAY_…` in the environment. Read once at start.

Ports, certificate and key have places in the home where the local stack puts them; an operator names others. Anything that
can't be understood ends the start: a gateway that trusts the wrong proxies must not run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.gateway.client_address import Network, networks
from shared.settings import Settings

PREFIX: Final = "LETHE_GATEWAY_"
NAMES: Final = frozenset(
    (
        "HOST", "HTTPS_PORT", "HTTP_PORT", "TLS_CERTIFICATE", "TLS_KEY", "TRUSTED_PROXIES", "CORS_ORIGINS", "SIGN_UP",
        "SOURCE_RATE", "SOURCE_BURST", "CREDENTIAL_RATE", "CREDENTIAL_BURST", "DOOR_RATE", "DOOR_BURST", "SIGN_UPS_PER_HOUR",
        "MAIL_BYTES", "BODY_BYTES", "BODY_SECONDS", "HEAD_SECONDS", "LOGS", "LOG_TOKENS",
    )
)  # fmt: skip
"""Every setting there is: a misspelt one is an error."""


@dataclass(frozen=True, repr=False)
class GatewaySettings:
    """One gateway's settings. `repr` is left out since the broker's URL holds a password."""

    home: Path
    amqp_url: str
    host: str
    https_port: int
    http_port: int | None
    """Where plain HTTP is answered with the way to HTTPS; None: nowhere."""
    tls_certificate: Path
    tls_key: Path
    trusted_proxies: tuple[Network, ...]
    cors_origins: tuple[str, ...]
    sign_up_open: bool
    source_rate: float
    """Requests a second that one source may send for long, and at once (`…_burst`)."""
    source_burst: float
    credential_rate: float
    credential_burst: float
    door_rate: float
    """Requests a second that one source may send to what asks for no credential: logins, resets, links. Each of them costs a
    service far more than it costs the sender."""
    door_burst: float
    sign_ups_per_hour: float
    """Accounts that one source may open."""
    mail_bytes: int
    """The largest mail that is taken in; other bodies have a limit of their own (`bodies.py`)."""
    body_bytes: int
    """The most that all bodies together hold in this process; beyond it a request is told to come again. A mail is held a few
    times over on its way to its service."""
    body_seconds: float
    """Within this time a body has to be there, however long it is."""
    head_seconds: float
    """Within this time the head of a request has to be there, the TLS handshake included."""
    logs_public: bool = False
    """Whether anybody may read the event logs' tiles and checkpoints; else whoever shows one of the tokens."""
    log_tokens: frozenset[str] = frozenset()
    """SHA-256 of the tokens of those who may, in hexadecimal. None: nobody may."""

    @classmethod
    def load(cls, environment: Mapping[str, str] = os.environ) -> GatewaySettings:
        """Reads the settings. Raises `ValueError` for what it can't understand, `FileNotFoundError` where there is no stack."""
        given = {name.removeprefix(PREFIX): value for name, value in environment.items() if name.startswith(PREFIX)}
        unknown = given.keys() - NAMES
        if unknown:
            raise ValueError(f"there is no setting {PREFIX}{min(unknown)}")
        stack = Settings.load()
        http_port = given.get("HTTP_PORT", "")
        mail_bytes = int(_positive(given.get("MAIL_BYTES", str(60 << 20))))
        body_bytes = int(_positive(given.get("BODY_BYTES", str(128 << 20))))
        if body_bytes < mail_bytes:
            raise ValueError(f"{PREFIX}BODY_BYTES is no less than {PREFIX}MAIL_BYTES")
        return cls(
            home=stack.home,
            amqp_url=stack.amqp_url,
            host=given.get("HOST", "127.0.0.1"),
            https_port=_port(given.get("HTTPS_PORT", "8443")),
            http_port=_port(http_port) if http_port else None,
            tls_certificate=Path(given.get("TLS_CERTIFICATE") or stack.path("gateway", "tls.crt")),
            tls_key=Path(given.get("TLS_KEY") or stack.path("gateway", "tls.key")),
            trusted_proxies=networks(given.get("TRUSTED_PROXIES", "")),
            cors_origins=tuple(_origin(one.strip()) for one in given.get("CORS_ORIGINS", "").split(",") if one.strip()),
            sign_up_open=_switch(given.get("SIGN_UP", "closed")),
            source_rate=_positive(given.get("SOURCE_RATE", "100")),
            source_burst=_positive(given.get("SOURCE_BURST", "400")),
            credential_rate=_positive(given.get("CREDENTIAL_RATE", "50")),
            credential_burst=_positive(given.get("CREDENTIAL_BURST", "200")),
            door_rate=_positive(given.get("DOOR_RATE", "2")),
            door_burst=_positive(given.get("DOOR_BURST", "40")),
            sign_ups_per_hour=_positive(given.get("SIGN_UPS_PER_HOUR", "20")),
            mail_bytes=mail_bytes,
            body_bytes=body_bytes,
            body_seconds=_positive(given.get("BODY_SECONDS", "60")),
            head_seconds=_positive(given.get("HEAD_SECONDS", "10")),
            logs_public=_public(given.get("LOGS", "token")),
            log_tokens=frozenset(_digest(one.strip()) for one in given.get("LOG_TOKENS", "").split(",") if one.strip()),
        )


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise ValueError("a port is a number from 1 to 65535")
    return port


def _switch(text: str) -> bool:
    if text not in ("open", "closed"):
        raise ValueError(f"{PREFIX}SIGN_UP is open or closed")
    return text == "open"


def _public(text: str) -> bool:
    if text not in ("public", "token"):
        raise ValueError(f"{PREFIX}LOGS is public or token")
    return text == "public"


def _digest(text: str) -> str:
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        raise ValueError(f"{PREFIX}LOG_TOKENS has the SHA-256 of tokens in hexadecimal, never a token")
    return text


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError("a rate, a burst, a size and a time are numbers above 0")
    return number


def _origin(text: str) -> str:
    if not text.startswith("https://") or text == "https://*" or text.count("/") != 2:
        raise ValueError(f"{PREFIX}CORS_ORIGINS has origins as in https://desk.example.org, one by one")
    return text
