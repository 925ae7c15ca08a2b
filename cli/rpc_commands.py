"""`lethe rpc …`: any RPC method of any service, and the list of them, read from the services' own declarations."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import msgspec
import typer

from cli.options import HELP, Account, As
from cli.output import show, show_json, table
from cli.session import DEFAULT_TIMEOUT_SECONDS, Session
from shared.errors import InvalidArgument, NotFound
from shared.personal import NotPersonal
from shared.settings import SERVICES

Text = Annotated[str, NotPersonal("from the program's own declarations")]


class MethodView(msgspec.Struct, frozen=True, kw_only=True):
    """An RPC method as its service declares it."""

    service: Text
    method: Text
    roles: list[Text]
    scope: Text
    allow_suspended: bool
    doc: Text
    argument_schema: dict[Text, Any]
    result_schema: dict[Text, Any]


class MethodList(msgspec.Struct, frozen=True, kw_only=True):
    """All methods of all services."""

    methods: list[MethodView]


def register(app: typer.Typer) -> None:
    """Adds this command to the program."""
    app.command("rpc", context_settings=HELP)(rpc)


def rpc(
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="A service's name; or list, to see all methods.")
    ],
    method: Annotated[str | None, typer.Argument(metavar="METHOD", help="One of its methods.")] = None,
    argument: Annotated[
        str, typer.Argument(metavar="JSON", help="The argument; bytes in it as base64.")
    ] = "{}",
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, metavar="S", help="Seconds to wait for the answer.")
    ] = DEFAULT_TIMEOUT_SECONDS,
    account: Account = None,
    as_user: As = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="As the stack's operator, not as a user.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="For rpc list: as JSON, with the schemas. Answers always are.")
    ] = False,
) -> None:
    """Call any RPC method, or list them: lethe rpc list [SERVICE].

    Example: lethe rpc tickets list_tickets '{"limit": 2}'
    """
    if service == "list":
        _list(method, json)
        return
    if method is None:
        raise InvalidArgument("Name a method: lethe rpc list", field="method", rule="is required")
    try:
        value = msgspec.json.decode(argument)
    except msgspec.DecodeError:
        raise InvalidArgument("JSON is not JSON", field="argument", rule="is a JSON object") from None
    declared = next((one for one in declared_methods(service) if one[0] == method), None)
    if declared is None:
        raise NotFound(f"there is no method {service}.{method}; those that there are: lethe rpc list")
    if declared[1].argument is not None:
        # so that bytes may stand as base64; what does not fit is sent as it is, and the service says what is wrong
        with contextlib.suppress(msgspec.MsgspecError):
            value = msgspec.json.decode(argument, type=declared[1].argument)
    only_operators = declared[1].roles == frozenset({"operator"})
    with Session(account, as_user) as session:
        if operator or only_operators:
            chosen = session.account_id if account is not None else None
            answer = session.operate(service, method, value, account=chosen, timeout_seconds=timeout)
        else:
            answer = session.call(service, method, value, timeout_seconds=timeout)
    show_json(answer)


def declared_methods(service: str) -> list[tuple[str, Any]]:
    """(name, declaration) of each method of a service; [] where there is no such service."""
    if service not in SERVICES:
        return []
    # nameko is loaded only by the one command that needs the services' classes
    from shared.rpc import describe
    from shared.service_classes import service_class

    return [(one.name, one) for one in describe(service_class(service))]


def _list(only: str | None, json: bool) -> None:
    views = [
        MethodView(
            service=service, method=name, roles=sorted(one.roles), scope=one.scope,
            allow_suspended=one.allow_suspended, doc=one.doc.partition("\n")[0],
            argument_schema=one.argument_schema(), result_schema=one.result_schema(),
        )
        for service in SERVICES
        if only in (None, service)
        for name, one in declared_methods(service)
    ]  # fmt: skip
    if json:
        show_json(MethodList(methods=views))
        return
    rows = [
        (one.service, one.method, ", ".join(one.roles), one.scope, _fields(one.argument_schema), one.doc)
        for one in views
    ]
    show(table(f"{len(views)} methods", ("service", "method", "roles", "scope", "argument", "what it does"), rows))


def _fields(schema: dict[str, Any]) -> str:
    """The fields of an argument; those that may be left out in brackets."""
    if "$ref" in schema:
        schema = schema["$defs"][schema["$ref"].rpartition("/")[2]]
    required = set(schema.get("required", ()))
    return ", ".join(name if name in required else f"[{name}]" for name in schema.get("properties", {}))
