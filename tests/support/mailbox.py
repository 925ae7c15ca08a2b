"""What a stack without a mail server has mailed: read from its private mailbox."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from deploy.stack import control
from tests.support.desk import await_it


def mailed_token(home: Path, address: str) -> str:
    """What the link in the last mail to an address ends with."""

    def text() -> str | None:
        listed = control.ask(home, {"do": "list"}, control.MAILBOX) or {"mails": []}
        numbers = [one["number"] for one in listed["mails"] if address in one["recipients"]]
        shown = control.ask(home, {"do": "show", "number": numbers[-1]}, control.MAILBOX) if numbers else None
        return str(shown["mail"]["text"]) if shown else None

    (url,) = [one for one in await_it(text, 30, lambda: f"no mail to {address}").split() if one.startswith("http")]
    return urlsplit(url).fragment
