"""Where an app may be answered, and what it may ask for."""

from __future__ import annotations

import pytest

from services.identity.app import check_redirect_uri, granted_scope
from shared.errors import InvalidArgument


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example/back", "https://app.example:8443/back?from=desk", "http://127.0.0.1/back",
        "http://127.0.0.1:51004/back", "http://[::1]:51004/", "org.example.app:/back",
    ],
)  # fmt: skip
def test_a_code_goes_over_https_or_stays_on_the_machine(uri: str) -> None:
    """HTTPS anywhere; plain HTTP to a loopback address; and a private scheme, which is a domain turned round (RFC 8252)."""
    check_redirect_uri(uri)


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example/back", "http://127.0.0.1.example/", "http://localhost/back", "https://", "https:///back",
        "https://app.example/back#part", "https://app.example/#", "https://user@app.example/", "https://app.example:x/",
        "javascript:alert(1)", "data:text/html,x", "app:/back", "org.example.app://host/back", "org.example.app:back",
        "//app.example/back", "/back", "app.example", "https://app.example/ back", "https://app.example/\nback",
        "https://äpp.example/", "https://[::1", "",
    ],
)  # fmt: skip
def test_a_code_goes_nowhere_else(uri: str) -> None:
    """Anything else is refused by its rule, and is not repeated."""
    with pytest.raises(InvalidArgument) as refused:
        check_redirect_uri(uri)
    assert "redirect_uris" == refused.value.field
    assert "example/" not in refused.value.message


def test_write_holds_read_and_nothing_is_made_up() -> None:
    """Nothing asked is "read"; either or both of the two names give what is widest; any other name gives nothing."""
    asked = {None: "read", "": "read", "read": "read", "write": "write", "read write": "write", "write  read": "write"}
    assert asked == {one: granted_scope(one) for one in asked}
    assert [None] * 4 == [granted_scope(one) for one in ("manage", "read manage", "READ", "read,write")]
