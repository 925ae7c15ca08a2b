"""Events → rows of identity. Uses what the envelope says and the sealed bytes as they are; opens nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.identity.events import (
    InvitationAccepted,
    InvitationWithdrawn,
    IpRangesSet,
    ProfileChanged,
    RoleChanged,
    SecondFactorRequirementSet,
    UserAdded,
    UserDeactivated,
    UserDeleted,
    UserInvited,
    UserReactivated,
    UserRemoved,
)
from services.identity.portal_projections import PERSONS_TABLES, project_portal
from services.identity.staff_projections import project_staff
from shared.erasing import ErasureReceipted
from shared.events import Recorded
from shared.read_records import ReadsRecorded, project_reads
from shared.work import Statement


def project(recorded: Recorded) -> Iterator[Statement]:
    """The statements that bring the read model up to an event. Table names are without schema: a replay sets another one."""
    envelope, event = recorded.envelope, recorded.event
    account = envelope.account
    match event:
        case UserAdded():
            yield Statement(
                "INSERT INTO app_user (account_id, user_id, person_id, role, state, added_at, name, login, event_id, version)"
                " VALUES (%s, %s, %s, %s, 'active', %s, %s, %s, %s, %s)",
                (
                    account, event.user_id, event.person_id, event.role, envelope.time, recorded.sealed["name"],
                    recorded.sealed["login"], envelope.event, envelope.version,
                ),
            )  # fmt: skip
        case UserRemoved() | UserDeactivated() | UserReactivated():
            # a replay gives subclasses of the events
            left = "removed" if isinstance(event, UserRemoved) else "deactivated"
            state = "active" if isinstance(event, UserReactivated) else left
            yield Statement(
                "UPDATE app_user SET state = %s, version = %s WHERE account_id = %s AND user_id = %s",
                (state, envelope.version, account, event.user_id),
            )
        case RoleChanged():
            yield Statement(
                "UPDATE app_user SET role = %s, version = %s WHERE account_id = %s AND user_id = %s",
                (event.role, envelope.version, account, event.user_id),
            )
        case ProfileChanged():
            yield Statement(
                "UPDATE app_user SET name = %s, login = %s, event_id = %s, event_type = %s, version = %s"
                " WHERE account_id = %s AND user_id = %s",
                (
                    recorded.sealed["name"], recorded.sealed["login"], envelope.event, envelope.type, envelope.version,
                    account, event.user_id,
                ),
            )  # fmt: skip
        case UserDeleted():
            yield Statement("DELETE FROM app_user WHERE account_id = %s AND user_id = %s", (account, event.user_id))
        case UserInvited():
            yield Statement(
                "INSERT INTO invitation (account_id, invitation_id, person_id, role, invited_at, expires_at, login, event_id)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    account, event.invitation_id, event.person_id, event.role, envelope.time, event.expires_at,
                    recorded.sealed["login"], envelope.event,
                ),
            )  # fmt: skip
        case InvitationAccepted() | InvitationWithdrawn():
            yield Statement(
                "DELETE FROM invitation WHERE account_id = %s AND invitation_id = %s", (account, event.invitation_id)
            )
        case IpRangesSet():
            yield Statement(
                "INSERT INTO ip_ranges (account_id, count, ranges, event_id) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT (account_id) DO UPDATE SET count = EXCLUDED.count, ranges = EXCLUDED.ranges,"
                " event_id = EXCLUDED.event_id",
                (account, event.count, recorded.sealed["ranges"], envelope.event),
            )
        case SecondFactorRequirementSet():
            yield Statement(
                "INSERT INTO access_policy (account_id, second_factor_by) VALUES (%s, %s)"
                " ON CONFLICT (account_id) DO UPDATE SET second_factor_by = EXCLUDED.second_factor_by",
                (account, event.required_from),
            )
        case ErasureReceipted():
            gone = [person for person in event.person_ids if person not in event.kept]
            if gone:
                yield from removal(account, gone)
        case ReadsRecorded():
            yield from project_reads(recorded, event)
        case _:
            yield from project_staff(recorded)
            yield from project_portal(recorded)


def removal(account: str, persons: Sequence[str]) -> Iterator[Statement]:
    """Removes the profiles of persons, the invitations to them, and what they have as customers."""
    for table in ("app_user", "invitation", *PERSONS_TABLES):
        yield Statement(
            f"DELETE FROM {table} WHERE account_id = %s AND person_id = ANY (%s::uuid[])", (account, list(persons))
        )
