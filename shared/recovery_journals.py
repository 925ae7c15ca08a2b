"""The cut journals of a home, as a recovery obeys them: verified, or not at all."""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared.cut_journal import Cut, read
from shared.settings import ACCOUNT_SERVICES, Settings


def journal_of(settings: Settings, service: str) -> list[Cut]:
    """The entries of a service's journal. Raises `Tampered` where it is not as it was signed: a journal that somebody changed
    decides nothing."""
    path = settings.path("tiles", service) / "cut-journal.jsonl"
    if not path.exists():
        return []
    octets = base64.b64decode(settings.path("verifiers", f"journal-{service}.key").read_text("utf-8"))
    return read(path, Ed25519PublicKey.from_public_bytes(octets))


def journals_of(settings: Settings) -> dict[str, list[Cut]]:
    """Of all services: a request, or an account's end, that was under way when the databases were lost was carried out by
    some of them, and nobody would tell the others any more."""
    return {service: journal_of(settings, service) for service in ACCOUNT_SERVICES}
