"""A stage for the watch's tests: the databases of lifecycle and audit, a home, real events, logs made by the relay's code, and
an attacker who owns the files and the signing key. The test moves the time, and looks.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from services.audit import queries
from services.audit.commands import (
    AlertPage,
    AlertView,
    CompareCheckpoint,
    ComparedCheckpoint,
    ListAlerts,
    ListSeenCheckpoints,
    SeenCheckpoint,
)
from services.audit.watch import Watch
from services.lifecycle.commands import OpenAccount
from shared.checkpoint import Checkpoint
from shared.ids import new_id
from shared.settings import Settings
from shared.signed_note import SigningKey, read_signing_key, sign_note
from shared.tile_writer import TileWriter
from shared.tiles import TileReader, files_in
from shared.tokens import Actor
from tests.support.cell import Cell
from tests.support.databases import superuser

OPERATOR = Actor(kind="operator", id="operator", role="operator")
SERVICES = ("lifecycle", "audit")
STALL_SECONDS = 30.0
ORIGIN = "test/lifecycle"


class WatchStage:
    """Two replicas of audit watch the log of lifecycle, and each other's."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.now = 1_000.0
        self.cells = [Cell(settings), Cell(settings)]
        self.watches = [self.new_watch(cell) for cell in self.cells]

    def new_watch(self, cell: Cell) -> Watch:
        """A replica's watch with nothing in its memory."""
        return Watch(cell.store("audit"), self.settings, stall_seconds=STALL_SECONDS, clock=lambda: self.now)

    def close(self) -> None:
        for watch in self.watches:
            watch.close()

    # -- the log

    def commit(self, count: int = 1) -> None:
        """Events of lifecycle, not in the log yet."""
        for _ in range(count):
            self.cells[0].call(new_id(), "lifecycle", "open_account", OpenAccount(name=f"desk {new_id()}"), OPERATOR)

    def sign(self) -> None:
        """What the relay does; the lease is held from then on, by a relay that has nothing to do."""
        self.set_lease("-infinity")
        self.cells[0].sign("lifecycle")
        self.set_lease("infinity")

    def set_lease(self, until: str) -> None:
        """Until when the relay of lifecycle holds its lease."""
        connection = superuser(self.settings, "lifecycle")
        with connection.cursor() as cursor:
            cursor.execute("UPDATE lethe.relay_lease SET expires_at = %s", (until,))
        connection.close()

    def grow(self, count: int = 1) -> bytes:
        """New events in a signed log; gives the note."""
        self.commit(count)
        self.sign()
        return self.note()

    @property
    def tiles(self) -> Path:
        return self.settings.path("tiles", "lifecycle")

    def note(self) -> bytes:
        return (self.tiles / "checkpoint").read_bytes()

    def put(self, note: bytes) -> None:
        (self.tiles / "checkpoint").write_bytes(note)

    def entries(self) -> list[bytes]:
        """The entries that are published."""
        size = int(self.note().split(b"\n")[1])
        return list(TileReader(files_in(self.tiles), size).entries())

    # -- the attacker

    @contextmanager
    def put_back(self) -> Iterator[None]:
        """After the block the tiles are what they were."""
        kept = self.settings.path("kept-tiles")
        shutil.copytree(self.tiles, kept)
        try:
            yield
        finally:
            shutil.rmtree(self.tiles)
            kept.rename(self.tiles)

    def key(self) -> SigningKey:
        return read_signing_key(self.settings.path("root-keys", "lifecycle", "log-signer.key"))

    def rewrite(self, entries: list[bytes], key: SigningKey | None = None) -> bytes:
        """Another log in the place of the one that is there, consistent and signed."""
        shutil.rmtree(self.tiles)
        self.tiles.mkdir()
        writer = TileWriter(self.tiles)
        writer.append(entries)
        note = self.signed(writer.size, writer.root(), key)
        self.put(note)
        return note

    def signed(self, size: int, root: bytes, key: SigningKey | None = None) -> bytes:
        return sign_note(Checkpoint(ORIGIN, size, root).text(), key or self.key())

    # -- what audit does and says

    def look(self, seconds: float = 1.0, times: int = 1) -> None:
        """Every replica looks, so many times, so many seconds apart."""
        for _ in range(times):
            self.now += seconds
            for watch in self.watches:
                watch.look()

    def alerts(self, *, only_open: bool = False) -> list[AlertView]:
        """The alerts, the oldest first."""
        page: AlertPage = self.ask("list_alerts", ListAlerts(only_open=only_open))
        return page.alerts[::-1]

    def told(self, *, only_open: bool = False) -> list[tuple[str, str, int | None, int | None]]:
        """(log, reason, size seen, size now) of the alerts."""
        return [(one.service, one.reason, one.seen_size, one.size) for one in self.alerts(only_open=only_open)]

    def seen(self) -> list[SeenCheckpoint]:
        """What is kept of lifecycle's log, the largest first."""
        found: list[SeenCheckpoint] = self.ask("list_seen_checkpoints", ListSeenCheckpoints(service="lifecycle")).checkpoints
        return found

    def hand_in(self, note: bytes) -> ComparedCheckpoint:
        answer: ComparedCheckpoint = self.ask(
            "compare_checkpoint", CompareCheckpoint(service="lifecycle", note=note.decode())
        )
        return answer

    def ask(self, method: str, argument: Any) -> Any:
        """A call as the operator."""
        return self.cells[0].call(None, "audit", method, argument, OPERATOR)  # type: ignore[arg-type]

    def events(self) -> list[str]:
        """The types of audit's own events, in the order of their commits."""
        connection = superuser(self.settings, "audit")
        with connection.cursor() as cursor:
            cursor.execute("SELECT type FROM lethe.event ORDER BY sequence")
            found = [kind.removeprefix("audit.") for (kind,) in cursor.fetchall()]
        connection.close()
        return found

    def known(self) -> queries.Watched:
        return queries.watched(self.cells[0].store("audit"))["lifecycle"]


Attack = Callable[[WatchStage], object]
