"""What may be done to a grant for staff in each of its states, by whom, and until when."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from services.identity.events import Role
from services.identity.staff_events import GrantState, StaffAccessExpired
from services.identity.staff_grant import (
    BREAK_GLASS_PENDING,
    PENDING,
    SESSION_LIFE,
    StaffGrant,
    approve,
    ask_break_glass,
    confirm_break_glass,
    deny,
    end,
    expire,
    fold,
    open_session,
    request,
    revoke,
)
from shared.errors import Conflict, LetheError, NotFound, PermissionRefused, Refused
from shared.events import Event

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
STAFF, COLLEAGUE, OWNER = "staff", "colleague", "owner"

Command = Callable[[StaffGrant | None, datetime], Event | Sequence[Event]]
COMMANDS: dict[str, Command] = {
    "approve": lambda grant, now: approve(grant, OWNER, "owner", now),
    "deny": lambda grant, now: deny(grant, OWNER, "owner", now),
    "revoke": lambda grant, now: revoke(grant, OWNER, "owner", now),
    "end": lambda grant, now: end(grant, STAFF, now),
    "confirm": lambda grant, now: confirm_break_glass(grant, COLLEAGUE, now),
    "session": lambda grant, now: open_session(grant, STAFF, now),
    "expire": expire,
}


def requested() -> list[Event]:
    return [request("grant", STAFF, "support-request", 90, None, NOW)]


def asked() -> list[Event]:
    return [ask_break_glass("grant", STAFF, "incident", 30, None, NOW)]


def after(events: Sequence[Event], command: str, now: datetime = NOW) -> list[Event]:
    """The stream after one more command."""
    made = COMMANDS[command](fold(events), now)
    return [*events, *([made] if isinstance(made, Event) else made)]


ACTIVE = after(requested(), "approve")
STREAMS: dict[str, tuple[list[Event], datetime]] = {
    "requested": (requested(), NOW),
    "requested, too long ago": (requested(), NOW + PENDING),
    "asked": (asked(), NOW),
    "asked, too long ago": (asked(), NOW + BREAK_GLASS_PENDING),
    "active": (ACTIVE, NOW),
    "active by break-glass": (after(asked(), "confirm"), NOW),
    "active, over": (ACTIVE, NOW + timedelta(minutes=90)),
    "denied": (after(requested(), "deny"), NOW),
    "expired": (after(requested(), "expire", NOW + PENDING), NOW + PENDING),
    "ended": (after(ACTIVE, "end"), NOW),
    "revoked": (after(ACTIVE, "revoke"), NOW),
}
ALLOWED: dict[str, dict[str, GrantState | None]] = {
    "requested": {"approve": "active", "deny": "denied", "end": "ended", "expire": None},
    "requested, too long ago": {"expire": "expired"},
    "asked": {"confirm": "active", "end": "ended", "expire": None},
    "asked, too long ago": {"expire": "expired"},
    "active": {"revoke": "revoked", "end": "ended", "session": "active", "expire": None},
    "active by break-glass": {"revoke": "revoked", "end": "ended", "session": "active", "expire": None},
    "active, over": {"expire": "expired"},
    "denied": {"deny": None, "expire": None},
    "expired": {"expire": None},
    "ended": {"end": None, "expire": None},
    "revoked": {"revoke": None, "expire": None},
}
"""By state, the commands that are accepted, with the state after them (None: it is done already). All others are a conflict."""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("state", STREAMS)
def test_each_command_in_each_state(state: str, command: str) -> None:
    """What the table allows happens, once; everything else is a conflict, and so is an approval of what is not pending."""
    events, now = STREAMS[state]
    if command not in ALLOWED[state]:
        with pytest.raises(Conflict):
            after(events, command, now)
        return
    made = after(events, command, now)
    expected = ALLOWED[state][command]
    if expected is None:
        assert events == made
        return
    grant = fold(made)
    assert grant is not None
    assert (len(events) + 1, len(events) + 1) == (len(made), grant.version)
    assert expected == grant.state == (grant.state_at(now))


@pytest.mark.parametrize("command", [one for one in COMMANDS if one != "expire"])
def test_there_is_nothing_to_do_to_a_grant_that_is_not_there(command: str) -> None:
    """Whoever asks is told that there is none."""
    with pytest.raises(NotFound):
        COMMANDS[command](None, NOW)
    assert list(expire(None, NOW)) == []


@pytest.mark.parametrize("held", ["admin", "agent", None])
@pytest.mark.parametrize("decide", [approve, deny, revoke])
@pytest.mark.parametrize("state", STREAMS)
def test_owners_alone_decide(state: str, decide: Callable[..., object], held: Role | None) -> None:
    """An admin, an agent and who is no user any more may not, whatever the state."""
    events, now = STREAMS[state]
    with pytest.raises(PermissionRefused):
        decide(fold(events), OWNER, held, now)


def test_nobody_approves_what_they_asked_for() -> None:
    """Requester and approver are two, also where one has both parts."""
    with pytest.raises(Refused):
        approve(fold(requested()), STAFF, "owner", NOW)


def test_break_glass_takes_two_people() -> None:
    """Who asks can't confirm; another one can."""
    with pytest.raises(Refused):
        confirm_break_glass(fold(asked()), STAFF, NOW)
    assert confirm_break_glass(fold(asked()), COLLEAGUE, NOW).staff_id == COLLEAGUE


def test_break_glass_is_for_emergencies() -> None:
    """For any other purpose an owner is asked."""
    for purpose in ("support-request", "defect-analysis", "migration", "success-story"):
        with pytest.raises(Refused):
            ask_break_glass("grant", STAFF, purpose, 30, None, NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize("use", ["session", "end"])
def test_a_grant_is_its_holders(use: str) -> None:
    """Another staff member neither uses nor ends it."""
    grant = fold(ACTIVE)
    with pytest.raises(PermissionRefused):
        open_session(grant, COLLEAGUE, NOW) if use == "session" else end(grant, COLLEAGUE, NOW)


def test_no_grant_lasts_longer_than_eight_hours_and_no_break_glass_longer_than_one() -> None:
    """Whatever was asked for."""
    grant = fold([request("grant", STAFF, "legal", 10_000, None, NOW)])
    assert approve(grant, OWNER, "owner", NOW).expires_at == NOW + timedelta(hours=8)
    grant = fold([ask_break_glass("grant", STAFF, "legal", 10_000, None, NOW)])
    assert confirm_break_glass(grant, COLLEAGUE, NOW).expires_at == NOW + timedelta(hours=1)


def test_it_counts_from_the_approval() -> None:
    """Not from the request, which may have waited for days."""
    late = NOW + PENDING - SECOND
    assert approve(fold(requested()), OWNER, "owner", late).expires_at == late + timedelta(minutes=90)


def test_the_last_moments() -> None:
    """A request can be approved until four days are over, a grant used until its end, and not at it."""
    assert after(requested(), "approve", NOW + PENDING - SECOND)
    with pytest.raises(Conflict):
        after(requested(), "approve", NOW + PENDING)
    end_of_it = NOW + timedelta(minutes=90)
    assert open_session(fold(ACTIVE), STAFF, end_of_it - SECOND).expires_at == end_of_it
    with pytest.raises(Conflict):
        open_session(fold(ACTIVE), STAFF, end_of_it)


def test_a_session_is_good_for_a_minute() -> None:
    """And no longer, however long the grant is."""
    assert open_session(fold(ACTIVE), STAFF, NOW).expires_at == NOW + SESSION_LIFE == NOW + timedelta(minutes=1)


def test_what_expired_says_what_it_was() -> None:
    """A request that nobody answered is told from an access whose time was over."""
    for state, was in (("requested, too long ago", "requested"), ("asked, too long ago", "asked"), ("active, over", "active")):
        events, now = STREAMS[state]
        assert [StaffAccessExpired(grant_id="grant", was=was)] == list(expire(fold(events), now))  # type: ignore[arg-type]


def test_a_conflict_names_the_state() -> None:
    """And nothing else."""
    with pytest.raises(LetheError) as conflict:
        after(ACTIVE, "approve")
    assert conflict.value.details == {"state": "active"}
