"""Where a process finds its home, its database and its broker. Read once at start; connects to nothing.

`$LETHE_HOME/stack.json` (mode 0600, written by the local stack or by the operator) names the databases by service and role
and the broker. `LETHE_AMQP_URL` overrides the broker's URL.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

SERVICES = ("identity", "contacts", "tickets", "erasure", "lifecycle")
EDGES = ("gateway",)
"""What speaks with the world outside: processes with a key of their own, without database, log and relay."""
ROLES = ("owner", "service", "relay", "eraser", "auditor")


@dataclass(frozen=True, repr=False)
class Settings:
    """One stack's settings. `repr` is left out since URLs hold passwords."""

    home: Path
    cell: str
    amqp_url: str
    databases: dict[str, dict[str, str]]

    @classmethod
    def load(cls, home: Path | None = None) -> Settings:
        """Reads the settings of `home` (default: `LETHE_HOME`, else `.lethe`). `FileNotFoundError` where there is no stack."""
        folder = (home or Path(os.environ.get("LETHE_HOME", ".lethe"))).absolute()
        data = json.loads((folder / "stack.json").read_text())
        return cls(
            home=folder,
            cell=data.get("cell", "local"),
            amqp_url=os.environ.get("LETHE_AMQP_URL") or data["amqp_url"],
            databases=data["databases"],
        )

    def path(self, *parts: str) -> Path:
        """A path below the home."""
        return self.home.joinpath(*parts)

    def database_url(self, service: str, role: str) -> str:
        """The libpq URL of a service's database for one role."""
        return self.databases[service][role]
