"""A small client of the gateway's API, for the demonstration and the benchmarks: one connection that stays, JSON both ways.

Trusts the certificate that the stack names, and no other. Programs of others take what they like; the API is plain HTTPS.
"""

from __future__ import annotations

import json
import ssl
from http.client import HTTPException, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from shared.errors import Unavailable

ANSWER_SECONDS = 30.0


class Answer(NamedTuple):
    """A status, and the JSON of the body (None where there is none)."""

    status: int
    body: Any


class ApiClient:
    """Asks one gateway. `token` is sent as Bearer once it is set; `source` is the address to come from."""

    def __init__(self, url: str, certificate: str, *, source: str | None = None) -> None:
        address = urlsplit(url)
        self._connection = HTTPSConnection(
            address.hostname or "", address.port, timeout=ANSWER_SECONDS,
            context=ssl.create_default_context(cafile=certificate), source_address=(source, 0) if source else None,
        )  # fmt: skip
        self.token: str | None = None

    def ask(
        self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, media_type: str = "application/json",
        key: str | None = None,
    ) -> Answer:  # fmt: skip
        """Sends a request, with `body` as JSON or `raw` as it is. Raises `Unavailable` where the gateway can't be reached."""
        headers = {"Content-Type": media_type} | ({"Idempotency-Key": key} if key else {})
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        sent = raw if raw is not None else None if body is None else json.dumps(body)
        try:
            self._connection.request(method, path, sent, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException) as error:
            self._connection.close()
            raise Unavailable("the gateway can't be reached") from error
        return Answer(answer.status, json.loads(content) if content else None)
