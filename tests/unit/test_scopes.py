"""Which scope the methods of the services need."""

from __future__ import annotations

import pytest

from cli.rpc_commands import declared_methods
from shared.settings import ACCOUNT_SERVICES

QUERIES = (
    "check_", "claim_", "find_", "known_", "list_", "messages_of",
    "person_of_", "preview_", "probe_", "render_", "search_", "show_", "users_of_",
)  # fmt: skip
BY_APPS = {"add_saved_search", "remove_saved_search"}
"""What an app may change for a customer. All else that customers change is about credentials, consent or erasure."""


@pytest.mark.parametrize("service", ACCOUNT_SERVICES)
def test_each_method_needs_the_scope_of_its_kind(service: str) -> None:
    """A query needs "read"; what changes something needs "write" where it is agents' everyday work, and "manage" where only
    owners, admins or operators may do it, where a customer has to do it themselves, and in identity whatever users do: a
    token that may write tickets must not change who gets in. Services have the whole scope, so theirs are left out."""

    def expected(name: str, roles: frozenset[str]) -> str:
        if name.startswith(QUERIES):
            return "read"
        is_everyday = service != "identity" and "agent" in roles
        return "write" if is_everyday or name in BY_APPS else "manage"

    declared = [(name, one) for name, one in declared_methods(service) if not one.roles <= {"service", "operator"}]
    assert declared
    assert {name: expected(name, one.roles) for name, one in declared} == {name: one.scope for name, one in declared}
