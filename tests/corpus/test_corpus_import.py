"""The real corpus through the whole system: none of its mails is lost, and each can be read as it was written."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from cli.importing import Importer
from cli.session import Session
from deploy.stack import Stack
from services.identity.commands import AddUser, UserView
from services.lifecycle.commands import AccountView, OpenAccount
from services.tickets.commands import ImportedMails, ImportMails, ShowTicket, TicketWithMessages
from shared.ids import new_id
from shared.mail import count, read_mail, walk

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(600)]
BATCH = 25


@pytest.fixture(scope="module")
def folder() -> Path:
    """Where the corpus is unpacked."""
    named = os.environ.get("MAIL_CORPUS")
    if not named or not Path(named).is_dir():
        pytest.skip("MAIL_CORPUS does not name the folder of the unpacked mail corpus")
    return Path(named)


@pytest.fixture(scope="module")
def session(stack: Stack) -> Session:
    """An account of its own."""
    os.environ["LETHE_HOME"] = str(stack.home)
    name = f"Corpus {new_id()}"
    session = Session(name)
    opened = session.operate("lifecycle", "open_account", OpenAccount(name=name), result_type=AccountView)
    session.operate(
        "identity", "add_user", AddUser(role="owner", name="Olga", login="olga@desk.example"), account=opened.account_id,
        result_type=UserView,
    )  # fmt: skip
    return session


def test_none_of_the_corpus_is_lost_and_each_text_is_shown_as_it_was_written(session: Session, folder: Path) -> None:
    """Every mail is imported; each message's text and subject, shown with its references put back, equal what was read from the
    mail (which an independent parse confirms); importing all of it again changes nothing."""
    sources = list(walk([folder]))
    shown = 0
    where: dict[str, dict[str, str]] = {}
    for at in range(0, len(sources), BATCH):
        raws = [one.raw for one in sources[at : at + BATCH]]
        answer = session.call(
            "tickets", "import_mails", ImportMails(mails=raws), result_type=ImportedMails, timeout_seconds=120, repeatable=True
        )
        assert {one.status for one in answer.mails} == {"imported"}
        for raw, one in zip(raws, answer.mails, strict=True):
            assert one.ticket_id is not None and one.message_id is not None
            mail = read_mail(raw)
            where.setdefault(one.ticket_id, {})[one.message_id] = f"{mail.subject}\n\n{mail.text}"
    for ticket_id, texts in where.items():
        ticket = session.query("tickets", "show_ticket", ShowTicket(ticket_id=ticket_id), TicketWithMessages)
        found = {one.message_id: f"{one.subject}\n\n{one.text}" for one in ticket.messages}
        assert found == texts
        shown += len(found)
    assert shown == len(sources) == count([folder])
    report = Importer(session, batch=BATCH, dry_run=False, advance=lambda _: None).run([folder])
    assert Counter(known=report.known, imported=report.imported) == Counter(known=len(sources))
