"""Apps and what customers grant them: one function per command. The protocol is in `oauth_server.py`, the rows are in
`app_grants.py`."""

from __future__ import annotations

from collections.abc import Callable

from services.identity.app import APPS_AT_MOST, check_redirect_uri, granted_scope, stream_of
from services.identity.app_grants import AppGrants
from services.identity.commands import Done
from services.identity.oauth_server import Answered, OAuthServer
from services.identity.portal_commands import (
    AnswerApp,
    AppAnswered,
    AppConsent,
    AppGrantList,
    AppGrantView,
    AppList,
    AppRequest,
    AppView,
    EndOwnAppGrant,
    IssueAppTokens,
    OAuthAnswer,
    RegisterApp,
    RemoveApp,
    RevokeAppToken,
)
from services.identity.portal_events import AppRegistered, AppRemoved
from shared import account_states
from shared.errors import AccountSuspended, NotFound, PersonErased, Refused
from shared.idempotency import check_not_done, note_done, once
from shared.ids import new_id
from shared.personal import ERASED
from shared.work import Store, Work


def register_app(
    store: Store, account_id: str, actor: str, command: RegisterApp, idempotency_key: str | None
) -> AppView:
    """A public client of OAuth 2. Raises `InvalidArgument` for an address that no code may be sent to."""
    for uri in command.redirect_uris:
        check_redirect_uri(uri)

    def decide(work: Work) -> str:
        def do() -> dict[str, str]:
            if len(AppGrants(work).apps()) >= APPS_AT_MOST:
                raise Refused("There are too many apps.", reason="too many")
            app_id = new_id()
            registered = AppRegistered(app_id=app_id, name=command.name, redirect_uris=command.redirect_uris)
            work.append(stream_of(app_id), 0, [registered])
            return {"app_id": app_id}

        return str(once(work, actor, idempotency_key, command, do)["app_id"])

    app_id = store.run(account_id, decide, actor=actor)
    shown = [one for one in list_apps(store, account_id).apps if one.app_id == app_id]
    if not shown:
        raise NotFound()
    return shown[0]


def list_apps(store: Store, account_id: str) -> AppList:
    """The account's apps, in the order in which they were registered. They are few."""
    with store.work(account_id) as work:
        rows = AppGrants(work).apps()
    return AppList(
        apps=[
            AppView(app_id=app.app_id, name=app.name, redirect_uris=list(app.redirect_uris), added_at=added_at)
            for app, added_at in rows
        ]
    )


def remove_app(store: Store, account_id: str, actor: str, command: RemoveApp) -> Done:
    """The app is not known any more, and all that customers granted it has ended. Raises `NotFound`."""

    def decide(work: Work) -> None:
        if not work.fetch(
            "SELECT 1 FROM app WHERE account_id = %s AND app_id = %s FOR UPDATE", (account_id, command.app_id)
        ):
            raise NotFound()
        _remove(work, command.app_id)

    store.run(account_id, decide, actor=actor)
    return Done()


def remove_all_apps(work: Work) -> None:
    """None of the account's apps is known any more."""
    for (app_id,) in work.fetch("SELECT app_id FROM app WHERE account_id = %s ORDER BY app_id FOR UPDATE", (work.account_id,)):
        _remove(work, app_id)


def _remove(work: Work, app_id: str) -> None:
    AppGrants(work).end_all_of_app(app_id)
    stream = stream_of(app_id)
    work.append(stream, work.versions_of([stream])[stream], [AppRemoved(app_id=app_id)])


def show_app_request(store: Store, account_id: str, person_id: str, request: AppRequest) -> AppConsent:
    """What to ask the customer. Raises `Refused`, with the protocol's name of the error, where the request is not good."""

    def decide(work: Work) -> AppConsent | str:
        server = OAuthServer(AppGrants(work))
        answer = server.consent(request, person_id)
        if isinstance(answer, str):
            return answer
        app = answer
        scope = granted_scope(request.scope)
        assert scope is not None, "consent checked it"
        return AppConsent(app_id=app.app_id, name=app.name, scope=scope)

    return _consented(store.run(account_id, decide, actor=person_id))


def _consented(answer: AppConsent | str) -> AppConsent:
    if isinstance(answer, str):
        raise Refused("The app's request is not good.", reason=answer)
    return answer


def answer_app(
    store: Store, account_id: str, person_id: str, command: AnswerApp, idempotency_key: str | None = None
) -> AppAnswered:
    """Sends the customer back to the app with their answer: a code, good once for a minute, or an error. Where it is not
    certain that the address is the app's, nobody is sent anywhere: raises `Refused`; `AlreadyDone`."""

    def decide(work: Work) -> Answered:
        check_not_done(work, person_id, idempotency_key, command)
        answered = OAuthServer(AppGrants(work)).authorize(command.request, person_id if command.approve else None)
        if answered.redirect_to is not None:
            note_done(work, person_id, idempotency_key, command)
        return answered

    answered = store.run(account_id, decide, actor=person_id)
    if answered.redirect_to is None:
        raise Refused("The app's request is not good.", reason=answered.error)
    return AppAnswered(redirect_to=answered.redirect_to)


def issue_app_tokens(store: Store, account_id: str, command: IssueAppTokens) -> OAuthAnswer:
    """The token endpoint: tokens for a code, or for a refresh token. What was used twice ends what came of it."""
    return _endpoint(store, account_id, lambda server: server.token(command))


def revoke_app_token(store: Store, account_id: str, command: RevokeAppToken) -> OAuthAnswer:
    """The revocation endpoint: an app gives back what it was granted. An unknown token is revoked already."""
    return _endpoint(store, account_id, lambda server: server.revoke(command))


def _endpoint(store: Store, account_id: str, answer: Callable[[OAuthServer], OAuthAnswer]) -> OAuthAnswer:
    if account_states.state_of(store, account_id) != "active":
        raise AccountSuspended()
    try:
        return store.run(account_id, lambda work: answer(OAuthServer(AppGrants(work))))
    except PersonErased:
        return OAuthServer.refusal("invalid_grant")


def list_own_app_grants(store: Store, account_id: str, person_id: str) -> AppGrantList:
    """What a customer lets which app do."""
    with store.work(account_id) as work:
        grants = AppGrants(work)
        names = {app.app_id: app.name for app, _ in grants.apps()}
        return AppGrantList(
            grants=[
                AppGrantView(
                    grant_id=one.grant_id, app_id=one.app_id, app_name=names.get(one.app_id, ERASED), scope=one.scope,
                    granted_at=granted_at,
                )
                for one, granted_at in grants.of_customer(person_id)
            ]
        )  # fmt: skip


def end_own_app_grant(store: Store, account_id: str, person_id: str, command: EndOwnAppGrant) -> Done:
    """The app may not act for the customer any more. Raises `NotFound`."""
    if not store.run(
        account_id,
        lambda work: AppGrants(work).end(command.grant_id, "by the customer", of_customer=person_id),
        actor=person_id,
    ):
        raise NotFound()
    return Done()
