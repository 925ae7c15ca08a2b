"""Rows → answers about customers: their sessions, and all that they have. Opens what is sealed under living keys."""

from __future__ import annotations

from services.identity import session
from services.identity.app_handlers import list_own_app_grants
from services.identity.customer_credentials import open_for_customer
from services.identity.portal_commands import CustomerView, PortalSessionList, PortalSessionView, ShowCustomer
from services.identity.saved_search_handlers import list_saved_searches
from shared.personal import ERASED
from shared.work import Store


def list_own_sessions(store: Store, account_id: str, person_id: str) -> PortalSessionList:
    """The customer's sessions that are good, the newest first."""
    with store.work(account_id) as work:
        rows = work.fetch(
            "SELECT session_id, began_by, began_at, used_at, expires_at, source FROM portal_session"
            " WHERE account_id = %s AND person_id = %s AND expires_at > %s AND used_at > %s"
            " ORDER BY began_at DESC, session_id",
            (account_id, person_id, work.now, work.now - session.IDLE),
        )
        sources = open_for_customer(work, person_id, [(row[0], "source", row[5]) for row in rows])
    return PortalSessionList(
        sessions=[
            PortalSessionView(
                session_id=row[0], by=row[1], began_at=row[2], used_at=row[3], expires_at=row[4],
                source=ERASED if source is None else source.decode(),
            )
            for row, source in zip(rows, sources, strict=True)
        ]
    )  # fmt: skip


def show_customer(store: Store, account_id: str, query: ShowCustomer) -> CustomerView:
    """What a person has in the portal."""
    person_id = query.person_id
    with store.work(account_id) as work:
        row = work.fetch_one(
            "SELECT since, signed_in_at FROM customer WHERE account_id = %s AND person_id = %s", (account_id, person_id)
        )
    since, signed_in_at = row or (None, None)
    return CustomerView(
        since=since, signed_in_at=signed_in_at,
        sessions=list_own_sessions(store, account_id, person_id).sessions,
        saved_searches=list_saved_searches(store, account_id, person_id).searches,
        app_grants=list_own_app_grants(store, account_id, person_id).grants,
    )  # fmt: skip
