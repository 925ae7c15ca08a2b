"""A user with an authenticator app, by HTTPS: switched on, and logged in with it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pyotp

from services.identity.totp import STEP_SECONDS, step_at
from shared import clock
from tests.support.desk import await_it
from tests.support.gateway import PASSWORD, Api

MARGIN_SECONDS = 5


@dataclass
class AppUser:
    """An owner of an account of their own whose second factor is on."""

    login: str
    app: pyotp.TOTP
    recovery_codes: list[str]
    accepted_step: int
    uri: str
    qr_png: bytes

    @classmethod
    def open(cls, api: Api) -> AppUser:
        """A new account; the factor is confirmed with the previous step's code, so that the present one is good still."""
        opened, token = api.open_account(is_confirmed=True)
        begun = api.call("POST", "/v1/second-factor/enrolment", token=token)
        assert 200 == begun.status_code, begun.text
        app = pyotp.parse_uri(begun.json()["uri"])
        assert isinstance(app, pyotp.TOTP)
        moment = clock.now()
        if moment.timestamp() % STEP_SECONDS > STEP_SECONDS - MARGIN_SECONDS:
            moment += timedelta(seconds=STEP_SECONDS)  # sent now it would be out of date when it is there
        confirmed = moment - timedelta(seconds=STEP_SECONDS)
        on = api.call("POST", "/v1/second-factor/confirmation", {"code": app.at(confirmed)}, token=token)
        assert 200 == on.status_code, on.text
        picture = base64.b64decode(begun.json()["qr_png"])
        return cls(opened["owner"]["login"], app, on.json()["recovery_codes"], step_at(confirmed), begun.json()["uri"], picture)

    def asks(self, **more: Any) -> dict[str, Any]:
        """What a log-in sends."""
        return {"login": self.login, "password": PASSWORD, **more}

    def challenge(self, api: Api) -> str:
        """What the right password gives."""
        answer = api.call("POST", "/v1/sessions", self.asks())
        assert (200, "second factor") == (answer.status_code, answer.json().get("status")), answer.text
        return str(answer.json()["challenge"])

    def fresh_code(self) -> str:
        """What the app shows, once that is a code later than all that were accepted, and is shown for some seconds yet."""

        def step() -> int | None:
            now = clock.now()
            is_late = now.timestamp() % STEP_SECONDS > STEP_SECONDS - MARGIN_SECONDS
            return None if is_late or step_at(now) <= self.accepted_step else step_at(now)

        self.accepted_step = await_it(step, STEP_SECONDS + 10.0)
        return self.code_of(self.accepted_step)

    def code_of(self, step: int) -> str:
        """The code of a step."""
        return self.app.generate_otp(step)
