"""What the command line's readers of an account ask, answered by the services of a `Cell`."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from cli.canonical import encode
from cli.export_commands import gather
from cli.session import Session
from shared.ids import new_id
from shared.tokens import Actor
from tests.support.cell import Cell


class CellSession:
    """In the place of a `Session`, for those who only read."""

    def __init__(self, cell: Cell, account: str) -> None:
        self._cell = cell
        self._account = account
        self._actor = Actor(kind="user", id=new_id(), account_id=account, role="owner")

    def query(self, service: str, method: str, argument: Any, result_type: Any) -> Any:
        """A call that only reads; the result takes the wire's form in between."""
        result = self._cell.call(self._account, service, method, argument, self._actor)
        return msgspec.msgpack.decode(msgspec.msgpack.encode(result), type=result_type)


def canonical(cell: Cell, account: str) -> bytes:
    """The canonical export of an account."""
    return encode(gather(cast(Session, CellSession(cell, account))))
