"""The event logs over HTTP, as c2sp.org/tlog-tiles lays them out: `/logs/<service>/checkpoint`, `/logs/<service>/tile/…`.

Anybody's monitor or verifier reads them with tools that know nothing of Lethe. What is served are hashes, commitments and
signed sizes, from the folder that the relays write; the gateway adds nothing and signs nothing. Public, or for those who show
a token of the operator's (decision 20). Outside the described API on purpose: its paths are another specification's.
"""

from __future__ import annotations

import hashlib
from hmac import compare_digest
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from services.gateway.parameters import Gateway, GatewayOf, gateway_of
from services.gateway.problems import MalformedRequest
from shared.errors import NotFound, Unauthenticated
from shared.settings import SERVICES
from shared.tiles import parse_tile_path

CHECKPOINT: Final = "checkpoint"
VERIFIER: Final = "verifier.vkey"
TEXT: Final = "text/plain; charset=utf-8"
OCTETS: Final = "application/octet-stream"
FRESH: Final = "no-cache"
"""Of what changes: asked for again each time, and answered with 304 where it did not."""
FOR_EVER: Final = "max-age=31536000, immutable"
"""Of tiles and bundles, partial ones as well: what has this name has these bytes."""


def _admit(request: Request, gateway: Annotated[Gateway, Depends(gateway_of)]) -> None:
    """Raises `Unauthenticated` unless the logs are public, or one of the tokens is shown."""
    if gateway.settings.logs_public:
        return
    shown = request.headers.getlist("authorization")
    if len(shown) > 1:
        raise MalformedRequest("There is more than one Authorization header.")
    scheme, _, token = shown[0].partition(" ") if shown else ("", "", "")
    digest = hashlib.sha256(token.strip().encode("utf-8", "replace")).hexdigest()
    # every hash is compared, so that time tells nothing; of a token at random it would tell little anyway
    known = sum(compare_digest(digest, one) for one in gateway.settings.log_tokens)
    if scheme.lower() != "bearer" or not known:
        raise Unauthenticated("The logs are read with a token of the operator's (Bearer).")


router = APIRouter(include_in_schema=False, dependencies=[Depends(_admit)])


@router.api_route("/logs/{service}/{path:path}", methods=["GET", "HEAD"])
def show_log_file(service: str, path: str, request: Request, gateway: GatewayOf) -> Response:
    """A checkpoint, a tile, an entry bundle, or the log's verifier key. 404 for what is not there, a partial tile whose full
    one is there included: readers then take the full one."""
    home = gateway.settings.home
    if service not in SERVICES or b"%" in request.scope.get("raw_path", b""):
        raise NotFound("There is nothing at this address.")
    if path == CHECKPOINT:
        return _file(request, home / "tiles" / service / CHECKPOINT, TEXT, FRESH)
    if path == VERIFIER:
        return _file(request, home / "verifiers" / f"log-{service}.vkey", TEXT, FRESH)
    if parse_tile_path(path) is None:
        raise NotFound("There is nothing at this address.")
    visibility = "public" if gateway.settings.logs_public else "private"
    return _file(request, home / "tiles" / service / path, OCTETS, f"{visibility}, {FOR_EVER}")


def _file(request: Request, path: Path, media_type: str, caching: str) -> Response:
    """The bytes of a file of ours, which are few: a tile has 8 KiB, a bundle 9."""
    try:
        octets = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise NotFound("There is nothing at this address.") from None
    tag = f'"{hashlib.sha256(octets).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": caching, "Content-Type": media_type}
    if _has_it(request, tag):
        return Response(status_code=304, headers={"ETag": tag, "Cache-Control": caching})
    return Response(octets, headers=headers)


def _has_it(request: Request, tag: str) -> bool:
    """Whether the reader has these bytes (If-None-Match, RFC 9110, 13.1.2)."""
    given = [one.strip().removeprefix("W/") for line in request.headers.getlist("if-none-match") for one in line.split(",")]
    return "*" in given or tag in given
