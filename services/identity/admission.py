"""Whether a user may be let in at this moment, whatever their credential: their own row, the account's state, and its choices.

One look in one statement, since it is part of every request. Who builds on another choice of the account adds a column here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.identity.events import Role
from services.identity.queries import ALIVE
from shared.errors import AccountSuspended, SecondFactorRequired
from shared.work import Work

ADMISSION = (
    "u.user_id, u.person_id, u.role,"
    " COALESCE((SELECT state FROM lethe.account_state known WHERE known.account_id = u.account_id), 'active'),"
    " (SELECT second_factor_by FROM access_policy policy WHERE policy.account_id = u.account_id),"
    " EXISTS (SELECT 1 FROM second_factor factor WHERE factor.account_id = u.account_id AND factor.user_id = u.user_id"
    " AND factor.on_since IS NOT NULL)"
)
"""The columns of an `Admission`; `u` is the user's row."""
WORKS_HERE = f"u.state = 'active' AND {ALIVE}"


class Admission(NamedTuple):
    """A user who works for the account now, and what stands in their way."""

    user_id: str
    person_id: str
    role: Role
    account_state: str
    second_factor_by: datetime | None
    has_second_factor: bool

    @classmethod
    def of(cls, row: Sequence[Any]) -> Admission:
        """From a row that begins with the columns of `ADMISSION`."""
        return cls(*row[: len(cls._fields)])

    @property
    def comply_by(self) -> datetime | None:
        """Until when the second factor has to be on; None where it is, or need not be."""
        return None if self.has_second_factor else self.second_factor_by

    def must_enrol(self, now: datetime) -> bool:
        """Whether the account requires a second factor that the user has not, and the time for it is over."""
        return self.comply_by is not None and self.comply_by <= now


def look_up(work: Work, user_id: str) -> Admission | None:
    """The admission of a user; None for who does not work for the account now."""
    row = work.fetch_one(
        f"SELECT {ADMISSION} FROM app_user u WHERE u.account_id = %s AND u.user_id = %s AND {WORKS_HERE}",
        (work.account_id, user_id),
    )
    return None if row is None else Admission.of(row)


def check_account(admission: Admission) -> None:
    """Raises `AccountSuspended` (mission L3). Asked only after the credential was found good."""
    if admission.account_state != "active":
        raise AccountSuspended()


def check_request(admission: Admission, now: datetime) -> None:
    """What a request has to meet beside a good credential. Raises `AccountSuspended`, `SecondFactorRequired`."""
    check_account(admission)
    if admission.must_enrol(now):
        raise SecondFactorRequired()
