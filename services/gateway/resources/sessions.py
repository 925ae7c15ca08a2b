"""Sessions: logging in with a password and, where it is on, the second factor; looking at sessions, and ending them."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.gateway.answers import answered, nothing_to_say
from services.gateway.openapi import NO_CONTENT, operation
from services.gateway.parameters import (
    UUID,
    CallerOf,
    GatewayOf,
    IdempotencyKey,
    Source,
    id_in_path,
    public_json_body,
)
from services.gateway.requests import CompleteSession, EnrolAtLogin, FirstCode, OpenSession
from services.identity.access_commands import (
    BeginSecondFactor,
    CompleteLogin,
    ConfirmSecondFactor,
    EndSession,
    EndSessions,
    ListSessions,
    LogIn,
    LoginAnswer,
    SecondFactorBegun,
    SecondFactorOn,
    SessionList,
    SessionsEndedAnswer,
)
from services.identity.commands import Done

router = APIRouter(tags=["sessions"])
REFUSED_LOGINS: Final = ("unauthenticated", "permission_refused", "account_suspended", "too_many_tries")
_CHALLENGE: Final = {"challenge": "what the login gave"}
OfUser = Annotated[str | None, Query(pattern=UUID, description="Of this user; one's own where left out.")]


@router.post(
    "/sessions",
    **operation(
        answer=LoginAnswer, takes=OpenSession, public=True, also=REFUSED_LOGINS,
        example={"login": "olga@example.org", "password": "a long sentence of your own"},
    ),
)  # fmt: skip
def log_in(gateway: GatewayOf, source: Source, asked: Annotated[OpenSession, public_json_body(OpenSession)]) -> Response:
    """Logs in. `status` says whether there is a session, or what is still to come. The session's token is shown here only."""
    command = LogIn(
        login=asked.login, password=asked.password, code=asked.code, account_id=asked.account_id,
        range_link=asked.range_link, source=source,
    )  # fmt: skip
    return answered(gateway.client.call("identity", "log_in", command, account=None, result_type=LoginAnswer))


@router.post(
    "/sessions/completion",
    **operation(
        answer=LoginAnswer, takes=CompleteSession, public=True, also=REFUSED_LOGINS, example={**_CHALLENGE, "code": "492039"}
    ),
)
def complete_login(
    gateway: GatewayOf, source: Source, asked: Annotated[CompleteSession, public_json_body(CompleteSession)]
) -> Response:
    """The second factor of a login, where `log_in` asked for it."""
    command = CompleteLogin(challenge=asked.challenge, code=asked.code, range_link=asked.range_link, source=source)
    return answered(gateway.client.call("identity", "complete_login", command, account=None, result_type=LoginAnswer))


@router.post(
    "/sessions/enrolment",
    **operation(
        answer=SecondFactorBegun, takes=EnrolAtLogin, public=True, changes=True, also=REFUSED_LOGINS, example=_CHALLENGE
    ),
)
def begin_enrolment_at_login(gateway: GatewayOf, asked: Annotated[EnrolAtLogin, public_json_body(EnrolAtLogin)]) -> Response:
    """Switching the second factor on in the middle of a login that requires it: the seed, as text and as a QR code."""
    command = BeginSecondFactor(challenge=asked.challenge)
    called = gateway.client.call("identity", "begin_second_factor", command, account=None, result_type=SecondFactorBegun)
    return answered(called)


@router.post(
    "/sessions/enrolment/confirmation",
    **operation(
        answer=SecondFactorOn, takes=FirstCode, public=True, changes=True, also=REFUSED_LOGINS,
        example={**_CHALLENGE, "code": "492039"},
    ),
)  # fmt: skip
def confirm_enrolment_at_login(
    gateway: GatewayOf, source: Source, asked: Annotated[FirstCode, public_json_body(FirstCode)]
) -> Response:
    """The first code of the new seed completes the login. The recovery codes are shown here only."""
    command = ConfirmSecondFactor(code=asked.code, challenge=asked.challenge, source=source)
    called = gateway.client.call("identity", "confirm_second_factor", command, account=None, result_type=SecondFactorOn)
    return answered(called)


@router.get("/sessions", **operation(answer=SessionList))
def list_sessions(caller: CallerOf, user_id: OfUser = None) -> Response:
    """Sessions that are good, newest first."""
    return answered(caller.query("identity", "list_sessions", ListSessions(user=user_id), SessionList))


@router.delete("/sessions/current", **operation(status=NO_CONTENT, changes=True))
def log_out(caller: CallerOf, key: IdempotencyKey = None) -> Response:
    """Logs out: ends the session that the request was sent with. Without one there is nothing to end."""
    if caller.who.session_id is not None:
        caller.change("identity", "end_session", EndSession(session_id=caller.who.session_id), Done, key)
    return nothing_to_say()


@router.delete("/sessions/{session_id}", **operation(status=NO_CONTENT, changes=True))
def end_session(
    caller: CallerOf, session_id: Annotated[str, id_in_path("the session")], key: IdempotencyKey = None
) -> Response:
    """Ends one session."""
    caller.change("identity", "end_session", EndSession(session_id=session_id), Done, key)
    return nothing_to_say()


@router.delete("/sessions", **operation(answer=SessionsEndedAnswer, changes=True))
def end_sessions(caller: CallerOf, user_id: OfUser = None, key: IdempotencyKey = None) -> Response:
    """Ends all sessions of a user but the one that the request was sent with."""
    command = EndSessions(user=user_id, keep=caller.who.session_id)
    return answered(caller.change("identity", "end_sessions", command, SessionsEndedAnswer, key))
