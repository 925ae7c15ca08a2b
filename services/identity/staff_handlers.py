"""One function per command about staff access: read, decide (`staff_grant.py`), append. Knows nothing of nameko.

Every decision appends to the grant's own stream at the version that it was made on, so that of two at once (an approval and
a withdrawal, a session and a revocation) the later one decides anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from services.identity import staff_grant
from services.identity.queries import role_held
from services.identity.rights import cut_off
from services.identity.staff_commands import BreakGlass, OfStaffGrant, RequestStaffAccess, StaffGrantView, StaffSession
from services.identity.staff_grant import StaffGrant, fold, stream_of
from services.identity.staff_mail import tell_of_break_glass, tell_of_request
from services.identity.staff_queries import show_staff_grant
from shared import account_states, clock
from shared.door import Door
from shared.due_rows import claim_due
from shared.errors import AccountGone, AccountSuspended
from shared.events import Event
from shared.idempotency import once
from shared.ids import new_id
from shared.references import refuse_identifiers
from shared.tokens import Actor, TokenIssuer
from shared.work import Store, Work

NEXT_LOOK: Final = timedelta(minutes=1)
"""How long a replica has to write that a grant expired before another one tries."""

Decide = Callable[[StaffGrant | None, Work], Sequence[Event]]


def request_staff_access(
    store: Store, account_id: str, staff_id: str, idempotency_key: str | None, command: RequestStaffAccess
) -> StaffGrantView:
    """Asks the account's owners, who are told by mail. Raises `InvalidArgument` for a reference that names an address."""
    refuse_identifiers("reference", command.reference)

    def decide(work: Work) -> str:
        def do() -> dict[str, str]:
            asked = staff_grant.request(new_id(), staff_id, command.purpose, command.minutes, command.reference, work.now)
            tell_of_request(work, asked)
            return {"grant_id": _append_first(work, asked.grant_id, asked, asked.pending_until)}

        return str(once(work, staff_id, idempotency_key, command, do)["grant_id"])

    grant_id = store.run(account_id, decide, actor=staff_id)
    return show_staff_grant(store, account_id, staff_id, OfStaffGrant(grant_id=grant_id))


def break_glass(
    store: Store, account_id: str, staff_id: str, idempotency_key: str | None, command: BreakGlass
) -> StaffGrantView:
    """The first of two people asks for access in an emergency. Nothing is open before the second confirms."""
    refuse_identifiers("reference", command.reference)

    def decide(work: Work) -> str:
        def do() -> dict[str, str]:
            asked = staff_grant.ask_break_glass(
                new_id(), staff_id, command.purpose, command.minutes, command.reference, work.now
            )
            return {"grant_id": _append_first(work, asked.grant_id, asked, asked.pending_until)}

        return str(once(work, staff_id, idempotency_key, command, do)["grant_id"])

    grant_id = store.run(account_id, decide, actor=staff_id)
    return show_staff_grant(store, account_id, staff_id, OfStaffGrant(grant_id=grant_id))


def confirm_break_glass(store: Store, account_id: str, staff_id: str, command: OfStaffGrant) -> StaffGrantView:
    """The second of two people opens it, for the first. With the commit the mails to the account's owners are on their way."""

    def decide(grant: StaffGrant | None, work: Work) -> Sequence[Event]:
        opened = staff_grant.confirm_break_glass(grant, staff_id, work.now)
        assert grant is not None
        tell_of_break_glass(work, grant, opened)
        _look_at(work, opened.grant_id, opened.expires_at)
        return [opened]

    return _change(store, account_id, staff_id, staff_id, command, decide)


def approve_staff_access(store: Store, account_id: str, user_id: str, command: OfStaffGrant) -> StaffGrantView:
    """An owner lets a staff member in."""

    def decide(grant: StaffGrant | None, work: Work) -> Sequence[Event]:
        approved = staff_grant.approve(grant, user_id, role_held(work, user_id), work.now)
        _look_at(work, approved.grant_id, approved.expires_at)
        return [approved]

    return _change(store, account_id, user_id, None, command, decide)


def deny_staff_access(store: Store, account_id: str, user_id: str, command: OfStaffGrant) -> StaffGrantView:
    """An owner says no."""
    return _change(
        store, account_id, user_id, None, command,
        lambda grant, work: _closing(work, staff_grant.deny(grant, user_id, role_held(work, user_id), work.now), command),
    )  # fmt: skip


def revoke_staff_access(store: Store, account_id: str, user_id: str, command: OfStaffGrant) -> StaffGrantView:
    """An owner takes an access back."""
    return _change(
        store, account_id, user_id, None, command,
        lambda grant, work: _cutting(work, grant, staff_grant.revoke(grant, user_id, role_held(work, user_id), work.now)),
    )  # fmt: skip


def end_staff_access(store: Store, account_id: str, staff_id: str, command: OfStaffGrant) -> StaffGrantView:
    """The staff member gives an access back, or withdraws what they asked for."""
    return _change(
        store, account_id, staff_id, staff_id, command,
        lambda grant, work: _cutting(work, grant, staff_grant.end(grant, staff_id, work.now)),
    )  # fmt: skip


def open_staff_session(
    store: Store, issuer: TokenIssuer, account_id: str, staff_id: str, command: OfStaffGrant
) -> StaffSession:
    """A token that reads the account's data under a grant, for a minute. That it was given stands in the log before it is.

    Raises `AccountSuspended` (mission L3), `NotFound`, `PermissionRefused`, `Conflict`.
    """
    if account_states.state_of(store, account_id) != "active":
        raise AccountSuspended()

    def decide(work: Work) -> StaffSession:
        # Minted within the transaction, after the grant was read: of a session and a revocation at once the later one finds
        # another version and decides anew, so that the token is from before the cutoff, or is not given
        grant = _load(work, command.grant_id)
        opened = staff_grant.open_session(grant, staff_id, clock.now())
        assert grant is not None
        work.append(stream_of(grant.grant_id), grant.version, [opened])
        actor = Actor(
            kind="staff", id=staff_id, account_id=account_id, role="staff", scope="read",
            door=Door(kind="staff grant", id=grant.grant_id), grant_id=grant.grant_id, purpose=grant.purpose,
        )  # fmt: skip
        token = issuer.mint(actor, staff_grant.SESSION_LIFE, not_after=opened.expires_at)
        return StaffSession(token=token, grant_id=grant.grant_id, expires_at=opened.expires_at)

    return store.run(account_id, decide, actor=staff_id)


def expire_due_grants(store: Store, limit: int = 50) -> int:
    """Writes down which grants are over, over all accounts; each is taken by one replica. How many it was.

    Nothing waits for it: who decides on a grant, uses or lists one looks at the time themselves.
    """

    claimed = claim_due(store, "open_staff_grant", "grant_id", NEXT_LOOK, limit)
    for account_id, grant_id in claimed:
        with suppress(AccountGone):
            store.run(account_id, lambda work: _expire(work, grant_id))  # noqa: B023
    return len(claimed)


def _expire(work: Work, grant_id: str) -> None:
    grant = _load(work, grant_id)
    events = staff_grant.expire(grant, work.now)
    if grant is not None and events:
        work.append(stream_of(grant_id), grant.version, _closing(work, events, OfStaffGrant(grant_id=grant_id)))


def _change(
    store: Store, account_id: str, actor: str, reader: str | None, command: OfStaffGrant, decide_events: Decide
) -> StaffGrantView:
    def decide(work: Work) -> None:
        grant = _load(work, command.grant_id)
        events = decide_events(grant, work)
        if grant is not None and events:
            work.append(stream_of(grant.grant_id), grant.version, events)

    store.run(account_id, decide, actor=actor)
    return show_staff_grant(store, account_id, reader, command)


def _load(work: Work, grant_id: str) -> StaffGrant | None:
    return fold(one.event for one in work.load(stream_of(grant_id)))


def _append_first(work: Work, grant_id: str, event: Event, pending_until: datetime) -> str:
    work.append(stream_of(grant_id), 0, [event])
    work.later(
        "INSERT INTO open_staff_grant (grant_id, account_id, look_at) VALUES (%s, %s, %s)",
        (grant_id, work.account_id, pending_until),
    )
    return grant_id


def _look_at(work: Work, grant_id: str, moment: datetime) -> None:
    work.later("UPDATE open_staff_grant SET look_at = %s, claimed_until = NULL WHERE grant_id = %s", (moment, grant_id))


def _closing(work: Work, events: Sequence[Event], command: OfStaffGrant) -> Sequence[Event]:
    """Nobody looks after a grant that is closed."""
    if events:
        work.later("DELETE FROM open_staff_grant WHERE grant_id = %s", (command.grant_id,))
    return events


def _cutting(work: Work, grant: StaffGrant | None, events: Sequence[Event]) -> Sequence[Event]:
    """With a grant that is closed before its time end the tokens of its holder, in every service. Under another grant of this
    account they get a new one at once."""
    if grant is None or grant.state != "active" or not events:
        return _closing(work, events, OfStaffGrant(grant_id=grant.grant_id)) if grant is not None else events
    return [*_closing(work, events, OfStaffGrant(grant_id=grant.grant_id)), cut_off(work, grant.staff_id)]
