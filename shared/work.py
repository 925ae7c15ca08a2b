"""The unit of work: one transaction in which events are appended, rows projected and keys minted, sent as one batch.

Place in the way of an event: `handlers.py` decides and calls `append`; here the personal fields are sealed, the service's
projection adds its rows, and everything goes to the server in one call (round trips cost more than anything else). The
locks come first in the batch and in one order: persons, then keys, then the rest. After the commit the relay is woken.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple, TypeVar

from msgspec import UNSET

from shared import clock, door
from shared.blind_index import BlindIndex
from shared.database import AlreadyHandled, Call, ConnectionLost, Database, KeyChanged, Statement, Transaction
from shared.errors import NotFound, Tampered, Unavailable, VersionConflict
from shared.events import Envelope, Event, EventTypes, Recorded, SealedField, canonical, decode_envelope, sealed_digest
from shared.failpoints import failpoint
from shared.ids import new_id
from shared.keys import AccountKey, KeyTree, account_item
from shared.personal import ERASED, Erased, Personal
from shared.put_back import refuse_if_put_back
from shared.root_keys import RootKeys
from shared.sealing import SealingKey, new_key, open_sealed, place_of, sealed_key_id
from shared.settings import Settings
from shared.wakeup import send_wakeup

T = TypeVar("T")

TRIES = 8
"""How often a decision is made anew when another writer was first."""

_ITEM_KEYS = (
    "SELECT k.key_id, k.item_id, k.wrapped, a.generation, a.epoch, a.wrapped FROM keys.item_key k"
    " JOIN keys.account_key a USING (account_id, generation)"
)
"""Item keys with the account keys that they are wrapped under, of one moment: a rotation replaces both."""

SYSTEM_ACTOR = "00000000-0000-0000-0000-000000000000"


Project = Callable[[Recorded], Iterable[Statement]]


class SealedValue(NamedTuple):
    """Where a sealed value of a read model came from: all that is needed to open it."""

    sealed: bytes | memoryview | None
    stream: str
    event_id: str
    type: str
    field: str


class Store:
    """One service's database, event types, projection and key tree: what a unit of work is made from."""

    def __init__(
        self, types: EventTypes, project: Project, settings: Settings, *, role: str = "service", pool_size: int = 12
    ) -> None:
        self.service = types.service
        self.types = types
        self.project = project
        self.settings = settings
        self.keys = KeyTree(types.service, RootKeys(settings.path("root-keys"), types.service))
        self.database = Database(
            settings.database_url(types.service, role), pool_size, partial(refuse_if_put_back, settings, types.service)
        )
        self._wake_path = settings.path("run", f"relay-{types.service}.sock")

    def run(
        self, account_id: str, decide: Callable[[Work], T], *, actor: str = SYSTEM_ACTOR, causation: str | None = None
    ) -> T:
        """Runs `decide` in a unit of work and commits; decides anew when another writer was first.

        Raises what `decide` raises, `PersonErased` when the write came after a cut, `VersionConflict` after `TRIES`.
        """
        for attempt in range(TRIES):
            try:
                with self.work(account_id, actor=actor, causation=causation) as work:
                    return decide(work)
            except (VersionConflict, KeyChanged):
                self.keys.forget(account_id)
                if attempt == TRIES - 1:
                    raise VersionConflict() from None
            except ConnectionLost:  # nothing was committed, or doing it again changes nothing
                if attempt == TRIES - 1:
                    raise Unavailable("the database can't be reached") from None
            time.sleep(random.uniform(0, 0.02 * 2**attempt))
        raise AssertionError("unreachable")

    def react(
        self, account_id: str, reaction: str, event_id: str, decide: Callable[[Work], object], *, actor: str = SYSTEM_ACTOR
    ) -> bool:
        """As `run`, for a reaction to an event: with its row in the inbox, and done once. False if it had been done before
        (or by a try whose answer was lost)."""

        def decide_once(work: Work) -> None:
            work.note_handled(reaction, event_id)
            decide(work)

        try:
            self.run(account_id, decide_once, actor=actor, causation=event_id)
        except AlreadyHandled:
            return False
        return True

    def look(self, account_id: str, sql: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Rows of one query that is a transaction by itself, in one round trip: for what is looked at in every call."""
        with self.database.transaction(account_id) as transaction:
            return transaction.fetch_alone(sql, values)

    @contextmanager
    def work(self, account_id: str, *, actor: str = SYSTEM_ACTOR, causation: str | None = None) -> Iterator[Work]:
        """A unit of work that commits at the end of the block and rolls back on an exception."""
        with self.database.transaction(account_id) as transaction:
            work = Work(self, transaction, account_id, actor, causation)
            yield work
            appended = work.commit()
        if appended:
            self.wake_relay()

    def wake_relay(self) -> None:
        """Tells the relay that there is something to take up. It polls as well, so a lost datagram costs a moment only."""
        send_wakeup(self._wake_path)


class Work:
    """One transaction. Reads go to the server at once; writes are gathered and sent as one batch at `commit`."""

    def __init__(self, store: Store, transaction: Transaction, account_id: str, actor: str, causation: str | None) -> None:
        self.store = store
        self.account_id = account_id
        self.actor = actor
        self.causation = causation
        self.now = clock.now()
        self._transaction = transaction
        self._persons: set[str] = set()
        self._held: dict[str, SealingKey] = {}
        self._minted: dict[str, SealingKey] = {}
        self._opened: dict[str, SealingKey] = {}
        self._mints: list[Call] = []
        self._pending: list[Statement | Call] = []
        self._appended = 0
        self._has_changed = False
        self._is_repeatable = False

    # -- reading

    def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a query, read now. Row-level security shows this account's rows only."""
        return self._transaction.fetch(sql, values)

    def fetch_one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row of a query, or None."""
        rows = self.fetch(sql, values)
        return rows[0] if rows else None

    def load(self, stream: str) -> list[Recorded]:
        """A stream's events in order, without opening what is sealed."""
        rows = self.fetch(
            "SELECT envelope, sealed FROM lethe.event WHERE account_id = %s AND stream = %s ORDER BY version",
            (self.account_id, stream),
        )
        return [self._recorded(bytes(envelope), sealed) for envelope, sealed in rows]

    def load_part(self, stream: str, after: int, limit: int) -> list[Recorded]:
        """At most `limit` of a stream's events, from after a version."""
        rows = self.fetch(
            "SELECT envelope, sealed FROM lethe.event WHERE account_id = %s AND stream = %s AND version > %s"
            " ORDER BY version LIMIT %s",
            (self.account_id, stream, after, limit),
        )
        return [self._recorded(bytes(envelope), sealed) for envelope, sealed in rows]

    def versions_of(self, streams: Sequence[str]) -> dict[str, int]:
        """The last version of each stream; 0 for one that does not exist."""
        rows = self.fetch(
            "SELECT wanted, (SELECT max(version) FROM lethe.event WHERE account_id = %s AND stream = wanted)"
            " FROM unnest(%s::text[]) AS wanted",
            (self.account_id, list(streams)),
        )
        return {stream: version or 0 for stream, version in rows}

    def open(self, values: Sequence[SealedValue]) -> list[Any]:
        """Opens sealed values: each becomes its value, `ERASED` where its key is cut or its bytes are pruned."""
        names = {sealed_key_id(bytes(value.sealed)) for value in values if value.sealed is not None}
        keys = self._keys_by_id(names) if names else {}
        return [self._open_one(value, keys) for value in values]

    def _open_one(self, value: SealedValue, keys: dict[bytes, bytes]) -> Any:
        if value.sealed is None:
            return ERASED
        sealed = bytes(value.sealed)
        key = keys.get(sealed_key_id(sealed))
        if key is None:
            return ERASED
        place = place_of(self.store.service, value.stream, value.event_id, value.type, value.field)
        return self.store.types.decode_value(value.type, value.field, open_sealed(key, sealed, place))

    def item_keys(self, items: Iterable[str]) -> dict[str, bytes]:
        """The living keys of these items, read now; an item that has none (cut, or never minted) is left out."""
        found = self._living_keys("k.item_id = ANY (%s::uuid[])", sorted(set(items)))
        return {item: key for _, item, key in found}

    def _keys_by_id(self, names: Iterable[bytes]) -> dict[bytes, bytes]:
        return {name: key for name, _, key in self._living_keys("k.key_id = ANY (%s::bytea[])", list(names))}

    def _living_keys(self, condition: str, value: Sequence[Any]) -> list[tuple[bytes, str, bytes]]:
        """(key id, item, key) of the item keys that meet a condition with one value."""
        look = f"{_ITEM_KEYS} WHERE k.account_id = %s AND {condition}"
        try:
            return [self._unwrapped(*row) for row in self.fetch(look, (self.account_id, value))]
        except (NotFound, Tampered):
            # An epoch may have ended between our look at the rows and at its root key: the rows are under the next one by now
            return [self._unwrapped(*row) for row in self.fetch(look, (self.account_id, value))]

    def _unwrapped(
        self, name: Any, item: str, wrapped: Any, generation: int, epoch: int, account_wrapped: Any
    ) -> tuple[bytes, str, bytes]:
        keys = self.store.keys
        account_key = keys.unwrap_account_key(self.account_id, generation, epoch, bytes(account_wrapped))
        return bytes(name), item, keys.unwrap_item_key(self.account_id, account_key, item, bytes(wrapped))

    def cut_persons(self, persons: Iterable[str]) -> set[str]:
        """Which of these persons have a tombstone here."""
        rows = self.fetch(
            "SELECT person_id FROM keys.person"
            " WHERE account_id = %s AND person_id = ANY (%s::uuid[]) AND cut_at IS NOT NULL",
            (self.account_id, sorted(set(persons))),
        )
        return {person for (person,) in rows}

    # -- writing

    def change(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Rows of a statement that changes something and whose answer is needed now. Committed with the rest."""
        self._has_changed = True
        return self.fetch(sql, values)

    def later(self, sql: str, values: Sequence[Any] = ()) -> None:
        """A statement for the batch, in order with the others."""
        self._pending.append(Statement(sql, tuple(values)))

    def lock_persons(self, persons: Sequence[str]) -> None:
        """Takes the persons' rows alone until the commit, in the order of their ids: meanwhile nobody cuts them, seals anything
        of theirs, or places a hold on them."""
        self.change("SELECT keys.lock_persons(%s, %s::uuid[])", (self.account_id, list(persons)))

    def pin_persons(self, persons: Iterable[str]) -> None:
        """Shares the rows of these persons until the commit, which is refused (`PersonErased`) if one has a tombstone."""
        self._persons.update(persons)

    def append(self, stream: str, expected_version: int, events: Sequence[Event]) -> list[Recorded]:
        """Appends events to a stream whose last version is `expected_version`, with their rows.

        Personal fields are sealed under the item keys that their declarations name; a key is minted where the item has
        none. Raises at commit: `VersionConflict`, `PersonErased`.
        """
        self._prepare_keys(stream, expected_version, events)
        recorded = []
        for place, event in enumerate(events):
            one = self._record(stream, expected_version + 1 + place, event)
            self._pending.extend(self.store.project(one))
            recorded.append(one)
        return recorded

    def note_handled(self, reaction: str, event_id: str) -> None:
        """The inbox row of a reaction, in this transaction. `AlreadyHandled` at commit if there is one; see `Store.react`."""
        self._pending.append(Call("lethe.note_handled(%s, %s, %s)", (self.account_id, reaction, event_id)))
        self.mark_repeatable()

    def mark_repeatable(self) -> None:
        """Says that deciding and doing this again, although it was committed, changes nothing and gives the same answer. So
        it may be tried again when the answer to the commit is lost, and the commit need not wait for a message of its own."""
        self._is_repeatable = True

    def share_item(self, item_id: str, person_id: str) -> None:
        """Makes a person a further owner of an item, so that it is cut with its last one."""
        self.item_key_for_writing(item_id, stream="", persons=())
        self.pin_persons((person_id,))
        self.later(
            "INSERT INTO keys.item_person (account_id, item_id, person_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (self.account_id, item_id, person_id),
        )

    def item_key_for_writing(self, item_id: str, *, stream: str, persons: Sequence[str]) -> bytes:
        """The key to seal under for an item: held, or minted for `stream` and `persons` where there is none."""
        self._prepare_items({item_id: (stream, tuple(persons), False)})
        return (self._minted.get(item_id) or self._held[item_id]).key

    def secret(self, purpose: str) -> bytes:
        """A key of the account itself for one purpose, made at its first use (blind index, suppression)."""
        item = account_item(self.account_id, purpose)
        return self.item_key_for_writing(item, stream=_stream_of_account(self.account_id), persons=())

    def keep_secret(self, purpose: str, key: bytes) -> None:
        """Keeps a key that `secret` gave before the database forgot it, unless the account has one."""
        item = account_item(self.account_id, purpose)
        if not self.item_keys([item]):
            self._mint(item, _stream_of_account(self.account_id), (), key)

    def blind_index(self) -> BlindIndex:
        """Makes the tokens of this account in this service."""
        return BlindIndex(self.secret("index"))

    def commit(self) -> bool:
        """Sends the batch and commits. True if events were appended."""
        if not (self._pending or self._mints or self._persons or self._has_changed):
            return False
        if self._is_repeatable:
            batch = self._gathered()
            failpoint(f"{self.store.service}.before-commit")
            self._transaction.send_and_commit(batch)
        else:
            self.flush()
            failpoint(f"{self.store.service}.before-commit")
            self._transaction.commit()
        failpoint(f"{self.store.service}.after-commit")
        for item, key in (*self._opened.items(), *self._minted.items()):
            self.store.keys.keep_for_writing(self.account_id, item, key)
        return self._appended > 0

    def flush(self) -> None:
        """Sends what is gathered so far, so that later reads of this work see it. The transaction stays open."""
        batch = self._gathered()
        if batch:
            self._has_changed = True
            self._transaction.send(batch)

    def _gathered(self) -> list[Statement | Call]:
        """Takes what was gathered, with the locks that it needs before it: persons first, then keys."""
        pins: list[Statement | Call] = []
        persons, names = sorted(self._persons), sorted([key.id for key in self._held.values()])
        if persons and names:
            pins.append(Call("keys.pin_both(%s, %s::uuid[], %s::bytea[])", (self.account_id, persons, names)))
        elif persons:
            pins.append(Call("keys.pin_persons(%s, %s::uuid[])", (self.account_id, persons)))
        elif names:
            pins.append(Call("keys.pin_keys(%s, %s::bytea[])", (self.account_id, names)))
        batch = [*pins, *self._mints, *self._pending]
        self._persons, self._mints, self._pending = set(), [], []
        return batch

    # -- keys

    def _prepare_keys(self, stream: str, expected_version: int, events: Sequence[Event]) -> None:
        wanted: dict[str, tuple[str, tuple[str, ...], bool]] = {}
        for event in events:
            for field, personal in self.store.types.personal[type(event)].items():
                value = getattr(event, field)
                if value is None or isinstance(value, Erased):
                    continue
                item = getattr(event, personal.item)
                persons = _persons_of(event, personal)
                self._persons.update(persons)
                # an item whose stream begins here and that carries the stream's own id can't have a key yet
                wanted.setdefault(item, (stream, persons, expected_version == 0 and stream.endswith(item)))
        self._prepare_items(wanted)

    def _prepare_items(self, wanted: dict[str, tuple[str, tuple[str, ...], bool]]) -> None:
        missing = {}
        for item, (stream, persons, is_new) in wanted.items():
            if item in self._minted or item in self._held:
                continue
            kept = self.store.keys.kept_for_writing(self.account_id, item)
            if kept is not None:
                self._held[item] = kept
            else:
                missing[item] = (stream, persons, is_new)
        lookup = [item for item, (_, _, is_new) in missing.items() if not is_new]
        found = self.item_keys(lookup) if lookup else {}
        for item, (stream, persons, _) in missing.items():
            if item in found:
                self._held[item] = self._opened[item] = SealingKey(found[item])
            else:
                self._mint(item, stream, persons)

    def _mint(self, item: str, stream: str, persons: tuple[str, ...], given: bytes | None = None) -> None:
        if not stream:
            raise NotFound()
        account_key = self._newest_account_key()
        key = SealingKey(given or new_key())
        wrapped = self.store.keys.wrap_item_key(self.account_id, account_key.key, item, key.key)
        self._minted[item] = key
        self._persons.update(persons)
        self._mints.append(
            Call(
                "keys.mint(%s, %s, %s, %s, %s, %s, %s::uuid[])",
                (self.account_id, item, key.id, stream, account_key.generation, wrapped, list(persons)),
            )
        )

    def _newest_account_key(self) -> AccountKey:
        kept = self.store.keys.newest(self.account_id)
        if kept is not None:
            return kept
        row = self._newest_account_key_row()
        if row is None:
            epoch, wrapped, _ = self.store.keys.new_account_key(self.account_id, 1)
            self.change(
                "INSERT INTO keys.account_key (account_id, generation, epoch, wrapped, created_at)"
                " VALUES (%s, 1, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1",
                (self.account_id, epoch, wrapped, self.now),
            )
            if not self.store.keys.has_root(epoch):
                # A rotation ended between our look and our row. It waits for rows that are on their way, so one that is
                # there while the root is can't be left behind
                raise KeyChanged("the epoch has ended")
            row = self._newest_account_key_row()
            assert row is not None
        generation, epoch, wrapped = row
        try:
            key = self.store.keys.unwrap_account_key(self.account_id, generation, epoch, bytes(wrapped))
        except NotFound:
            raise KeyChanged("the epoch has ended") from None
        self.store.keys.keep_newest(self.account_id, AccountKey(generation, key))
        return AccountKey(generation, key)

    def _newest_account_key_row(self) -> tuple[Any, ...] | None:
        return self.fetch_one(
            "SELECT generation, epoch, wrapped FROM keys.account_key WHERE account_id = %s ORDER BY generation DESC LIMIT 1",
            (self.account_id,),
        )

    # -- events

    def _record(self, stream: str, version: int, event: Event) -> Recorded:
        event_id = new_id()
        name = self.store.types.name_of(event)
        sealed: dict[str, bytes | None] = {}
        fields: list[SealedField] = []
        for field, personal in self.store.types.personal[type(event)].items():
            plain = self.store.types.encode_value(event, field)
            if plain is None:
                continue
            item = getattr(event, personal.item)
            key = self._minted.get(item) or self._held[item]
            part = key.seal(plain, place_of(self.store.service, stream, event_id, name, field))
            sealed[field] = part
            fields.append(SealedField(digest=sealed_digest(part), field=field, item=item, key=key.id.hex()))
        envelope = Envelope(
            account=self.account_id, actor=self.actor, causation=self.causation, data=self.store.types.public_data(event),
            door=door.current() or UNSET, event=event_id, schema=type(event).schema_version, sealed=fields,
            service=self.store.service, stream=stream, time=self.now, type=name, version=version,
        )  # fmt: skip
        raw = canonical(envelope)
        self._pending.append(
            Call(
                "lethe.append_event(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::bytea[])",
                (
                    self.account_id, stream, version, event_id, name, envelope.schema, self.now, raw, os.urandom(16),
                    list(sealed.values()),
                ),
            )
        )  # fmt: skip
        self._appended += 1
        return Recorded(envelope=envelope, event=event, sealed=sealed)

    def _recorded(self, raw: bytes, parts: Sequence[Any]) -> Recorded:
        envelope = decode_envelope(raw)
        sealed = {
            field.field: None if part is None else bytes(part)
            for field, part in zip(envelope.sealed, parts, strict=True)
        }
        return Recorded(envelope=envelope, event=self.store.types.decode(envelope), sealed=sealed)


def _stream_of_account(account_id: str) -> str:
    return f"account/{account_id}"


def _persons_of(event: Event, personal: Personal) -> tuple[str, ...]:
    if personal.person is None:
        return ()
    value = getattr(event, personal.person)
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


__all__ = ["SYSTEM_ACTOR", "Project", "SealedValue", "Statement", "Store", "Work"]
