"""The part of the identity service that lets the vendor's staff in (mission I7): RPC methods and a timer, nothing else; the
work is in `staff_handlers.py`.

A staff member is an operator with an id of their own: an opaque random id, since it stands in events. The operator without one
may do none of this.
"""

from __future__ import annotations

from typing import Final

from nameko.timer import timer

from services.identity import staff_handlers, staff_queries
from services.identity.staff_commands import (
    BreakGlass,
    ListStaffGrants,
    OfStaffGrant,
    RequestStaffAccess,
    StaffGrantPage,
    StaffGrantView,
    StaffSession,
)
from shared.errors import PermissionRefused
from shared.ids import is_id
from shared.rpc import Call, rpc_method
from shared.service import MANAGERS, OPERATORS, RecordingService, account_of, actor_of

OWNERS: Final = frozenset({"owner"})
EXPIRE_EVERY_SECONDS: Final = 10


class StaffMethods(RecordingService):
    """Grants of access: asked for, decided on by owners, used, and over by themselves."""

    @rpc_method(argument=RequestStaffAccess, result=StaffGrantView, roles=OPERATORS, scope="manage")
    def request_staff_access(self, call: Call) -> StaffGrantView:
        """Ask the account's owners to be let in, for a purpose."""
        return staff_handlers.request_staff_access(
            self.store, account_of(call), staff_of(call), call.idempotency_key, call.argument
        )

    @rpc_method(argument=BreakGlass, result=StaffGrantView, roles=OPERATORS, scope="manage")
    def break_glass(self, call: Call) -> StaffGrantView:
        """Ask to be let in without an owner's decision, in an emergency. Opens nothing until a second person confirms."""
        return staff_handlers.break_glass(self.store, account_of(call), staff_of(call), call.idempotency_key, call.argument)

    @rpc_method(argument=OfStaffGrant, result=StaffGrantView, roles=OPERATORS, scope="manage")
    def confirm_break_glass(self, call: Call) -> StaffGrantView:
        """Confirm another's break-glass: they are let in at once, and the account's owners are told."""
        return staff_handlers.confirm_break_glass(self.store, account_of(call), staff_of(call), call.argument)

    @rpc_method(argument=OfStaffGrant, result=StaffGrantView, roles=OWNERS, scope="manage")
    def approve_staff_access(self, call: Call) -> StaffGrantView:
        """Let a staff member in."""
        return staff_handlers.approve_staff_access(self.store, account_of(call), actor_of(call), call.argument)

    @rpc_method(argument=OfStaffGrant, result=StaffGrantView, roles=OWNERS, scope="manage")
    def deny_staff_access(self, call: Call) -> StaffGrantView:
        """Say no to a staff member."""
        return staff_handlers.deny_staff_access(self.store, account_of(call), actor_of(call), call.argument)

    @rpc_method(argument=OfStaffGrant, result=StaffGrantView, roles=OWNERS, scope="manage")
    def revoke_staff_access(self, call: Call) -> StaffGrantView:
        """Take a staff member's access back, break-glass as well."""
        return staff_handlers.revoke_staff_access(self.store, account_of(call), actor_of(call), call.argument)

    @rpc_method(argument=OfStaffGrant, result=StaffGrantView, roles=OPERATORS, scope="manage")
    def end_staff_access(self, call: Call) -> StaffGrantView:
        """Give an access back, or withdraw what was asked for."""
        return staff_handlers.end_staff_access(self.store, account_of(call), staff_of(call), call.argument)

    @rpc_method(argument=OfStaffGrant, result=StaffSession, roles=OPERATORS, scope="manage")
    def open_staff_session(self, call: Call) -> StaffSession:
        """A token that reads the account's data under an active grant, for a minute."""
        return staff_handlers.open_staff_session(
            self.store, self.runtime.issuer, account_of(call), staff_of(call), call.argument
        )

    @rpc_method(argument=ListStaffGrants, result=StaffGrantPage, roles=MANAGERS | OPERATORS, scope="read")
    def list_staff_grants(self, call: Call) -> StaffGrantPage:
        """A page of the grants for staff, the newest first."""
        return staff_queries.list_staff_grants(self.store, account_of(call), _reader(call), call.argument)

    @rpc_method(argument=OfStaffGrant, result=StaffGrantView, roles=MANAGERS | OPERATORS, scope="read")
    def show_staff_grant(self, call: Call) -> StaffGrantView:
        """One grant for staff."""
        return staff_queries.show_staff_grant(self.store, account_of(call), _reader(call), call.argument)

    @timer(interval=EXPIRE_EVERY_SECONDS)  # type: ignore[untyped-decorator]
    def expire_staff_grants(self) -> None:
        """Writes down which grants are over."""
        staff_handlers.expire_due_grants(self.store)


def staff_of(call: Call) -> str:
    """The staff member who calls. Raises `PermissionRefused` for the operator who is nobody in particular."""
    if not is_id(call.actor.id):
        raise PermissionRefused("This takes a staff member's own id (a random UUID), which the operator's token has not.")
    return call.actor.id


def _reader(call: Call) -> str | None:
    """The staff member who looks at grants; None for the account's own people."""
    return call.actor.id if call.actor.kind == "operator" else None
