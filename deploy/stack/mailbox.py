"""A private mailbox for a stack without a mail server: `python -m deploy.stack.mailbox PORT` with LETHE_HOME set.

It takes whatever is sent to 127.0.0.1 at its port, keeps the last mails in memory only (what they hold is personal: it is
never on disk, nor in a log), and hands them out over `home/run/mailbox.sock`, one JSON line there, one back. When it ends, they
are gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections import deque
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.stack import control
from shared import clock

KEPT_MAILS = 200
LARGEST_MAIL_BYTES = 1 << 20
HEADERS = ("From", "To", "Subject", "Date", "Message-ID")


class Mailbox:
    """The last mails, numbered from 1 in the order in which they came."""

    def __init__(self) -> None:
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT_MAILS)
        self._count = 0

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Called by aiosmtpd with each mail."""
        raw = envelope.content or b""
        self._count += 1
        self._kept.append(_described(self._count, envelope, raw if isinstance(raw, bytes) else raw.encode()))
        return "250 OK"

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """`list`: all without their texts. `show`: one by its number, or the last; None where it is not kept."""
        if request["do"] == "list":
            return {"mails": [{key: one[key] for key in one if key != "text"} for one in self._kept]}
        wanted = request.get("number")
        found = [one for one in self._kept if wanted in (None, one["number"])]
        return {"mail": found[-1] if found else None}


def _described(number: int, envelope: Envelope, raw: bytes) -> dict[str, Any]:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    part = message.get_body(preferencelist=("plain", "html"))
    text = ""
    if part is not None:
        with contextlib.suppress(LookupError, UnicodeError):  # a character set that Python does not know
            text = str(part.get_content()).replace("\r\n", "\n")
    return {
        "number": number,
        "received_at": clock.now().isoformat(),
        "recipients": [str(one) for one in envelope.rcpt_tos],
        **{name.lower().replace("-", "_"): str(message[name] or "") for name in HEADERS},
        "text": text,
    }


async def serve(home: Path, port: int) -> None:
    """Takes and hands out, until SIGTERM or SIGINT."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    mailbox = Mailbox()

    async def hand_out(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            request = json.loads(await asyncio.wait_for(reader.readline(), 2))
            writer.write(json.dumps(mailbox.answer(request)).encode())
            await writer.drain()
        writer.close()

    def take() -> SMTP:
        return SMTP(mailbox, data_size_limit=LARGEST_MAIL_BYTES, enable_SMTPUTF8=True, hostname="localhost", ident="Lethe")

    with _control_socket(home) as listener:
        taking = await loop.create_server(take, "127.0.0.1", port)
        handing_out = await asyncio.start_unix_server(hand_out, sock=listener)
        await ended.wait()
        for server in (taking, handing_out):
            server.close()
    (home / "run" / control.MAILBOX).unlink(missing_ok=True)


def _control_socket(home: Path) -> socket.socket:
    path = home / "run" / control.MAILBOX
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with control.address(home, control.MAILBOX) as name:
        listener.bind(name)
    path.chmod(0o600)
    return listener


def main() -> None:
    """The command line."""
    logging.disable(logging.CRITICAL)  # aiosmtpd's lines hold addresses
    os.umask(0o077)
    asyncio.run(serve(Path(os.environ["LETHE_HOME"]).absolute(), int(sys.argv[1])))


if __name__ == "__main__":
    main()
