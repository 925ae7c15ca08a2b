"""One mail that comes twice at the same time, as a broker that was restarted delivers a call again whose first worker still
runs."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any

from services.tickets.commands import ImportMails
from shared.ids import new_id
from shared.settings import Settings
from tests.support.cell import Cell
from tests.support.contacts import await_lock_wait
from tests.support.gate import Gate, Running

LOG = "log of alice.adams@example.org: it leaked"


def mail_with_attachment() -> bytes:
    """A mail with a text and a picture attached."""
    message = EmailMessage()
    message["From"], message["To"] = "Alice <alice.adams@example.org>", "desk@example.net"
    message["Subject"], message["Message-ID"] = "The kettle", f"<{new_id()}@mail.example>"
    message["Date"] = "Tue, 5 Mar 2024 10:00:00 +0100"
    message.set_content("See what is attached.\n")
    message.add_attachment(LOG, filename="log.txt")
    message.add_attachment(b"\x89PNG picture", maintype="image", subtype="png", filename="kettle.png")
    return message.as_bytes()


def attachments(cell: Cell, account: str) -> list[bytes]:
    """The contents of all attachments of an account."""
    found = []
    for one in cell.call(account, "tickets", "list_tickets", {}).tickets:
        ticket: Any = cell.call(account, "tickets", "show_ticket", {"ticket_id": one.ticket_id})
        for message in ticket.messages:
            for attached in message.attachments:
                shown = cell.call(account, "tickets", "show_attachment", {"blob_id": attached.blob_id})
                found.append(bytes(shown.content))
    return found


def test_a_mail_that_is_taken_in_twice_at_once_is_in_once_with_its_attachments(settings: Settings, turnstile: Gate) -> None:
    """The second worker finds the mail known when the first has committed, and has not touched the first one's attachments."""
    account, batch = new_id(), ImportMails(mails=[mail_with_attachment()])
    first, second = Cell(settings), Cell(settings)
    take_in(first, account, ImportMails(mails=[b"From: bob@example.org\n\nso that the account has its index keys\n"]))
    one = turnstile.hold(lambda: take_in(first, account, batch), service="tickets")
    other = Running(lambda: take_in(second, account, batch)).start()
    await_lock_wait(first, "tickets", other)
    assert ["imported"] == one.release()
    assert ["known"] == other.result()
    assert [LOG.encode(), b"\x89PNG picture"] == [content.strip() for content in attachments(Cell(settings), account)]


def take_in(cell: Cell, account: str, batch: ImportMails) -> list[str]:
    """What became of the mails."""
    return [one.status for one in cell.call(account, "tickets", "import_mails", batch).mails]
