"""Read models made event by event while the desk works equal those rebuilt from the logs, whatever happened in what order; and
a projection that goes wrong is caught."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from email.message import EmailMessage

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.comparison import Difference
from audit.replay import ReplayResult, replay
from services.contacts.commands import AddMailbox, AddOrganisation
from services.erasure.commands import RequestErasure
from services.tickets import projections as tickets_projections
from services.tickets.commands import ImportMails
from services.tickets.events import MessageAdded
from shared.errors import NotFound, PersonErased
from shared.events import Recorded
from shared.ids import new_id
from shared.settings import SERVICES, Settings
from shared.work import Statement
from tests.support.cell import Cell
from tests.support.databases import Template, fresh_home

EXAMPLES = 5
PEOPLE = [f"{name}@people.example" for name in ("ada", "bert", "cleo", "dora")]
DESK = "desk@kettles.example"
REBUILT = ("contacts", "tickets", "erasure")

people = st.sampled_from(PEOPLE)
mails = st.tuples(st.just("mail"), people, st.sampled_from([DESK, *PEOPLE]), st.integers(0, 5), st.sampled_from(["", *PEOPLE]))
erasures = st.tuples(st.just("erase"), people, st.booleans())
organisations = st.tuples(st.just("organisation"), st.text("abc ", min_size=1, max_size=5).filter(str.strip))
stories = st.lists(st.one_of(mails, mails, mails, erasures, organisations), min_size=3, max_size=14)


@pytest.fixture(scope="module")
def cell(superuser_url: str, template: Template, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    """One replica of each service on databases of their own: their logs hold what the tests of this module did."""
    with fresh_home(tmp_path_factory.mktemp("cell"), superuser_url, template=template) as made:
        yield Cell(made)


@pytest.fixture(scope="module")
def worked_in(cell: Cell) -> Settings:
    """Logs with a ticket of two people, one of whom is erased, and one more. Live and rebuilt rows are equal so far."""
    desk = Desk(cell, random.Random(7))
    for sender, answers in ((PEOPLE[0], 9), (PEOPLE[1], 0), (PEOPLE[2], 9), (PEOPLE[2], 0)):
        desk.mail(sender, DESK, answers, "")
    desk.erase(PEOPLE[1], at_once=True)
    assert rebuilt(cell.settings, "tickets").equal
    return cell.settings


class Desk:
    """An account in which things are done, each perhaps more than once."""

    def __init__(self, cell: Cell, order: random.Random) -> None:
        self._cell = cell
        self._order = order
        self._account = new_id()
        self._sent: list[str] = []
        self._cell.call(self._account, "contacts", "add_mailbox", AddMailbox(address=DESK))

    def mail(self, sender: str, recipient: str, answers: int, named: str) -> None:
        """A mail, perhaps an answer, perhaps with somebody's address in it; the same mail may come again."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = f"{sender.partition('@')[0]} <{sender}>", recipient, "kettle"
        message["Date"] = "Sat, 31 Jan 2026 12:00:00 +0000"
        message["Message-ID"] = f"<{new_id()}@mail.example>"
        if answers < len(self._sent):
            message["In-Reply-To"] = self._sent[-1 - answers]
        message.set_content(f"The lid is loose. Ask {named}.")
        message.add_attachment(b"bytes", "application", "octet-stream", filename="lid.bin")
        self._sent.append(message["Message-ID"])
        batch = ImportMails(mails=[message.as_bytes()] * self._times())
        for _ in range(self._times()):
            self._cell.call(self._account, "tickets", "import_mails", batch)

    def erase(self, person: str, at_once: bool) -> None:
        """Somebody asks for a person's erasure, perhaps twice; what follows from it happens now, or later with the rest."""
        key = new_id()
        for _ in range(self._times()):
            try:
                self._cell.call(
                    self._account, "erasure", "request_erasure", RequestErasure(who=person, reason="asked"), key=key
                )
            except (NotFound, PersonErased):
                return  # nobody of that address, or not any more
        if at_once:
            self.settle()

    def organisation(self, name: str) -> None:
        self._cell.call(self._account, "contacts", "add_organisation", AddOrganisation(name=name))

    def settle(self) -> None:
        """Delivers until nothing new happens: each event twice, in any order."""
        handled = 0
        while True:
            for service in SERVICES:
                self._cell.sign(service)
            due = self._cell.deliveries(self._account, SERVICES)
            if len(due) == handled:
                return
            handled = len(due)
            for one in self._order.sample(due * 2, len(due) * 2):
                self._cell.deliver(one)

    def _times(self) -> int:
        return self._order.choice((1, 1, 2))


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories, seed=st.integers(0, 2**32))
def test_rebuilt_rows_equal_those_made_while_the_desk_worked(cell: Cell, story: list[tuple[str, ...]], seed: int) -> None:
    """After random mails, erasures and more, done twice and delivered twice in any order, every rebuilt row equals the live."""
    desk = Desk(cell, random.Random(seed))
    for what, *arguments in story:
        getattr(desk, what)(*arguments)
    desk.settle()
    for service in REBUILT:
        result = rebuilt(cell.settings, service)
        assert result.equal and result.unfinished == 0, (service, differing(result))


Project = Callable[[Recorded], Iterator[Statement]]


def forgets_to_count(right: Project) -> Project:
    """Messages are added, and their tickets do not count them."""
    return lambda recorded: (one for one in right(recorded) if "messages + 1" not in one.sql)


def counts_twice(right: Project) -> Project:
    """As if the event had been handled twice."""
    return lambda recorded: (
        twice for one in right(recorded) for twice in ([one, one] if "messages + 1" in one.sql else [one])
    )


def loses_what_was_written(right: Project) -> Project:
    """The sealed content is left out."""

    def project(recorded: Recorded) -> Iterator[Statement]:
        content = recorded.sealed.get("content")
        for one in right(recorded):
            yield Statement(one.sql, tuple(None if content is not None and value is content else value for value in one.values))

    return project


def does_not_forget(right: Project) -> Project:
    """Rows of an erased person stay."""
    return lambda recorded: right(recorded) if isinstance(recorded.event, MessageAdded) else _without_removals(right(recorded))


def _without_removals(statements: Iterator[Statement]) -> Iterator[Statement]:
    return (one for one in statements if not one.sql.startswith(("DELETE", "WITH gone")))


@pytest.mark.parametrize(
    ("break_it", "table", "column"),
    [
        (forgets_to_count, "ticket", "messages"),
        (counts_twice, "ticket", "messages"),
        (loses_what_was_written, "message", "content"),
        (does_not_forget, "message", None),
    ],
)
def test_projection_that_goes_wrong_is_caught(
    worked_in: Settings, monkeypatch: pytest.MonkeyPatch, break_it: Callable[[Project], Project], table: str,
    column: str | None,
) -> None:  # fmt: skip
    """A projection that is broken on purpose makes other rows than those that are live, and the column is named."""
    monkeypatch.setattr(tickets_projections, "project", break_it(tickets_projections.project))
    result = rebuilt(worked_in, "tickets")
    assert result.equal is False
    found = next(one.differences for one in result.tables if one.table == table)
    if column is None:
        assert {one.what for one in found} == {"only rebuilt"}
    else:
        changed = [columns_of(one) for one in found if one.what == "not the same"]
        assert changed and all({column} <= columns <= {column, "changed_at"} for columns in changed)


def rebuilt(settings: Settings, service: str) -> ReplayResult:
    return replay(settings, service, patience_seconds=0.5)


def differing(result: ReplayResult) -> list[tuple[str, list[Difference]]]:
    return [(one.table, one.differences) for one in result.tables if one.differing]


def columns_of(difference: Difference) -> set[str]:
    return {one.column for one in difference.columns}
