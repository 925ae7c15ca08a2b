"""`lethe audit trail` on real logs, in databases and in a folder: the story of a person, a user, staff, a request."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from audit.sources import DatabaseSource, FolderSource, Source
from audit.trail import LogPlace, TrailEntry, TrailPage, trail
from audit.trail_subjects import TrailSelection
from cli import audit_commands, audit_trail_commands
from cli.exit_status import DONE, NOT_FOUND, WRONG_USAGE, exit_status_of
from shared import clock
from shared.errors import InvalidArgument, LetheError, Tampered
from shared.ids import new_id
from shared.settings import ACCOUNT_SERVICES, SERVICES, Settings
from tests.integration.audit.audit_story import Story
from tests.support.cell import Cell
from tests.support.databases import superuser
from tests.support.portal import ALICE, BOB


@pytest.fixture(scope="module")
def story(settings: Settings) -> Story:
    """Abe read about Alice and Bob, staff looked Alice up, and then Alice was erased. Somebody else's account is there too."""
    other = Story(Cell(settings))
    other.read_about(other.ticket_of_alice)
    made = Story(Cell(settings))
    made.read_about(made.ticket_of_alice)
    made.read_about(made.ticket_of_bob)
    made.look_up(ALICE)
    made.settle()
    made.request = made.erase(ALICE)
    return made


@pytest.fixture(params=["database", "folder"])
def source(request: pytest.FixtureRequest, settings: Settings, folder: Path) -> Source:
    """Both places that a trail can be told from."""
    return DatabaseSource(settings) if request.param == "database" else FolderSource(folder)


def kinds(page: TrailPage) -> list[str]:
    return [one.type.partition(".")[2] for one in page.entries]


def tell(source: Source, limit: int = 1_000, after: str | None = None, **about: object) -> TrailPage:
    return trail(source, TrailSelection(**about), limit=limit, after=after)  # type: ignore[arg-type]


def test_an_erasure_reads_as_a_story_from_request_to_certificate(source: Source, story: Story) -> None:
    """Requested by the owner, told to everybody, cut and receipted in each service as an effect of that, then probed and
    completed with a certificate: in this order, whoever's clock says what."""
    page = tell(source, request=story.request)
    assert ["ErasureRequested", "SubjectErased"] == kinds(page)[:2] and "ErasureCompleted" == kinds(page)[-1]
    asked, told, done = page.entries[0], page.entries[1], page.entries[-1]
    assert ("user", story.owner.id, "owner", "call") == (asked.who.kind, asked.who.id, asked.who.role, asked.by)
    for kind in ("SubjectCut", "ErasureReceipted"):
        of_kind = [one for one in page.entries if one.type.endswith(kind)]
        assert sorted(ACCOUNT_SERVICES) == sorted(one.service for one in of_kind)
        assert {("reaction", "service")} == {(one.by, one.who.kind) for one in of_kind}
        assert [LogPlace(service=told.service, index=told.index)] * len(ACCOUNT_SERVICES) == [one.caused_by for one in of_kind]
    assert all(kinds(page).index("SubjectCut") < at for at, kind in enumerate(kinds(page)) if kind == "ErasureReceipted")
    assert "Probed clean" in done.what and "certificate" in done.what and story.request[:8] in done.what
    assert [] == [one for one in page.entries if story.account != one.account_id]


def test_a_person_is_followed_from_the_first_mail_to_the_certificate(source: Source, story: Story) -> None:
    """Known, named, opened a ticket, was read about by the agent and by staff, and was erased. The completion, which names the
    request only, is part of it; what is about somebody else is not."""
    page = tell(source, person=story.alice)
    found = kinds(page)
    for kind in ("PersonAdded", "TicketOpened", "MessageAdded", "ReadsRecorded", "StaffLookedUp", "ErasureCompleted"):
        assert kind in found, kind
    assert found.index("PersonAdded") < found.index("ReadsRecorded") < found.index("ErasureRequested")
    read = next(one for one in page.entries if one.read is not None and one.who.id == story.agent.id)
    assert ("user", "agent", "call") == (read.who.kind, read.who.role, read.by)
    assert "show_ticket" in read.what and "for support" in read.what and story.ticket_of_alice in read.ids["ticket"]
    looked = next(one for one in page.entries if one.type.endswith("StaffLookedUp"))
    assert ("staff", story.staff, "staff grant") == (looked.who.kind, looked.who.id, looked.by)
    assert "for incident" in looked.what
    assert [] == [one for one in page.entries if story.ticket_of_bob in one.ids.get("ticket", ())]
    of_bob = kinds(tell(source, person=story.bob))
    assert "PersonAdded" in of_bob and "ErasureRequested" not in of_bob


def test_a_user_is_shown_with_what_they_did_and_saw(source: Source, story: Story) -> None:
    """The agent was added, and read about two people; not what the owner read, although both are in one record."""
    page = tell(source, user=story.agent.id)
    assert "UserAdded" == kinds(page)[0]
    reads = [one for one in page.entries if one.read is not None]
    assert {story.ticket_of_alice, story.ticket_of_bob} == {ticket for one in reads for ticket in one.ids["ticket"]}
    assert {story.agent.id} == {one.who.id for one in reads}
    by_owner = tell(source, user=story.owner.id)
    assert {"ErasureRequested", "StaffAccessApproved"} <= set(kinds(by_owner))


def test_staff_are_shown_with_their_grants_and_who_approved_them(source: Source, story: Story) -> None:
    """Asked, approved by the owner, used, looked up: the approval names the grant only."""
    page = tell(source, staff=story.staff)
    assert ["StaffAccessRequested", "StaffAccessApproved", "StaffSessionOpened", "StaffLookedUp"] == kinds(page)
    assert [story.staff, story.owner.id, story.staff, story.staff] == [one.who.id for one in page.entries]


def test_an_account_is_shown_alone_and_whole(source: Source, story: Story) -> None:
    """Everything of the account is there, once, and nothing of the other one; two options mean what belongs to both."""
    page = tell(source, account=story.account)
    assert {story.account} == {one.account_id for one in page.entries} and len(page.entries) == page.matched
    places = [(one.service, one.index, one.read) for one in page.entries]
    assert len(places) == len(set(places))
    logged = {(service, one.event) for service in SERVICES for one in story.cell.logged(story.account, service)}
    assert logged == {(one.service, one.event_id) for one in page.entries}
    both = tell(source, account=story.account, user=story.agent.id)
    assert [one.event_id for one in tell(source, user=story.agent.id).entries] == [one.event_id for one in both.entries]
    assert not tell(source, account=new_id(), user=story.agent.id).known
    of_agent_about_alice = tell(source, person=story.alice, user=story.agent.id).entries
    assert {story.agent.id} == {one.who.id for one in of_agent_about_alice}
    assert all(story.alice in one.ids["person"] for one in of_agent_about_alice)


def test_pages_give_the_whole_trail_once(source: Source, story: Story) -> None:
    """Seven at a time, or all at once: the same events, none twice; each page is in causal order."""
    whole = tell(source, person=story.alice)
    entries: list[TrailEntry] = []
    after: str | None = None
    while True:
        page = tell(source, limit=7, after=after, person=story.alice)
        assert len(page.entries) <= 7 and page.matched == whole.matched
        entries += page.entries
        after = page.next_after
        if after is None:
            break
    assert len(entries) == whole.matched
    assert {(one.event_id, one.read) for one in whole.entries} == {(one.event_id, one.read) for one in entries}


def test_times_bound_a_trail(source: Source, story: Story) -> None:
    """From a time on, and before it, are two parts of one whole; a trail of another time is empty, and known."""
    whole = tell(source, request=story.request)
    middle = whole.entries[len(whole.entries) // 2].at
    parts = tell(source, request=story.request, until=middle), tell(source, request=story.request, since=middle)
    assert [one.event_id for part in parts for one in part.entries] == [one.event_id for one in whole.entries]
    none = tell(source, request=story.request, since=clock.now() + timedelta(days=400))
    assert [] == none.entries and none.known
    assert not tell(source, request=new_id()).known


def test_both_places_tell_the_same_story(story: Story, settings: Settings, folder: Path) -> None:
    """The databases and the exported folder give the same trail to the letter."""
    for about in ({"person": story.alice}, {"staff": story.staff}, {"account": story.account}):
        assert tell(DatabaseSource(settings), **about) == tell(FolderSource(folder), **about)


def test_no_page_holds_what_travelled_sealed(source: Source, story: Story) -> None:
    """Neither an address nor a name or a word of a text is in a trail."""
    said = repr(tell(source, account=story.account))
    for secret in (ALICE, BOB, "Alice Adams", "kettle leaks", "asked for it", "olga", "Abe"):
        assert secret not in said


def test_a_changed_event_is_not_told(settings: Settings, folder: Path, tmp_path: Path) -> None:
    """An envelope in the database that is not that of its leaf, and a line of a folder that is no event, stop the trail."""
    made = Story(Cell(settings))
    made.settle()
    connection = superuser(settings, "contacts")
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            "UPDATE lethe.event SET envelope = convert_to(replace(convert_from(envelope, 'UTF8'), 'correspondent', 'quoted'),"
            " 'UTF8') WHERE account_id = %s AND type = 'contacts.PersonAdded'", (made.account,)
        )  # fmt: skip
    connection.commit()
    connection.close()
    with pytest.raises(Tampered):
        tell(DatabaseSource(settings), account=made.account)
    copied = tmp_path / "copied"
    (copied / "contacts").mkdir(parents=True)
    (copied / "manifest.json").write_bytes((folder / "manifest.json").read_bytes())
    (copied / "contacts" / "events.jsonl").write_text(f'{{"index": 0, "about": "{made.account}"}}\n')
    with pytest.raises(Tampered):
        tell(FolderSource(copied), account=made.account)


@pytest.mark.parametrize(
    "manifest", ["", "[]", '{"form": "lethe audit export 1", "services": {"../x": {}}}', '{"services": {}}']
)
def test_what_is_no_export_is_refused(manifest: str, tmp_path: Path) -> None:
    """A folder without a manifest of the form, or one whose service would lead elsewhere, is wrong usage."""
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises((InvalidArgument, Tampered)):
        FolderSource(tmp_path)


def run(*arguments: str) -> tuple[int, str]:
    """The exit status of a command, as the program `lethe` gives it, and its stdout."""
    app = typer.Typer()
    audit_commands.register(app)
    audit_trail_commands.register(app)
    result = CliRunner().invoke(app, ["audit", "trail", *arguments])
    if isinstance(result.exception, LetheError):
        return exit_status_of(result.exception), result.stdout
    return result.exit_code, result.stdout


def test_the_command_tells_it_to_people_and_programs(
    story: Story, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timeline for people, with who, by which door, and the place in the log; JSON for programs; 3 for who is in no log."""
    monkeypatch.setenv("LETHE_HOME", str(settings.home))
    status, said = run("--request", story.request)
    assert DONE == status
    for words in ("owner " + story.owner.id[:8], "└ ", "Receipt for request", "Probed clean", "erasure "):
        assert words in said, words
    status, said = run("--person", story.alice, "--limit", "3", "--json")
    page = json.loads(said)
    assert DONE == status and 3 == len(page["entries"]) and page["next_after"]
    status, more = run("--person", story.alice, "--limit", "3", "--json", "--after", page["next_after"])
    assert DONE == status and page["entries"] != json.loads(more)["entries"]
    monkeypatch.setenv("LETHE_HOME", str(folder / "nowhere"))
    assert DONE == run("--offline", str(folder), "--staff", story.staff)[0]
    assert NOT_FOUND == run("--offline", str(folder), "--staff", new_id())[0]
    assert WRONG_USAGE == run("--offline", str(folder))[0]
    assert WRONG_USAGE == run("--offline", str(folder), "--person", "Alice")[0]
    assert WRONG_USAGE == run("--offline", str(folder), "--person", story.alice, "--since", "yesterday-ish")[0]
    assert WRONG_USAGE == run("--offline", str(folder), "--person", story.alice, "--after", "the-last-page")[0]
