"""Where a process finds its home, its database and its broker. Read once at start; connects to nothing.

`$LETHE_HOME/stack.json` (mode 0600, written by the local stack or by the operator) names the databases by service and role
and the broker, and how mail is sent: `smtp_url` (`smtp://user:password@host:port`, `smtps://…`) and `smtp_from`. `public_url`
is where the gateway is reached from outside: links in mails begin with it.
`LETHE_AMQP_URL`, `LETHE_SMTP_URL`, `LETHE_SMTP_FROM` and `LETHE_PUBLIC_URL` override them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

SERVICES = ("identity", "contacts", "tickets", "erasure", "lifecycle", "audit")
ACCOUNT_SERVICES = ("identity", "contacts", "tickets", "erasure", "lifecycle")
"""The services that hold what belongs to accounts: told of suspensions, cutoffs and erasures. Audit holds nothing of them."""
EDGES = ("gateway",)
LOCAL_CELL = "local"
"""The cell of a stack on somebody's own machine, whose operator may act as any user. In every other cell nobody may."""
"""What speaks with the world outside: processes with a key of their own, without database, log and relay."""
ROLES = ("owner", "service", "relay", "eraser", "auditor")
PUBLIC_URL = "https://127.0.0.1:8443"
"""Where the gateway is reached where nothing else is set: links in mails begin with it."""
SMTP_FROM = "Lethe <lethe@localhost>"
"""From whom mail comes where nothing else is set."""


@dataclass(frozen=True, repr=False)
class Settings:
    """One stack's settings. `repr` is left out since URLs hold passwords."""

    home: Path
    cell: str
    amqp_url: str
    databases: dict[str, dict[str, str]]
    smtp_url: str | None = None
    """None where no mail server is set: mails wait in their queues."""
    smtp_from: str = SMTP_FROM
    public_url: str = PUBLIC_URL

    @classmethod
    def load(cls, home: Path | None = None) -> Settings:
        """Reads the settings of `home` (default: `LETHE_HOME`, else `.lethe`). `FileNotFoundError` where there is no stack."""
        folder = (home or Path(os.environ.get("LETHE_HOME", ".lethe"))).absolute()
        data = json.loads((folder / "stack.json").read_text())
        return cls(
            home=folder,
            cell=data.get("cell", LOCAL_CELL),
            amqp_url=os.environ.get("LETHE_AMQP_URL") or data["amqp_url"],
            databases=data["databases"],
            smtp_url=os.environ.get("LETHE_SMTP_URL") or data.get("smtp_url"),
            smtp_from=os.environ.get("LETHE_SMTP_FROM") or data.get("smtp_from") or SMTP_FROM,
            public_url=os.environ.get("LETHE_PUBLIC_URL") or data.get("public_url") or PUBLIC_URL,
        )

    def path(self, *parts: str) -> Path:
        """A path below the home."""
        return self.home.joinpath(*parts)

    def database_url(self, service: str, role: str) -> str:
        """The libpq URL of a service's database for one role."""
        return self.databases[service][role]
