"""What client and server of an RPC call say to each other: names, the body of a call, the body of an answer.

nameko's protocol: exchange `nameko-rpc`, routing key `<service>.<method>`, `reply_to` and `correlation_id`; a
request `{"args": [], "kwargs": {"call": …}}`, an answer `{"result": …, "error": …}`. Everything of ours is
inside the sealed body; no header says anything. Pure: no I/O, no nameko.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec

from shared.errors import InternalError, LetheError, from_wire, to_wire
from shared.ids import Id
from shared.personal import InTransit, NotPersonal

RPC_EXCHANGE: Final = "nameko-rpc"

_SHORT = msgspec.Meta(min_length=1, max_length=200)


class WireCall(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A call as it travels. `deadline`: no later than this may it be begun, by the stack's clock.

    `method` is `<service>.<method>` again, inside what is sealed, so that whoever holds the broker can't hand
    the body of one call to another method. Clients other than ours may leave it out.
    """

    token: Annotated[str, msgspec.Meta(max_length=2048), InTransit(category="credential")] = ""
    account: Id | None = None
    idempotency_key: Annotated[str, _SHORT, NotPersonal("made up at random by the caller")] | None = None
    deadline: datetime
    argument: Any = None
    method: Annotated[str, _SHORT, NotPersonal("the name of a method")] | None = None


def request_body(call: WireCall) -> dict[str, Any]:
    """The body of a request."""
    return {"args": [], "kwargs": {"call": call}}


def answer_body(result: Any, error: LetheError | None, correlation_id: str | None) -> dict[str, Any]:
    """The body of an answer. It names its call inside what is sealed, so that answers can't be swapped on the
    way.

    The error has the form that stock nameko clients read as a `RemoteError`, and ours beside it.
    """
    if error is None:
        return {"result": result, "error": None, "answers": correlation_id}
    kind = type(error)
    told = {
        "exc_type": kind.__name__,
        "exc_path": f"{kind.__module__}.{kind.__name__}",
        "exc_args": [error.message],
        "value": error.message,
        "lethe": to_wire(error),
    }
    return {"result": None, "error": told, "answers": correlation_id}


def error_in(answer: dict[str, Any]) -> LetheError | None:
    """The typed error in an answer, or None. An error of a stock nameko service has no code of ours:
    `InternalError`.
    """
    told = answer.get("error")
    if not told:
        return None
    ours = told.get("lethe") if isinstance(told, dict) else None
    return from_wire(ours) if isinstance(ours, dict) else InternalError()
