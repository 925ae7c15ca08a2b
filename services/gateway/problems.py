"""Problem details (RFC 9457): the one form in which the gateway says that something did not work.

A problem has a code of a fixed list, the rule that was broken, and where; never what the caller sent, never a person's data,
never a place in the code. `instance` names the request, so that an operator finds its line in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from starlette.responses import Response

from shared.errors import Busy, InternalError, InvalidArgument, LetheError
from shared.personal import NotPersonal

MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:lethe:problem:"
BUSY_SECONDS: Final = 1

Text = Annotated[str, NotPersonal("a text of a fixed list, or the rule of a field")]


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong. `field` and `rule` where a value breaks a rule; `reason` where the service names one."""

    type: Annotated[str, NotPersonal("a fixed URN")]
    title: Text
    status: int
    code: Text
    detail: Text = ""
    field: Text = ""
    rule: Text = ""
    reason: Text = ""
    instance: Annotated[str, NotPersonal("a random id of the request")]


class MalformedRequest(LetheError):
    """The request is not what HTTP, or its media type, says that it has to be."""

    code = "malformed_request"
    default = "The request can't be read."


class MethodNotAllowed(LetheError):
    """There is something at this address, but it does not take this method."""

    code = "method_not_allowed"
    default = "This address does not take this method."


class TooSlow(LetheError):
    """The request did not come in whole within its time."""

    code = "request_timeout"
    default = "The request did not come in whole within its time."


class TooLarge(LetheError):
    """The body is larger than this operation takes."""

    code = "too_large"
    default = "The body is larger than this operation takes."


class UnsupportedMediaType(LetheError):
    """The body is of another media type than the operation takes."""

    code = "unsupported_media_type"
    default = "This operation takes another media type."


class PreconditionRequired(LetheError):
    """An edit has to say which state it is based on."""

    code = "precondition_required"
    default = "Say in If-Match which version (ETag) you have seen."


class RateLimited(LetheError):
    """Too many requests from one source, or with one credential."""

    code = "rate_limited"
    default = "Too many requests. Wait before the next one."


class NoRoom(Busy):
    """The bodies that are on their way at this moment, this one included, would be more than the gateway holds."""

    default = "Too many bodies are on their way at this moment. Send it again."


class HeadersTooLarge(LetheError):
    """The head of the request is larger than the gateway takes."""

    code = "headers_too_large"
    default = "The head of the request is too large."


STATUSES: Final[Mapping[str, tuple[int, str]]] = {
    "malformed_request": (400, "Bad request"),
    "unauthenticated": (401, "Not authenticated"),
    "permission_refused": (403, "Not permitted"),
    "second_factor_required": (403, "Second factor required"),
    "account_suspended": (403, "Account suspended"),
    "account_gone": (410, "Account gone"),
    "not_found": (404, "Not found"),
    "method_not_allowed": (405, "Method not allowed"),
    "request_timeout": (408, "Request too slow"),
    "conflict": (409, "Conflict"),
    "already_done": (409, "Done before"),
    "version_conflict": (409, "Changed at the same time"),
    "refused": (409, "Refused"),
    "person_erased": (409, "Person erased"),
    "under_hold": (409, "Under a legal hold"),
    "incomplete": (409, "Not finished yet"),
    "precondition_failed": (412, "Precondition failed"),
    "too_large": (413, "Too large"),
    "unsupported_media_type": (415, "Unsupported media type"),
    "invalid_argument": (422, "Invalid argument"),
    "precondition_required": (428, "Precondition required"),
    "rate_limited": (429, "Too many requests"),
    "too_many_tries": (429, "Too many tries"),
    "headers_too_large": (431, "Head too large"),
    "internal": (500, "Internal error"),
    "tampered": (500, "Internal error"),
    "busy": (503, "Too much to do"),
    "unavailable": (503, "Not available"),
    "timed_out": (504, "No answer in time"),
}
"""Code → status and title."""

_SILENT: Final = frozenset({"internal", "tampered"})
"""Codes of which nothing but the code is told: their texts are for the operator."""
_CHALLENGE: Final = 'Basic realm="lethe", charset="UTF-8", Bearer realm="lethe"'


def status_of(error: LetheError) -> int:
    """The HTTP status of an error; 500 for a code that this gateway does not know."""
    return STATUSES.get(error.code, STATUSES["internal"])[0]


def problem_of(error: LetheError, request_id: str) -> Problem:
    """The problem that stands for an error."""
    code = "internal" if error.code in _SILENT or error.code not in STATUSES else error.code
    status, title = STATUSES[code]
    known = InternalError() if code == "internal" else error
    field = _text(known, "field")
    return Problem(
        type=f"{TYPE_PREFIX}{code}", title=title, status=status, code=code, instance=f"urn:uuid:{request_id}",
        detail=known.message, field="body" if isinstance(known, InvalidArgument) and field == "argument" else field,
        rule=_text(known, "rule"), reason=_text(known, "reason"),
    )  # fmt: skip


def problem_response(error: LetheError, request_id: str) -> Response:
    """The answer for an error, with the headers that belong to its status."""
    problem = problem_of(error, request_id)
    return Response(
        msgspec.json.encode(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=_headers(error, problem.status)
    )


def _headers(error: LetheError, status: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    if status == 401:
        headers["WWW-Authenticate"] = _CHALLENGE
    if status in (429, 503):
        wait = error.details.get("retry_after_seconds")
        headers["Retry-After"] = str(max(1, -int(-wait // 1))) if isinstance(wait, (int, float)) else str(BUSY_SECONDS)
    if status == 405 and isinstance(allowed := error.details.get("allow"), str):
        headers["Allow"] = allowed
    if status in (408, 413, 431) or isinstance(error, NoRoom):
        headers["Connection"] = "close"  # what is still on its way is not read
    return headers


def _text(error: LetheError, name: str) -> str:
    value: Any = error.details.get(name, "")
    return value if isinstance(value, str) else ""
