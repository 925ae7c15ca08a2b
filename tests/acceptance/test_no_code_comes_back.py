"""A code of the app is good once in its life: no clock that is put back makes it good again, through the login and in every
replica. What a real authenticator makes is taken, and what a real reader reads is the seed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from deploy.stack import Stack
from services.identity.totp import STEP_SECONDS
from shared import clock
from tests.support.crowd import Doors, Request, outcomes
from tests.support.second_factor import MARGIN_SECONDS, AppUser

REPLICAS = 3
PUT_BACK = [timedelta(seconds=STEP_SECONDS), timedelta(seconds=2 * STEP_SECONDS), timedelta(minutes=9)]
"""A step, two, and nearly as long as a challenge lasts."""


@contextmanager
def put_back(stack: Stack, by: timedelta) -> Iterator[None]:
    """The clock of a whole stack is behind the machine's for the length of the block. `lethe clock` refuses that; machines do
    not."""
    file = stack.home / "clock"
    assert not file.exists(), "somebody else moved this stack's clock"
    try:
        beside = file.with_suffix(".put-back")
        beside.write_text(json.dumps({"offset_seconds": -by.total_seconds()}))
        beside.replace(file)
        yield
    finally:
        file.unlink()


def test_a_clock_that_is_put_back_brings_no_code_back(doors: Doors) -> None:
    """The code that let its user in, and those that the put-back clock shows, are refused by every replica, with a challenge
    and with the password; the next code after the last one is good once time has come there again."""
    with doors.client() as api:
        users = [AppUser.open(api) for _ in PUT_BACK]
        challenges = [user.challenge(api) for user in users]
        used = [user.fresh_code() for user in users]
        for user, code in zip(users, used, strict=True):
            let_in = api.call("POST", "/v1/sessions", user.asks(code=code))
            assert (200, "in") == (let_in.status_code, let_in.json().get("status")), let_in.text
    before = doors.served("identity", "complete_login")
    for by, user, challenge in zip(PUT_BACK, users, challenges, strict=True):
        back = int(by.total_seconds()) // STEP_SECONDS
        codes = [user.code_of(user.accepted_step - step) for step in sorted({0, 1, back, back + 1})]
        with put_back(doors.stack, by):
            completions = doors.race([completion(challenge, code) for code in codes for _ in range(REPLICAS)])
            assert {"unauthenticated": REPLICAS * len(codes)} == outcomes(completions)
            log_ins = doors.race([log_in(user, code) for code in codes])
            assert {"unauthenticated": len(codes)} == outcomes(log_ins)
    assert all(count > before[name] for name, count in doors.served("identity", "complete_login").items())
    with doors.client(1) as api:
        done = completion(challenges[0], users[0].fresh_code())(api)
        assert (200, "in") == (done.status_code, done.json().get("status")), done.text


def completion(challenge: str, code: str) -> Request:
    return lambda api: api.call("POST", "/v1/sessions/completion", {"challenge": challenge, "code": code})


def log_in(user: AppUser, code: str) -> Request:
    return lambda api: api.call("POST", "/v1/sessions", user.asks(code=code))


def test_a_real_authenticator_logs_in(doors: Doors) -> None:
    """`oathtool` (Debian) is given the seed that the API gave, and its code lets in, once; `zbarimg` (Debian) reads from the
    PNG that the API gave what the app was told in text."""
    oathtool, zbarimg = shutil.which("oathtool"), shutil.which("zbarimg")
    if oathtool is None or zbarimg is None:
        pytest.skip("oathtool or zbarimg is not installed (packages oathtool, zbar-tools)")
    with doors.client() as api:
        user = AppUser.open(api)
        picture = [zbarimg, "--raw", "--quiet", "-"]
        read = subprocess.run(picture, input=user.qr_png, capture_output=True, check=True).stdout.decode().strip()
        assert user.uri == read
        user.fresh_code()  # waits until it is another one than the first
        moment = clock.now()
        assert moment.timestamp() % STEP_SECONDS < STEP_SECONDS - MARGIN_SECONDS
        asked = [oathtool, "--totp", "--base32", f"--now={moment:%Y-%m-%d %H:%M:%S} UTC", "-"]
        code = subprocess.run(asked, input=user.app.secret, capture_output=True, text=True, check=True).stdout.strip()
        first = api.call("POST", "/v1/sessions", user.asks(code=code))
        assert (200, "in") == (first.status_code, first.json().get("status")), first.text
        assert 401 == api.call("POST", "/v1/sessions", user.asks(code=code)).status_code
