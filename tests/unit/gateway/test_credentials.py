"""What a request shows of who sends it: read strictly, and handed to identity as it is."""

from __future__ import annotations

import base64

import msgspec
import pytest
from starlette.datastructures import Headers

from services.gateway.calling import credential_of
from services.gateway.problems import MalformedRequest
from shared.errors import InvalidArgument, Unauthenticated

ACCOUNT = "5f0c7a8e-3a52-4b0e-9a43-5b8f0a3f8a11"


def shown(*lines: tuple[str, str]) -> dict[str, object]:
    """What identity is asked for these headers."""
    headers = Headers(raw=[(name.encode(), value.encode("latin-1")) for name, value in lines])
    return dict(msgspec.to_builtins(credential_of(headers, "198.51.100.7")))


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def test_a_bearer_token_is_a_token() -> None:
    """A session or an API token; the scheme's letters may be large or small."""
    expected = {"token": "lethe_x", "login": None, "secret": None, "account_id": None, "source": "198.51.100.7"}
    assert expected == shown(("authorization", "Bearer lethe_x")) == shown(("authorization", "bEARER lethe_x"))


def test_basic_is_a_login_and_a_secret() -> None:
    """The login ends at the first colon (RFC 7617), and the text is UTF-8."""
    found = shown(("authorization", basic("ölga@example.org:a:b c")), ("lethe-account", ACCOUNT))
    assert ("ölga@example.org", "a:b c", ACCOUNT) == (found["login"], found["secret"], found["account_id"])


@pytest.mark.parametrize(
    "value",
    [
        "", "Bearer", "Bearer ", "Basic", "Basic !!!", "Basic eA==", "Digest x", "lethe_x", basic(""), basic(":secret"),
        basic("a@b.example:"), "Basic " + base64.b64encode(b"\xff:\xff").decode(), "Bearer " + "x" * 5_000,
    ],
)  # fmt: skip
def test_what_can_be_no_credential_is_not_asked_about(value: str) -> None:
    """It is refused as every wrong credential is: nothing says what is wrong with it."""
    with pytest.raises(Unauthenticated):
        shown(("authorization", value))


def test_two_credentials_are_none() -> None:
    """A request with two Authorization lines could be one thing to a proxy and another to us."""
    with pytest.raises(MalformedRequest):
        shown(("authorization", "Bearer lethe_x"), ("authorization", "Bearer lethe_y"))


def test_an_account_that_is_no_id_is_said() -> None:
    """It is no secret, so its rule may be told; its value is not."""
    with pytest.raises(InvalidArgument) as caught:
        shown(("authorization", "Bearer lethe_x"), ("lethe-account", "Olga's"))
    assert ("Lethe-Account", "an account's id") == (caught.value.field, caught.value.rule)
