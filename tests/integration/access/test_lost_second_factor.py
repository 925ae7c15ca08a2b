"""The second factor in other hands: taken away by those above a user who lost it, guessed at by whoever has the password."""

from __future__ import annotations

import pytest

from services.identity import totp
from services.identity.access_commands import ChangePassword, ResetSecondFactor
from services.identity.commands import UserView
from services.identity.password_handlers import change_password
from services.identity.second_factor_handlers import reset_second_factor
from shared.errors import PermissionRefused, Unauthenticated
from tests.support.access import HOME, PASSWORD, Access, MovableClock

WRONG = "000000"


def test_a_lost_second_factor_is_taken_away_by_those_above(access: Access) -> None:
    """An admin helps an agent, an owner an admin and another owner; nobody those above them, their equals or themselves. Who is
    helped is out everywhere, is told by mail, and gets in with the password alone."""
    owner = access.owner()
    other, admin, equal, agent = (access.user(owner, role) for role in ("owner", "admin", "admin", "agent"))
    for user in (owner, other, admin, equal, agent):
        access.authenticator_app(user)

    def reset(by: UserView, whose: UserView) -> None:
        reset_second_factor(access.store, access.account, by.user_id, ResetSecondFactor(user=whose.user_id))

    for by, whose in ((agent, admin), (admin, owner), (admin, equal), (admin, admin), (owner, owner), (agent, agent)):
        with pytest.raises(PermissionRefused):
            reset(by, whose)
    assert access.mails() == []
    for by, whose in ((admin, agent), (owner, admin), (owner, other)):
        reset(by, whose)
        reset(by, whose)
        assert "in" == access.log_in(whose).status
        assert [whose.login] == [one.to for one in access.mails()]
        assert ["SecondFactorReset", "ActorCutOff"] == [
            one for one in access.events(whose) if one in ("SecondFactorReset", "ActorCutOff")
        ]
    assert "second factor" == access.log_in(owner).status


def test_a_short_password_goes_with_the_second_factor(access: Access) -> None:
    """It was enough with a code only: the user chooses another one by a mailed link."""
    owner = access.owner()
    agent = access.user(owner, "agent")
    access.authenticator_app(agent)
    change = ChangePassword(old_password=PASSWORD, new_password="eightlong", source=HOME)
    change_password(access.store, access.account, agent.user_id, change)
    reset_second_factor(access.store, access.account, owner.user_id, ResetSecondFactor(user=agent.user_id))
    with pytest.raises(Unauthenticated):
        access.log_in(agent, "eightlong")
    assert "void" in access.mails()[-1].text


def test_the_user_is_told_of_wrong_codes(access: Access, time: MovableClock) -> None:
    """After five and after twenty, once each: whoever gives them has the password."""
    owner = access.owner()
    access.authenticator_app(owner)
    told = []
    for at in range(totp.FAILURES_AT_MOST + 3):
        time.advance(hours=2)  # so that no delay is in the way
        with pytest.raises(Unauthenticated):
            access.log_in(owner, code=WRONG, source=f"192.0.2.{at}")
        told += [(at + 1, one.to) for one in access.mails()]
    assert [(5, owner.login), (totp.FAILURES_AT_MOST, owner.login)] == told
