"""The vendor's staff and an account's data, on real databases: nothing without a grant, nothing but reading with one, nothing
unrecorded."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event, current_thread
from typing import Any

import pytest

from audit.replay import replay
from services.identity import staff_handlers, staff_mail
from shared import account_states, clock
from shared.errors import (
    AccountSuspended,
    Conflict,
    InternalError,
    InvalidArgument,
    NotFound,
    PermissionRefused,
    Refused,
    Unauthenticated,
)
from shared.failpoints import FailpointReached
from shared.ids import new_id
from shared.outgoing_mail import claim, read_claimed
from shared.rpc import describe
from shared.service_classes import service_class
from shared.settings import SERVICES, Settings
from shared.tokens import Actor, TokenIssuer, create_token_key
from tests.support.cell import Cell
from tests.support.databases import fresh_home, server, superuser
from tests.support.together import at_once

Row = dict[str, Any]
READING = {
    "contacts": {"list_persons", "show_person"},
    "identity": {"list_users", "show_user"},
    "tickets": {
        "list_put_aside", "list_tickets", "messages_of", "search_tickets", "show_attachment", "show_put_aside", "show_ticket",
    },
}  # fmt: skip
"""All that staff may call, written by hand: a method that admits them and is not here fails a test, and the other way round."""
OPERATORS_TOO = {("identity", "list_users"), ("identity", "show_user")}
"""An operator sees who works for an account, to give it its first owner."""

READINGS = [(service, method) for service, methods in READING.items() for method in sorted(methods)]
METHODS = [(service, one.name) for service in SERVICES for one in describe(service_class(service))]
MAIL = b"\r\n".join([
    b"From: Alice Adams <alice@people.example>", b"Subject: The kettle", b"Message-ID: <1@people.example>",
    b"MIME-Version: 1.0", b"Content-Type: multipart/mixed; boundary=cut", b"",
    b"--cut", b"Content-Type: text/plain", b"", b"It leaks",
    b"--cut", b"Content-Type: text/plain", b"Content-Disposition: attachment; filename=note.txt", b"", b"attached",
    b"--cut--", b"",
])  # fmt: skip


@dataclass
class Account:
    """An account with one of everything that can be read, its people, and two of the vendor's staff."""

    cell: Cell
    account: str
    owner: str
    admin: str
    staff: str
    colleague: str
    arguments: dict[str, Row]

    def token(self, kind: str, name: str, role: str, **others: Any) -> str:
        issuer = "operator" if kind == "operator" else "identity"
        key = self.cell.settings.path("root-keys", issuer, "token.key")
        account = None if kind == "operator" else others.pop("account", self.account)
        actor = Actor(kind=kind, id=name, account_id=account, role=role, **others)  # type: ignore[arg-type]
        return TokenIssuer(issuer, key).mint(actor, timedelta(seconds=60))

    def as_staff(self, method: str, argument: Any, staff: str | None = None, **others: Any) -> Row:
        """A staff member calls identity."""
        token = self.token("operator", staff or self.staff, "operator")
        return self._identity(token, method, argument, **others)

    def as_owner(self, method: str, argument: Any, **others: Any) -> Row:
        """The owner calls identity."""
        return self._identity(self.token("user", self.owner, "owner"), method, argument, **others)

    def _identity(self, token: str, method: str, argument: Any, **others: Any) -> Row:
        answer: Row = self.cell.ask(token, self.account, "identity", method, argument, **others)
        return answer

    def request(self, **others: Any) -> Row:
        """The grant that a request asks for."""
        return {"grant_id": self.as_staff("request_staff_access", {"purpose": "support-request"} | others)["grant_id"]}

    def grant(self, **others: Any) -> Row:
        """A grant that is active."""
        grant = self.request(**others)
        self.as_owner("approve_staff_access", grant)
        return grant

    def session(self, grant: Row, staff: str | None = None) -> str:
        """A token under a grant."""
        token: str = self.as_staff("open_staff_session", grant, staff)["token"]
        return token

    def read(self, token: str, service: str, method: str, account: str | None = None) -> Row:
        """Calls a reading method for what the account has."""
        answer: Row = self.cell.ask(token, account or self.account, service, method, self.arguments[method])
        return answer

    def state(self, grant: Row) -> str:
        return str(self.as_owner("show_staff_grant", grant)["state"])

    def events(self, *services: str) -> list[tuple[str, Row]]:
        """(type, data) of the account's events in these services' logs, in order."""
        found = []
        for service in services or SERVICES:
            with self.cell.store(service).work(self.account) as work:
                rows = work.fetch("SELECT stream FROM lethe.event GROUP BY stream ORDER BY min(sequence)")
                for (stream,) in rows:
                    found += [(one.envelope.type, one.envelope.data) for one in work.load(stream)]
        return found

    def lookups(self, service: str, grant: Row) -> list[Row]:
        """The look-ups under a grant, as the owner reads them."""
        token = self.token("user", self.owner, "owner")
        page = self.cell.ask(token, self.account, service, "list_staff_lookups", grant)
        return list(page["lookups"])


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Databases of all services, and the operator's key."""
    folder: Path = tmp_path_factory.mktemp("staff")
    with server(folder / "server") as admin_url, fresh_home(folder / "home", admin_url) as made:
        create_token_key(made.path("root-keys"), made.path("verifiers"), "operator")
        yield made


@pytest.fixture(scope="module")
def shared_cell(settings: Settings) -> Cell:
    return Cell(settings)


def open_account(cell: Cell) -> Account:
    """A new account, filled."""
    account, operator = new_id(), Actor(kind="operator", id="operator", role="operator")
    word = account[:8]
    owner = cell.call(
        account, "identity", "add_user", {"role": "owner", "name": "Olga", "login": f"olga@{word}.example"}, operator
    )
    as_owner = Actor(kind="user", id=owner.user_id, account_id=account, role="owner")
    admin = cell.call(
        account, "identity", "add_user", {"role": "admin", "name": "Adam", "login": f"adam@{word}.example"}, as_owner
    )
    (mail, _) = cell.call(account, "tickets", "import_mails", {"mails": [MAIL, b"no mail"]}, as_owner).mails
    message = cell.call(account, "tickets", "show_ticket", {"ticket_id": mail.ticket_id}).messages[0]
    put_aside = cell.call(account, "tickets", "list_put_aside").mails[0].put_aside_id
    arguments: dict[str, Row] = {
        "list_persons": {}, "show_person": {"who": "alice@people.example"}, "list_users": {},
        "show_user": {"user": f"adam@{word}.example"}, "list_put_aside": {}, "list_tickets": {},
        "messages_of": {"person_id": message.author_id}, "search_tickets": {"words": "leaks"},
        "show_attachment": {"blob_id": message.attachments[0].blob_id}, "show_put_aside": {"put_aside_id": put_aside},
        "show_ticket": {"ticket_id": mail.ticket_id},
    }  # fmt: skip
    return Account(cell, account, owner.user_id, admin.user_id, new_id(), new_id(), arguments)


@pytest.fixture(scope="module")
def other(shared_cell: Cell) -> Account:
    """An account that nobody asked to look into."""
    return open_account(shared_cell)


@pytest.fixture
def desk(shared_cell: Cell) -> Account:
    """A new account."""
    return open_account(shared_cell)


# --------------------------------------------------------------------------------------------------------------- the grant


def test_an_owner_lets_a_staff_member_in(desk: Account) -> None:
    """Asked for, approved, used, ended: each step stands in the log and in the view of the account."""
    asked = desk.as_staff("request_staff_access", {"purpose": "migration", "minutes": 30, "reference": "case 4711"})
    grant = {"grant_id": asked["grant_id"]}
    assert ("requested", "consent", "migration", "case 4711") == tuple(
        asked[key] for key in ("state", "basis", "purpose", "reference")
    )
    approved = desk.as_owner("approve_staff_access", grant)
    assert ("active", desk.owner, "case 4711") == tuple(approved[key] for key in ("state", "decided_by", "reference"))
    assert desk.read(desk.session(grant), "tickets", "show_ticket")["messages"]
    ended = desk.as_staff("end_staff_access", grant)
    assert ("ended", 1) == (ended["state"], ended["sessions"])
    types = [kind for kind, data in desk.events("identity") if data.get("grant_id") == grant["grant_id"]]
    assert ["StaffAccessRequested", "StaffAccessApproved", "StaffSessionOpened", "StaffAccessEnded"] == [
        one.removeprefix("identity.") for one in types
    ]


def test_owners_alone_decide(desk: Account) -> None:
    """No admin, no staff member, no owner of another time and no owner whose token is too narrow."""
    grant = desk.request()
    for method in ("approve_staff_access", "deny_staff_access", "revoke_staff_access"):
        for token in (
            desk.token("user", desk.admin, "admin"), desk.token("operator", desk.staff, "operator"),
            desk.token("user", new_id(), "owner"), desk.token("user", desk.admin, "owner"),
            desk.token("user", desk.owner, "owner", scope="write"),
        ):  # fmt: skip
            with pytest.raises(PermissionRefused):
                desk.cell.ask(token, desk.account, "identity", method, grant)
    assert "requested" == desk.state(grant)


def test_nobody_approves_what_they_asked_for(desk: Account) -> None:
    """Also where a staff member is an owner of the account."""
    grant = {"grant_id": desk.as_staff("request_staff_access", {"purpose": "legal"}, desk.owner)["grant_id"]}
    with pytest.raises(Refused):
        desk.as_owner("approve_staff_access", grant)
    assert "requested" == desk.state(grant)


def test_what_is_not_pending_is_not_approved(desk: Account) -> None:
    """Approved, denied, revoked, ended: a conflict, and the state stays."""
    approved, denied, revoked, ended = desk.grant(), desk.request(), desk.grant(), desk.request()
    desk.as_owner("deny_staff_access", denied)
    desk.as_owner("revoke_staff_access", revoked)
    desk.as_staff("end_staff_access", ended)
    for grant, state in ((approved, "active"), (denied, "denied"), (revoked, "revoked"), (ended, "ended")):
        with pytest.raises(Conflict):
            desk.as_owner("approve_staff_access", grant)
        assert state == desk.state(grant)


def test_of_ten_approvals_at_once_one_counts(desk: Account) -> None:
    """The others are a conflict."""
    grant = desk.request()
    results = at_once([partial(desk.as_owner, "approve_staff_access", grant)] * 10)
    assert 1 == sum(isinstance(one, dict) for one in results)
    assert {dict, Conflict} == {type(one) for one in results}


def test_a_request_sent_again_is_one(desk: Account) -> None:
    """Under one idempotency key, also when it comes five times at once."""
    ask = partial(desk.as_staff, "request_staff_access", {"purpose": "incident"}, key="once")
    assert 1 == len({one["grant_id"] for one in at_once([ask] * 5)})


def test_the_operator_who_is_nobody_in_particular_gets_no_grant(desk: Account) -> None:
    """A grant is somebody's: a token without a staff member's id is refused."""
    grant = desk.grant()
    for method, argument in (
        ("request_staff_access", {"purpose": "legal"}), ("break_glass", {"purpose": "legal"}), ("confirm_break_glass", grant),
        ("end_staff_access", grant), ("open_staff_session", grant),
    ):  # fmt: skip
        with pytest.raises(PermissionRefused):
            desk.as_staff(method, argument, "operator")


def test_a_reference_holds_no_identifier(desk: Account) -> None:
    """Addresses and numbers of people are kept where an erasure finds them."""
    for reference in ("mail of alice@people.example", "call +49 30 901820"):
        with pytest.raises(InvalidArgument) as refused:
            desk.as_staff("request_staff_access", {"purpose": "legal", "reference": reference})
        assert "reference" == refused.value.field and reference not in str(refused.value)


def test_a_reference_is_sealed_and_not_every_colleagues(desk: Account) -> None:
    """No byte of it stands in a table; the account and who wrote it read it, another staff member only for break-glass."""
    words = "Kerplunk the case"
    grant = desk.request(reference=words)
    glass = {"grant_id": desk.as_staff("break_glass", {"purpose": "legal", "reference": words})["grant_id"]}
    read = {
        staff: [desk.as_staff("show_staff_grant", one, staff)["reference"] for one in (grant, glass)]
        for staff in (desk.staff, desk.colleague)
    }
    assert {desk.staff: [words, words], desk.colleague: [None, words]} == read
    assert words == desk.as_owner("show_staff_grant", grant)["reference"]
    connection = superuser(desk.cell.settings, "identity")
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(g)::text FROM lethe.staff_grant g")
        rows = [row for (row,) in cursor.fetchall()]
        cursor.execute("SELECT encode(envelope, 'escape'), array_to_string(sealed, ',') FROM lethe.event")
        rows += [part for row in cursor.fetchall() for part in row]
    connection.close()
    assert rows and not [row for row in rows if "Kerplunk" in row or b"Kerplunk".hex() in row]


def test_grants_are_listed_the_newest_first_in_pages(desk: Account) -> None:
    """To owners, admins and staff; the open ones alone where asked."""
    grants = [desk.request(), desk.grant(), desk.request()]
    desk.as_owner("deny_staff_access", grants[2])
    listed, after = [], None
    while True:
        page = desk.as_staff("list_staff_grants", {"limit": 2, "after": after})
        listed += [one["grant_id"] for one in page["grants"]]
        after = page["next_after"]
        if after is None:
            break
    assert [one["grant_id"] for one in reversed(grants)] == listed
    token = desk.token("user", desk.admin, "admin")
    page = desk.cell.ask(token, desk.account, "identity", "list_staff_grants", {"only_open": True})
    assert ["active", "requested"] == [one["state"] for one in page["grants"]]
    with pytest.raises(PermissionRefused):
        desk.cell.ask(desk.token("user", new_id(), "agent"), desk.account, "identity", "list_staff_grants", {})


def test_the_rows_are_what_the_log_says(desk: Account) -> None:
    """A replay of identity's log gives the same rows of grants."""
    desk.as_owner("deny_staff_access", desk.request())
    desk.session(desk.grant(reference="case 7"))
    glass = {"grant_id": desk.as_staff("break_glass", {"purpose": "incident"})["grant_id"]}
    desk.as_staff("confirm_break_glass", glass, desk.colleague)
    desk.as_owner("revoke_staff_access", glass)
    desk.cell.sign("identity")
    result = replay(desk.cell.settings, "identity")
    (rows,) = [one.rebuilt for one in result.tables if one.table == "staff_grant"]
    assert result.equal and rows >= 3


# ------------------------------------------------------------------------------------------------------------- break-glass


def test_break_glass_by_one_person_does_nothing(desk: Account) -> None:
    """Who asks opens nothing, confirms nothing, and no owner's approval makes it theirs."""
    glass = {"grant_id": desk.as_staff("break_glass", {"purpose": "incident"})["grant_id"]}
    with pytest.raises(Refused):
        desk.as_staff("confirm_break_glass", glass)
    with pytest.raises(Conflict):
        desk.session(glass)
    with pytest.raises(Conflict):
        desk.as_owner("approve_staff_access", glass)
    assert "asked" == desk.state(glass)


def test_break_glass_by_two_opens_at_once_for_an_hour(desk: Account) -> None:
    """For who asked, not for who confirmed; an owner sees it and can end it."""
    glass = {"grant_id": desk.as_staff("break_glass", {"purpose": "incident"})["grant_id"]}
    opened = desk.as_staff("confirm_break_glass", glass, desk.colleague)
    assert ("active", "break-glass", desk.colleague) == tuple(opened[key] for key in ("state", "basis", "decided_by"))
    assert "identity.BreakGlassOpened" in [kind for kind, _ in desk.events("identity")]
    assert desk.read(desk.session(glass), "contacts", "show_person")
    with pytest.raises(PermissionRefused):
        desk.session(glass, desk.colleague)
    assert [glass["grant_id"]] == [one["grant_id"] for one in desk.as_owner("list_staff_grants", {})["grants"]]
    desk.as_owner("revoke_staff_access", glass)
    with pytest.raises(Conflict):
        desk.session(glass)


def test_owners_are_told_by_mail(desk: Account) -> None:
    """Of each request, and of break-glass with its opening: every owner, and nobody else; with ids, purpose and times only. A
    break-glass that nobody confirmed is no news."""
    operator = Actor(kind="user", id=desk.owner, account_id=desk.account, role="owner")
    second = f"oscar@{desk.account[:8]}.example"
    desk.cell.call(desk.account, "identity", "add_user", {"role": "owner", "name": "Oscar", "login": second}, operator)
    owners = {second, f"olga@{desk.account[:8]}.example"}
    grant = desk.request(reference="Kerplunk")
    assert [(one, staff_mail.ASKED_SUBJECT) for one in sorted(owners)] == told(desk, grant)
    glass = {"grant_id": desk.as_staff("break_glass", {"purpose": "legal"})["grant_id"]}
    assert [] == told(desk, glass)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.work.failpoint", partial(fail_at, "identity.before-commit"))
        with pytest.raises(InternalError):
            desk.as_staff("confirm_break_glass", glass, desk.colleague)
    assert [] == told(desk, glass)
    desk.as_staff("confirm_break_glass", glass, desk.colleague)
    assert [(one, staff_mail.OPENED_SUBJECT) for one in sorted(owners)] == told(desk, glass)


def told(desk: Account, grant: Row) -> list[tuple[str, str]]:
    """(to, subject) of the mails about a grant that are on their way now. They wait for a lease's length after this."""
    store, found = desk.cell.store("identity"), []
    while (claimed := claim(store)) is not None:
        read = read_claimed(store, *claimed)
        if read is not None and read.mail is not None and grant["grant_id"] in read.mail.text:
            assert desk.account in read.mail.text and "Kerplunk" not in read.mail.text
            assert "legal" in read.mail.text or "support-request" in read.mail.text
            found.append((read.mail.to, read.mail.subject))
    return sorted(found)


def test_break_glass_is_for_emergencies(desk: Account) -> None:
    """A purpose for which an owner can be asked is none."""
    with pytest.raises(InvalidArgument):
        desk.as_staff("break_glass", {"purpose": "support-request"})
    with pytest.raises(InvalidArgument):
        desk.as_staff("break_glass", {"purpose": "incident", "minutes": 61})


# ------------------------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize(("service", "method"), READINGS)
def test_no_read_without_a_grant(other: Account, service: str, method: str) -> None:
    """Not with the token by which staff ask for one, and not with one that says "staff" and was signed by who may not."""
    if (service, method) not in OPERATORS_TOO:
        with pytest.raises(PermissionRefused):
            other.read(other.token("operator", other.staff, "operator"), service, method)
    with pytest.raises(Unauthenticated):
        other.read(signed_by_tickets(other), service, method)
    assert [] == other.lookups(service, {"grant_id": new_id()})


def signed_by_tickets(account: Account) -> str:
    """A staff token as a service would sign it that was broken into."""
    issuer = TokenIssuer("tickets", account.cell.settings.path("root-keys", "tickets", "token.key"))
    actor = Actor(
        kind="staff", id=account.staff, account_id=account.account, role="staff", scope="read", grant_id=new_id(),
        purpose="legal",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.tokens.may_mint", lambda *_: True)
        return issuer.mint(actor, timedelta(seconds=60))


def test_no_session_without_an_active_grant(desk: Account) -> None:
    """Not for what is requested, denied, ended, revoked, or nobody's."""
    requested, denied, ended, revoked = desk.request(), desk.request(), desk.grant(), desk.grant()
    desk.as_owner("deny_staff_access", denied)
    desk.as_staff("end_staff_access", ended)
    desk.as_owner("revoke_staff_access", revoked)
    for grant in (requested, denied, ended, revoked):
        with pytest.raises(Conflict):
            desk.session(grant)
    with pytest.raises(NotFound):
        desk.session({"grant_id": new_id()})


@pytest.mark.parametrize(("service", "method"), READINGS)
def test_each_look_up_leaves_its_event(desk_for_reading: tuple[Account, Row], service: str, method: str) -> None:
    """With grant, staff member, purpose and method; and the owner reads it."""
    desk, grant = desk_for_reading
    before = desk.lookups(service, grant)
    assert desk.read(desk.session(grant), service, method)
    (added,) = desk.lookups(service, grant)[len(before) :]
    assert (method, desk.staff, "support-request") == (added["method"], added["staff_id"], added["purpose"])
    about_nobody = method in ("list_put_aside", "show_put_aside")
    assert about_nobody != bool(added["person_ids"] or added["ticket_ids"])


@pytest.fixture(scope="module")
def desk_for_reading(shared_cell: Cell) -> tuple[Account, Row]:
    """An account with a grant."""
    made = open_account(shared_cell)
    return made, made.grant()


@pytest.mark.parametrize(("service", "method"), READINGS)
def test_what_is_not_recorded_is_not_answered(
    desk_for_reading: tuple[Account, Row], service: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the record fails before its commit there is no event and no answer; right after it, an event and no answer: so
    there is never an answer without an event."""
    desk, grant = desk_for_reading
    token = desk.session(grant)
    for place, recorded in ((f"{service}.before-commit", 0), (f"{service}.after-commit", 1)):
        before = desk.lookups(service, grant)
        with monkeypatch.context() as patch:
            patch.setattr("shared.work.failpoint", partial(fail_at, place))
            with pytest.raises(InternalError):
                desk.read(token, service, method)
        assert recorded == len(desk.lookups(service, grant)) - len(before)


def test_a_token_that_is_given_after_a_revocation_is_from_before_it(desk: Account) -> None:
    """The session is committed, its answer is still on its way, and the revocation comes: the token is good for nothing."""
    grant, committed, revoked = desk.grant(), Event(), Event()

    def stand(name: str) -> None:
        if name == "identity.after-commit" and current_thread().name.startswith("session"):
            committed.set()
            assert revoked.wait(60)

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1, "session") as pool:
        patch.setattr("shared.work.failpoint", stand)
        session = pool.submit(desk.session, grant)
        assert committed.wait(60)
        desk.as_owner("revoke_staff_access", grant)
        revoked.set()
        with pytest.raises(Unauthenticated):
            desk.read(session.result(), "identity", "list_users")


def fail_at(place: str, name: str) -> None:
    """In the place of `failpoint`: fails at one place."""
    if name == place:
        raise FailpointReached(name)


@pytest.mark.parametrize(("service", "method", "argument"), [
    ("contacts", "show_person", {"who": "nobody@people.example"}), ("identity", "show_user", {"user": "nobody@people.example"}),
])  # fmt: skip
def test_that_somebody_is_not_there_is_recorded_as_well(desk: Account, service: str, method: str, argument: Row) -> None:
    """Whoever tries addresses learns who is a contact: each try stands in the log, without the address."""
    grant = desk.grant()
    with pytest.raises(NotFound):
        desk.cell.ask(desk.session(grant), desk.account, service, method, argument)
    (tried,) = desk.lookups(service, grant)
    assert (method, [], []) == (tried["method"], tried["person_ids"], tried["ticket_ids"])


def test_users_leave_no_such_events(desk: Account) -> None:
    """The account's own people are no staff."""
    desk.read(desk.token("user", desk.owner, "owner"), "tickets", "show_ticket")
    assert not [kind for kind, _ in desk.events() if kind.endswith(".StaffLookedUp")]


def test_look_ups_at_once_are_all_recorded(desk: Account) -> None:
    """Eight at once under one grant: eight events, with numbers without a gap."""
    grant = desk.grant()
    token = desk.session(grant)
    results = at_once([partial(desk.read, token, "tickets", "list_tickets")] * 8)
    assert 8 == sum(isinstance(one, dict) for one in results), results
    assert list(range(1, 9)) == [one["number"] for one in desk.lookups("tickets", grant)]


def test_look_ups_come_in_pages(desk: Account) -> None:
    """In their order, to owners and admins and nobody else."""
    grant = desk.grant()
    token = desk.session(grant)
    for _ in range(5):
        desk.read(token, "tickets", "list_tickets")
    asker = desk.token("user", desk.admin, "admin")
    numbers, after = [], 0
    while after is not None:
        page = desk.cell.ask(asker, desk.account, "tickets", "list_staff_lookups", grant | {"after": after, "limit": 2})
        numbers.append([one["number"] for one in page["lookups"]])
        after = page["next_after"]
    assert [[1, 2], [3, 4], [5]] == numbers
    for refused in (desk.token("user", new_id(), "agent"), token, desk.token("operator", desk.staff, "operator")):
        with pytest.raises(PermissionRefused):
            desk.cell.ask(refused, desk.account, "tickets", "list_staff_lookups", grant)


def test_staff_can_call_reading_methods_and_nothing_else(desk: Account) -> None:
    """Of all methods of all services, those of the list; the others refuse the role, and no event is left but of look-ups."""
    token = desk.session(desk.grant())
    before = [kind for kind, _ in desk.events()]
    admitted = set()
    for service, method in METHODS:
        try:
            desk.cell.ask(token, desk.account, service, method, desk.arguments.get(method, {}))
        except PermissionRefused:
            continue
        admitted.add((service, method))
    assert set(READINGS) == admitted
    assert set(READINGS) == {
        (service, one.name) for service in SERVICES for one in describe(service_class(service)) if "staff" in one.roles
    }
    assert {"read"} == {
        one.scope for service in SERVICES for one in describe(service_class(service)) if "staff" in one.roles
    }
    added = [kind for kind, _ in desk.events()]
    assert len(READINGS) == len(added) - len(before)
    assert len(READINGS) == sum(one.endswith(".StaffLookedUp") for one in added)


@pytest.mark.parametrize(("service", "method"), READINGS)
def test_another_accounts_grant_does_not_open_this_one(
    desk_for_reading: tuple[Account, Row], other: Account, service: str, method: str
) -> None:
    """Neither with the token of the one account, nor by naming its grant in the other."""
    desk, grant = desk_for_reading
    with pytest.raises(NotFound):
        desk.read(desk.session(grant), service, method, account=other.account)
    with pytest.raises(NotFound):
        other.as_staff("open_staff_session", grant, desk.staff)
    with pytest.raises(NotFound):
        other.as_owner("revoke_staff_access", grant)
    with pytest.raises(NotFound):
        other.as_owner("show_staff_grant", grant)
    assert [] == other.lookups(service, grant)


def test_a_suspended_account_refuses_staff_as_it_refuses_users(desk: Account) -> None:
    """No session, and no read with one that is open (mission L3)."""
    grant = desk.grant()
    token = desk.session(grant)
    for service in READING:
        account_states.set_state(desk.cell.store(service), desk.account, "suspended", 2)
    with pytest.raises(AccountSuspended):
        desk.session(grant)
    for service, method in READINGS:
        with pytest.raises(AccountSuspended):
            desk.read(token, service, method)


# -------------------------------------------------------------------------------------------------------------------- time


def test_a_request_that_nobody_answers_expires(desk: Account) -> None:
    """After four days it can't be approved, before and after the timer wrote it down; one event says so, whoever writes it."""
    grant, answered = desk.request(), desk.request()
    clock.advance(timedelta(days=4) - timedelta(minutes=1))
    desk.as_owner("approve_staff_access", answered)
    clock.advance(timedelta(minutes=1))
    assert "expired" == desk.state(grant)
    with pytest.raises(Conflict):
        desk.as_owner("approve_staff_access", grant)
    expire = partial(staff_handlers.expire_due_grants, desk.cell.store("identity"), 500)
    at_once([expire] * 4)
    clock.advance(staff_handlers.NEXT_LOOK)
    expire()
    expired = [data for kind, data in desk.events("identity") if kind == "identity.StaffAccessExpired"]
    assert [{"grant_id": grant["grant_id"], "was": "requested"}] == expired
    with pytest.raises(Conflict):
        desk.as_owner("approve_staff_access", grant)
    assert "active" == desk.state(answered)


def test_an_access_ends_by_itself(desk: Account) -> None:
    """At its end: no session, and a token from the minute before is not good any more."""
    grant = desk.grant(minutes=10)
    clock.advance(timedelta(minutes=9, seconds=30))
    token = desk.session(grant)
    assert desk.read(token, "tickets", "show_ticket")
    clock.advance(timedelta(seconds=30))
    with pytest.raises(Unauthenticated):
        desk.read(token, "tickets", "show_ticket")
    with pytest.raises(Conflict):
        desk.session(grant)
    staff_handlers.expire_due_grants(desk.cell.store("identity"), 500)
    assert [{"grant_id": grant["grant_id"], "was": "active"}] == [
        data for kind, data in desk.events("identity") if kind == "identity.StaffAccessExpired"
    ]


@pytest.mark.parametrize("way", ["revoke", "end"])
def test_what_is_closed_ends_its_tokens(desk: Account, way: str) -> None:
    """A token that is good for a minute still is refused: by identity at once, by the others when they have the event. Under
    another grant of the account there is a new one at once."""
    grant, other_grant = desk.grant(), desk.grant()
    token = desk.session(grant)
    if way == "revoke":
        desk.as_owner("revoke_staff_access", grant)
    else:
        desk.as_staff("end_staff_access", grant)
    for service, method in READINGS:
        if service == "identity":
            with pytest.raises(Unauthenticated):
                desk.read(token, service, method)
        else:
            assert desk.read(token, service, method)
    desk.cell.sign("identity")
    for delivery in desk.cell.deliveries(desk.account, SERVICES):
        if delivery.envelope.type == "identity.ActorCutOff":
            desk.cell.deliver(delivery)
    for service, method in READINGS:
        with pytest.raises(Unauthenticated):
            desk.read(token, service, method)
        assert desk.read(desk.session(other_grant), service, method)


def test_a_token_is_good_for_a_minute(desk: Account) -> None:
    """However long the grant is."""
    token = desk.session(desk.grant(minutes=480))
    clock.advance(timedelta(seconds=61))
    with pytest.raises(Unauthenticated):
        desk.read(token, "tickets", "show_ticket")


def test_a_revocation_and_a_session_at_once(desk: Account) -> None:
    """After the revocation there is no session that the log does not have before it, and none of those is good any more."""
    for _ in range(6):
        grant = desk.grant()
        session, _ = at_once([partial(desk.session, grant), partial(desk.as_owner, "revoke_staff_access", grant)])
        types = [kind for kind, data in desk.events("identity") if data.get("grant_id") == grant["grant_id"]]
        assert "identity.StaffAccessRevoked" == types[-1]
        assert isinstance(session, str) == ("identity.StaffSessionOpened" in types)
        if isinstance(session, str):
            with pytest.raises(Unauthenticated):
                desk.read(session, "identity", "list_users")
