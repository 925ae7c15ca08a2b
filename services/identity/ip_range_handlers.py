"""From where users of the account are let in: set by its owners and admins. Read, decide (`ip_ranges.py`), append."""

from __future__ import annotations

from services.identity.commands import IpRanges, SetIpRanges
from services.identity.events import IpRangesSet
from services.identity.handlers import Caller
from services.identity.ip_ranges import choose
from services.identity.permissions import check
from services.identity.queries import ip_ranges_stream, ranges_of, role_held, show_ip_ranges
from shared.work import Store, Work


def set_ip_ranges(store: Store, account_id: str, caller: Caller, command: SetIpRanges) -> IpRanges:
    """Sets the ranges for all sessions, tokens and passwords of the account, from the next request on. The same again is done
    already. Raises `PermissionRefused`, `InvalidArgument`, `Refused` for who would lock themselves out."""

    def decide(work: Work) -> None:
        check(role_held(work, caller.actor_id), "set IP ranges")
        _set(work, choose(command.ranges, command.source))

    store.run(account_id, decide, actor=caller.actor_id)
    return show_ip_ranges(store, account_id)


def clear_ip_ranges(work: Work) -> None:
    """The account has no ranges any more."""
    _set(work, [])


def _set(work: Work, chosen: list[str]) -> None:
    if chosen == ranges_of(work):
        return
    stream = ip_ranges_stream(work.account_id)
    event = IpRangesSet(account_id=work.account_id, count=len(chosen), ranges=chosen)
    work.append(stream, work.versions_of([stream])[stream], [event])
