"""Recording reads: what it adds to a read of a ticket, as a share of that read.

Both run in this process on the stack's databases, without RPC and with contacts in the same process, so that the read is as
cheap as it can be and the share at its highest. The record is written by the same thread, every 500 reads, as the service
writes it; so what the database does for it counts as well.
"""

from __future__ import annotations

import statistics
import time

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
    """What a service has in place of its buffer for the reads without a record."""

    def note(self, account_id: str, read: object) -> None:
        pass


def measure(stack: Stack, *, rounds: int, notes: list[str]) -> list[Figure]:
    """Reads with and without recording alternate one by one, so that what else the machine does falls on both alike."""
    cell = Cell(Settings.load(stack.home))
    operator = Actor(kind="operator", id="operator", role="operator")
    account = cell.call(new_id(), "lifecycle", "open_account", OpenAccount(name=f"Bench {new_id()}"), operator).account_id
    mails = [
        MAIL.format(place=place, reply="In-Reply-To: <0@archer.example>\r\n" if place else "").encode() for place in range(3)
    ]
    ticket = cell.call(account, "tickets", "import_mails", ImportMails(mails=mails)).mails[0].ticket_id
    reader = Actor(kind="user", id=new_id(), account_id=account, role="agent")
    resources = cell.service("tickets").runtime

    def read(buffer: ReadBuffer | _Nothing) -> float:
        resources.reads = buffer
        begun = time.perf_counter()
        cell.call(account, "tickets", "show_ticket", {"ticket_id": ticket}, reader)
        return time.perf_counter() - begun

    def turn() -> tuple[float, float]:
        """Seconds of 500 reads without a record, and of 500 with it, its writing included."""
        nothing, buffer = _Nothing(), ReadBuffer(cell.store("tickets"))
        without, recording = 0.0, 0.0
        for each in range(READS_AT_ONCE):
            if each % 2:
                recording += read(buffer)
            without += read(nothing)
            if not each % 2:
                recording += read(buffer)
        begun = time.perf_counter()
        buffer.flush()
        return without, recording + time.perf_counter() - begun

    turn()  # warm up
    times = [turn() for _ in range(rounds)]
    share = statistics.median(recording / without for without, recording in times) - 1
    without, recording = (statistics.median(column) / READS_AT_ONCE * 1e3 for column in zip(*times, strict=True))
    notes.append(
        f"reads: show_ticket of three messages, in one process without RPC: {without:.2f} ms without a record,"
        f" {recording:.2f} ms with it; {rounds} turns of {READS_AT_ONCE} reads of each kind, the median of their ratios"
    )
    return [
        Figure(
            figure="read recording, share of a read", value=round(share, 4), unit="of show_ticket", target=f"≤ {TARGET:g}",
            holds=share <= TARGET,
        )
    ]  # fmt: skip
