"""The description of the API: complete, exact, and without a place where an identifier could get into a URL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from services.gateway.problems import STATUSES
from tests.support.gateway import application

DOCUMENT: dict[str, Any] = application()._app.openapi()
OPERATIONS = [(method, path, one) for path, item in DOCUMENT["paths"].items() for method, one in item.items()]
PUBLIC = {
    "open_account", "log_in", "complete_login", "begin_enrolment_at_login", "confirm_enrolment_at_login",
    "request_password_reset", "reset_password", "confirm_login", "accept_invitation",
    "request_range_recovery", "show_health", "show_liveness",
    "ask_sign_in_link", "sign_in_by_link", "sign_in_by_password", "claim_erasure", "issue_app_tokens", "revoke_app_token",
}  # fmt: skip
"""Operations that take no credential. Written by hand: a new one is thought about here."""

OF_OAUTH = {"issue_app_tokens", "revoke_app_token"}
"""Their refusals with 400 have OAuth's form (RFC 6749, section 5.2) where the protocol says what is wrong."""
LOOKING = {"show_app_request"}
"""Refused like what changes something, and changes nothing."""

each_operation = pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=lambda one: str(one)[:40])


def test_it_is_openapi_3_1_with_distinct_names() -> None:
    """Each operation has a name of its own."""
    assert "3.1.0" == DOCUMENT["openapi"]
    names = [one["operationId"] for _, _, one in OPERATIONS]
    assert len(names) == len(set(names)) > 40


def test_who_needs_no_credential() -> None:
    """Everything else asks for one, by Bearer or Basic."""
    assert PUBLIC == {one["operationId"] for _, _, one in OPERATIONS if not one["security"]}
    assert all(one["security"] in ([], [{"bearer": []}, {"basic": []}]) for _, _, one in OPERATIONS)
    assert {"bearer", "basic"} == DOCUMENT["components"]["securitySchemes"].keys()


@each_operation
def test_every_operation_says_what_it_does_and_refuses(method: str, path: str, operation: dict[str, Any]) -> None:
    """It has a text, a tag, one success, and problems for all else, each with a status that problems have."""
    assert operation["description"] and operation["tags"]
    statuses = {int(status) for status in operation["responses"]}
    assert 1 == len([status for status in statuses if status < 300])
    assert {status for status in statuses if status >= 300} <= {status for status, _ in STATUSES.values()}
    assert {400, 422, 429, 431, 500, 503, 504} <= statuses
    assert (401 in statuses and 403 in statuses) or operation["operationId"] in PUBLIC
    for status, response in operation["responses"].items():
        if status == "400" and operation["operationId"] in OF_OAUTH:
            assert {"application/problem+json", "application/json"} == response["content"].keys()
            continue
        assert int(status) < 300 or {"application/problem+json"} == response["content"].keys()


@each_operation
def test_what_changes_something_may_be_sent_again(method: str, path: str, operation: dict[str, Any]) -> None:
    """Each changing operation of a known caller takes an idempotency key, and says that there may be a conflict."""
    names = {one["name"] for one in operation.get("parameters", [])}
    changes_nothing = method == "get" or operation["operationId"] in LOOKING
    if changes_nothing or "409" not in operation["responses"] or not operation["security"]:
        assert "Idempotency-Key" not in names or operation["operationId"] == "open_account"
        return
    assert "Idempotency-Key" in names


@each_operation
def test_a_parameter_that_may_be_left_out_is_never_null(method: str, path: str, operation: dict[str, Any]) -> None:
    """There is no null in a header or a query: it is there with one kind of value, or not there."""
    for one in operation.get("parameters", []):
        assert isinstance(one["schema"]["type"], str) and one["schema"]["type"] != "null", one
        assert "anyOf" not in one["schema"] and one["schema"].get("default", "") is not None


@each_operation
def test_no_identifier_can_stand_in_a_url(method: str, path: str, operation: dict[str, Any]) -> None:
    """What stands in paths and queries are opaque ids, numbers and switches."""
    for one in operation.get("parameters", []):
        if one["in"] not in ("path", "query"):
            continue
        kinds = one["schema"].get("anyOf", [one["schema"]])
        for kind in kinds:
            opaque = kind["type"] in ("integer", "boolean", "null") or kind.get("pattern", "").startswith("^[0-9a-f]{8}-")
            assert opaque, (path, one["name"])


@each_operation
def test_the_example_of_a_body_is_a_body(method: str, path: str, operation: dict[str, Any]) -> None:
    """Each JSON body has an example that its own schema takes, and refuses it with a field more."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return
    validator = jsonschema_rs.validator_for({**content["schema"], "components": DOCUMENT["components"]})
    assert validator.is_valid(content["example"])
    assert not validator.is_valid(content["example"] | {"unheard of": 1})


def test_every_reference_leads_somewhere() -> None:
    """No schema is named that is not there."""
    named = set(_references(DOCUMENT))
    assert named and named <= {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)
