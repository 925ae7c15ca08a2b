"""The errors a caller can meet, typed, and their form on the wire.

Each has a stable `code`. A message names the field, the rule or the kind of thing, never a value that a person gave us:
errors end up in logs and on screens of other people (security.md, row "errors").
"""

from __future__ import annotations

from typing import ClassVar

Detail = str | int | list[str] | None


class LetheError(Exception):
    """The root of all errors that Lethe raises on purpose. `details` holds ids, names of fields and counts only."""

    code: ClassVar[str] = "internal"
    default: ClassVar[str] = "Something went wrong inside the service; nothing was changed."
    permanent: ClassVar[bool] = False
    """True where trying the same again can't succeed."""

    def __init__(self, message: str = "", **details: Detail) -> None:
        self.message = message or self.default
        self.details = {key: value for key, value in details.items() if value is not None}
        super().__init__(self.message)

    def __reduce__(self) -> tuple[object, ...]:
        return (from_wire, (to_wire(self),))


class InternalError(LetheError):
    """An error that the service did not foresee. Its text stays in the service."""


class InvalidArgument(LetheError):
    """An argument breaks a rule; `details` has the path of the field and the rule, never the value."""

    code = "invalid_argument"
    permanent = True

    def __init__(self, message: str = "", *, field: str = "", rule: str = "", **details: Detail) -> None:
        super().__init__(message or f"{field or 'argument'}: {rule}", field=field, rule=rule, **details)

    @property
    def field(self) -> str:
        return str(self.details.get("field", ""))

    @property
    def rule(self) -> str:
        return str(self.details.get("rule", ""))


class NotFound(LetheError):
    """There is no such thing in this account. Said in the same words of what exists in another account."""

    code = "not_found"
    default = "There is no such thing in this account."
    permanent = True


class Unauthenticated(LetheError):
    """The token is missing, not signed by who may sign it, or over."""

    code = "unauthenticated"
    default = "The token is missing or not valid."
    permanent = True


class PermissionRefused(LetheError):
    """The actor's role does not allow this."""

    code = "permission_refused"
    default = "Your role does not allow this."
    permanent = True


class Conflict(LetheError):
    """The state is not what the command needs."""

    code = "conflict"
    permanent = True


class AlreadyDone(Conflict):
    """The command was done under this idempotency key, and gave a secret that is kept nowhere, so it can't be given again."""

    code = "already_done"
    default = "This was done before. What it gave is kept nowhere, so it can't be shown again: ask anew, under another key."


class VersionConflict(Conflict):
    """Another writer appended to the stream first. Loading the stream again and deciding anew resolves it."""

    code = "version_conflict"
    default = "Another writer changed this at the same time."
    permanent = False


class PreconditionFailed(LetheError):
    """The thing was changed since the caller saw it: it is not in the version that the edit is based on."""

    code = "precondition_failed"
    default = "It was changed since you have seen it. Fetch it again, then change it."
    permanent = True


class AccountSuspended(LetheError):
    """The account is suspended: no login and no access to data for anybody (mission L3)."""

    code = "account_suspended"
    default = "This account is suspended."
    permanent = True


class AccountGone(LetheError):
    """The account has ended: nothing of it is stored any more, and nothing is written for it."""

    code = "account_gone"
    default = "This account is gone."
    permanent = True


class Refused(LetheError):
    """The request is understood and refused, with the reason."""

    code = "refused"
    permanent = True


class PersonErased(LetheError):
    """A write names a person who is erased, or seals under a key that was cut (the tombstone refuses it)."""

    code = "person_erased"
    default = "A person named in this write has been erased."


class UnderHold(LetheError):
    """A legal hold keeps a person from being erased until it has ended (mission E12)."""

    code = "under_hold"
    default = "A legal hold keeps this person until it has ended."


class SecondFactorRequired(LetheError):
    """The login is right so far, and needs the second factor: a code, or switching it on. Said after the password only."""

    code = "second_factor_required"
    default = "This needs a login with the second factor."
    permanent = True


class TooManyTries(LetheError):
    """Failures before this one delay the next try; `details` has `retry_after_seconds`. Nothing was looked at."""

    code = "too_many_tries"
    default = "Too many tries failed. Wait before the next one."


class Busy(LetheError):
    """The service has as much of this work as it can hold; nothing was done. Trying again later is safe."""

    code = "busy"
    default = "The service has too much to do at this moment."


class Unavailable(LetheError):
    """A service or server that is needed does not answer now."""

    code = "unavailable"
    default = "A service that is needed is not available."


class TimedOut(LetheError):
    """No answer came within the time limit. The work may or may not have been done."""

    code = "timed_out"
    default = "No answer came within the time limit."


class Tampered(LetheError):
    """Something that is signed, hashed or sealed is not what it was."""

    code = "tampered"
    permanent = True


class Incomplete(LetheError):
    """Asked for, accepted, and not finished yet."""

    code = "incomplete"


ERRORS: dict[str, type[LetheError]] = {
    error.code: error
    for error in (
        InternalError, InvalidArgument, NotFound, Unauthenticated, PermissionRefused, Conflict, VersionConflict,
        AlreadyDone, PreconditionFailed,
        AccountSuspended, AccountGone, Refused, PersonErased, UnderHold, SecondFactorRequired, TooManyTries, Busy, Unavailable,
        TimedOut, Tampered, Incomplete,
    )
}  # fmt: skip


def to_wire(error: LetheError) -> dict[str, object]:
    """The error as plain data: code, message, details."""
    return {"code": error.code, "message": error.message, "details": dict(error.details)}


def from_wire(data: dict[str, object]) -> LetheError:
    """The typed error again. An unknown code (a newer service's) becomes a plain `LetheError` with its message."""
    kind = ERRORS.get(str(data.get("code")), InternalError)
    details = data.get("details")
    error = kind.__new__(kind)
    LetheError.__init__(error, str(data.get("message", "")), **(details if isinstance(details, dict) else {}))
    return error
