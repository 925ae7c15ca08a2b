"""Many large uploads at once: a gateway's memory has a bound, and who finds no room is told to come again."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx

from deploy.stack import Stack
from tests.support.gateway import Api, api, mail

UPLOADS = 50
UPLOAD_BYTES = 20_000_000
ROOM_BYTES = 64 << 20
TIMES_HELD = 6
"""How many times over a process may hold what it has room for, everything else included."""


def test_fifty_large_uploads_at_once_stay_within_the_bound(desk: Api, desk_stack: Stack, capsys: Any) -> None:
    """Fifty of 20 MB at the same moment, a gigabyte: each is taken in or told 503 with Retry-After, and the process never has
    more than six times what it has room for beyond what it has when idle. Then there is room again."""
    _, token = desk.open_account()
    large = with_attachment(UPLOAD_BYTES)
    desk_stack.start("gateway-6", env={"LETHE_GATEWAY_BODY_BYTES": str(ROOM_BYTES), "LETHE_GATEWAY_SIGN_UP": "open"})
    try:
        desk_stack.await_ready()
        found = desk_stack.status()
        url, certificate = found["gateway"]["urls"][-1], found["gateway"]["certificate"]
        pid = next(one["pid"] for one in found["processes"] if one["name"] == "gateway-6")
        together = Barrier(UPLOADS)

        def upload(_: int) -> str:
            with api(url, certificate) as one:
                one.client.timeout = httpx.Timeout(120)
                one.call("GET", "/v1/health/live")
                together.wait()
                try:
                    answer = send(one, token, large)
                except httpx.TransportError:  # it was told while it still sent
                    return "cut off"
            assert answer.status_code != 503 or int(answer.headers["retry-after"]) >= 1
            return f"{answer.status_code} {answer.json().get('code', '')}".strip()

        with api(url, certificate) as one:
            assert 200 == send(one, token, mail("ann@mail.example", "Small", "x")).status_code
        idle = kibibytes(pid, "VmRSS")
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew
        with ThreadPoolExecutor(UPLOADS) as pool:
            told = Counter(pool.map(upload, range(UPLOADS)))
        peak = kibibytes(pid, "VmHWM") - idle
        with capsys.disabled():
            print(f"\n{dict(told)}; {peak // 1024} MiB beyond the {idle // 1024} MiB when idle; room: {ROOM_BYTES >> 20} MiB")
        assert told.keys() <= {"200", "503 busy", "cut off"} and told["200"] >= 1 and told["503 busy"] >= 1
        assert peak * 1024 <= TIMES_HELD * ROOM_BYTES
        with api(url, certificate) as one:
            one.client.timeout = httpx.Timeout(120)
            assert 200 == send(one, token, large).status_code
    finally:
        desk_stack.stop("gateway-6")


def with_attachment(size: int) -> bytes:
    """A mail of so many bytes, which are those of its attachment."""
    content = "QUJD" * 19 + "\r\n"
    return (
        "From: ann@mail.example\r\nTo: help@desk.example\r\nSubject: Large\r\nMessage-ID: <large@mail.example>\r\n"
        "Date: Mon, 4 Mar 2024 01:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
        "Content-Disposition: attachment; filename=large.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + content * (size // len(content))
    ).encode()


def send(one: Api, token: str, body: bytes) -> httpx.Response:
    """A mail that is looked at, and changes nothing."""
    return one.call("POST", "/v1/messages?dry_run=true", body, token=token, Content_Type="message/rfc822")


def kibibytes(pid: int, field: str) -> int:
    """What the kernel says of a process's memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(one.split()[1]) for one in lines if one.startswith(f"{field}:"))
