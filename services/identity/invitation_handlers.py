"""Invitations: sent, withdrawn, accepted. Read, decide (`invitation.py`), append. Knows no nameko.

An invitation's item is its own and is cut when it is over: the login stands in the user's profile then, or nowhere.
"""

from __future__ import annotations

from services.identity import invitation as invitations
from services.identity import password as passwords
from services.identity.access_commands import LoginAnswer
from services.identity.admission import check_ranges, look_up
from services.identity.commands import (
    AcceptInvitation,
    AddUser,
    Done,
    InvitationView,
    InviteUser,
    WithdrawInvitation,
)
from services.identity.credentials import lock_access, normal_source
from services.identity.events import InvitationAccepted, InvitationWithdrawn, UserInvited
from services.identity.handlers import Caller, PersonOf, append_user, check_free, checked_login
from services.identity.invitation import Invitation, check_accepts, check_invites, check_withdraws, fold, stream_of
from services.identity.mailed_links import NOT_GOOD, account_of_link, add_link, look_at_link, remove_links, take_link
from services.identity.password_handlers import set_password
from services.identity.permissions import may
from services.identity.queries import (
    ALIVE,
    INVITATION_COLUMNS,
    invitation_views,
    lock_owners,
    login_token,
    owners,
    role_held,
    show_invitation,
)
from services.identity.session_handlers import begin_session
from services.identity.user import check_operator_adds
from shared.errors import PersonErased, Refused, Unauthenticated
from shared.idempotency import done_before, once
from shared.ids import new_id
from shared.item_cuts import cut_item
from shared.outgoing_mail import queue_mail
from shared.work import SYSTEM_ACTOR, Store, Work

SUBJECT = "An invitation"
TEXT = """You are invited to work in a customer-support desk, as {role}. Follow this link and choose a name and a password:

{url}

The link is good for {days} days, and once. If you expected nothing of the kind, do nothing: then nothing happens.
"""


def invite_user(
    store: Store, account_id: str, caller: Caller, idempotency_key: str | None, command: InviteUser, person_of: PersonOf
) -> InvitationView:
    """Mails somebody a link with which to become a user. An earlier invitation to the same login is withdrawn by it.

    Raises `PermissionRefused`; `Conflict` for a login that is a user's; `Refused` where too many are open."""
    login = checked_login(command.login)

    def look(work: Work) -> bool:
        if done_before(work, caller.actor_id, idempotency_key, command) is not None:
            return True
        _check_may_invite(work, caller, command)
        check_free(work, login)
        return False

    is_done = store.run(account_id, look, actor=caller.actor_id)
    person_id = "" if is_done else person_of(command.login, "")

    def decide(work: Work) -> str:
        def do() -> dict[str, str]:
            if caller.is_operator:
                work.pin_persons((person_id,))
                work.flush()  # persons are locked before all else, as an erasure does
                lock_owners(work)
            _check_may_invite(work, caller, command)
            check_free(work, login)
            return {"invitation_id": _invite(work, command, login, person_id)}

        return str(once(work, caller.actor_id, idempotency_key, command, do)["invitation_id"])

    return show_invitation(store, account_id, store.run(account_id, decide, actor=caller.actor_id))


def _check_may_invite(work: Work, caller: Caller, command: InviteUser) -> None:
    if caller.is_operator:
        check_operator_adds(command.role, len(owners(work)))
    else:
        check_invites(role_held(work, caller.actor_id), command.role)


def _invite(work: Work, command: InviteUser, login: str, person_id: str) -> str:
    _withdraw_earlier(work, login)
    invitation_id = new_id()
    invited = UserInvited(
        invitation_id=invitation_id, person_id=person_id, role=command.role, expires_at=work.now + invitations.LIFE, login=login
    )
    work.append(stream_of(invitation_id), 0, [invited])
    work.later(
        "INSERT INTO invitation_token (account_id, token, invitation_id) VALUES (%s, %s, %s)",
        (work.account_id, login_token(work, login), invitation_id),
    )
    url = add_link(work, "invitation", invitation_id, person_id, invitations.LIFE)
    queue_mail(
        work, item_id=invitation_id, person_id=person_id, to=login, subject=SUBJECT,
        text=TEXT.format(role=command.role, url=url, days=invitations.LIFE.days),
    )  # fmt: skip
    return invitation_id


def _withdraw_earlier(work: Work, login: str) -> None:
    """Ends what is open to the same login, and what nobody accepted in time. Raises `Refused` where too many are open."""
    rows = work.fetch(
        "SELECT u.invitation_id, u.expires_at <= %s OR EXISTS (SELECT 1 FROM invitation_token t"
        " WHERE t.account_id = u.account_id AND t.invitation_id = u.invitation_id AND t.token = %s) FROM invitation u"
        " WHERE u.account_id = %s ORDER BY u.invitation_id",
        (work.now, login_token(work, login), work.account_id),
    )
    over = [invitation_id for invitation_id, is_over in rows if is_over]
    if len(rows) - len(over) >= invitations.OPEN_AT_MOST:
        raise Refused("Too many invitations are open.", reason="too many open")
    for invitation_id in over:
        invitation = _fold(work, invitation_id)
        if invitation is not None and invitation.state == "open":
            _withdraw(work, invitation)


def withdraw_invitation(store: Store, account_id: str, caller: Caller, command: WithdrawInvitation) -> Done:
    """The link leads nowhere any more. Twice is once. Raises `NotFound`, `PermissionRefused`."""

    def decide(work: Work) -> None:
        invitation = check_withdraws(role_held(work, caller.actor_id), _fold(work, command.invitation_id))
        if invitation is not None:
            _withdraw(work, invitation)

    store.run(account_id, decide, actor=caller.actor_id)
    return Done()


def withdraw_all(work: Work) -> None:
    """Ends whatever is open."""
    rows = work.fetch("SELECT invitation_id FROM invitation WHERE account_id = %s ORDER BY invitation_id", (work.account_id,))
    for (invitation_id,) in rows:
        invitation = _fold(work, invitation_id)
        if invitation is not None and invitation.state == "open":
            _withdraw(work, invitation)


def withdraw_again(work: Work, invitation_id: str) -> None:
    """Ends an invitation that had ended, and which the database has forgotten to. What is no open invitation is left."""
    invitation = _fold(work, invitation_id)
    if invitation is not None and invitation.state == "open":
        _withdraw(work, invitation)


def _withdraw(work: Work, invitation: Invitation) -> None:
    keys = _end(work, invitation)
    withdrawn = InvitationWithdrawn(invitation_id=invitation.invitation_id, keys=keys)
    work.append(stream_of(invitation.invitation_id), invitation.version, [withdrawn])


def _end(work: Work, invitation: Invitation) -> list[str]:
    """What is left of an invitation goes: its link, the look-up of its login, its key. The mail, if it has not gone, can't be
    opened any more."""
    remove_links(work, invitation.invitation_id)
    work.later(
        "DELETE FROM invitation_token WHERE account_id = %s AND invitation_id = %s",
        (work.account_id, invitation.invitation_id),
    )
    return cut_item(work, invitation.invitation_id)


def _fold(work: Work, invitation_id: str) -> Invitation | None:
    return fold(one.event for one in work.load(stream_of(invitation_id)))


def accept_invitation(store: Store, command: AcceptInvitation) -> LoginAnswer:
    """Whoever has the link becomes a user, with a session. Of many tries at once one has an effect.

    Raises `Unauthenticated`, whatever is wrong with the link; `InvalidArgument` for a password that may not be; `Conflict` for
    a login that was taken meanwhile; `PermissionRefused` from outside of the account's ranges; `AccountSuspended`; `Busy`."""
    source = normal_source(command.source)
    account_id = account_of_link(store, command.link_token)

    def look(work: Work) -> str:
        """The login of an invitation that can be accepted."""
        opened = look_at_link(work, command.link_token, "invitation")
        _open_for_acceptance(work, opened.subject_id)
        return login_of(work, opened.subject_id)

    with store.work(account_id) as work:
        login = look(work)
        check_ranges(work, source)
    passwords.check_new(command.password, login, has_second_factor=False)
    hashed = passwords.hashed(command.password)

    def decide(work: Work) -> LoginAnswer:
        opened = take_link(work, command.link_token, "invitation")
        invitation = _open_for_acceptance(work, opened.subject_id)
        login = login_of(work, opened.subject_id)
        check_free(work, login)
        if invitation.role == "owner":
            lock_owners(work)
        accepted = AddUser(role=invitation.role, name=command.name, login=login)
        user_id = append_user(work, invitation.person_id, accepted, login, is_confirmed=True)
        keys = _end(work, invitation)
        done = InvitationAccepted(invitation_id=invitation.invitation_id, user_id=user_id, keys=keys)
        work.append(stream_of(invitation.invitation_id), invitation.version, [done])
        work.flush()  # what follows looks at the user's row
        lock_access(work, user_id)
        admission = look_up(work, user_id)
        if admission is None:
            raise Unauthenticated(NOT_GOOD)
        set_password(work, admission, hashed, True, "first")
        return begin_session(work, admission, source, with_second_factor=False)

    try:
        return store.run(account_id, decide)
    except PersonErased:
        raise Unauthenticated(NOT_GOOD) from None


def _open_for_acceptance(work: Work, invitation_id: str) -> Invitation:
    """The invitation, while it is good and who sent it may still send it: nobody comes back by a link that they had mailed to
    themselves before they lost their rights. Raises `Unauthenticated`."""
    recorded = work.load(stream_of(invitation_id))
    invitation = check_accepts(fold(one.event for one in recorded), work.now)
    inviter = recorded[0].envelope.actor
    if inviter != SYSTEM_ACTOR and not may(role_held(work, inviter), "invite a user", to=invitation.role):
        raise Unauthenticated("This link is not good any more.")
    return invitation


def login_of(work: Work, invitation_id: str) -> str:
    """The login that an open invitation is for. Raises `Unauthenticated` where nobody can read it any more."""
    rows = work.fetch(
        f"SELECT {INVITATION_COLUMNS} FROM invitation u WHERE u.account_id = %s AND u.invitation_id = %s AND {ALIVE}",
        (work.account_id, invitation_id),
    )
    login = invitation_views(work, rows)[0].login if rows else None
    if not isinstance(login, str):
        raise Unauthenticated(NOT_GOOD)
    return login
