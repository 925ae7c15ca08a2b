"""Problem details (RFC 9457): what each error becomes, and what of it is not told."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from services.gateway import problems
from services.gateway.problems import STATUSES, Problem, problem_of, problem_response
from shared.errors import ERRORS, InternalError, InvalidArgument, LetheError, Refused, Tampered, TooManyTries, Unauthenticated

REQUEST = "5f0c7a8e-3a52-4b0e-9a43-5b8f0a3f8a11"


def test_every_error_has_a_status() -> None:
    """Those of the services and those of the gateway itself: none becomes an internal error by being forgotten."""
    own = {
        kind.code
        for _, kind in inspect.getmembers(problems, inspect.isclass)
        if issubclass(kind, LetheError) and kind.__module__ == problems.__name__
    }
    assert ERRORS.keys() | own == STATUSES.keys()


def test_a_rule_that_is_broken_is_told_with_its_field() -> None:
    """The caller learns what to mend."""
    found = problem_of(InvalidArgument(field="limit", rule="is int <= 500"), REQUEST)
    expected = {
        "type": "urn:lethe:problem:invalid_argument", "title": "Invalid argument", "status": 422, "code": "invalid_argument",
        "detail": "limit: is int <= 500", "field": "limit", "rule": "is int <= 500", "instance": f"urn:uuid:{REQUEST}",
    }  # fmt: skip
    assert expected == msgspec.to_builtins(found)


def test_what_is_the_services_is_not_told() -> None:
    """Of an internal error, of what was tampered with, and of an error that this gateway does not know, nothing is said."""

    class Unknown(LetheError):
        code = "from a newer service"

    silent = [problem_of(error, REQUEST) for error in (InternalError("at line 7"), Tampered("the key 17"), Unknown("secret"))]
    assert silent == [silent[0]] * 3
    assert (500, "internal", InternalError.default) == (silent[0].status, silent[0].code, silent[0].detail)


def test_the_reason_of_a_refusal_is_told() -> None:
    """Refused is not invalid: it has a reason of a fixed list."""
    found = problem_of(Refused("The last owner stays.", reason="last owner"), REQUEST)
    assert (409, "last owner") == (found.status, found.reason)


@pytest.mark.parametrize(
    ("error", "header", "value"),
    [
        (Unauthenticated(), "www-authenticate", 'Basic realm="lethe", charset="UTF-8", Bearer realm="lethe"'),
        (TooManyTries(retry_after_seconds=40), "retry-after", "40"),
        (problems.RateLimited(), "retry-after", "1"),
        (problems.MethodNotAllowed(allow="GET"), "allow", "GET"),
        (problems.TooLarge(), "connection", "close"),
    ],
)
def test_a_status_has_the_headers_that_belong_to_it(error: LetheError, header: str, value: str) -> None:
    """How to authenticate, how long to wait, what is allowed instead."""
    answer = problem_response(error, REQUEST)
    assert value == answer.headers[header]
    assert "application/problem+json" == answer.headers["content-type"]
    assert msgspec.json.decode(bytes(answer.body), type=Problem).status == answer.status_code
