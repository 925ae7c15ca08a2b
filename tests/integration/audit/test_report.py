"""`lethe audit report`: what a page says of an exported folder, that it says nothing else, and that it needs nothing else."""

from __future__ import annotations

import json
import re
import tracemalloc
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from audit.exported import FORM
from audit.report import render, write_report
from audit.report_figures import Reader, figures_of
from cli import audit_commands, audit_report_commands
from shared import clock
from shared.errors import InvalidArgument, Tampered
from shared.ids import new_id
from shared.settings import SERVICES, Settings
from shared.work import SYSTEM_ACTOR
from tests.integration.audit.audit_story import Story
from tests.support.cell import Cell
from tests.support.portal import ALICE, BOB

VOID = {"meta", "rect", "line", "br", "link", "img", "input"}


@pytest.fixture(scope="module")
def story(settings: Settings) -> Story:
    """Abe read about Alice three times, staff looked her up, and she was erased."""
    made = Story(Cell(settings))
    for _ in range(3):
        made.read_about(made.ticket_of_alice)
    made.look_up(ALICE)
    made.settle()
    made.request = made.erase(ALICE)
    return made


def test_the_figures_are_those_of_the_logs(story: Story, folder: Path) -> None:
    """Every event of every service, one completed erasure and its time, the agent's three reads and the staff's look-up, and
    the parts that were pruned."""
    figures = figures_of(folder)
    logged = {service: story.cell.logged(story.account, service) for service in SERVICES}
    assert {service: len(events) for service, events in logged.items()} == {one.service: one.events for one in figures.logs}
    assert figures.events == figures.days.total() == sum(map(len, logged.values()))
    assert {"completed": 1} == dict(figures.states) and 0 == figures.late_in_all
    (asked,) = [one for one in logged["erasure"] if one.type == "erasure.ErasureRequested"]
    (done,) = [one for one in logged["erasure"] if one.type == "erasure.ErasureCompleted"]
    assert [(done.time - asked.time).total_seconds()] == list(figures.seconds)
    assert [(story.request, asked.time, done.time)] == list(figures.latest) and story.request in render(figures)
    assert 3 == figures.shown[Reader("user", story.agent.id, "support")].reads
    assert 1 == figures.shown[Reader("staff", story.staff, "incident")].reads
    of_contacts = next(one for one in figures.logs if one.service == "contacts")
    assert 0 < of_contacts.pruned < of_contacts.parts and of_contacts.keys_cut > 0
    assert {"person (erasure)": 1} == dict(of_contacts.journal)
    of_erasure = next(one for one in figures.logs if one.service == "erasure")
    assert {"person (erasure)": 1, "item (deletion)": 1} == dict(of_erasure.journal)  # the item: what the request knew of her
    assert f"{of_contacts.size} events, root {of_contacts.root}" == of_contacts.checkpoint


class Page(HTMLParser):
    """A page, parsed: whether its elements close, and where it would load something from."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href", "xlink:href", "action")]
        assert not [name for name, _ in attributes if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert tag == self.open.pop()


def test_the_page_needs_nothing_else_and_tells_of_nobody(story: Story, folder: Path) -> None:
    """Well-formed, without a script or anything to load, with a table beside each chart; neither address nor name nor text of
    anybody stands in it, and what was done does."""
    write_report(folder)
    text = (folder / "report.html").read_text()
    page = Page(text)
    assert [] == page.open and [] == page.addresses and "script" not in page.seen and "url(" not in text
    assert text.count("<svg") <= text.count("<table") and {"svg", "title", "desc", "caption"} <= page.seen
    for secret in (ALICE, BOB, "Alice", "Olga", "kettle", "asked for it"):
        assert secret not in text
    origins = [f"{story.cell.settings.cell}/{one}" for one in SERVICES]
    for shown in (story.agent.id, story.staff, "incident", "median", *origins):
        assert shown in text, shown


def made_folder(folder: Path, events: list[dict[str, object]], taken_at: datetime) -> Path:
    """A folder with these events of erasure and nothing else: times as no test could wait for."""
    (folder / "erasure").mkdir(parents=True)
    described = {"erasure": {"origin": "<b>x</b>/erasure", "size": len(events), "root": "00", "events": 0, "sha256": "00"}}
    manifest = {"form": FORM, "cell": "<script>x</script>", "taken_at": taken_at.isoformat(), "services": described}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with (folder / "erasure" / "events.jsonl").open("w") as file:
        for index, event in enumerate(events):
            envelope = json.dumps(event)
            file.write(f'{{"index":{index},"salt":"AAAAAAAAAAAAAAAAAAAAAA==","parts":["sealed"],"envelope":{envelope}}}\n')
    return folder


def event(name: str, at: datetime, **data: object) -> dict[str, object]:
    return {
        "account": new_id(), "actor": SYSTEM_ACTOR, "causation": None, "data": data, "event": new_id(), "schema": 1,
        "sealed": [], "service": "erasure", "stream": f"erasure/{data['request_id']}", "time": at.isoformat(),
        "type": f"erasure.{name}", "version": 1,
    }  # fmt: skip


def erasure(request: str, begun: datetime, took: timedelta | None) -> list[dict[str, object]]:
    """A request, and its completion where it was completed."""
    asked = event("ErasureRequested", begun, request_id=request, person_ids=[], claim_hash="00")
    if took is None:
        return [asked]
    times = {"requested_at": begun.isoformat(), "completed_at": (begun + took).isoformat()}
    return [asked, event("ErasureCompleted", begun + took, request_id=request, certificate="00", keys=[], **times)]


def test_late_erasures_are_named(tmp_path: Path) -> None:
    """Named by request: one completed on the day after its month, one still open after it. On time: one of the month's last
    hour, and one open for a day."""
    begun = datetime(2026, 3, 3, 9, tzinfo=UTC)  # until the end of 3 April, a Friday
    late, still, on_time, fresh = (new_id() for _ in range(4))
    events = [
        *erasure(late, begun, timedelta(days=31, hours=15)), *erasure(still, begun, None),
        *erasure(on_time, begun, timedelta(days=31, hours=14, minutes=59)), *erasure(fresh, begun + timedelta(days=60), None),
    ]  # fmt: skip
    folder = made_folder(tmp_path / "made", events, begun + timedelta(days=61))
    figures = figures_of(folder)
    assert {late, still} == {one.request for one in figures.late}
    assert {"completed": 2, "erasing": 2} == dict(figures.states)
    write_report(folder)
    text = (folder / "report.html").read_text()
    section = re.search(r"<h2>Late erasures</h2>.*?</section>", text, re.DOTALL)
    assert section is not None
    assert late in section[0] and still in section[0] and on_time not in section[0] and fresh not in section[0]
    assert "still open" in section[0] and "2026-04-03 23:59:59" in section[0]


def test_what_waits_for_a_legal_hold_is_told(tmp_path: Path) -> None:
    """A request that is held, late too, and one that went on when its hold was released; each hold with its end."""
    begun = datetime(2026, 3, 3, 9, tzinfo=UTC)
    waits, went_on, kept, over = (new_id() for _ in range(4))

    def held(request: str, hold: str) -> list[dict[str, object]]:
        placed = event(
            "HoldPlaced", begun, request_id="", hold_id=hold, person_ids=[new_id()], basis="legal-claims",
            expires_at=(begun + timedelta(days=90)).isoformat(),
        )  # fmt: skip
        return [placed, *erasure(request, begun, None), event("ErasureHeld", begun, request_id=request, hold_ids=[hold])]

    events = [
        *held(waits, kept), *held(went_on, over),
        event("HoldEnded", begun + timedelta(days=9), request_id="", hold_id=over, person_ids=[], end="released", keys=[]),
        event("SubjectErased", begun + timedelta(days=9), request_id=went_on, person_ids=[]),
    ]  # fmt: skip
    folder = made_folder(tmp_path / "made", events, begun + timedelta(days=61))
    assert {"held": 1, "erasing": 1} == dict(figures_of(folder).states)
    write_report(folder)
    text = (folder / "report.html").read_text()
    section = re.search(r"<h2>Legal holds</h2>.*?</section>", text, re.DOTALL)
    assert section is not None
    assert "<strong>1</strong> in force of 2" in section[0] and kept in section[0]
    assert "released 2026-03-12 09:00:00" in section[0] and "in force</td>" in section[0]
    assert 1 == text.count("still open, under a legal hold")


def test_what_stands_in_the_folder_stays_a_text(tmp_path: Path) -> None:
    """Markup in a manifest or an event, which somebody may have put there, is shown and not run."""
    request = "<img src=x onerror=alert(1)>"
    begun = datetime(2020, 1, 1, tzinfo=UTC)
    looked = event("StaffLookedUp", begun, request_id="", staff_id="<i>x", purpose="<u>x", person_ids=[], ticket_ids=[])
    folder = made_folder(tmp_path / "made", [*erasure(request, begun, None), looked], clock.now())
    write_report(folder)
    text = (folder / "report.html").read_text()
    assert "<script>x" not in text and "<img" not in text and "<b>x" not in text
    assert "<i>x" not in text and "<u>x" not in text and "&lt;u&gt;x" in text
    assert "&lt;img src=x" in text and "&lt;script&gt;x" in text
    assert [] == Page(text).open


def test_a_page_is_written_in_bounded_memory(tmp_path: Path) -> None:
    """Twenty thousand erasures, of many months, take no more than twice the memory of two thousand."""

    def peak(count: int) -> int:
        begun = datetime(2024, 1, 1, tzinfo=UTC)
        events = [
            one
            for place in range(count)
            for one in erasure(new_id(), begun + timedelta(minutes=place), timedelta(seconds=place % 90))
        ]  # fmt: skip
        folder = made_folder(tmp_path / str(count), events, begun + timedelta(days=365))
        del events
        tracemalloc.start()
        write_report(folder)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    small = peak(2_000)
    assert peak(20_000) < 2 * small + 20_000 * 64  # a number each; an event would be a thousand bytes


@pytest.mark.parametrize("line", ["", "{}", '{"index": 0}', "no JSON at all"])
def test_a_line_that_is_no_event_stops_the_report(line: str, tmp_path: Path) -> None:
    """A report of half a log would be one of another log."""
    folder = made_folder(tmp_path / "made", [], clock.now())
    (folder / "erasure" / "events.jsonl").write_text(f"{line}\n")
    with pytest.raises(Tampered):
        write_report(folder)
    assert not (folder / "report.html").exists()


def test_the_command_writes_it(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lethe audit report FOLDER` needs no stack; a folder that is none is wrong usage."""
    monkeypatch.setenv("LETHE_HOME", str(tmp_path / "nowhere"))
    app = typer.Typer()
    audit_commands.register(app)
    audit_report_commands.register(app)
    (folder / "report.html").unlink(missing_ok=True)
    assert 0 == CliRunner().invoke(app, ["audit", "report", str(folder)]).exit_code
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    assert isinstance(CliRunner().invoke(app, ["audit", "report", str(tmp_path)]).exception, InvalidArgument)
