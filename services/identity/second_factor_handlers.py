"""The second factor at work: switched on and off, renewed, required, and each code accepted once. Knows nothing of nameko.

That a code counts once is decided by one UPDATE or DELETE of its row, whatever the clock says and however many replicas ask.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from services.identity import password as passwords
from services.identity import second_factor_mail, totp
from services.identity import session as sessions
from services.identity.access_commands import (
    BeginSecondFactor,
    ConfirmSecondFactor,
    DisableSecondFactor,
    RecoveryCodes,
    RenewRecoveryCodes,
    RequireSecondFactor,
    ResetSecondFactor,
    SecondFactorBegun,
    SecondFactorOn,
    SecondFactorPolicy,
    SecondFactorView,
)
from services.identity.admission import Admission, check_account, look_up
from services.identity.challenge import end_challenge, take_challenge
from services.identity.commands import Done
from services.identity.credentials import append_for_user, end_sessions, lock_access, normal_source, open_for_row, seal_for_row
from services.identity.events import (
    RecoveryCodesRenewed,
    RecoveryCodeUsed,
    SecondFactorDisabled,
    SecondFactorEnabled,
    SecondFactorRequirementSet,
    SecondFactorReset,
)
from services.identity.password_handlers import NOT_GOOD, Attempt, check_delay, count_failure, forget_failures, note_failure
from services.identity.queries import find_user, role_held
from services.identity.rights import cut_off
from services.identity.routing import account_of_credential
from services.identity.session_handlers import begin_session
from services.identity.user import check_resets_second_factor
from shared import clock
from shared.errors import Conflict, NotFound, PermissionRefused, Refused, Unauthenticated
from shared.idempotency import check_not_done, note_done
from shared.ids import new_id
from shared.work import Store, Work

ISSUER = "Lethe"
"""What an authenticator app shows beside the login."""
"""Of what somebody does who is in already: it is delayed for itself."""
_MINE = "account_id = %s AND user_id = %s"


def accept_code(work: Work, user_id: str, code: str) -> bool:
    """Uses up a code of the app or a recovery code. False for one that is wrong or was used, which is counted and has to be
    committed. Under `lock_access`."""
    mine = (work.account_id, user_id)
    if totp.is_recovery_code(code):
        if _use_recovery_code(work, user_id, code):
            return True
    else:
        row = work.fetch_one(f"SELECT row_id, seed, last_step FROM second_factor WHERE {_MINE} AND on_since IS NOT NULL", mine)
        seed = None if row is None else open_for_row(work, user_id, row[0], "seed", row[1])
        step = None if row is None or seed is None else totp.step_of(seed, code, clock.now(), row[2])
        if step is not None and _use_step(work, user_id, step):
            return True
    counted = work.change(f"UPDATE second_factor SET failures = failures + 1 WHERE {_MINE} RETURNING failures", mine)
    if counted and counted[0][0] in totp.TOLD_AFTER:
        second_factor_mail.tell_of_failures(work, user_id, counted[0][0])
    return False


def _use_step(work: Work, user_id: str, step: int) -> bool:
    """One atomic statement: of many who use one step, one is first. A clock that was put back brings no step again."""
    return bool(
        work.change(
            f"UPDATE second_factor SET last_step = %s, failures = 0 WHERE {_MINE} AND last_step < %s AND failures < %s"
            " RETURNING user_id",
            (step, work.account_id, user_id, step, totp.FAILURES_AT_MOST),
        )
    )


def _use_recovery_code(work: Work, user_id: str, code: str) -> bool:
    mine, digest = (work.account_id, user_id), totp.recovery_digest(user_id, code)
    gone = work.change(f"DELETE FROM recovery_code WHERE {_MINE} AND digest = %s RETURNING user_id", (*mine, digest))
    if not gone:
        return False
    work.change(f"UPDATE second_factor SET failures = 0 WHERE {_MINE} RETURNING user_id", mine)
    append_for_user(work, user_id, [RecoveryCodeUsed(user_id=user_id, left=_codes_left(work, user_id))])
    return True


def _codes_left(work: Work, user_id: str) -> int:
    ((left,),) = work.fetch(f"SELECT count(*) FROM recovery_code WHERE {_MINE}", (work.account_id, user_id))
    return int(left)


def show_second_factor(store: Store, account_id: str, user_id: str) -> SecondFactorView:
    """One's own second factor."""
    with store.work(account_id) as work:
        admission = _admitted(work, user_id)
        row = work.fetch_one(f"SELECT on_since FROM second_factor WHERE {_MINE}", (account_id, user_id))
        left = _codes_left(work, user_id)
    on_since = row[0] if row else None
    return SecondFactorView(
        is_on=on_since is not None, on_since=on_since, recovery_codes_left=left,
        is_required=admission.second_factor_by is not None, comply_by=admission.comply_by,
    )  # fmt: skip


def begin_second_factor(
    store: Store, account_id: str, user_id: str, idempotency_key: str | None = None
) -> SecondFactorBegun:
    """A new seed for oneself. One that was begun before and never confirmed is void. Raises `Conflict` where it is on,
    `AlreadyDone`."""
    command = BeginSecondFactor()

    def decide(work: Work) -> SecondFactorBegun:
        check_not_done(work, user_id, idempotency_key, command)
        begun = _begin(work, _locked(work, user_id))
        note_done(work, user_id, idempotency_key, command)
        return begun

    return store.run(account_id, decide, actor=user_id)


def begin_in_login(store: Store, challenge: str) -> SecondFactorBegun:
    """The same for a login that waits for it."""
    account_id, digest = _challenged(store, challenge)

    def decide(work: Work) -> SecondFactorBegun:
        admission, _ = take_challenge(work, digest, "enrolment", None)
        check_account(admission)
        return _begin(work, admission)

    return store.run(account_id, decide)


def _begin(work: Work, admission: Admission) -> SecondFactorBegun:
    if admission.has_second_factor:
        raise Conflict("The second factor is on. Switch it off before you set up another one.")
    seed, row_id = totp.new_seed(), new_id()
    sealed = seal_for_row(work, admission.user_id, admission.person_id, row_id, "seed", seed)
    work.later(
        "INSERT INTO second_factor (account_id, user_id, person_id, row_id, seed, last_step, failures)"
        " VALUES (%s, %s, %s, %s, %s, 0, 0) ON CONFLICT (account_id, user_id) DO UPDATE SET row_id = EXCLUDED.row_id,"
        " seed = EXCLUDED.seed, last_step = 0, failures = 0, on_since = NULL",
        (work.account_id, admission.user_id, admission.person_id, row_id, sealed),
    )
    uri = totp.uri(seed, str(find_user(work, admission.user_id).login), ISSUER)
    return SecondFactorBegun(uri=uri, qr_png=totp.qr_png(uri))


def confirm_second_factor(
    store: Store, account_id: str, user_id: str, command: ConfirmSecondFactor, idempotency_key: str | None = None
) -> SecondFactorOn:
    """Switches it on with a code of the new seed; all sessions end. Raises `Unauthenticated` for a wrong code, `Conflict` where
    nothing was begun or it is on, `AlreadyDone`."""

    def decide(work: Work) -> SecondFactorOn | None:
        check_not_done(work, user_id, idempotency_key, command)
        codes = _confirm(work, _locked(work, user_id), command.code)
        if codes is None:
            return None
        note_done(work, user_id, idempotency_key, command)
        return SecondFactorOn(recovery_codes=codes, login=None)

    return _on(store.run(account_id, decide, actor=user_id))


def confirm_in_login(store: Store, command: ConfirmSecondFactor) -> SecondFactorOn:
    """The same for a login that waits for it, which is complete with this."""
    account_id, digest = _challenged(store, command.challenge or "")
    source = normal_source(command.source)

    def decide(work: Work) -> SecondFactorOn | None:
        admission, attempt = take_challenge(work, digest, "enrolment", source)
        check_account(admission)
        codes = _confirm(work, admission, command.code)
        if codes is None:
            note_failure(work, admission.user_id, attempt, source, "code")
            return None
        end_challenge(work, digest)
        forget_failures(work, attempt)
        began = begin_session(work, admission._replace(has_second_factor=True), source, with_second_factor=True)
        return SecondFactorOn(recovery_codes=codes, login=began)

    return _on(store.run(account_id, decide))


def _on(answer: SecondFactorOn | None) -> SecondFactorOn:
    if answer is None:
        raise Unauthenticated(NOT_GOOD)
    return answer


def _confirm(work: Work, admission: Admission, code: str) -> list[str] | None:
    """The recovery codes, or None for a wrong code."""
    user_id = admission.user_id
    row = work.fetch_one(f"SELECT row_id, seed, on_since FROM second_factor WHERE {_MINE}", (work.account_id, user_id))
    if row is None or row[2] is not None:
        raise Conflict("There is no second factor that waits for its first code.")
    seed = open_for_row(work, user_id, row[0], "seed", row[1])
    step = None if seed is None else totp.step_of(seed, code, clock.now(), 0)
    if step is None or not _use_step(work, user_id, step):
        work.later(f"UPDATE second_factor SET failures = failures + 1 WHERE {_MINE}", (work.account_id, user_id))
        return None
    work.later(f"UPDATE second_factor SET on_since = %s WHERE {_MINE}", (work.now, work.account_id, user_id))
    codes = _new_codes(work, admission)
    ended = end_sessions(work, user_id, "second factor changed")
    append_for_user(work, user_id, [SecondFactorEnabled(user_id=user_id), *ended])
    return codes


def _new_codes(work: Work, admission: Admission) -> list[str]:
    codes = totp.new_recovery_codes()
    work.pin_persons((admission.person_id,))
    work.later(f"DELETE FROM recovery_code WHERE {_MINE}", (work.account_id, admission.user_id))
    for code in codes:
        work.later(
            "INSERT INTO recovery_code (account_id, user_id, digest, person_id) VALUES (%s, %s, %s, %s)",
            (work.account_id, admission.user_id, totp.recovery_digest(admission.user_id, code), admission.person_id),
        )
    return codes


def disable_second_factor(store: Store, account_id: str, user_id: str, command: DisableSecondFactor) -> Done:
    """Switches it off with a code. Raises `Refused` where the account requires it or the password is too short to stand alone,
    `Unauthenticated` for a wrong code."""

    def decide(work: Work) -> bool:
        admission = _locked(work, user_id)
        if not admission.has_second_factor:
            return True
        if admission.second_factor_by is not None:
            raise Refused("The account requires the second factor.", reason="required")
        row = work.fetch_one(f"SELECT stands_alone FROM password WHERE {_MINE}", (account_id, user_id))
        if row is not None and not row[0]:
            raise Refused(
                f"Choose a password of {passwords.LENGTH_ALONE} characters or more first: this one does not stand alone.",
                reason="password too short",
            )
        if not _spend(work, user_id, command.code):
            return False
        for table in ("second_factor", "recovery_code"):
            work.later(f"DELETE FROM {table} WHERE {_MINE}", (account_id, user_id))
        ended = end_sessions(work, user_id, "second factor changed")
        append_for_user(work, user_id, [SecondFactorDisabled(user_id=user_id), *ended])
        return True

    if not store.run(account_id, decide, actor=user_id):
        raise Unauthenticated(NOT_GOOD)
    return Done()


def reset_second_factor(store: Store, account_id: str, actor_id: str, command: ResetSecondFactor) -> Done:
    """Takes a user's second factor away who has lost it with the recovery codes: by those above them, and never by a password
    reset. Sessions and actor tokens end, and the user is told by mail. A password that is too short to stand alone goes with
    it. Where there is none it is done. Raises `NotFound`, `PermissionRefused`."""

    def decide(work: Work) -> None:
        view = find_user(work, command.user)
        lock_access(work, view.user_id)
        check_resets_second_factor(role_held(work, actor_id), view.role, view.user_id == actor_id)
        admission, mine = _admitted(work, view.user_id), (account_id, view.user_id)
        if not admission.has_second_factor:
            return
        for table in ("second_factor", "recovery_code"):
            work.later(f"DELETE FROM {table} WHERE {_MINE}", mine)
        is_void = bool(work.change(f"DELETE FROM password WHERE {_MINE} AND NOT stands_alone RETURNING 1", mine))
        ended = end_sessions(work, view.user_id, "second factor changed")
        reset = SecondFactorReset(user_id=view.user_id, is_password_void=is_void)
        append_for_user(work, view.user_id, [reset, *ended, cut_off(work, view.user_id)])
        second_factor_mail.tell_of_reset(work, view, is_void)

    store.run(account_id, decide, actor=actor_id)
    return Done()


def renew_recovery_codes(
    store: Store, account_id: str, user_id: str, command: RenewRecoveryCodes, idempotency_key: str | None = None
) -> RecoveryCodes:
    """Ten new ones for a code. Raises `Conflict` where the second factor is off, `Unauthenticated` for a wrong code,
    `AlreadyDone`."""

    def decide(work: Work) -> list[str] | None:
        check_not_done(work, user_id, idempotency_key, command)
        admission = _locked(work, user_id)
        if not admission.has_second_factor:
            raise Conflict("The second factor is off.")
        if not _spend(work, user_id, command.code):
            return None
        codes = _new_codes(work, admission)
        append_for_user(work, user_id, [RecoveryCodesRenewed(user_id=user_id)])
        note_done(work, user_id, idempotency_key, command)
        return codes

    codes = store.run(account_id, decide, actor=user_id)
    if codes is None:
        raise Unauthenticated(NOT_GOOD)
    return RecoveryCodes(recovery_codes=codes)


def require_second_factor(store: Store, account_id: str, actor_id: str, command: RequireSecondFactor) -> SecondFactorPolicy:
    """An owner's choice for the account. Asked for again while it is required, the earlier time to comply stays if it is the
    earlier one. Raises `PermissionRefused`."""

    def decide(work: Work) -> SecondFactorPolicy:
        if role_held(work, actor_id) != "owner":
            raise PermissionRefused()
        wanted = _require_from(work, work.now + timedelta(days=command.days) if command.required else None)
        return SecondFactorPolicy(required=wanted is not None, comply_by=wanted)

    return store.run(account_id, decide, actor=actor_id)


def end_requirement(work: Work) -> None:
    """The account does not require a second factor any more."""
    _require_from(work, None)


def _require_from(work: Work, wanted: datetime | None) -> datetime | None:
    work.fetch("SELECT pg_advisory_xact_lock(hashtextextended('identity.policy ' || %s, 0))", (work.account_id,))
    row = work.fetch_one("SELECT second_factor_by FROM access_policy WHERE account_id = %s", (work.account_id,))
    before = row[0] if row else None
    wanted = min(before, wanted) if before is not None and wanted is not None else wanted
    if wanted != before:
        stream = f"access-policy/{work.account_id}"
        work.append(stream, work.versions_of([stream])[stream], [SecondFactorRequirementSet(required_from=wanted)])
    return wanted


def _spend(work: Work, user_id: str, code: str) -> bool:
    """A code for a change, by somebody who is in already: failures are counted as in a login."""
    attempt = Attempt.of(work.store, str(find_user(work, user_id).login), None)
    check_delay(work, attempt)
    if accept_code(work, user_id, code):
        forget_failures(work, attempt)
        return True
    count_failure(work, attempt)
    return False


def _challenged(store: Store, challenge: str) -> tuple[str, bytes]:
    digest = sessions.digest(challenge)
    account_id = account_of_credential(store, digest)
    if account_id is None:
        raise Unauthenticated(NOT_GOOD)
    return account_id, digest


def _locked(work: Work, user_id: str) -> Admission:
    lock_access(work, user_id)
    return _admitted(work, user_id)


def _admitted(work: Work, user_id: str) -> Admission:
    admission = look_up(work, user_id)
    if admission is None:
        raise NotFound()
    return admission


