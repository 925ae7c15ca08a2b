"""The app: a program that acts for customers who let it (OAuth 2). Pure rules of what it may be answered at and ask for."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from services.identity.portal_events import GrantScope
from shared.errors import InvalidArgument

CODE_LIFE = timedelta(seconds=60)
ACCESS_PREFIX = "lethe_oauth_"
ACCESS_LIFE = timedelta(hours=1)
REFRESH_PREFIX = "lethe_refresh_"
REFRESH_LIFE = timedelta(days=30)
"""From the last use: an app that nobody uses loses its way in."""
APPS_AT_MOST = 200

_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")


@dataclass(frozen=True)
class App:
    """A registered app, opened."""

    app_id: str
    name: str
    redirect_uris: tuple[str, ...]


def stream_of(app_id: str) -> str:
    """The stream of an app's events."""
    return f"app/{app_id}"


def check_redirect_uri(text: str) -> None:
    """Whether a code may be sent there: over HTTPS, to a program on the same machine (RFC 8252 §7.3), or to a scheme that is a
    domain turned round (§7.1). Later it is compared to the letter. Raises `InvalidArgument`."""
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        raise _not_allowed() from None
    if not text.isascii() or any(character <= " " for character in text) or parts.fragment or "#" in text or parts.username:
        raise _not_allowed()
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and _is_loopback(host):
        return
    if _PRIVATE_SCHEME.fullmatch(parts.scheme) and not host and parts.path.startswith("/"):
        return
    raise _not_allowed()


def granted_scope(asked: str | None) -> GrantScope | None:
    """What is granted for a scope as OAuth 2 writes it: "write" holds "read"; without one, "read". None for any other."""
    names = set((asked or "read").split())
    if not names or names - {"read", "write"}:
        return None
    return "write" if "write" in names else "read"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _not_allowed() -> InvalidArgument:
    return InvalidArgument(
        field="redirect_uris", rule="https://…, http:// to a loopback address, or a private scheme as in org.example.app:/…"
    )
