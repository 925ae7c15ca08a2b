"""Whose request is this, where the credential is a customer's: a session of the portal, or an app's access token.

A part of `authentication.py`: called in its transaction, with the account that the credential leads to.
"""

from __future__ import annotations

from typing import NamedTuple

from services.identity import session
from services.identity.app import ACCESS_PREFIX
from services.identity.app_grants import AppGrants
from services.identity.customer import SESSION_PREFIX
from services.identity.customer_credentials import good_session
from shared.door import CustomerDoor
from shared.errors import AccountSuspended
from shared.tokens import Scope
from shared.work import Work


class FoundCustomer(NamedTuple):
    """A customer, and what the credential is good for."""

    person_id: str
    scope: Scope
    by: CustomerDoor
    id: str
    """Of the session, or of the grant."""


def is_customers(token: str) -> bool:
    """Whether a token has the form of a customer's."""
    return token.startswith((SESSION_PREFIX, ACCESS_PREFIX))


def find_customer(work: Work, token: str) -> FoundCustomer | None:
    """The customer of a token that is good. Raises `AccountSuspended` (mission L3)."""
    digest = session.digest(token)
    if token.startswith(SESSION_PREFIX):
        of_session = good_session(work, digest)
        found = of_session and FoundCustomer(of_session.person_id, "manage", "portal session", of_session.session_id)
    else:
        of_app = AppGrants(work).good_access(digest)
        found = of_app and FoundCustomer(of_app.person_id, of_app.scope, "app", of_app.grant_id)
    if found is None:
        return None
    state = work.fetch_one("SELECT state FROM lethe.account_state WHERE account_id = %s", (work.account_id,))
    if state is not None and state[0] != "active":
        raise AccountSuspended()
    return found
