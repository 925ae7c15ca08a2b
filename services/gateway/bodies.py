"""The body of a request: read with a limit and a time, and turned into the struct that the operation takes.

Nothing is read before the caller is known, and no more than the operation takes. Nothing of a body is said again in an error.
"""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import ClientDisconnect, Request

from services.gateway.limits import PartInFlight
from services.gateway.problems import MalformedRequest, TooLarge, TooSlow, UnsupportedMediaType
from shared.validation import validate

T = TypeVar("T")
FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
MAIL: Final = "message/rfc822"
FORM_BYTES: Final = 1 << 16
JSON_BYTES: Final = 1 << 20


async def read_body(
    request: Request, media_type: str, most_bytes: int, seconds: float, *, is_known_caller: bool = False
) -> bytes:
    """The whole body. A caller who is known has room kept for all that they announce, so that an upload that begins can end;
    for others room is taken as the body comes. Raises `UnsupportedMediaType`, `TooLarge`, `TooSlow`, `MalformedRequest` for
    one that ended early, `NoRoom` where all bodies together would be too large."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != media_type:
        raise UnsupportedMediaType(f"This operation takes {media_type}.")
    announced = int(request.headers.get("content-length", "0"))
    if announced > most_bytes:
        raise TooLarge(most_bytes=most_bytes)
    part: PartInFlight = request.state.part
    if is_known_caller:
        part.cover(announced)
    try:
        async with asyncio.timeout(seconds):
            return await _received(request, most_bytes, part)
    except TimeoutError:
        raise TooSlow() from None
    except ClientDisconnect:
        raise MalformedRequest("The body ended before its time.") from None


async def _received(request: Request, most_bytes: int, part: PartInFlight) -> bytes:
    """Counted as it comes: a chunked body has no length ahead."""
    body = bytearray()
    async for piece in request.stream():
        if len(body) + len(piece) > most_bytes:
            raise TooLarge(most_bytes=most_bytes)
        part.cover(len(body) + len(piece))
        body += piece
    return bytes(body)


def decoded(body: bytes, kind: type[T]) -> T:
    """A JSON body as a struct. Raises `MalformedRequest` for what is no JSON, `InvalidArgument` for what breaks a rule."""
    return validate(kind, _plain(body))


def _plain(body: bytes) -> object:
    try:
        plain: object = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise MalformedRequest("The body is not JSON in UTF-8.") from None
    return plain


def decoded_form(body: bytes, kind: type[T]) -> T:
    """A form as a struct. Fields that it does not know are left out: OAuth 2 wants them ignored (RFC 6749, section 3.2). Raises
    `MalformedRequest` for what is no form, or has a field twice."""
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, strict_parsing=bool(body), errors="strict")
    except ValueError:  # of the letters as well
        raise MalformedRequest("The body is no form in UTF-8.") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise MalformedRequest("A field stands there twice.")
    known: tuple[str, ...] = kind.__struct_fields__  # type: ignore[attr-defined]
    return validate(kind, {name: fields[name] for name in known if name in fields})
