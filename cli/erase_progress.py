"""Follows an erasure until it is completed, and shows where each participant stands, live."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from time import monotonic, sleep
from typing import Final

from rich.live import Live
from rich.table import Table
from rich.text import Text

from cli.output import moment, stderr, table
from cli.session import Session
from services.erasure.commands import ErasureView, HoldInForce, ShowErasure
from shared.errors import TimedOut, Unavailable

SHORTEST_POLL_SECONDS: Final = 0.05
LONGEST_POLL_SECONDS: Final = 1.0
_STYLES: Final = {
    "erased": "green",
    "nothing held": "green",
    "retained": "yellow",
    "failed": "bold red",
    "pending": "dim",
}


def follow(session: Session, request_id: str, timeout_seconds: float, quiet: bool = False) -> ErasureView:
    """The request as it stands when it is completed, when it waits for the end of a hold, or when the time is over. Servers
    that are away are waited for."""
    begun = monotonic()
    view: ErasureView | None = None
    poll = SHORTEST_POLL_SECONDS
    live = nullcontext() if quiet else Live(console=stderr(), refresh_per_second=15, transient=False)
    with live as screen, _line_after(screen):
        while True:
            try:
                view = session.query(
                    "erasure", "show_erasure", ShowErasure(request_id=request_id), ErasureView
                )
            except (Unavailable, TimedOut):
                if monotonic() - begun > timeout_seconds:
                    raise
            if view is not None and screen is not None:
                screen.update(progress_table(view, monotonic() - begun))
            if view is not None and (view.state in ("completed", "held") or monotonic() - begun > timeout_seconds):
                return view
            sleep(poll)
            if monotonic() - begun > 5:
                poll = min(poll * 1.5, LONGEST_POLL_SECONDS)


@contextmanager
def _line_after(screen: Live | None) -> Iterator[None]:
    """Where nobody watches, the table that was shown last ends without a line end: what follows begins a line of its own."""
    try:
        yield
    finally:
        if screen is not None and not screen.console.is_terminal:
            screen.console.line()


def holds_table(title: str, holds: Sequence[HoldInForce]) -> Table:
    """What keeps a person, and until when."""
    rows = [(one.hold_id, one.article, moment(one.expires_at)) for one in holds]
    return table(title, ("hold id", "why", "until (UTC)"), rows)


def progress_table(view: ErasureView, seconds: float) -> Table:
    """Where each participant stands."""
    made = Table(
        title=f"Erasure {view.request_id}: {view.state} ({seconds:.1f} s)",
        title_justify="left",
        title_style="bold",
    )
    for name in ("service", "outcome", "removed", "left over"):
        made.add_column(name)
    for one in view.participants:
        made.add_row(
            one.service,
            Text(one.outcome, style=_STYLES.get(one.outcome, "")),
            ", ".join(f"{count} {kind}" for kind, count in sorted(one.counts.items()) if count),
            Text(
                ", ".join(f"{count} {kind}" for kind, count in sorted(one.traces.items())), style="bold red"
            ),
        )
    return made
