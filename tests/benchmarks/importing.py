"""Import: mails a second of the corpus (or of generated mail), bytes stored for each byte of mail, and what limits it."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from pathlib import Path

import psycopg2

from cli.importing import Importer
from cli.session import Session
from deploy.demo_mail import generate
from deploy.stack import Stack
from services.identity.commands import AddUser, UserView
from services.lifecycle.commands import AccountView, OpenAccount
from shared.ids import new_id
from shared.settings import SERVICES, Settings
from tests.benchmarks.figures import Figure
from tests.benchmarks.processes import cpu_by_process


def open_account() -> Session:
    """A fresh account with its owner."""
    name = f"Bench {new_id()}"
    session = Session(name)
    opened = session.operate("lifecycle", "open_account", OpenAccount(name=name), result_type=AccountView)
    session.operate(
        "identity", "add_user", AddUser(role="owner", name="Olga", login="olga@bench.example"), account=opened.account_id,
        result_type=UserView,
    )  # fmt: skip
    return session


def measure(stack: Stack, *, mails: int, notes: list[str]) -> tuple[list[Figure], Session]:
    """The figures, and the session of the account that was filled."""
    settings = Settings.load(stack.home)
    session = open_account()
    with tempfile.TemporaryDirectory() as folder:
        named = os.environ.get("MAIL_CORPUS")
        source = Path(named) if named else Path(folder)
        if not named:
            generate(source, mails=mails, people=max(20, mails // 4))
        before, cpu = stored(settings), cpu_by_process(stack)
        own = resource.getrusage(resource.RUSAGE_SELF)
        begun = time.perf_counter()
        result = Importer(session, batch=25, dry_run=False, advance=lambda _: None).run([source])
        taken = time.perf_counter() - begun
        after = stored(settings)
    spent = {name: used - cpu.get(name, 0.0) for name, used in cpu_by_process(stack).items()}
    ended = resource.getrusage(resource.RUSAGE_SELF)
    spent["the importing command"] = ended.ru_utime + ended.ru_stime - own.ru_utime - own.ru_stime
    busiest = sorted(spent.items(), key=lambda one: -one[1])[:6]
    notes.append(
        f"import: {result.mails:,} mails ({'the corpus' if named else 'generated'}), {result.bytes / 1e6:.1f} MB"
        f" in {taken:.1f} s; seconds of CPU: {', '.join(f'{name} {used:.1f}' for name, used in busiest)};"
        " one batch at a time, so it is the sum"
        " along one mail's way that limits it, not a core"
    )
    grown = {name: after[name] - before[name] for name in after}
    shares = ", ".join(f"{name} {size / result.bytes:.2f}" for name, size in grown.items())
    notes.append(f"stored: {shares} bytes for each byte of mail")
    return [
        Figure(
            figure="import", value=round(result.mails / taken, 1), unit="mails/s", target="≥ 40 mails/s",
            holds=result.mails / taken >= 40,
        ),
        Figure(figure="stored for each byte of mail", value=round(sum(grown.values()) / result.bytes, 2), unit="bytes"),
    ], session  # fmt: skip


def stored(settings: Settings) -> dict[str, int]:
    """Bytes of each database, and of all blobs and tiles."""
    sizes = {}
    for service in SERVICES:
        connection = psycopg2.connect(settings.database_url(service, "auditor"))
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            sizes[service] = int((cursor.fetchone() or (0,))[0])
        connection.close()
    for kind in ("blobs", "tiles"):
        sizes[kind] = sum(path.stat().st_size for path in settings.path(kind).rglob("*") if path.is_file())
    return sizes
