"""Commands about users who are there: role, profile, deactivation, deletion. Read, decide (`user.py`), append. Knows no nameko.

Whatever changes what somebody may do ends their sessions and cuts their actor tokens off in the same transaction, so that
nobody goes on with the rights of before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from services.identity.commands import (
    ChangeProfile,
    ChangeRole,
    DeactivateUser,
    DeleteUser,
    Done,
    ReactivateUser,
    ShowUser,
    UserView,
)
from services.identity.credentials import append_for_user, end_all_access, end_sessions, lock_access
from services.identity.events import ApiTokenRevoked, ProfileChanged, Role, UserDeleted
from services.identity.handlers import Caller, check_free, checked_login
from services.identity.login_address_handlers import PersonWith, ask_login_change, move_login
from services.identity.login_confirmation import mail_confirmation
from services.identity.mailed_links import remove_links
from services.identity.password_handlers import check_own_password
from services.identity.queries import ALIVE, find_user, is_id, lock_owners, owners, role_held, show_user
from services.identity.rights import cut_off
from services.identity.routing import remove_credential_routes, remove_login_routes
from services.identity.user import (
    User,
    check_as_seen,
    check_changes_profile,
    check_deletes,
    deactivation,
    fold,
    reactivation,
    role_change,
    stream_of,
)
from shared.errors import Refused
from shared.events import Event
from shared.item_cuts import cut_item
from shared.work import Store, Work

Decide = Callable[[Role | None, User | None, int], Sequence[Event]]
"""(role of who acts, the user, active owners of the account) → what happens."""


def change_role(store: Store, account_id: str, caller: Caller, command: ChangeRole) -> UserView:
    """Gives a user another role. Raises `NotFound`, `PermissionRefused` (nobody grants more than they hold), `Refused` for a
    last owner, `PreconditionFailed` where the user is not as they were seen."""

    def decide(work: Work) -> str:
        def change(held: Role | None, user: User | None, left: int) -> Sequence[Event]:
            events = role_change(held, user, left, command.role)
            if user is not None:
                check_as_seen(find_user(work, user.user_id).version, command.expected_version)
            return events

        return _change(work, caller, command.user, change)

    return _shown(store, account_id, caller, decide)


def deactivate_user(store: Store, account_id: str, caller: Caller, command: DeactivateUser) -> UserView:
    """Ends all that a user can do, with their API tokens, until they are reactivated. Raises as `change_role`."""

    def decide(work: Work) -> str:
        return _change(work, caller, command.user, deactivation, ends_api_tokens=True)

    return _shown(store, account_id, caller, decide)


def reactivate_user(store: Store, account_id: str, caller: Caller, command: ReactivateUser) -> UserView:
    """Lets a user in again. Raises as `change_role`."""

    def decide(work: Work) -> str:
        return _change(work, caller, command.user, lambda held, user, _: reactivation(held, user))

    return _shown(store, account_id, caller, decide)


def _shown(store: Store, account_id: str, caller: Caller, decide: Callable[[Work], str]) -> UserView:
    user_id = store.run(account_id, decide, actor=caller.actor_id)
    return show_user(store, account_id, ShowUser(user=user_id))


def _change(work: Work, caller: Caller, who: str, decide: Decide, *, ends_api_tokens: bool = False) -> str:
    user_id = find_user(work, who).user_id
    lock_owners(work)
    lock_access(work, user_id)
    user = fold(one.event for one in work.load(stream_of(user_id)))
    events = decide(role_held(work, caller.actor_id), user, len(owners(work)))
    if user is not None and events:
        ended: list[Event] = [*end_sessions(work, user_id, "rights changed")]
        if ends_api_tokens:
            ended += _end_api_tokens(work, user_id)
        work.append(stream_of(user_id), user.version, [*events, *ended, cut_off(work, user_id)])
    return user_id


def change_profile(
    store: Store, account_id: str, caller: Caller, command: ChangeProfile, person_with: PersonWith
) -> UserView:
    """Another name or login. A new login is a further address of the same person, so that it goes with them. One's own needs
    the password, and counts once the link that is mailed to it was followed (`confirm_login`): until then the old one stays.

    Raises `NotFound`, `PermissionRefused`, `Conflict` for a login that is another user's, `Refused` for an address that the
    account knows as somebody else's, `PreconditionFailed` where the user is not as they were seen, and as
    `check_own_password`."""
    login = None if command.login is None else checked_login(command.login)

    def look(work: Work) -> UserView:
        view = find_user(work, command.user or caller.actor_id)
        user = fold(one.event for one in work.load(stream_of(view.user_id)))
        check_changes_profile(role_held(work, caller.actor_id), user, view.user_id == caller.actor_id)
        check_as_seen(view.version, command.expected_version)
        if login is not None and login != view.login:
            check_free(work, login)
        return view

    before = store.run(account_id, look, actor=caller.actor_id)
    own = None
    if login is not None and login != before.login:
        if before.user_id == caller.actor_id:
            own = check_own_password(store, account_id, caller.actor_id, command.password, command.source)
        elif person_with(login, before.person_id) != before.person_id:
            raise Refused("The account knows this address as somebody else's.", reason="address of another person")

    def decide(work: Work) -> str:
        lock_access(work, find_user(work, command.user or caller.actor_id).user_id)
        view = look(work)
        name = command.name if command.name is not None else view.name
        if own is not None and login is not None:
            ask_login_change(work, view.user_id, login, own)
        changed = ProfileChanged(
            user_id=view.user_id, person_id=view.person_id, name=name,
            login=login if login is not None and own is None else view.login,
        )  # fmt: skip
        if (changed.name, changed.login) == (view.name, view.login):
            return view.user_id
        if changed.login != view.login:
            move_login(work, view.user_id, str(changed.login), is_confirmed=False)
            mail_confirmation(work, view.user_id, view.person_id, str(changed.login))
        append_for_user(work, view.user_id, [changed])
        return view.user_id

    return _shown(store, account_id, caller, decide)


def delete_user(store: Store, account_id: str, caller: Caller, command: DeleteUser) -> Done:
    """A user's profile goes for good: its key is cut, so that no copy of it opens, and all credentials go. What they did stands
    under their id, and shows "former agent". Twice is once (by id: the login leads nowhere any more).

    What the account knows of the person as a correspondent is not the profile: that goes by an erasure of the person.
    Raises `NotFound`, `PermissionRefused`, `Refused` for a last owner (mission E5, under parallel tries as well)."""

    def decide(work: Work) -> None:
        user_id = command.user if is_id(command.user) else find_user(work, command.user).user_id
        lock_owners(work)
        lock_access(work, user_id)
        user = _as_it_stands(work, fold(one.event for one in work.load(stream_of(user_id))))
        user = check_deletes(role_held(work, caller.actor_id), user, len(owners(work)))
        if not user.is_deleted:
            _delete(work, user_id, user.version)

    store.run(account_id, decide, actor=caller.actor_id)
    return Done()


def delete_again(work: Work, user_id: str) -> None:
    """Deletes a user who had been deleted, and of whom the database has forgotten it. Who is no user is left."""
    lock_access(work, user_id)
    user = _as_it_stands(work, fold(one.event for one in work.load(stream_of(user_id))))
    if user is not None and not user.is_deleted:
        _delete(work, user_id, user.version)


def _delete(work: Work, user_id: str, version: int) -> None:
    end_all_access(work, user_id)
    work.later("DELETE FROM login_token WHERE account_id = %s AND user_id = %s", (work.account_id, user_id))
    remove_login_routes(work, [user_id])
    remove_links(work, user_id)
    deleted = UserDeleted(user_id=user_id, keys=cut_item(work, user_id))
    work.append(stream_of(user_id), version, [deleted, cut_off(work, user_id)])


def _as_it_stands(work: Work, user: User | None) -> User | None:
    """The user; as deleted where their person was erased, of which their own stream does not tell."""
    if user is None or work.fetch_one(
        f"SELECT 1 FROM app_user u WHERE u.account_id = %s AND u.user_id = %s AND {ALIVE}", (work.account_id, user.user_id)
    ):
        return user
    return replace(user, state="removed", is_deleted=True)


def _end_api_tokens(work: Work, user_id: str) -> list[Event]:
    rows = work.change(
        "DELETE FROM api_token WHERE account_id = %s AND user_id = %s RETURNING api_token_id, digest",
        (work.account_id, user_id),
    )
    remove_credential_routes(work, [digest for _, digest in rows])
    return [ApiTokenRevoked(user_id=user_id, api_token_id=token) for token in sorted(token for token, _ in rows)]
