"""Recording reads: what it adds to a read of a ticket, as a share of that read.

Both run in this process on the stack's databases, without RPC and with contacts in the same process, so that the read is as
cheap as it can be and the share at its highest. The record is written by the same thread, every 500 reads, as the service
writes it; so what the database does for it counts as well.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from deploy.stack import Stack
from services.lifecycle.commands import OpenAccount
from services.tickets.commands import ImportMails
from shared.ids import new_id
from shared.read_buffer import READS_AT_ONCE, ReadBuffer
from shared.settings import Settings
from shared.tokens import Actor
from tests.benchmarks.figures import Figure
from tests.support.cell import Cell

TARGET = 0.05
MAIL = (
    "From: Ann Archer <ann@archer.example>\r\nTo: desk@kettles.example\r\nSubject: kettle\r\n"
    "Message-ID: <{place}@archer.example>\r\n{reply}Date: Mon, 4 Mar 2024 08:0{place}:00 +0000\r\n\r\n"
    "My kettle is broken, write to ben@baker.example as well.\r\n"
)


class _Nothing:
    """What a service has in place of its buffer in the turns without recording."""

    def note(self, account_id: str, read: object) -> None:
        pass

    def flush(self) -> None:
        pass


def measure(stack: Stack, *, rounds: int, notes: list[str]) -> list[Figure]:
    """Turns with and without recording alternate; each is 500 reads of a ticket of three messages and the writing of them."""
    cell = Cell(Settings.load(stack.home))
    operator = Actor(kind="operator", id="operator", role="operator")
    account = cell.call(new_id(), "lifecycle", "open_account", OpenAccount(name=f"Bench {new_id()}"), operator).account_id
    mails = [
        MAIL.format(place=place, reply="In-Reply-To: <0@archer.example>\r\n" if place else "").encode() for place in range(3)
    ]
    ticket = cell.call(account, "tickets", "import_mails", ImportMails(mails=mails)).mails[0].ticket_id
    reader = Actor(kind="user", id=new_id(), account_id=account, role="agent")
    resources = cell.service("tickets").runtime

    def turn(buffer: ReadBuffer | _Nothing) -> float:
        resources.reads = buffer
        begun = time.perf_counter()
        for _ in range(READS_AT_ONCE):
            cell.call(account, "tickets", "show_ticket", {"ticket_id": ticket}, reader)
        buffer.flush()
        return (time.perf_counter() - begun) / READS_AT_ONCE

    buffers: list[Callable[[], ReadBuffer | _Nothing]] = [_Nothing, lambda: ReadBuffer(cell.store("tickets"))]
    turn(buffers[1]())  # warm up
    times: list[list[float]] = [[], []]
    for each in range(rounds):
        for kind in (0, 1) if each % 2 else (1, 0):
            times[kind].append(turn(buffers[kind]()))
    without, recording = map(statistics.median, times)
    share = statistics.median(after / before for before, after in zip(*times, strict=True)) - 1
    notes.append(
        f"reads: show_ticket of three messages, in one process without RPC: {without * 1e3:.2f} ms without a record,"
        f" {recording * 1e3:.2f} ms with it; {rounds} turns of {READS_AT_ONCE} reads of each kind, the median of their ratios"
    )
    return [
        Figure(
            figure="read recording, share of a read", value=round(share, 4), unit="of show_ticket", target=f"≤ {TARGET:g}",
            holds=share <= TARGET,
        )
    ]  # fmt: skip
