"""`lethe staff …`: the vendor's staff ask to be let into an account, its owner decides, and both see what was looked up."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
import typer

from cli.options import HELP, Account, After, As, Json, Limit
from cli.output import moment, note, one_line, show, show_json, table
from cli.session import Session, pages
from services.identity.staff_commands import (
    BreakGlass,
    ListStaffGrants,
    OfStaffGrant,
    RequestStaffAccess,
    StaffGrantPage,
    StaffGrantView,
)
from services.identity.staff_events import BreakGlassPurpose
from services.identity.staff_grant import MAX_BREAK_GLASS_MINUTES, MAX_MINUTES
from shared.ids import new_id
from shared.personal import NotPersonal
from shared.staff_lookups import ListStaffLookups, StaffLookup, StaffLookupPage
from shared.tokens import StaffPurpose

OPEN_TO_STAFF: Final = ("contacts", "identity", "tickets")

staff = typer.Typer(
    help="The vendor's staff: ask for access to an account, decide on it, see what was looked up.", no_args_is_help=True,
    context_settings=HELP,
)  # fmt: skip

Staff = Annotated[
    str, typer.Option("--staff", envvar="LETHE_STAFF", metavar="ID", help="The staff member's own id, a random UUID.")
]
MaybeStaff = Annotated[
    str | None, typer.Option("--staff", envvar="LETHE_STAFF", metavar="ID", help="Look as this staff member.")
]
Grant = Annotated[str, typer.Argument(metavar="GRANT", help="The id of the grant.")]
Reference = Annotated[
    str | None,
    typer.Option("--reference", metavar="TEXT", help="A case number or a few words; no mail address, no phone number."),
]


class LookedUp(msgspec.Struct, frozen=True, kw_only=True):
    """A look-up, and the service that answered it."""

    service: Annotated[str, NotPersonal("the name of a service")]
    lookup: StaffLookup


class LookedUpList(msgspec.Struct, frozen=True, kw_only=True):
    """All look-ups, the oldest first."""

    lookups: list[LookedUp]


def register(app: typer.Typer) -> None:
    """Adds these commands to the program."""
    app.add_typer(staff, name="staff")


@staff.command("request")
def request(
    purpose: Annotated[StaffPurpose, typer.Argument(metavar="PURPOSE", help="What the access is for.")],
    staff_id: Staff,
    minutes: Annotated[int, typer.Option("--minutes", min=1, max=MAX_MINUTES, help="From the approval on.")] = 60,
    reference: Reference = None,
    account: Account = None,
    json: Json = False,
) -> None:
    """Ask an account's owners to be let in. They have four days to decide.

    Example: lethe staff request support-request --minutes 30 --reference "case 4711"
    --staff 5b0a4f1e-9d3f-4d0b-a3f4-0b8f0c3b6a55
    """
    asked = RequestStaffAccess(purpose=purpose, minutes=minutes, reference=reference)
    _as_staff(account, staff_id, "request_staff_access", asked, json)


@staff.command("break-glass")
def break_glass(
    purpose: Annotated[BreakGlassPurpose, typer.Argument(metavar="PURPOSE", help="The kind of emergency.")],
    staff_id: Staff,
    minutes: Annotated[
        int, typer.Option("--minutes", min=1, max=MAX_BREAK_GLASS_MINUTES, help="From the confirmation on.")
    ] = MAX_BREAK_GLASS_MINUTES,
    reference: Reference = None,
    account: Account = None,
    json: Json = False,
) -> None:
    """Ask to be let in without an owner's decision, in an emergency. A second staff member confirms it.

    Example: lethe staff break-glass incident --reference "outage 12" --staff 5b0a4f1e-9d3f-4d0b-a3f4-0b8f0c3b6a55
    """
    asked = BreakGlass(purpose=purpose, minutes=minutes, reference=reference)
    _as_staff(account, staff_id, "break_glass", asked, json)


@staff.command("confirm")
def confirm(grant: Grant, staff_id: Staff, account: Account = None, json: Json = False) -> None:
    """Confirm another staff member's break-glass. It is open at once, and the account's owners are told.

    Example: lethe staff confirm 0e729602-9984-48a1-91f3-4b3263c53077 --staff 7d4cbf0e-9d3f-4d0b-a3f4-0b8f0c3b6a55
    """
    _as_staff(account, staff_id, "confirm_break_glass", OfStaffGrant(grant_id=grant), json)


@staff.command("end")
def end(grant: Grant, staff_id: Staff, account: Account = None, json: Json = False) -> None:
    """Give an access back, or withdraw what was asked for.

    Example: lethe staff end 0e729602-9984-48a1-91f3-4b3263c53077 --staff 5b0a4f1e-9d3f-4d0b-a3f4-0b8f0c3b6a55
    """
    _as_staff(account, staff_id, "end_staff_access", OfStaffGrant(grant_id=grant), json)


@staff.command("approve")
def approve(grant: Grant, account: Account = None, as_user: As = None, json: Json = False) -> None:
    """Let a staff member in, as an owner.

    Example: lethe staff approve 0e729602-9984-48a1-91f3-4b3263c53077
    """
    _as_owner(account, as_user, "approve_staff_access", grant, json)


@staff.command("deny")
def deny(grant: Grant, account: Account = None, as_user: As = None, json: Json = False) -> None:
    """Say no to a staff member, as an owner.

    Example: lethe staff deny 0e729602-9984-48a1-91f3-4b3263c53077
    """
    _as_owner(account, as_user, "deny_staff_access", grant, json)


@staff.command("revoke")
def revoke(grant: Grant, account: Account = None, as_user: As = None, json: Json = False) -> None:
    """Take an access back before its time is over, as an owner; break-glass as well.

    Example: lethe staff revoke 0e729602-9984-48a1-91f3-4b3263c53077
    """
    _as_owner(account, as_user, "revoke_staff_access", grant, json)


@staff.command("list")
def list_grants(
    only_open: Annotated[bool, typer.Option("--open", help="Those alone that wait for somebody or are active.")] = False,
    after: After = None,
    limit: Limit = 50,
    staff_id: MaybeStaff = None,
    account: Account = None,
    as_user: As = None,
    json: Json = False,
) -> None:
    """List the grants for staff, the newest first.

    Example: lethe staff list --open
    """
    asked = ListStaffGrants(only_open=only_open, after=after, limit=limit)
    with Session(account, as_user, staff_id) as session:
        if staff_id is None:
            page = session.query("identity", "list_staff_grants", asked, StaffGrantPage)
        else:
            page = session.operate(
                "identity", "list_staff_grants", asked, account=session.account_id, result_type=StaffGrantPage,
                repeatable=True,
            )  # fmt: skip
    if json:
        show_json(page)
        return
    show(_grants_table(page.grants))
    if page.next_after:
        note(f"There are more: --after {page.next_after}")


@staff.command("lookups")
def lookups(
    grant: Annotated[str | None, typer.Option("--grant", metavar="ID", help="Under this grant alone.")] = None,
    account: Account = None,
    as_user: As = None,
    json: Json = False,
) -> None:
    """What staff looked up in the account: when, under which grant, for what, and whom or what they were shown.

    Example: lethe staff lookups
    """
    with Session(account, as_user) as session:
        grants = [grant] if grant is not None else _all_grants(session)
        found = [
            LookedUp(service=service, lookup=one)
            for each in grants
            for service in OPEN_TO_STAFF
            for one in _lookups_in(session, service, each)
        ]
    found.sort(key=lambda one: one.lookup.looked_up_at)
    if json:
        show_json(LookedUpList(lookups=found))
        return
    rows = [
        (
            moment(one.lookup.looked_up_at), one.lookup.grant_id, one.lookup.purpose, f"{one.service}.{one.lookup.method}",
            "\n".join(one.lookup.person_ids), "\n".join(one.lookup.ticket_ids),
        )
        for one in found
    ]  # fmt: skip
    columns = ("when (UTC)", "grant id", "purpose", "what", "person id", "ticket id")
    show(table(f"{len(found)} look-ups", columns, rows))


def _as_staff(account: str | None, staff_id: str, method: str, argument: msgspec.Struct, json: bool) -> None:
    with Session(account, staff=staff_id) as session:
        key = new_id() if isinstance(argument, (RequestStaffAccess, BreakGlass)) else None
        view = session.operate(
            "identity", method, argument, account=session.account_id, result_type=StaffGrantView, idempotency_key=key
        )
    show_json(view) if json else show(_grants_table([view]))


def _as_owner(account: str | None, as_user: str | None, method: str, grant: str, json: bool) -> None:
    with Session(account, as_user) as session:
        view = session.call("identity", method, OfStaffGrant(grant_id=grant), result_type=StaffGrantView)
    show_json(view) if json else show(_grants_table([view]))


def _all_grants(session: Session) -> list[str]:
    def fetch(after: str | None) -> tuple[list[StaffGrantView], str | None]:
        asked = ListStaffGrants(after=after, limit=500)
        page = session.query("identity", "list_staff_grants", asked, StaffGrantPage)
        return page.grants, page.next_after

    return [one.grant_id for one in pages(fetch) if one.sessions]


def _lookups_in(session: Session, service: str, grant: str) -> list[StaffLookup]:
    def fetch(after: int | None) -> tuple[list[StaffLookup], int | None]:
        asked = ListStaffLookups(grant_id=grant, after=after or 0, limit=500)
        page = session.query(service, "list_staff_lookups", asked, StaffLookupPage)
        return page.lookups, page.next_after

    return pages(fetch)


def _grants_table(found: list[StaffGrantView]) -> object:
    rows = [
        (
            one.grant_id, one.state, one.basis, one.purpose, one_line(one.reference or "", 40), one.staff_id, one.minutes,
            moment(one.requested_at), moment(one.expires_at), one.sessions,
        )
        for one in found
    ]  # fmt: skip
    columns = (
        "grant id", "state", "basis", "purpose", "reference", "staff id", "minutes", "asked (UTC)", "until (UTC)", "sessions",
    )  # fmt: skip
    return table("Access for staff", columns, rows)
