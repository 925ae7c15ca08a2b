"""How an endpoint answers: a struct of a service as JSON, the link to the next page, and the tag of what may be edited."""

from __future__ import annotations

import hashlib
from typing import Final
from urllib.parse import quote, urlencode

import msgspec
from fastapi import Request
from starlette.responses import Response

from services.gateway.bodies import JSON
from services.gateway.problems import PreconditionRequired
from shared.errors import PreconditionFailed

NEXT_LINK: Final = {"Link": 'The next page, `rel="next"`, where there is one.'}
ETAG: Final = {"ETag": "Names this state, for `If-Match`."}
LOCATION: Final = {"Location": "Where the new thing is."}


def answered(value: msgspec.Struct, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A struct as JSON."""
    return Response(msgspec.json.encode(value), status_code=status, media_type=JSON, headers=headers)


def nothing_to_say() -> Response:
    """Done (204)."""
    return Response(status_code=204)


def page(request: Request, value: msgspec.Struct) -> Response:
    """A page of a list, with the way to the next one (RFC 8288). Its `next_after`, an id or a number, may stand in a URL."""
    after: str | int | None = getattr(value, "next_after", None)
    if after is None:
        return answered(value)
    query = urlencode({**request.query_params, "after": after})
    return answered(value, headers={"Link": f'<{request.url.path}?{query}>; rel="next"'})


def etag(key: bytes, value: msgspec.Struct) -> str:
    """The tag of a state. Keyed, so that it says nothing about what it names to whoever finds it somewhere."""
    return f'"{hashlib.blake2b(msgspec.json.encode(value), digest_size=16, key=key).hexdigest()}"'


def tagged(key: bytes, value: msgspec.Struct) -> Response:
    """A struct as JSON, with its tag."""
    return answered(value, headers={"ETag": etag(key, value)})


def is_any(if_match: str | None) -> bool:
    """Whether an edit is based on whatever there is. Raises `PreconditionRequired` where it does not say."""
    if if_match is None:
        raise PreconditionRequired()
    return if_match.strip() == "*"


def check_match(key: bytes, if_match: str, present: msgspec.Struct) -> None:
    """Whether an edit is based on the present state (RFC 9110, 13.1.1). Raises `PreconditionFailed`. Somebody may be faster
    from here on: so the service is told the version, and looks again in the transaction of the edit."""
    if etag(key, present) not in [tag.strip() for tag in if_match.split(",")]:
        raise PreconditionFailed()


def download(content: bytes, media_type: str, name: str) -> Response:
    """A file that is saved and never shown: whatever it is, it runs nowhere."""
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name.encode('utf-8', 'replace'), safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }
    return Response(content, media_type=media_type, headers=headers)

