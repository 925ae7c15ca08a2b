"""API tokens at work: created, listed, revoked. Knows nothing of nameko."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from services.identity import api_token as api_tokens
from services.identity.access_commands import (
    ApiTokenList,
    ApiTokenView,
    CreateApiToken,
    CreatedApiToken,
    ListApiTokens,
    RevokeApiToken,
    Scope,
)
from services.identity.admission import look_up
from services.identity.commands import Done
from services.identity.credentials import append_for_user, lock_access, open_rows, seal_for_row
from services.identity.events import ApiTokenCreated, ApiTokenRevoked
from services.identity.routing import add_credential_route, remove_credential_routes
from services.identity.session import digest
from services.identity.session_handlers import whose
from shared.errors import NotFound, PermissionRefused, Refused
from shared.idempotency import check_not_done, note_done
from shared.ids import new_id
from shared.personal import ERASED
from shared.work import Store, Work

_COLUMNS = "api_token_id, user_id, name, scope, created_at, expires_at, used_on"


def create_api_token(
    store: Store, account_id: str, user_id: str, held: Scope, command: CreateApiToken, idempotency_key: str | None = None
) -> CreatedApiToken:
    """A token for oneself; it is in the answer only. Raises `PermissionRefused` for a scope beyond that of the credential it is
    asked with, `Refused` where the user has too many, `AlreadyDone` where it was made under this key before: it is kept
    nowhere, so it can't be shown again."""
    if not api_tokens.is_within(command.scope, held):
        raise PermissionRefused("Nobody grants more than they hold.")
    token, api_token_id = api_tokens.new_token(), new_id()

    def decide(work: Work) -> ApiTokenView:
        check_not_done(work, user_id, idempotency_key, command)
        note_done(work, user_id, idempotency_key, command)
        return create(work)

    def create(work: Work) -> ApiTokenView:
        lock_access(work, user_id)
        admission = look_up(work, user_id)
        if admission is None:
            raise NotFound()
        _make_room(work, user_id)
        expires_at = work.now + timedelta(days=command.days)
        sealed = seal_for_row(work, user_id, admission.person_id, api_token_id, "name", command.name.encode())
        work.later(
            "INSERT INTO api_token (account_id, api_token_id, user_id, person_id, digest, name, scope, created_at, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                account_id, api_token_id, user_id, admission.person_id, digest(token), sealed, command.scope, work.now,
                expires_at,
            ),
        )  # fmt: skip
        add_credential_route(work, digest(token))
        created = ApiTokenCreated(user_id=user_id, api_token_id=api_token_id, scope=command.scope, expires_at=expires_at)
        append_for_user(work, user_id, [created])
        return ApiTokenView(
            api_token_id=api_token_id, user_id=user_id, name=command.name, scope=command.scope, created_at=work.now,
            expires_at=expires_at, used_on=None,
        )  # fmt: skip

    return CreatedApiToken(token=token, api_token=store.run(account_id, decide, actor=user_id))


def _make_room(work: Work, user_id: str) -> None:
    """Removes the user's tokens that are over. Raises `Refused` where too many are left."""
    mine = (work.account_id, user_id)
    over = work.change(
        "DELETE FROM api_token WHERE account_id = %s AND user_id = %s AND expires_at <= %s RETURNING digest", (*mine, work.now)
    )
    remove_credential_routes(work, [one for (one,) in over])
    ((held,),) = work.fetch("SELECT count(*) FROM api_token WHERE account_id = %s AND user_id = %s", mine)
    if held >= api_tokens.TOKENS_AT_MOST:
        raise Refused(f"A user has {api_tokens.TOKENS_AT_MOST} tokens at most. Revoke one first.", reason="too many tokens")


def list_api_tokens(store: Store, account_id: str, actor_id: str, query: ListApiTokens) -> ApiTokenList:
    """Tokens that are good now, newest first. Raises `PermissionRefused` for those of a user who is not below oneself."""
    with store.work(account_id) as work:
        user_id = whose(work, actor_id, query.user)
        rows = work.fetch(
            f"SELECT {_COLUMNS} FROM api_token WHERE account_id = %s AND user_id = %s AND expires_at > %s"
            " ORDER BY created_at DESC, api_token_id LIMIT %s",
            (account_id, user_id, work.now, api_tokens.TOKENS_AT_MOST),
        )
        return ApiTokenList(api_tokens=_views(work, rows))


def _views(work: Work, rows: Sequence[Sequence[Any]]) -> list[ApiTokenView]:
    names = open_rows(work, [(row[1], row[0], "name", row[2]) for row in rows])
    return [
        ApiTokenView(
            api_token_id=row[0], user_id=row[1], name=ERASED if name is None else name.decode(), scope=row[3],
            created_at=row[4], expires_at=row[5], used_on=None if row[6] is None else midnight(row[6]),
        )
        for row, name in zip(rows, names, strict=True)
    ]  # fmt: skip


def revoke_api_token(store: Store, account_id: str, actor_id: str, command: RevokeApiToken) -> Done:
    """The token is good for nothing from the answer on; one that is gone is done. Raises `PermissionRefused` as listing
    does."""

    def decide(work: Work) -> None:
        wanted = (account_id, command.api_token_id)
        row = work.fetch_one("SELECT user_id FROM api_token WHERE account_id = %s AND api_token_id = %s", wanted)
        if row is None:
            return
        user_id = whose(work, actor_id, row[0])
        lock_access(work, user_id)
        gone = work.change("DELETE FROM api_token WHERE account_id = %s AND api_token_id = %s RETURNING digest", wanted)
        if not gone:
            return
        remove_credential_routes(work, [one for (one,) in gone])
        append_for_user(work, user_id, [ApiTokenRevoked(user_id=user_id, api_token_id=command.api_token_id)])

    store.run(account_id, decide, actor=actor_id)
    return Done()


def revoke_all_api_tokens(work: Work) -> None:
    """None of the account's tokens is good for anything any more."""
    gone = work.change(
        "DELETE FROM api_token WHERE account_id = %s RETURNING user_id, api_token_id, digest", (work.account_id,)
    )
    remove_credential_routes(work, [digest for _, _, digest in gone])
    for user_id, api_token_id, _ in sorted(gone):
        append_for_user(work, user_id, [ApiTokenRevoked(user_id=user_id, api_token_id=api_token_id)])


def midnight(day: date) -> datetime:
    """The beginning of a day, in UTC."""
    return datetime.combine(day, time(), UTC)
