"""The description of the API for programs (OpenAPI 3.1), and as a page on which every operation can be tried.

The page is made of files that lie here: nothing is fetched from elsewhere. What is typed into it is kept nowhere.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from services.gateway.bodies import JSON
from shared.errors import NotFound

router = APIRouter(include_in_schema=False)
PAGES: Final = Path(__file__).resolve().parent.parent / "pages"
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; frame-ancestors 'none';"
    " base-uri 'none'; form-action 'none'"
)
FILES: Final = {"docs.js": "text/javascript", "docs.css": "text/css"}


@router.get("/openapi.json")
def show_description(request: Request) -> Response:
    """The description."""
    return Response(_encoded(request.app), media_type=JSON)


@router.get("/docs")
def show_page() -> Response:
    """The page."""
    return _file("docs.html", "text/html")


@router.get("/docs/{name}")
def show_file(name: str) -> Response:
    """What the page is made of."""
    if name not in FILES:
        raise NotFound("There is nothing at this address.")
    return _file(name, FILES[name])


@cache
def _encoded(app: Any) -> bytes:
    return msgspec.json.encode(app.openapi())


def _file(name: str, media_type: str) -> Response:
    return Response((PAGES / name).read_bytes(), media_type=media_type, headers={"Content-Security-Policy": POLICY})
