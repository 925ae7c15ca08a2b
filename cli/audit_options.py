"""What the commands of `lethe audit` have in common: the services, times, and how progress is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.output import stderr
from shared.errors import InvalidArgument
from shared.settings import SERVICES

Service = Annotated[str | None, typer.Option("--service", "-s", metavar="SERVICE", help="Of this service only. Default: all.")]
AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="TIME", help="What was published then (ISO 8601; UTC where no zone is named).")
]


def services_named(named: str | None) -> tuple[str, ...]:
    """The service that was named, or all. Raises `InvalidArgument`."""
    if named is None:
        return SERVICES
    if named not in SERVICES:
        raise InvalidArgument(field="service", rule=f"must be one of {', '.join(SERVICES)}")
    return (named,)


@contextmanager
def shown_progress(service: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on stderr, gone when the work is done; only where somebody watches."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = stderr()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task(service, total=None)
        yield lambda step, done, of: bars.update(task, description=f"{service}: {step}", completed=done, total=of)
