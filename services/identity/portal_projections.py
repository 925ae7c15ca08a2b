"""Events of the portal → rows of identity: a part of `projections.py`, under the same rule. Opens nothing."""

from __future__ import annotations

from collections.abc import Iterator

from services.identity.portal_events import (
    AppGranted,
    AppGrantEnded,
    AppRegistered,
    AppRemoved,
    PortalSignedIn,
    SavedSearchAdded,
    SavedSearchRemoved,
)
from shared.events import Recorded
from shared.work import Statement

PERSONS_TABLES = ("customer", "saved_search", "app_grant")
"""The tables with rows of customers; whose person is erased has none."""


def project_portal(recorded: Recorded) -> Iterator[Statement]:
    """The statements that bring the rows of customers and apps up to an event."""
    envelope, event = recorded.envelope, recorded.event
    account = envelope.account
    match event:
        case PortalSignedIn():
            yield Statement(
                "INSERT INTO customer (account_id, person_id, since, signed_in_at) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (account_id, person_id) DO UPDATE SET signed_in_at = EXCLUDED.signed_in_at",
                (account, event.person_id, envelope.time, envelope.time),
            )
        case SavedSearchAdded():
            yield Statement(
                "INSERT INTO saved_search (account_id, search_id, person_id, added_at, name, words, event_id)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s)",
                (
                    account, event.search_id, event.person_id, envelope.time, recorded.sealed["name"],
                    recorded.sealed["words"], envelope.event,
                ),
            )  # fmt: skip
        case SavedSearchRemoved():
            yield Statement("DELETE FROM saved_search WHERE account_id = %s AND search_id = %s", (account, event.search_id))
        case AppRegistered():
            yield Statement(
                "INSERT INTO app (account_id, app_id, added_at, name, redirect_uris, event_id) VALUES (%s, %s, %s, %s, %s, %s)",
                (
                    account, event.app_id, envelope.time, recorded.sealed["name"], recorded.sealed["redirect_uris"],
                    envelope.event,
                ),
            )  # fmt: skip
        case AppRemoved():
            for table in ("app_grant", "app"):
                yield Statement(f"DELETE FROM {table} WHERE account_id = %s AND app_id = %s", (account, event.app_id))
        case AppGranted():
            yield Statement(
                "INSERT INTO app_grant (account_id, grant_id, app_id, person_id, scope, granted_at)"
                " VALUES (%s, %s, %s, %s, %s, %s)",
                (account, event.grant_id, event.app_id, event.person_id, event.scope, envelope.time),
            )
        case AppGrantEnded():
            yield Statement("DELETE FROM app_grant WHERE account_id = %s AND grant_id = %s", (account, event.grant_id))
        case _:
            pass
