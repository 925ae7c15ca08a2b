"""The description of the API (OpenAPI 3.1): what each operation takes, answers and refuses, from the structs that check it.

`operation` is written at each endpoint and says what it is; FastAPI knows the parameters; `describe` puts both together. The
schemas are msgspec's, so that what is described and what is accepted are one thing. Pure; knows no service.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response
from starlette.routing import BaseRoute

from services.gateway.bodies import JSON
from services.gateway.problems import MEDIA_TYPE, STATUSES, Problem, problem_of
from shared.errors import InvalidArgument

PATH: Final = "/v1/openapi.json"
NO_CONTENT: Final = 204
_ALWAYS: Final = frozenset(
    (
        "malformed_request", "invalid_argument", "rate_limited", "headers_too_large", "internal", "busy", "unavailable",
        "timed_out",
    )
)  # fmt: skip
_AUTHENTICATED: Final = frozenset(
    ("unauthenticated", "permission_refused", "second_factor_required", "account_suspended", "not_found", "too_many_tries")
)
_WITH_BODY: Final = frozenset(("request_timeout", "too_large", "unsupported_media_type"))
_CHANGING: Final = frozenset(("conflict", "already_done", "version_conflict", "refused", "person_erased"))
_HEADERS_OF: Final[Mapping[int, Mapping[str, str]]] = {
    401: {"WWW-Authenticate": "How a caller may show who they are."},
    429: {"Retry-After": "The seconds to wait."},
    503: {"Retry-After": "The seconds to wait."},
}
_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}
_EXAMPLE: Final = problem_of(InvalidArgument(field="limit", rule="is int <= 500"), "5f0c7a8e-3a52-4b0e-9a43-5b8f0a3f8a11")
_DESCRIPTION: Final = """The desk by HTTPS. Every request names its caller: `Authorization: Bearer` with a session or an API
token, or HTTP Basic with a login and a password or an API token. Errors are problem details (RFC 9457) with a stable `code`.

Names and addresses never stand in a URL: look-ups by them are `POST`. Lists come in pages: `limit`, and `after` with the
`next_after` of the page before; the `Link` header has the address of the next page. A changing request with an
`Idempotency-Key` may be sent again when no answer came. Fields that are not described here are refused.

Where `Erased` stands in the place of a value, the value was erased with its person."""


def operation(
    *, answer: Any = None, status: int = 200, takes: Any = None, example: Mapping[str, Any] | None = None,
    media_type: str = JSON, answer_media_type: str = JSON, public: bool = False, changes: bool = False,
    also: tuple[str, ...] = (), headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What an endpoint's decorator is given. `answer` and `takes` are types (`bytes` for what is no JSON); `also` are the codes
    of refusals beside those that follow from the rest; `headers` are those of the answer that means something.
    """
    codes = _ALWAYS | frozenset(also)
    codes |= frozenset() if public else _AUTHENTICATED
    codes |= _WITH_BODY if takes is not None else frozenset()
    codes |= _CHANGING if changes else frozenset()
    extra: dict[str, Any] = {"security": [] if public else [{"bearer": []}, {"basic": []}]}
    if takes is not None:
        content = {"schema": _schema(takes)} | ({"example": dict(example)} if example is not None else {})
        extra["requestBody"] = {"required": True, "content": {media_type: content}}
    told: dict[str, Any] = {"description": "Done." if answer is None else "The answer."}
    if answer is not None:
        told["content"] = {answer_media_type: {"schema": _schema(answer)}}
    if headers:
        told["headers"] = _described(headers)
    responses = _refusals(codes) | {status: told}
    return {"status_code": status, "response_class": Response, "responses": responses, "openapi_extra": extra}


def describe(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The whole document."""
    found = get_openapi(title="Lethe", version="1", description=_DESCRIPTION, routes=routes, openapi_version="3.1.0")
    schemas: dict[str, Any] = {}
    _hoisted(msgspec.json.schema(Problem), schemas)
    document: dict[str, Any] = _hoisted(found, schemas)
    document.setdefault("components", {})["schemas"] = dict(sorted(schemas.items()))
    for operations in document["paths"].values():
        for one in operations.values():
            one["parameters"] = [_parameter(parameter) for parameter in one.pop("parameters", ())]
    document["components"]["securitySchemes"] = {
        "bearer": {
            "type": "http", "scheme": "bearer", "description": "A session (`lethe_session_…`) or an API token (`lethe_…`).",
        },
        "basic": {"type": "http", "scheme": "basic", "description": "A login, and a password or an API token."},
    }  # fmt: skip
    return document


def _parameter(described: dict[str, Any]) -> dict[str, Any]:
    """A parameter as it is sent: one that may be left out is not `required`, and never null, as FastAPI describes it."""
    schema: dict[str, Any] = described["schema"]
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != {"type": "null"}]
    if len(kinds) != 1:
        return described
    return described | {"schema": {name: value for name, value in schema.items() if name != "anyOf"} | kinds[0]}


def methods_at(document: Mapping[str, Any], path: str) -> list[str]:
    """The methods that this path takes, by the description; of a path that is written there as it is, its own alone."""
    paths: Mapping[str, Mapping[str, Any]] = document["paths"]
    found = [path] if path in paths else [template for template in paths if _fits(template, path)]
    return sorted({method.upper() for template in found for method in paths[template]})


def _fits(template: str, path: str) -> bool:
    wanted, given = template.split("/"), path.split("/")
    return len(wanted) == len(given) and all(a == b or a.startswith("{") for a, b in zip(wanted, given, strict=True))


def _refusals(codes: frozenset[str]) -> dict[int, dict[str, Any]]:
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes):
        by_status.setdefault(STATUSES[code][0], []).append(code)
    return {
        status: {
            "description": f"{STATUSES[those[0]][1]}: {', '.join(f'`{code}`' for code in those)}.",
            "content": {MEDIA_TYPE: {"schema": _PROBLEM} | _problem_example(status)},
        }
        | ({"headers": _described(_HEADERS_OF[status])} if status in _HEADERS_OF else {})
        for status, those in sorted(by_status.items())
    }


def _problem_example(status: int) -> dict[str, Any]:
    return {"example": msgspec.to_builtins(_EXAMPLE)} if status == _EXAMPLE.status else {}


def _described(headers: Mapping[str, str]) -> dict[str, Any]:
    return {name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()}


def _schema(kind: Any) -> dict[str, Any]:
    return {"type": "string", "format": "binary"} if kind is bytes else msgspec.json.schema(kind)


def _hoisted(node: Any, schemas: dict[str, Any]) -> Any:
    """The document with all `$defs` moved to where OpenAPI has them. `ValueError` where two structs have one name."""
    if isinstance(node, list):
        return [_hoisted(one, schemas) for one in node]
    if not isinstance(node, dict):
        return node
    for name, schema in node.get("$defs", {}).items():
        moved = _hoisted(schema, schemas)
        if schemas.setdefault(name, moved) != moved:
            raise ValueError(f"two structs of the API are called {name}")
    moved = {key: _hoisted(value, schemas) for key, value in node.items() if key != "$defs"}
    if isinstance(moved.get("$ref"), str):
        moved["$ref"] = moved["$ref"].replace("#/$defs/", "#/components/schemas/")
    return moved
