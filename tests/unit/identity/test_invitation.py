"""Invitations and their links."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.identity.events import InvitationAccepted, InvitationWithdrawn, UserInvited
from services.identity.invitation import Invitation, check_accepts, check_invites, check_withdraws, fold
from services.identity.link import hash_of, new_link
from shared.errors import NotFound, PermissionRefused, Unauthenticated
from shared.events import Event

NOW = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
INVITED = UserInvited(invitation_id="i", person_id="p", role="admin", expires_at=NOW)
ACCEPTED = InvitationAccepted(invitation_id="i", user_id="u", keys=[])
WITHDRAWN = InvitationWithdrawn(invitation_id="i", keys=[])
BEFORE = NOW - timedelta(seconds=1)


def folded(*events: Event) -> Invitation:
    invitation = fold([INVITED, *events])
    assert invitation is not None
    return invitation


def test_an_invitation_is_what_its_events_say() -> None:
    """Open, until it is accepted or withdrawn; without events there is none."""
    assert fold([]) is None
    assert folded() == Invitation("i", "p", "admin", NOW, "open", 1)
    assert (folded(ACCEPTED).state, folded(WITHDRAWN).state) == ("accepted", "withdrawn")


def test_an_open_invitation_is_accepted_in_time() -> None:
    """Until it expires, not at that moment."""
    assert check_accepts(folded(), BEFORE) == folded()
    for invitation, now in ((folded(), NOW), (folded(ACCEPTED), BEFORE), (folded(WITHDRAWN), BEFORE), (None, BEFORE)):
        with pytest.raises(Unauthenticated):
            check_accepts(invitation, now)


def test_managers_withdraw_what_they_could_have_sent() -> None:
    """An admin withdraws an invitation to be an admin, not one to be an owner; an agent none. Twice is once."""
    assert check_withdraws("admin", folded()) == folded()
    assert check_withdraws("admin", folded(WITHDRAWN)) is None
    owner = fold([UserInvited(invitation_id="i", person_id="p", role="owner", expires_at=NOW)])
    for held, invitation in (("admin", owner), ("agent", folded()), (None, folded())):
        with pytest.raises(PermissionRefused):
            check_withdraws(held, invitation)  # type: ignore[arg-type]
    for gone in (None, folded(ACCEPTED)):
        with pytest.raises(NotFound):
            check_withdraws("owner", gone)


def test_nobody_invites_to_more_than_they_hold() -> None:
    """An admin invites admins and agents; an agent nobody."""
    check_invites("admin", "admin")
    for held in ("admin", "agent", None):
        with pytest.raises(PermissionRefused):
            check_invites(held, "owner")  # type: ignore[arg-type]


def test_a_link_holds_randomness_only() -> None:
    """The token stands behind the #, where no server sees it: 256 bits, and the hash is of it; two links have nothing in
    common."""
    one, other = (new_link("https://127.0.0.1:8443/", "invitation") for _ in range(2))
    base, _, token = one.url.partition("#")
    assert base == "https://127.0.0.1:8443/invitation"
    assert len(token) == 43 and hash_of(token) == one.token_hash != other.token_hash
    assert new_link("https://desk.example", "password reset").url.startswith("https://desk.example/password-reset#")
