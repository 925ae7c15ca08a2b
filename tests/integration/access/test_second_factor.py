"""The second factor: every login needs it, and each code counts once."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pyotp
import pytest

from services.identity import totp
from services.identity.access_commands import (
    ChangePassword,
    CompleteLogin,
    ConfirmSecondFactor,
    DisableSecondFactor,
    LoginAnswer,
    RenewRecoveryCodes,
    RequireSecondFactor,
)
from services.identity.commands import UserView
from services.identity.credentials import end_sessions
from services.identity.login_handlers import complete_login
from services.identity.password_handlers import change_password
from services.identity.second_factor_handlers import (
    begin_in_login,
    begin_second_factor,
    confirm_in_login,
    confirm_second_factor,
    disable_second_factor,
    renew_recovery_codes,
    require_second_factor,
    show_second_factor,
)
from shared import account_states, clock
from shared.errors import (
    AccountSuspended,
    AlreadyDone,
    Conflict,
    InvalidArgument,
    LetheError,
    PermissionRefused,
    Refused,
    SecondFactorRequired,
    TooManyTries,
    Unauthenticated,
)
from tests.support.access import HOME, PASSWORD, Access, MovableClock
from tests.support.databases import superuser

WRONG = "000000"


def code_now(app: pyotp.TOTP) -> str:
    """What the app shows."""
    return app.at(clock.now())


def complete(access: Access, challenge: str | None, code: str, source: str = HOME) -> LoginAnswer:
    assert challenge is not None
    return complete_login(access.store, CompleteLogin(challenge=challenge, code=code, source=source))


def outcomes(calls: list[Callable[[], Any]]) -> list[Any]:
    """What calls give that begin at the same moment: their answers, or their errors."""
    begin = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        begin.wait(30)
        try:
            return call()
        except LetheError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return [one.result() for one in [pool.submit(run, call) for call in calls]]


def test_with_it_on_every_login_needs_a_code(access: Access, time: MovableClock) -> None:
    """The password gives a challenge and no session; with a code there is one; over HTTP Basic a password alone is refused."""
    owner = access.owner()
    app, _ = access.authenticator_app(owner)
    time.advance(seconds=30)
    answer = access.log_in(owner)
    assert ("second factor", None, None) == (answer.status, answer.session_token, answer.user_id)
    with pytest.raises(Unauthenticated):
        complete(access, answer.challenge, WRONG)
    done = complete(access, answer.challenge, code_now(app))
    assert ("in", owner.user_id) == (done.status, done.user_id)
    assert owner.user_id == access.bearer(str(done.session_token)).user_id
    with pytest.raises(SecondFactorRequired):
        access.basic(str(owner.login), PASSWORD)
    with pytest.raises(Unauthenticated):
        access.basic(str(owner.login), "a wrong password")


def test_the_code_may_come_with_the_password(access: Access, time: MovableClock) -> None:
    """One call in place of two. A wrong code is told as a wrong password is."""
    owner = access.owner()
    app, _ = access.authenticator_app(owner)
    time.advance(seconds=30)
    with pytest.raises(Unauthenticated):
        access.log_in(owner, code=WRONG)
    assert "in" == access.log_in(owner, code=code_now(app)).status
    with pytest.raises(Unauthenticated):
        access.log_in(owner, "a wrong password", code=code_now(app))


def test_api_tokens_go_on(access: Access) -> None:
    """A program has no app; its token was made by a session that had the code."""
    owner = access.owner()
    token = access.api_token(owner).token
    access.authenticator_app(owner)
    assert owner.user_id == access.bearer(token).user_id


def test_a_challenge_serves_once_and_for_ten_minutes(access: Access, time: MovableClock) -> None:
    """It is no session, and ends with a change of the password."""
    owner = access.owner()
    app, codes = access.authenticator_app(owner)
    time.advance(seconds=30)
    challenge = access.log_in(owner).challenge
    with pytest.raises(Unauthenticated):
        access.bearer(str(challenge))
    complete(access, challenge, code_now(app))
    time.advance(seconds=30)
    with pytest.raises(Unauthenticated):
        complete(access, challenge, code_now(app))
    late = access.log_in(owner).challenge
    time.advance(minutes=10)
    with pytest.raises(Unauthenticated):
        complete(access, late, code_now(app))
    cut = access.log_in(owner).challenge
    change = ChangePassword(old_password=PASSWORD, new_password="a teapot full of newts", source=HOME)
    change_password(access.store, access.account, owner.user_id, change)
    with pytest.raises(Unauthenticated):
        complete(access, cut, codes[0])


def test_of_a_hundred_parallel_uses_of_a_code_one_succeeds(access: Access, time: MovableClock) -> None:
    """Over two replicas, all at the same moment, half of them by challenge and half with the password."""
    owner, other = access.owner(), access.replica()
    app, _ = access.authenticator_app(owner)
    time.advance(seconds=30)
    challenges = [access.log_in(owner).challenge for _ in range(100)]
    code = code_now(app)
    told = outcomes(
        [
            lambda replica=replica, challenge=challenge, at=at: complete(replica, challenge, code, f"192.0.2.{at}")
            for at, challenge in enumerate(challenges)
            for replica in [(access, other)[at % 2]]
        ]
    )  # fmt: skip
    assert 1 == sum(isinstance(one, LoginAnswer) for one in told)
    assert {LoginAnswer, Unauthenticated, TooManyTries} >= {type(one) for one in told}
    assert 1 == access.events(owner).count("UserLoggedIn")


def test_of_a_hundred_parallel_uses_of_a_recovery_code_one_succeeds(access: Access) -> None:
    """And it is gone."""
    owner, other = access.owner(), access.replica()
    _, codes = access.authenticator_app(owner)
    challenges = [access.log_in(owner).challenge for _ in range(100)]
    told = outcomes(
        [
            lambda replica=replica, challenge=challenge, at=at: complete(replica, challenge, codes[3], f"192.0.2.{at}")
            for at, challenge in enumerate(challenges)
            for replica in [(access, other)[at % 2]]
        ]
    )  # fmt: skip
    assert 1 == sum(isinstance(one, LoginAnswer) for one in told)
    assert 9 == show_second_factor(access.store, access.account, owner.user_id).recovery_codes_left


def test_a_backwards_clock_makes_no_code_usable_twice(access: Access, time: MovableClock) -> None:
    """Through the login, and through another replica whose clock is behind."""
    owner, other = access.owner(), access.replica()
    app, _ = access.authenticator_app(owner)
    time.advance(minutes=5)
    used = code_now(app)
    assert "in" == access.log_in(owner, code=used).status
    for replica in (access, other):
        with pytest.raises(Unauthenticated):
            replica.log_in(owner, code=used)
    time.advance(minutes=-2)
    for replica in (access, other):
        with pytest.raises(Unauthenticated):
            replica.log_in(owner, code=used, source="192.0.2.50")
        with pytest.raises(Unauthenticated):
            replica.log_in(owner, code=code_now(app), source="192.0.2.51")
    time.advance(minutes=3)
    assert "in" == other.log_in(owner, code=code_now(app), source="192.0.2.52").status


def test_wrong_codes_are_counted_for_life(access: Access, time: MovableClock) -> None:
    """After twenty without a success no code of the app helps, in any session of guesses; a recovery code does, and resets."""
    owner = access.owner()
    app, codes = access.authenticator_app(owner)
    time.advance(seconds=30)
    for at in range(totp.FAILURES_AT_MOST):
        with pytest.raises(Unauthenticated):
            access.log_in(owner, code=WRONG, source=f"192.0.2.{at}")
    time.advance(days=200)
    with pytest.raises(Unauthenticated):
        access.log_in(owner, code=code_now(app))
    assert "in" == access.log_in(owner, code=codes[0]).status
    time.advance(seconds=30)
    assert "in" == access.log_in(owner, code=code_now(app)).status


def test_a_success_resets_the_count(access: Access, time: MovableClock) -> None:
    """Nineteen wrong ones, a right one, nineteen wrong ones: not locked."""
    owner = access.owner()
    app, _ = access.authenticator_app(owner)
    for turn in range(2):
        for at in range(totp.FAILURES_AT_MOST - 1):
            with pytest.raises(Unauthenticated):
                access.log_in(owner, code=WRONG, source=f"192.0.{turn}.{at}")
        time.advance(seconds=60)
        assert "in" == access.log_in(owner, code=code_now(app)).status


def test_wrong_codes_delay_the_login(access: Access, time: MovableClock) -> None:
    """As wrong passwords do, although the password is right each time."""
    owner = access.owner()
    access.authenticator_app(owner)
    challenge = access.log_in(owner).challenge
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            complete(access, challenge, WRONG)
    with pytest.raises(TooManyTries):
        complete(access, challenge, WRONG)
    with pytest.raises(TooManyTries):
        access.log_in(owner)


def test_recovery_codes_work_once_each_and_are_hashes(access: Access) -> None:
    """In any spelling; none of them stands in a table."""
    owner = access.owner()
    _, codes = access.authenticator_app(owner)
    for place, code in enumerate((codes[0], codes[1].upper(), codes[2].replace("-", " "), codes[3].replace("-", ""))):
        assert "in" == access.log_in(owner, code=code).status
        assert 9 - place == show_second_factor(access.store, access.account, owner.user_id).recovery_codes_left
        with pytest.raises(Unauthenticated):
            access.log_in(owner, code=code, source=f"192.0.2.{place}")
    connection = superuser(access.settings, "identity")
    cursor = connection.cursor()
    cursor.execute("SELECT digest FROM lethe.recovery_code WHERE user_id = %s", (owner.user_id,))
    digests = {bytes(digest) for (digest,) in cursor.fetchall()}
    connection.close()
    assert {totp.recovery_digest(owner.user_id, code) for code in codes[4:]} == digests
    assert {32} == {len(one) for one in digests}


def test_renewed_codes_replace_the_old_ones(access: Access, time: MovableClock) -> None:
    """Renewing needs a code; the old ones are void."""
    owner = access.owner()
    app, old = access.authenticator_app(owner)
    time.advance(seconds=30)

    def renew(code: str) -> list[str]:
        command = RenewRecoveryCodes(code=code)
        return renew_recovery_codes(access.store, access.account, owner.user_id, command).recovery_codes

    with pytest.raises(Unauthenticated):
        renew(WRONG)
    new = renew(code_now(app))
    with pytest.raises(Unauthenticated):
        access.log_in(owner, code=old[0])
    assert "in" == access.log_in(owner, code=new[0]).status


def test_enrolment_needs_a_code_of_the_new_seed(access: Access, time: MovableClock) -> None:
    """Until then the login is as before. One begun anew makes the former void; once on, none can be begun."""
    owner = access.owner()
    first = pyotp.parse_uri(begin_second_factor(access.store, access.account, owner.user_id).uri)
    begun = begin_second_factor(access.store, access.account, owner.user_id)
    app = pyotp.parse_uri(begun.uri)
    assert isinstance(first, pyotp.TOTP) and isinstance(app, pyotp.TOTP)
    assert begun.qr_png.startswith(b"\x89PNG")
    assert "in" == access.log_in(owner).status

    def confirm(code: str) -> None:
        command = ConfirmSecondFactor(code=code, source=HOME)
        confirm_second_factor(access.store, access.account, owner.user_id, command)

    for wrong in (WRONG, code_now(first)):
        with pytest.raises(Unauthenticated):
            confirm(wrong)
    assert not show_second_factor(access.store, access.account, owner.user_id).is_on
    confirm(code_now(app))
    assert show_second_factor(access.store, access.account, owner.user_id).is_on
    for again in (lambda: confirm(code_now(app)), lambda: begin_second_factor(access.store, access.account, owner.user_id)):
        with pytest.raises(Conflict):
            again()
    with pytest.raises(Unauthenticated):  # the code that confirmed it has served
        access.log_in(owner, code=code_now(app))


def test_switching_it_on_and_off_ends_sessions(access: Access, time: MovableClock) -> None:
    """Switching it off needs a code, and then the password is enough."""
    owner = access.owner()
    before = access.session(owner)
    app, codes = access.authenticator_app(owner)
    time.advance(seconds=30)
    during = str(access.log_in(owner, code=code_now(app)).session_token)

    def disable(code: str) -> None:
        disable_second_factor(access.store, access.account, owner.user_id, DisableSecondFactor(code=code))

    with pytest.raises(Unauthenticated):
        disable(WRONG)
    assert owner.user_id == access.bearer(during).user_id
    disable(codes[0])
    for token in (before, during):
        with pytest.raises(Unauthenticated):
            access.bearer(token)
    assert "in" == access.log_in(owner).status
    assert {"SecondFactorEnabled", "SecondFactorDisabled", "RecoveryCodeUsed"} <= set(access.events(owner))
    with access.store.work(access.account) as work:
        assert not work.fetch("SELECT 1 FROM recovery_code WHERE user_id = %s", (owner.user_id,))


def test_a_short_password_needs_the_second_factor_to_stay(access: Access, time: MovableClock) -> None:
    """Eight characters are enough beside it; then it can't be switched off before the password is longer."""
    owner = access.owner()
    _, codes = access.authenticator_app(owner)

    def change(old: str, new: str) -> None:
        command = ChangePassword(old_password=old, new_password=new, source=HOME)
        change_password(access.store, access.account, owner.user_id, command)

    with pytest.raises(InvalidArgument):
        change(PASSWORD, "olmpitg")
    change(PASSWORD, "olmpitgn")
    with pytest.raises(Refused):
        disable_second_factor(access.store, access.account, owner.user_id, DisableSecondFactor(code=codes[0]))
    change("olmpitgn", PASSWORD)
    disable_second_factor(access.store, access.account, owner.user_id, DisableSecondFactor(code=codes[0]))
    with pytest.raises(InvalidArgument):
        change(PASSWORD, "olmpitgn")


def required(access: Access, by: UserView, days: int, *, is_required: bool = True) -> Any:
    command = RequireSecondFactor(required=is_required, days=days)
    return require_second_factor(access.store, access.account, by.user_id, command)


def test_an_owner_requires_it_of_everybody_with_a_time_to_comply(access: Access, time: MovableClock) -> None:
    """Until then users are told; from then on nothing lets in who has none: no session, no token, no password."""
    owner = access.owner()
    agent = access.user(owner, "agent")
    session, token = access.session(agent), access.api_token(agent, days=300).token
    policy = required(access, owner, 14)
    assert policy.comply_by == access.log_in(agent).comply_by == access.bearer(session).comply_by
    assert (True, policy.comply_by) == (
        show_second_factor(access.store, access.account, agent.user_id).is_required,
        show_second_factor(access.store, access.account, agent.user_id).comply_by,
    )
    time.advance(days=13)
    session = access.session(agent)
    time.advance(days=1)
    assert "enrolment" == access.log_in(agent).status
    for call in (lambda: access.bearer(token), lambda: access.basic(str(agent.login), PASSWORD)):
        with pytest.raises(SecondFactorRequired):
            call()
    required(access, owner, 0, is_required=False)
    assert "in" == access.log_in(agent).status


def test_a_session_from_before_is_refused_when_the_time_is_over(access: Access) -> None:
    """With no time to comply it is over at once."""
    owner = access.owner()
    agent = access.user(owner, "agent")
    session = access.session(agent)
    required(access, owner, 0)
    with pytest.raises(SecondFactorRequired):
        access.bearer(session)


def test_a_login_that_waits_for_enrolment_enrols(access: Access, time: MovableClock) -> None:
    """With the challenge in place of a session: begin, confirm, and the login is complete. The challenge serves for nothing
    else."""
    owner = access.owner()
    agent = access.user(owner, "agent")
    required(access, owner, 0)
    challenge = str(access.log_in(agent).challenge)
    with pytest.raises(Unauthenticated):
        complete(access, challenge, WRONG)
    app = pyotp.parse_uri(begin_in_login(access.store, challenge).uri)
    assert isinstance(app, pyotp.TOTP)
    with pytest.raises(Unauthenticated):
        confirm_in_login(access.store, ConfirmSecondFactor(code=WRONG, challenge=challenge, source=HOME))
    confirm = ConfirmSecondFactor(code=code_now(app), challenge=challenge, source=HOME)
    done = confirm_in_login(access.store, confirm)
    assert done.login is not None and 10 == len(done.recovery_codes)
    assert agent.user_id == access.bearer(str(done.login.session_token)).user_id
    for again in (lambda: confirm_in_login(access.store, confirm), lambda: begin_in_login(access.store, challenge)):
        with pytest.raises(Unauthenticated):
            again()
    time.advance(seconds=30)
    login = access.log_in(agent)
    assert "second factor" == login.status
    with pytest.raises(Unauthenticated):  # a challenge for a code is none for enrolment
        begin_in_login(access.store, str(login.challenge))


def test_who_has_it_on_can_not_go_back_while_it_is_required(access: Access, time: MovableClock) -> None:
    """Asked for again, the earlier time to comply stays; nobody but an owner decides it."""
    owner = access.owner()
    admin = access.user(owner, "admin")
    _, codes = access.authenticator_app(owner)
    first = required(access, owner, 14)
    assert first.comply_by == required(access, owner, 30).comply_by
    with pytest.raises(Refused):
        disable_second_factor(access.store, access.account, owner.user_id, DisableSecondFactor(code=codes[0]))
    with pytest.raises(PermissionRefused):
        required(access, admin, 14)
    assert owner.user_id == access.log_in(owner, code=codes[0]).user_id


def test_a_suspended_account_accepts_no_code(access: Access, time: MovableClock) -> None:
    """And the code is not used up by it."""
    owner = access.owner()
    _, codes = access.authenticator_app(owner)
    challenge = access.log_in(owner).challenge
    account_states.set_state(access.store, access.account, "suspended", 2)
    with pytest.raises(AccountSuspended):
        complete(access, challenge, codes[0])
    account_states.set_state(access.store, access.account, "active", 3)
    assert "in" == complete(access, challenge, codes[0]).status


def test_ending_sessions_ends_challenges(access: Access) -> None:
    """A login that is half complete is ended with the sessions."""
    owner = access.owner()
    _, codes = access.authenticator_app(owner)
    challenge = access.log_in(owner).challenge
    access.store.run(access.account, lambda work: end_sessions(work, owner.user_id, "rights changed"))
    with pytest.raises(Unauthenticated):
        complete(access, challenge, codes[0])


def test_codes_of_a_real_authenticator_let_in(access: Access, time: MovableClock) -> None:
    """`oathtool` (Debian) with the secret of the enrolment, through the login."""
    oathtool = shutil.which("oathtool")
    if oathtool is None:
        pytest.skip("oathtool is not installed")
    owner = access.owner()
    secret = pyotp.parse_uri(begin_second_factor(access.store, access.account, owner.user_id).uri).secret

    def shown() -> str:
        asked = [oathtool, "--totp", "--base32", f"--now={clock.now():%Y-%m-%d %H:%M:%S} UTC", "-"]
        return subprocess.run(asked, input=secret, capture_output=True, text=True, check=True).stdout.strip()

    confirm = ConfirmSecondFactor(code=shown(), source=HOME)
    confirm_second_factor(access.store, access.account, owner.user_id, confirm)
    time.advance(seconds=30)
    assert "in" == access.log_in(owner, code=shown()).status


def test_what_gives_a_secret_is_done_once_under_its_key(access: Access) -> None:
    """Beginning, confirming, renewing: of eight at once under one key one gives its secret, the others are told that it was
    done, and so is who comes later. What was given counts; another request under the key is a conflict; nothing of it is at
    rest."""
    owner = access.owner()
    mine = (access.store, access.account, owner.user_id)
    (begun,) = once_of_eight(lambda: begin_second_factor(*mine, "begin"))
    app = pyotp.parse_uri(begun.uri)
    assert isinstance(app, pyotp.TOTP)
    confirm = ConfirmSecondFactor(code=app.at(clock.now()), source=HOME)
    (on,) = once_of_eight(lambda: confirm_second_factor(*mine, confirm, "confirm"))
    renew = RenewRecoveryCodes(code=on.recovery_codes[0])
    (renewed,) = once_of_eight(lambda: renew_recovery_codes(*mine, renew, "renew"))
    assert access.log_in(owner, code=renewed.recovery_codes[0]).status == "in"
    with pytest.raises(Conflict) as other:
        renew_recovery_codes(*mine, RenewRecoveryCodes(code=renewed.recovery_codes[1]), "renew")
    assert not isinstance(other.value, AlreadyDone)
    with access.store.work(access.account) as work:
        kept = str(work.fetch("SELECT t::text FROM lethe.idempotency t WHERE account_id = %s", (access.account,)))
    assert "{}" in kept and str(app.secret) not in kept and renewed.recovery_codes[0] not in kept


def once_of_eight(call: Callable[[], Any]) -> list[Any]:
    """The answers of eight calls at once; all others were told that it was done, and so is a ninth."""
    told = outcomes([call] * 8)
    assert [AlreadyDone] * 7 == [type(one) for one in told if isinstance(one, LetheError)]
    with pytest.raises(AlreadyDone):
        call()
    return [one for one in told if not isinstance(one, LetheError)]


def test_a_wrong_code_uses_no_key_up(access: Access) -> None:
    """The same request under the same key may succeed later."""
    owner = access.owner()
    _, codes = access.authenticator_app(owner)
    mine = (access.store, access.account, owner.user_id)
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            renew_recovery_codes(*mine, RenewRecoveryCodes(code="aaaa-aaaa-aaaa-aaaa"), "key")
    assert renew_recovery_codes(*mine, RenewRecoveryCodes(code=codes[0]), "another key")
