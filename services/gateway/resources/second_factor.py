"""The caller's own second factor (TOTP, RFC 6238): switched on, looked at, switched off."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter
from starlette.responses import Response

from services.gateway.answers import answered, nothing_to_say
from services.gateway.openapi import NO_CONTENT, operation
from services.gateway.parameters import CallerOf, IdempotencyKey, Source, json_body
from services.gateway.requests import FactorCode
from services.identity.access_commands import (
    BeginSecondFactor,
    ConfirmSecondFactor,
    DisableSecondFactor,
    RecoveryCodes,
    RenewRecoveryCodes,
    SecondFactorBegun,
    SecondFactorOn,
    SecondFactorView,
    ShowSecondFactor,
)
from services.identity.commands import Done

router = APIRouter(tags=["second factor"], prefix="/second-factor")
_CODE: Final = {"code": "492039"}


@router.get("", **operation(answer=SecondFactorView))
def show_second_factor(caller: CallerOf) -> Response:
    """Whether it is on, and whether the account requires it."""
    return answered(caller.query("identity", "show_second_factor", ShowSecondFactor(), SecondFactorView))


@router.post("/enrolment", **operation(answer=SecondFactorBegun, changes=True))
def begin_second_factor(caller: CallerOf, key: IdempotencyKey = None) -> Response:
    """A new seed, as text and as a QR code. It counts once a code of it was confirmed."""
    return answered(caller.change("identity", "begin_second_factor", BeginSecondFactor(), SecondFactorBegun, key))


@router.post("/confirmation", **operation(answer=SecondFactorOn, takes=FactorCode, example=_CODE, changes=True))
def confirm_second_factor(
    caller: CallerOf, source: Source, asked: Annotated[FactorCode, json_body(FactorCode)], key: IdempotencyKey = None
) -> Response:
    """Switches it on. All sessions end, and every login from now on needs a code. The recovery codes are shown here only."""
    command = ConfirmSecondFactor(code=asked.code, source=source)
    return answered(caller.change("identity", "confirm_second_factor", command, SecondFactorOn, key))


@router.post("/removal", **operation(status=NO_CONTENT, takes=FactorCode, example=_CODE, changes=True))
def disable_second_factor(
    caller: CallerOf, asked: Annotated[FactorCode, json_body(FactorCode)], key: IdempotencyKey = None
) -> Response:
    """Switches it off, where the account allows that."""
    caller.change("identity", "disable_second_factor", DisableSecondFactor(code=asked.code), Done, key)
    return nothing_to_say()


@router.post("/recovery-codes", **operation(answer=RecoveryCodes, takes=FactorCode, example=_CODE, changes=True))
def renew_recovery_codes(
    caller: CallerOf, asked: Annotated[FactorCode, json_body(FactorCode)], key: IdempotencyKey = None
) -> Response:
    """Ten new recovery codes; the old ones are void."""
    command = RenewRecoveryCodes(code=asked.code)
    return answered(caller.change("identity", "renew_recovery_codes", command, RecoveryCodes, key))
