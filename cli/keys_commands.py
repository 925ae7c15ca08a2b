"""`lethe keys …`: end a key epoch, and show where the epochs stand. Works on the databases as their owner, not over RPC."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime
from typing import Any

import msgspec
import psycopg2
import typer

from cli.options import HELP, Json, Yes
from cli.output import moment, note, show, show_json, table
from cli.session import load_settings
from shared import clock
from shared.certificate import EPOCH_LENGTH
from shared.cut_journal import journal_path, oldest_open
from shared.errors import NotFound, Unavailable
from shared.events import ServiceName
from shared.root_keys import RootKeys
from shared.rotation import Rotated, rotate, rotate_transport
from shared.settings import Settings

AWAY = "The database can't be reached. Is the stack up? lethe up"
keys = typer.Typer(help="Key epochs: rotate, status.", no_args_is_help=True, context_settings=HELP)


class RotationView(msgspec.Struct, frozen=True, kw_only=True):
    """What a rotation did."""

    trees: list[Rotated]
    transport_epoch: int


class EpochView(msgspec.Struct, frozen=True, kw_only=True):
    """One service's key tree."""

    service: ServiceName
    epochs: list[int]
    accounts: int
    items: int
    oldest_cut_in_epoch: datetime | None
    """The first cut (of a person, an item or an account) that copies could still open; None where there is none."""
    rotate_by: datetime | None
    """A day after that: certificates say that by then it can't be recovered from any copy."""
    is_overdue: bool


class KeysStatus(msgspec.Struct, frozen=True, kw_only=True):
    trees: list[EpochView]


def register(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.add_typer(keys, name="keys")


@keys.command("rotate")
def rotate_keys(yes: Yes = False, json: Json = False) -> None:
    """End the key epoch: afterwards no older copy opens anything that was cut. The old root keys are destroyed.

    Run it while nothing is being written. The databases have to be up: of a local stack, that is one that is up and idle.

    Example: lethe keys rotate --yes
    """
    settings = load_settings()
    if not yes:
        typer.confirm("Older dumps of the keys will open nothing any more. Go on?", abort=True, err=True)
    for service in settings.databases:  # all of them, before anything is begun in one
        _connected(settings, service).close()
    trees = []
    for service in settings.databases:
        try:
            trees.append(rotate(settings, service, note))
        except psycopg2.OperationalError:
            raise Unavailable(AWAY, service=service) from None
    view = RotationView(trees=trees, transport_epoch=rotate_transport(settings))
    if json:
        show_json(view)
        return
    rows = [
        (one.service, one.epoch, one.accounts_rewrapped, one.accounts_rekeyed, one.items_rewrapped, _list(one.destroyed))
        for one in trees
    ]
    columns = ("service", "epoch", "accounts re-wrapped", "accounts with a new key", "item keys re-wrapped", "roots destroyed")
    show(table("Keys rotated", columns, rows))


@keys.command("status")
def status(json: Json = False) -> None:
    """Show the epochs of each service's key tree, and since when copies could open something that was cut.

    Certificates promise that no copy opens it a day later: what is overdue breaks that promise.

    Example: lethe keys status
    """
    settings = load_settings()
    view = KeysStatus(trees=[status_of(settings, service) for service in settings.databases])
    if json:
        show_json(view)
        return
    rows = [(one.service, _list(one.epochs), one.accounts, one.items, _due(one)) for one in view.trees]
    show(table("Key epochs", ("service", "epochs", "accounts", "item keys", "cut, but open in older copies"), rows))
    if overdue := [one.service for one in view.trees if one.is_overdue]:
        note(f"Copies still open what certificates say they don't ({', '.join(overdue)}): lethe keys rotate")


def status_of(settings: Settings, service: str) -> EpochView:
    """Where a key tree stands. Raises `Unavailable`, and `Tampered` where its cut journal can't be read."""
    with closing(_connected(settings, service)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT count(DISTINCT account_id) FROM keys.account_key), (SELECT count(*) FROM keys.item_key),"
            " (SELECT min(c.cut_at) FROM keys.cut_item c JOIN keys.account_key k USING (account_id)"
            "  WHERE c.generation = k.generation)"
        )
        row = cursor.fetchone()
        if row is None:
            raise NotFound()
    epochs = RootKeys(settings.path("root-keys"), service).epochs()
    # of an account that has ended the database knows nothing any more
    known = (row[2], oldest_open(journal_path(settings.path("tiles", service))))
    oldest = min((at for at in known if at is not None), default=None)
    due = oldest + EPOCH_LENGTH if oldest else None
    return EpochView(
        service=service, epochs=epochs, accounts=row[0], items=row[1], oldest_cut_in_epoch=oldest, rotate_by=due,
        is_overdue=due is not None and due < clock.now(),
    )  # fmt: skip


def _connected(settings: Settings, service: str) -> Any:
    try:
        return psycopg2.connect(settings.database_url(service, "owner"), connect_timeout=5)
    except psycopg2.OperationalError:
        raise Unavailable(AWAY, service=service) from None


def _due(one: EpochView) -> str:
    if one.oldest_cut_in_epoch is None or one.rotate_by is None:
        return "none"
    by = "OVERDUE since" if one.is_overdue else "rotate by"
    return f"cut {moment(one.oldest_cut_in_epoch)}, {by} {moment(one.rotate_by)}"


def _list(epochs: list[int]) -> str:
    return ", ".join(map(str, epochs)) or "none"
