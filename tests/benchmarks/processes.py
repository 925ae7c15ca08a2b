"""What processes have used, as /proc tells it: the CPU of those of a stack, the memory of this one."""

from __future__ import annotations

import os
from pathlib import Path

from deploy.stack import Stack


def cpu_by_process(stack: Stack) -> dict[str, float]:
    """Seconds of CPU of each process of the stack since it began, with its children's (PostgreSQL's backends). A server that
    is not the stack's own is left out."""
    ticks = os.sysconf("SC_CLK_TCK")
    found: dict[int, tuple[int, float]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found[int(entry.name)] = (int(fields[1]), sum(map(int, fields[11:15])) / ticks)
    used = {}
    for process in stack.status()["processes"]:
        if pid := process["pid"]:
            own = found.get(pid, (0, 0.0))[1]
            used[process["name"]] = own + sum(cpu for parent, cpu in found.values() if parent == pid)
    return used


def peak_mb() -> float:
    """The most memory that this process ever had, all of Python included. Not getrusage's: that begins with the memory of the
    process that started this one."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
