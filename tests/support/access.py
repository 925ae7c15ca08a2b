"""One account's users and their credentials on a real database, through the handlers, for the tests of access."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyotp
import pytest

from services.contacts.commands import AddUserPerson
from services.contacts.events import TYPES as CONTACTS_TYPES
from services.contacts.handlers import add_user_person
from services.contacts.projections import project as contacts_project
from services.identity.access_commands import (
    Authenticate,
    Authenticated,
    ConfirmSecondFactor,
    CreateApiToken,
    CreatedApiToken,
    LogIn,
    LoginAnswer,
    Scope,
    SetFirstPassword,
)
from services.identity.api_token_handlers import create_api_token
from services.identity.authentication import Authenticator
from services.identity.commands import AddFirstOwner, AddUser, UserView
from services.identity.events import TYPES, Role
from services.identity.handlers import Caller, add_first_owner, add_user
from services.identity.holdings import HOLDINGS
from services.identity.login_handlers import log_in
from services.identity.password_handlers import set_first_password
from services.identity.projections import project
from services.identity.second_factor_handlers import begin_second_factor, confirm_second_factor
from shared import clock
from shared.erasing import erase_subject, probe
from shared.events import Envelope
from shared.ids import new_id
from shared.outgoing_mail import OutgoingMail, claim, read_claimed
from shared.settings import Settings
from shared.tokens import TokenIssuer, TokenVerifier
from shared.work import SYSTEM_ACTOR, Store

OPERATOR = Caller(SYSTEM_ACTOR, is_operator=True)
PASSWORD = "a kettle full of owls"
HOME, ELSEWHERE = "192.0.2.7", "198.51.100.9"


class Access:
    """An account of its own with an owner, and one replica of identity. `replica` makes another of the same account."""

    def __init__(self, settings: Settings, account: str | None = None) -> None:
        self.settings = settings
        self.store = Store(TYPES, project, settings)
        self.contacts = Store(CONTACTS_TYPES, contacts_project, settings)
        self.issuer = TokenIssuer("identity", settings.path("root-keys", "identity", "token.key"))
        self.authenticator = Authenticator(self.store, self.issuer)
        self.account = account or new_id()

    def replica(self) -> Access:
        """Another process's memory over the same rows."""
        return Access(self.settings, self.account)

    def owner(self, login: str = "", password: str | None = PASSWORD) -> UserView:
        """The first owner."""
        return self._added(OPERATOR, "owner", login, password)

    def user(self, by: UserView, role: Role, login: str = "", password: str | None = PASSWORD) -> UserView:
        """A further user."""
        return self._added(Caller(by.user_id), role, login, password)

    def signed_up(self, login: str = "", password: str = PASSWORD) -> UserView:
        """The first owner, who has not confirmed the mailbox of their login."""
        asked = AddFirstOwner(name="Olga Owl", login=login or f"olga.{new_id()[:8]}@kettles.example", password=password)
        return add_first_owner(self.store, self.account, None, asked, self.person_of, is_confirmed=False)

    def mails(self) -> list[OutgoingMail]:
        """The mails of this account that nobody has read yet."""
        found = []
        while (claimed := claim(self.store)) is not None:
            read = read_claimed(self.store, *claimed)
            if claimed[0] == self.account and read is not None and read.mail is not None:
                found.append(read.mail)
        return found

    def _added(self, caller: Caller, role: Role, login: str, password: str | None) -> UserView:
        adding = AddUser(role=role, name="Olga Owl", login=login or f"olga.{new_id()[:8]}@kettles.example")
        view = add_user(self.store, self.account, caller, None, adding, self.person_of)
        if password is not None:
            set_first_password(self.store, self.account, SetFirstPassword(user=view.user_id, password=password))
        return view

    def person_of(self, login: str, name: str) -> str:
        """The person behind a login."""
        return add_user_person(self.contacts, self.account, SYSTEM_ACTOR, AddUserPerson(address=login, name=name)).id

    def log_in(self, user: UserView, password: str = PASSWORD, code: str | None = None, source: str = HOME) -> LoginAnswer:
        """As `identity.log_in`."""
        command = LogIn(login=str(user.login), password=password, code=code, source=source, account_id=self.account)
        return log_in(self.store, command)

    def session(self, user: UserView) -> str:
        """The token of a new session."""
        token = self.log_in(user).session_token
        assert token is not None
        return token

    def api_token(self, user: UserView, scope: Scope = "manage", days: int = 90, name: str = "export") -> CreatedApiToken:
        """A new API token, made with a session."""
        command = CreateApiToken(name=name, scope=scope, days=days)
        return create_api_token(self.store, self.account, user.user_id, "manage", command)

    def bearer(self, token: str, source: str = HOME, account_id: str | None = None) -> Authenticated:
        """As a request with a session or an API token."""
        return self.authenticator.authenticate(Authenticate(token=token, source=source, account_id=account_id))

    def basic(self, login: str, secret: str, source: str = HOME, account_id: str | None = None) -> Authenticated:
        """As a request over HTTP Basic."""
        request = Authenticate(login=login, secret=secret, source=source, account_id=account_id)
        return self.authenticator.authenticate(request)

    def authenticator_app(self, user: UserView) -> tuple[pyotp.TOTP, list[str]]:
        """Switches the second factor on; gives the app, and the recovery codes."""
        app = pyotp.parse_uri(begin_second_factor(self.store, self.account, user.user_id).uri)
        assert isinstance(app, pyotp.TOTP)
        confirm = ConfirmSecondFactor(code=app.at(clock.now()), source=HOME)
        return app, confirm_second_factor(self.store, self.account, user.user_id, confirm).recovery_codes

    def actor(self, answer: Authenticated) -> Any:
        """Who an actor token names, as every service finds out."""
        return TokenVerifier(self.settings.path("verifiers")).verify(answer.actor_token, clock.now())

    def events(self, user: UserView) -> list[str]:
        """The types of a user's events."""
        with self.store.work(self.account) as work:
            return [one.envelope.type.partition(".")[2] for one in work.load(f"user/{user.user_id}")]

    def erase(self, *users: UserView) -> dict[str, int]:
        """What the reaction to `SubjectErased` does; gives what a probe still finds."""
        request, persons = new_id(), [one.person_id for one in users]
        erase_subject(self.store, HOLDINGS, subject_erased(self.account, request, persons))
        with self.store.work(self.account) as work:
            return probe(HOLDINGS, work, request, persons, [str(one.login) for one in users])


def subject_erased(account: str, request: str, persons: list[str]) -> Envelope:
    """The event that starts an erasure."""
    return Envelope(
        account=account, actor=SYSTEM_ACTOR, causation=None, data={"request_id": request, "person_ids": persons},
        event=new_id(), schema=1, sealed=[], service="erasure", stream=f"erasure/{request}", time=clock.now(),
        type="erasure.SubjectErased", version=1,
    )  # fmt: skip


class MovableClock:
    """A clock of the test's own, ahead of the machine's or behind it; in place of `shared.clock` in this process."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta(0)
        real = clock.now
        patch.setattr(clock, "now", lambda: real() + self.ahead)

    def advance(self, **by: float) -> None:
        """Moves it; also back."""
        self.ahead += timedelta(**by)
