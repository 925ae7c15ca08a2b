"""The cut journals of a home, as a recovery obeys them: verified, or not at all."""

from __future__ import annotations

from shared.cut_journal import Cut, journal_path, public_key, read
from shared.settings import ACCOUNT_SERVICES, Settings


def journal_of(settings: Settings, service: str) -> list[Cut]:
    """The entries of a service's journal. Raises `Tampered` where it is not as it was signed: a journal that somebody changed
    decides nothing."""
    path = journal_path(settings.path("tiles", service))
    if not path.exists():
        return []
    return read(path, public_key(settings.path("verifiers", f"journal-{service}.key")))


def journals_of(settings: Settings) -> dict[str, list[Cut]]:
    """Of all services: a request, or an account's end, that was under way when the databases were lost was carried out by
    some of them, and nobody would tell the others any more."""
    return {service: journal_of(settings, service) for service in ACCOUNT_SERVICES}
