"""How customers get into the portal, and out: one function per command. Knows nothing of nameko.

Whoever is not signed in yet learns nothing: not whether an address is known, not what was wrong, and not by the time either. An
address that is nobody's takes the same way as one that is a customer's, to the same events and rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from services.identity import session
from services.identity.answer_time import answered_after
from services.identity.commands import Done
from services.identity.credentials import normal_source
from services.identity.customer import (
    LINK_LIFE,
    LINK_PREFIX,
    LINKS_AT_ONCE,
    link_address,
    link_mail,
    may_try_password,
    stream_of,
)
from services.identity.customer_credentials import (
    BegunSession,
    append_for_customer,
    begin_session,
    end_sessions,
    open_for_customer,
    seal_for_customer,
)
from services.identity.password import NOBODYS_HASH, check_new, hashed, matches, portal_hashing
from services.identity.password_handlers import ANY_ADDRESS, Attempt, check_delay, count_failure
from services.identity.portal_commands import (
    AskSignInLink,
    EndOwnSession,
    EndOwnSessions,
    PortalSignIn,
    SetPortalPassword,
    SignInByLink,
    SignInByPassword,
)
from services.identity.portal_events import PortalLinkAsked, PortalPasswordSet, PortalSignInFailed
from services.identity.routing import source_token
from shared import account_states
from shared.errors import AccountSuspended, NotFound, PersonErased, Unauthenticated, VersionConflict
from shared.ids import new_id
from shared.outgoing_mail import queue_mail
from shared.references import normalise_address
from shared.work import SYSTEM_ACTOR, Store, Work


class PersonOfAddress(NamedTuple):
    """Whose an address is, and the address to write to. None of both where it is no single person's."""

    person_id: str | None
    address: str | None


ANSWER_SECONDS = 0.1
"""How long the answer to an ask for a link takes at least: longer than what is done for a customer whose address is known."""

FindPerson = Callable[[str], PersonOfAddress]
"""What was typed → whose it is. Contacts knows."""


def ask_sign_in_link(
    store: Store, account_id: str, command: AskSignInLink, find_person: FindPerson
) -> Done:
    """Mails a one-time link to whose address it is. Says the same, after the same time, where it is nobody's, and where so many
    were asked for with this address lately that nothing is done."""
    _check_open(store, account_id)
    with answered_after(ANSWER_SECONDS):
        _mail_sign_in_link(store, account_id, command, find_person(command.address))
    return Done()


def _mail_sign_in_link(store: Store, account_id: str, command: AskSignInLink, found: PersonOfAddress) -> None:
    token = session.new_token(LINK_PREFIX)

    def decide(work: Work) -> None:
        person_id, link_id = found.person_id, new_id()
        address = work.blind_index().token("sign-in address", normalise_address(command.address))
        _lock(work, f"address {address}")
        _lock(work, person_id or link_id)
        if _asked_with(work, address) >= LINKS_AT_ONCE:
            return
        is_mailed = _links_of(work, person_id or SYSTEM_ACTOR) < LINKS_AT_ONCE and person_id is not None
        stream = f"sign-in-link/{link_id}" if person_id is None else stream_of(person_id)
        asked = PortalLinkAsked(link_id=link_id, person_id=person_id)
        work.pin_persons(() if person_id is None else (person_id,))
        work.append(stream, work.versions_of([stream])[stream], [asked])
        work.later(
            "INSERT INTO sign_in_link (account_id, digest, person_id, address, expires_at) VALUES (%s, %s, %s, %s, %s)",
            (account_id, session.digest(token), person_id, address, work.now + LINK_LIFE),
        )
        if person_id is None or found.address is None or not is_mailed:
            work.secret("portal")  # a key is looked up here as well
            return
        subject, text = link_mail(link_address(store.settings.public_url, account_id, token), token)
        queue_mail(
            work, item_id=person_id, person_id=person_id, to=found.address, subject=subject, text=text, stream=stream
        )

    try:
        store.run(account_id, decide)
    except (PersonErased, VersionConflict):
        pass  # contacts knew them a moment ago; or they did something else at this moment, again and again


def _lock(work: Work, what: str) -> None:
    """Makes what is asked for one address, and what happens to one customer, happen in turn until the commit: of many at once
    none is told that others were faster, which could be said of a customer's address only."""
    work.fetch("SELECT pg_advisory_xact_lock(hashtextextended('identity.portal ' || %s, 0))", (f"{work.account_id} {what}",))


def _asked_with(work: Work, address: int) -> int:
    """How many links were asked for lately with an address, whether it is anybody's or not."""
    return _good_links(work, "address = %s", address)


def _links_of(work: Work, person_id: str) -> int:
    """How many links were asked for lately for a person, with whichever of their addresses."""
    return _good_links(work, "person_id = %s", person_id)


def _good_links(work: Work, condition: str, value: object) -> int:
    look = f"SELECT count(*) FROM sign_in_link WHERE account_id = %s AND expires_at > %s AND {condition}"
    (count,) = work.fetch(look, (work.account_id, work.now, value))[0]
    return int(count)


def sign_in_by_link(store: Store, account_id: str, command: SignInByLink) -> PortalSignIn:
    """A session for the token of a link, once: of many who bring it at the same time, one gets in. The customer's other links
    are void with it. Raises `Unauthenticated`, whatever is wrong."""
    _check_open(store, account_id)
    source = normal_source(command.source)

    def decide(work: Work) -> PortalSignIn | None:
        person_id = _take_link(work, command.link_token)
        if person_id is None:
            return None
        _lock(work, person_id)
        work.later("DELETE FROM sign_in_link WHERE account_id = %s AND person_id = %s", (account_id, person_id))
        return _signed_in(person_id, begin_session(work, person_id, "link", source))

    return _or_refused(store, account_id, decide)


def _take_link(work: Work, link_token: str) -> str | None:
    """Whose link it was. The row goes with this, so nobody else takes it."""
    rows = work.change(
        "DELETE FROM sign_in_link WHERE account_id = %s AND digest = %s RETURNING person_id, expires_at",
        (work.account_id, session.digest(link_token)),
    )
    return rows[0][0] if rows and rows[0][1] > work.now else None


def sign_in_by_password(store: Store, account_id: str, command: SignInByPassword, find_person: FindPerson) -> PortalSignIn:
    """A session for an address and its customer's password. Raises `Unauthenticated`, after the same time, whatever is wrong:
    the address, the password, too many failures before. `TooManyTries` for a source that has failed often, with whatever
    address in whatever account; `Busy` where too many passwords wait."""
    _check_open(store, account_id)
    source = normal_source(command.source)
    attempt = Attempt(ANY_ADDRESS, source_token(store.settings, source))
    with store.work(SYSTEM_ACTOR) as work:
        check_delay(work, attempt)
    person_id = find_person(command.address).person_id
    stored = None
    if person_id is not None:
        with store.work(account_id) as work:
            stored = _stored_password(work, person_id)
    is_right = matches(NOBODYS_HASH if stored is None else stored.hash, command.password, portal_hashing)
    if person_id is None or stored is None or not stored.may_try:
        with store.work(SYSTEM_ACTOR) as work:
            count_failure(work, attempt)
        raise Unauthenticated()
    known, row_id = person_id, stored.row_id

    def decide(work: Work) -> PortalSignIn | None:
        _lock(work, known)
        if not is_right:
            count_failure(work, attempt)
            _note_failure(work, known, source)
            return None
        rows = work.change(
            "UPDATE portal_password SET failures = 0, failed_at = NULL WHERE account_id = %s AND person_id = %s"
            " AND row_id = %s RETURNING 1",  # another one was set meanwhile: this one is not right any more
            (account_id, known, row_id),
        )
        return _signed_in(known, begin_session(work, known, "password", source)) if rows else None

    return _or_refused(store, account_id, decide)


class _Stored(NamedTuple):
    """A customer's password as it is kept, and whether one may be tried at this moment."""

    row_id: str
    hash: str
    may_try: bool


def _stored_password(work: Work, person_id: str) -> _Stored | None:
    row = work.fetch_one(
        "SELECT row_id, hash, failures, failed_at FROM portal_password WHERE account_id = %s AND person_id = %s",
        (work.account_id, person_id),
    )
    if row is None:
        return None
    (opened,) = open_for_customer(work, person_id, [(row[0], "hash", row[1])])
    return None if opened is None else _Stored(row[0], opened.decode(), may_try_password(row[2], row[3], work.now))


def _note_failure(work: Work, person_id: str, source: str) -> None:
    _count_failure(work, person_id)
    append_for_customer(work, person_id, [PortalSignInFailed(person_id=person_id, source=source)])


def _count_failure(work: Work, person_id: str) -> None:
    work.later(
        "UPDATE portal_password SET failures = failures + 1, failed_at = %s WHERE account_id = %s AND person_id = %s",
        (work.now, work.account_id, person_id),
    )


def set_portal_password(store: Store, account_id: str, person_id: str, command: SetPortalPassword) -> Done:
    """A customer's new password. One who has a password already shows the old one, or a fresh link. All sessions end, since
    somebody else may have begun one of them. Raises `InvalidArgument` for a bad password, `Unauthenticated` without proof."""
    check_new(command.new_password, "", has_second_factor=False, field="new_password")
    with store.work(account_id) as work:
        stored = _stored_password(work, person_id)
    old_is_right = (
        stored is not None
        and command.old_password is not None
        and matches(stored.hash, command.old_password, portal_hashing)
    )
    made = hashed(command.new_password, portal_hashing)

    def decide(work: Work) -> bool:
        row = work.fetch_one(
            "SELECT row_id FROM portal_password WHERE account_id = %s AND person_id = %s FOR UPDATE", (account_id, person_id)
        )
        knows_old = old_is_right and stored is not None and stored.may_try and row is not None and row[0] == stored.row_id
        has_link = command.link_token is not None and _take_link(work, command.link_token) == person_id
        if row is not None and not (knows_old or has_link):
            if command.old_password is not None:
                _count_failure(work, person_id)
            return False
        _keep_password(work, person_id, made)
        return True

    if not store.run(account_id, decide, actor=person_id):
        raise Unauthenticated("This needs the old password, or a fresh link.")
    return Done()


def _keep_password(work: Work, person_id: str, made: str) -> None:
    row_id = new_id()
    work.later(
        "INSERT INTO portal_password AS known (account_id, person_id, row_id, hash, failures, changed_at)"
        " VALUES (%s, %s, %s, %s, 0, %s) ON CONFLICT (account_id, person_id) DO UPDATE SET row_id = EXCLUDED.row_id,"
        " hash = EXCLUDED.hash, failures = 0, failed_at = NULL, changed_at = EXCLUDED.changed_at",
        (work.account_id, person_id, row_id, seal_for_customer(work, person_id, row_id, "hash", made.encode()), work.now),
    )
    append_for_customer(work, person_id, [PortalPasswordSet(person_id=person_id)])
    work.flush()  # the event of the sessions follows in the same stream
    end_sessions(work, person_id, "password changed")


def end_own_session(store: Store, account_id: str, person_id: str, command: EndOwnSession) -> Done:
    """Signs one's own session out. Raises `NotFound`."""
    ended = store.run(
        account_id, lambda work: end_sessions(work, person_id, "signed out", only=command.session_id), actor=person_id
    )
    if not ended:
        raise NotFound()
    return Done()


def end_own_sessions(store: Store, account_id: str, person_id: str, command: EndOwnSessions) -> Done:
    """Signs all of one's own sessions out, except one."""
    store.run(account_id, lambda work: end_sessions(work, person_id, "signed out", keep=command.keep), actor=person_id)
    return Done()


def _check_open(store: Store, account_id: str) -> None:
    """Nobody gets into a suspended account (mission L3)."""
    if account_states.state_of(store, account_id) != "active":
        raise AccountSuspended()


def _signed_in(person_id: str, begun: BegunSession) -> PortalSignIn:
    return PortalSignIn(
        session_token=begun.token, session_id=begun.session_id, person_id=person_id, expires_at=begun.expires_at
    )


def _or_refused(store: Store, account_id: str, decide: Callable[[Work], PortalSignIn | None]) -> PortalSignIn:
    try:
        made = store.run(account_id, decide)
    except (PersonErased, VersionConflict):
        made = None
    if made is None:
        raise Unauthenticated()
    return made


