"""Tells a person who saw what of them (GDPR Art. 15): when, for what, in which role, and by which pseudonym.

Not by name: whoever acts under the controller's authority is no recipient in the sense of Art. 15(1)(c), and the person has a
right to the dates and purposes of each look-up, not to the identity of the employee, unless they can't exercise their rights
without it (CJEU C-579/21, 22 June 2023). The pseudonym is made for this person alone: it tells two readers apart, leads to
nobody, and the account, which has the place in the log, can still say who it was. No I/O but reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from services.identity.portal_commands import READ_PLACES, ToldRead, ToldReader, ToldReadPage, ToldReadQuery
from services.identity.user import stream_of
from shared.errors import InvalidArgument
from shared.events import decode_envelope
from shared.person_reads import MOST_GRANTS, PersonRead, PersonReads, ReadsOfPerson
from shared.work import Store, Work

RECORDING = ("contacts", "tickets", "identity")
"""The services that record reads, in the order in which they are told."""

_READS_IN_AN_EVENT = 2**10
"""More than one event holds (`read_buffer.py`: 500)."""
_INDICES = READ_PLACES // 4 // _READS_IN_AN_EVENT
"""2⁴⁰ events of each of up to four services."""

Ask = Callable[[str, ReadsOfPerson], PersonReads]
"""(service, query) → what it recorded."""


def list_told_reads(store: Store, account_id: str, person_id: str, query: ToldReadQuery, ask: Ask) -> ToldReadPage:
    """A page of the reads of a person, one service after another, each in the order of its log."""
    first, index, place = _parts(query.after)
    with store.work(account_id) as work:
        rows = work.fetch(
            "SELECT grant_id FROM staff_grant WHERE account_id = %s ORDER BY requested_at DESC LIMIT %s",
            (account_id, MOST_GRANTS),
        )
    grants = [grant for (grant,) in rows]
    found: list[tuple[str, PersonRead]] = []
    next_after = None
    for number, name in enumerate(RECORDING[first:], first):
        if len(found) == query.limit:
            next_after = _place(number, -1, 0)
            break
        page = ask(
            name,
            ReadsOfPerson(
                person_id=person_id, grant_ids=grants, after_index=index, after_place=place, limit=query.limit - len(found)
            ),
        )
        found += [(name, one) for one in page.reads]
        if page.has_more:
            next_after = _place(number, page.reads[-1].index, page.reads[-1].place)
            break
        index, place = -1, 0
    with store.work(account_id) as work:
        told = _told(work, person_id, found)
    return ToldReadPage(reads=told, next_after=next_after)


def _told(work: Work, person_id: str, found: list[tuple[str, PersonRead]]) -> list[ToldRead]:
    readers = _Readers(work, person_id, {one.actor_id for _, one in found if one.by == "user"})
    return [
        ToldRead(
            at=one.at, by=readers.kind(one), reader=readers.pseudonym(one.actor_id), purpose=one.purpose, service=service,
            method=one.method, index=one.index,
        )
        for service, one in found
    ]  # fmt: skip


class _Readers:
    """Roles and pseudonyms of those who read."""

    def __init__(self, work: Work, person_id: str, users: Iterable[str]) -> None:
        self._index = work.blind_index()
        self._person = person_id
        self._roles: dict[str, list[tuple[datetime, ToldReader]]] = {}
        rows = work.fetch(
            "SELECT envelope FROM event WHERE account_id = %s AND stream = ANY (%s)"
            " AND type = ANY ('{identity.UserAdded,identity.RoleChanged}') ORDER BY stream, version",
            (work.account_id, [stream_of(user) for user in users]),
        )
        for (envelope,) in rows:
            event = decode_envelope(bytes(envelope))
            self._roles.setdefault(event.data["user_id"], []).append((event.time, event.data["role"]))

    def kind(self, one: PersonRead) -> ToldReader:
        """In which role they read: that of the time."""
        if one.by == "staff":
            return "vendor staff"
        held = [role for since, role in self._roles.get(one.actor_id, ()) if since <= one.at]
        return held[-1] if held else "user"

    def pseudonym(self, actor_id: str) -> str:
        """Eight bytes that say, of this person's readers, which one it was."""
        return f"{self._index.token('reader', f'{self._person} {actor_id}') & 0xFFFF_FFFF_FFFF_FFFF:016x}"


def _place(service: int, index: int, place: int) -> int:
    """A place as one number: of the service in `RECORDING`, log index (-1: before the first), place in the event."""
    return (service * _INDICES + index + 1) * _READS_IN_AN_EVENT + place


def _parts(after: int | None) -> tuple[int, int, int]:
    above, place = divmod(after or 0, _READS_IN_AN_EVENT)
    service, index = divmod(above, _INDICES)
    if service >= len(RECORDING):
        raise InvalidArgument(field="after", rule="must be what a page ended with")
    return service, index - 1, place
