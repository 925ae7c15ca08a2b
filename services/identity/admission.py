"""Whether a user may be let in at this moment, whatever their credential: their own row, the account's state, and its choices.

One look in one statement, since it is part of every request. Who builds on another choice of the account adds a column here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.identity.events import Role
from services.identity.ip_ranges import address_of, is_inside
from services.identity.queries import ALIVE, ranges_of
from shared.errors import AccountSuspended, PermissionRefused, SecondFactorRequired
from shared.work import Work

ADMISSION = (
    "u.user_id, u.person_id, u.role,"
    " COALESCE((SELECT state FROM lethe.account_state known WHERE known.account_id = u.account_id), 'active'),"
    " (SELECT second_factor_by FROM access_policy policy WHERE policy.account_id = u.account_id),"
    " EXISTS (SELECT 1 FROM second_factor factor WHERE factor.account_id = u.account_id AND factor.user_id = u.user_id"
    " AND factor.on_since IS NOT NULL),"
    " (SELECT ranges.event_id FROM ip_ranges ranges WHERE ranges.account_id = u.account_id AND ranges.count > 0)"
)
"""The columns of an `Admission`; `u` is the user's row."""
OUTSIDE = "Your account does not let you in from this address."
WORKS_HERE = f"u.state = 'active' AND {ALIVE}"


class Admission(NamedTuple):
    """A user who works for the account now, and what stands in their way."""

    user_id: str
    person_id: str
    role: Role
    account_state: str
    second_factor_by: datetime | None
    has_second_factor: bool
    ranges_event_id: str | None
    """Of the event that set the account's IP ranges; None where users are let in from anywhere."""

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


def lets_in(work: Work, admission: Admission, source: str) -> bool:
    """Whether the account's IP ranges let a request from this address in (mission I4). Only accounts that have any pay for the
    look. False where they can't be opened: nobody is let in by mistake."""
    return admission.ranges_event_id is None or is_inside(address_of(source), ranges_of(work))


def check_source(work: Work, admission: Admission, source: str) -> None:
    """The same for a session or an API token that is good. Raises `PermissionRefused`."""
    if not lets_in(work, admission, source):
        raise PermissionRefused(OUTSIDE)


def check_ranges(work: Work, source: str) -> None:
    """The same for who has a link that is good, and is no user yet or has no password. Raises `PermissionRefused`."""
    ranges = ranges_of(work)
    if ranges and not is_inside(address_of(source), ranges):
        raise PermissionRefused(OUTSIDE)
