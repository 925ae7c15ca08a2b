"""Which scope the methods of the services need."""

from __future__ import annotations

import pytest

from cli.rpc_commands import declared_methods
from shared.settings import SERVICES

QUERIES = (
    "authenticate", "check_", "claim_", "find_", "known_", "list_", "messages_of",
    "person_of_", "preview_", "probe_", "render_", "search_", "show_", "users_of_",
)  # fmt: skip
EVERYDAY = {"agent", "service"}
BY_APPS = {"add_saved_search", "remove_saved_search"}
"""What an app may change for a customer. All else that customers change is about credentials, consent or erasure."""


OF_ACCESS = {
    "accept_invitation", "add_first_owner", "begin_second_factor", "change_password", "change_profile", "complete_login",
    "confirm_second_factor", "create_api_token", "disable_second_factor", "end_session", "end_sessions", "invite_user",
    "log_in", "renew_recovery_codes", "request_password_reset", "reset_password", "revoke_api_token",
}  # fmt: skip
"""What decides who gets in, one's own credentials too: a token of less than "manage" makes nobody another one."""


@pytest.mark.parametrize("service", SERVICES)
def test_each_method_needs_the_scope_of_its_kind(service: str) -> None:
    """A query needs "read"; what changes something needs "write" where it is agents' or services' everyday work, and "manage"
    where only owners, admins or operators may do it, where it decides who gets in, or where a customer has to do it themselves."""

    def expected(name: str, roles: frozenset[str]) -> str:
        if name.startswith(QUERIES):
            return "read"
        if service == "identity" and name in OF_ACCESS:
            return "manage"
        return "write" if roles & EVERYDAY or name in BY_APPS else "manage"

    declared = declared_methods(service)
    assert {name: expected(name, one.roles) for name, one in declared} == {name: one.scope for name, one in declared}
