"""What somebody who owns the database, the disk and at last the signing key can do to a log of 300 events, one thing each.

Each is done to the log of contacts of an `AuditStage`. `expected` is the finding that must be among those of a verification
with a checkpoint that was kept outside: its kind and its index (None where no event can be named).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from shared.signed_note import SigningKey, read_signing_key, sign_note
from shared.tiles import TILE_WIDTH, tile_path
from tests.integration.audit.audit_stage import AuditStage

SIZE = 300
ENTRY_BYTES = 34
HASH_BYTES = 32
_AT = "(SELECT sequence FROM lethe.log WHERE index = %s)"
_FORGE = (
    "UPDATE lethe.event SET envelope = convert_to(replace(convert_from(envelope, 'UTF8'), 'correspondent', 'quoted'), 'UTF8')"
    f" WHERE sequence = {_AT}"
)
_LEAVES_ANEW = "UPDATE lethe.log SET leaf = sha256(salt || envelope) FROM lethe.event e WHERE e.sequence = log.sequence"
_INSERT = (
    "INSERT INTO lethe.event (account_id, stream, version, event_id, type, schema_version, occurred_at, envelope, salt, sealed)"
    " SELECT account_id, stream, 90, gen_random_uuid(), type, schema_version, occurred_at - interval '1 hour', envelope,"
    " substr(sha256('other'), 1, 16), sealed FROM lethe.event JOIN lethe.log USING (sequence) WHERE index = %s"
    " RETURNING sequence"
)


class Manipulation(NamedTuple):
    """One manipulation, and the finding that names it."""

    do: Callable[[AuditStage], object]
    kind: str
    index: int | None


def _sql(*statements: str) -> Callable[[AuditStage], object]:
    return lambda stage: [stage.as_attacker(statement) for statement in statements]


def _update(assignment: str, index: int) -> Callable[[AuditStage], object]:
    return lambda stage: stage.as_attacker(f"UPDATE lethe.event SET {assignment} WHERE sequence = {_AT}", index)


def _file(path: str, change: Callable[[bytearray], object]) -> Callable[[AuditStage], object]:
    """Changes the bytes of a file of the log."""

    def do(stage: AuditStage) -> None:
        file = stage.tiles() / path
        octets = bytearray(file.read_bytes())
        change(octets)
        _replace(file, bytes(octets))

    return do


def _replace(file: Path, octets: bytes) -> None:
    file.chmod(0o600)
    file.write_bytes(octets)


def _flip(place: int) -> Callable[[bytearray], object]:
    def change(octets: bytearray) -> None:
        octets[place] ^= 1

    return change


def _exchange(one: int, other: int, length: int) -> Callable[[bytearray], object]:
    def change(octets: bytearray) -> None:
        first, second = octets[one : one + length], octets[other : other + length]
        octets[one : one + length], octets[other : other + length] = second, first

    return change


def _truncate(count: int) -> Callable[[bytearray], object]:
    def change(octets: bytearray) -> None:
        del octets[-count:]

    return change


def _insert_row(stage: AuditStage) -> None:
    sequence = stage.as_attacker(_INSERT, 10)[0][0]
    stage.as_attacker(
        "UPDATE lethe.log SET index = index + 1000001 WHERE index >= 100;"
        " UPDATE lethe.log SET index = index - 1000000 WHERE index > 999999"
    )
    stage.as_attacker(
        "INSERT INTO lethe.log (index, sequence, leaf, term) SELECT 100, sequence, sha256(salt || envelope), 1"
        " FROM lethe.event WHERE sequence = %s",
        sequence,
    )


def _insert_unsigned(index: int) -> Callable[[AuditStage], object]:
    """An event with an index that no checkpoint covers, and that will be indexed in a thousand years."""

    def do(stage: AuditStage) -> None:
        sequence = stage.as_attacker(_INSERT, 10)[0][0]
        stage.as_attacker(
            "INSERT INTO lethe.log (index, sequence, leaf, term, indexed_at)"
            " SELECT %s, sequence, sha256(salt || envelope), 1, '2999-01-01' FROM lethe.event WHERE sequence = %s",
            index, sequence,
        )  # fmt: skip

    return do


def _call_no_key_cut(stage: AuditStage) -> None:
    """The event at 30 says that keys were cut whose ids are none."""
    stage.as_attacker(
        "UPDATE lethe.event SET envelope = convert_to(replace(convert_from(envelope, 'UTF8'), '\"data\":{',"
        f" '\"data\":{{\"keys\":[\"-00000000000000f\",\"0x1234567890abcd\"],'), 'UTF8') WHERE sequence = {_AT}", 30
    )


def _swap_parts(stage: AuditStage) -> None:
    stage.as_attacker(
        "CREATE TEMP TABLE pair AS SELECT index, sequence, sealed FROM lethe.event JOIN lethe.log USING (sequence)"
        " WHERE index IN (31, 34); UPDATE lethe.event e SET sealed = (SELECT sealed FROM pair WHERE sequence <> e.sequence)"
        " WHERE sequence IN (SELECT sequence FROM pair)"
    )


def _forge_all(stage: AuditStage) -> None:
    """An event, its row, every leaf: the database is whole in itself again."""
    stage.as_attacker(_FORGE, 30)
    stage.as_attacker(_LEAVES_ANEW)


def _rewrite_all(stage: AuditStage) -> None:
    _forge_all(stage)
    stage.sign_anew()


def _rewrite_all_but_checkpoint(stage: AuditStage) -> None:
    note = stage.note()
    _rewrite_all(stage)
    _replace(stage.tiles() / "checkpoint", note)


def _drop_and_rewrite_all(stage: AuditStage) -> None:
    """An event is gone, all later ones moved up, and tiles and checkpoint say so."""
    stage.as_attacker(
        f"DELETE FROM lethe.event WHERE sequence = {_AT}; DELETE FROM lethe.log WHERE index = 50;"
        " UPDATE lethe.log SET index = index + 999999 WHERE index > 50;"
        " UPDATE lethe.log SET index = index - 1000000 WHERE index > 999999",
        50,
    )
    stage.sign_anew()


def _truncate_all(stage: AuditStage) -> None:
    _sql(*_CUT_TAIL)(stage)
    stage.sign_anew()


def _insert_and_rewrite_all(stage: AuditStage) -> None:
    _insert_row(stage)
    stage.sign_anew()


def _another_key(stage: AuditStage) -> SigningKey:
    """A key of the log's name, of which the public half is put in the place of the right one."""
    key = SigningKey.generate("test/contacts")
    (stage.home / "verifiers" / "log-contacts.vkey").write_text(str(key.verifier) + "\n")
    return key


def _sign_with_another_key(stage: AuditStage) -> None:
    text = stage.note().decode().rpartition("\n\n")[0] + "\n"
    _replace(stage.tiles() / "checkpoint", sign_note(text, _another_key(stage)))


def _rewrite_all_with_another_key(stage: AuditStage) -> None:
    _forge_all(stage)
    stage.sign_anew(key=_another_key(stage))


def _sign_unknown(stage: AuditStage) -> None:
    text = stage.note().decode().rpartition("\n\n")[0] + "\n"
    _replace(stage.tiles() / "checkpoint", sign_note(text, SigningKey.generate("test/contacts")))


def _older_checkpoint(stage: AuditStage) -> None:
    """A checkpoint over the first 256 events, signed by the log's key, in the place of the newest."""
    whole = stage.note()
    stage.as_attacker("CREATE TABLE public.tail AS SELECT * FROM lethe.log WHERE index >= 256")
    stage.as_attacker("DELETE FROM lethe.log WHERE index >= 256")
    older = stage.sign_anew()
    stage.as_attacker("INSERT INTO lethe.log TABLE public.tail; DROP TABLE public.tail")
    _replace(stage.tiles() / "checkpoint", whole)
    stage.sign_anew()
    _replace(stage.tiles() / "checkpoint", older)


def _another_logs_checkpoint(stage: AuditStage) -> None:
    key = read_signing_key(stage.settings.path("root-keys", "contacts", "log-signer.key"))
    text = stage.note().decode().rpartition("\n\n")[0].replace("test/contacts", "test/tickets") + "\n"
    _replace(stage.tiles() / "checkpoint", sign_note(text, key))


def _sign_no_end(stage: AuditStage) -> None:
    """A checkpoint of so many events that nobody could count them, signed by the log's own key."""
    key = read_signing_key(stage.settings.path("root-keys", "contacts", "log-signer.key"))
    origin, size, rest = stage.note().decode().rpartition("\n\n")[0].split("\n", 2)
    _replace(stage.tiles() / "checkpoint", sign_note(f"{origin}\n{int(size) * 10**15}\n{rest}\n", key))


def _line(octets: bytearray) -> None:
    octets[octets.index(b"\n\n") : octets.index(b"\n\n")] = b"\none more line"


_CUT_TAIL = (
    "DELETE FROM lethe.event WHERE sequence IN (SELECT sequence FROM lethe.log WHERE index >= 290)",
    "DELETE FROM lethe.log WHERE index >= 290",
)
_BUNDLE, _LAST_BUNDLE = tile_path("entries", 0), tile_path("entries", 1, SIZE - TILE_WIDTH)
_TILE, _LAST_TILE, _UPPER = tile_path(0, 0), tile_path(0, 1, SIZE - TILE_WIDTH), tile_path(1, 0, 1)

MANIPULATIONS: dict[str, Manipulation] = {
    # rows
    "rows: flip a bit of an envelope": Manipulation(
        _update("envelope = set_byte(envelope, 60, get_byte(envelope, 60) # 1)", 30), "changed", 30
    ),
    "rows: flip a bit of a salt": Manipulation(_update("salt = set_byte(salt, 3, get_byte(salt, 3) # 1)", 30), "changed", 30),
    "rows: flip a bit of a leaf": Manipulation(
        _sql("UPDATE lethe.log SET leaf = set_byte(leaf, 0, get_byte(leaf, 0) # 1) WHERE index = 299"), "changed", 299
    ),
    "rows: change an envelope and its leaf": Manipulation(_forge_all, "changed", 30),
    "rows: change each query column": Manipulation(
        _update(
            "account_id = gen_random_uuid(), stream = stream || 'x', version = 91, event_id = gen_random_uuid(),"
            " type = 'contacts.X', schema_version = 9, occurred_at = occurred_at + interval '1 us'",
            44,
        ),
        "changed", 44,
    ),
    "rows: delete an event": Manipulation(_sql(f"DELETE FROM lethe.event WHERE sequence = {_AT % 50}"), "dropped", 50),
    "rows: delete an event with its index": Manipulation(
        _sql(f"DELETE FROM lethe.event WHERE sequence = {_AT % 50}", "DELETE FROM lethe.log WHERE index = 50"), "dropped", 50
    ),
    "rows: delete an index": Manipulation(_sql("DELETE FROM lethe.log WHERE index = 60"), "dropped", 60),
    "rows: insert an event with an index": Manipulation(_insert_row, "inserted", 100),
    "rows: insert an event without an index": Manipulation(lambda stage: stage.as_attacker(_INSERT, 10), "inserted", None),
    "rows: insert an event that was indexed in the future": Manipulation(_insert_unsigned(300), "inserted", 300),
    "rows: insert an event far beyond the end": Manipulation(_insert_unsigned(2**62 + 5), "inserted", 2**62 + 5),
    "rows: flip a byte to what is no text": Manipulation(_update("envelope = set_byte(envelope, 20, 255)", 30), "changed", 30),
    "rows: change an envelope to what is nested too deep": Manipulation(
        _update("envelope = convert_to(repeat('[', 5000) || repeat(']', 5000), 'UTF8')", 30), "changed", 30
    ),
    "rows: change an envelope to what calls no key cut": Manipulation(_call_no_key_cut, "changed", 30),
    "checkpoints: sign a size without end": Manipulation(_sign_no_end, "truncated", 256),
    "rows: swap two events": Manipulation(
        _sql(
            "CREATE TEMP TABLE pair AS SELECT * FROM lethe.log WHERE index IN (20, 200);"
            " DELETE FROM lethe.log WHERE index IN (20, 200);"
            " INSERT INTO lethe.log SELECT 220 - index, sequence, leaf, term, indexed_at FROM pair"
        ),
        "swapped", 20,
    ),
    "rows: truncate the tail": Manipulation(_sql(*_CUT_TAIL), "truncated", 290),
    "rows: truncate all": Manipulation(_sql("DELETE FROM lethe.log", "DELETE FROM lethe.event"), "truncated", 0),
    # sealed parts
    "sealed parts: flip a bit": Manipulation(
        _update("sealed[1] = set_byte(sealed[1], 40, get_byte(sealed[1], 40) # 1)", 31), "changed", 31
    ),
    "sealed parts: delete one": Manipulation(_update("sealed[1] = NULL", 31), "unexplained prune", 31),
    "sealed parts: delete the list": Manipulation(_update("sealed = '{}'", 31), "changed", 31),
    "sealed parts: change the list to one of lists": Manipulation(_update("sealed = ARRAY[sealed]", 31), "changed", 31),
    "sealed parts: change where the list begins": Manipulation(
        _update("sealed = ('[5:5]={\"\\\\x' || encode(sealed[1], 'hex') || '\"}')::bytea[]", 31), "changed", 31
    ),
    "sealed parts: insert one": Manipulation(_update("sealed = sealed || '\\x01'::bytea", 31), "changed", 31),
    "sealed parts: swap two": Manipulation(_swap_parts, "changed", 34),
    "sealed parts: truncate one": Manipulation(
        _update("sealed[1] = substr(sealed[1], 1, octet_length(sealed[1]) - 1)", 31), "changed", 31
    ),
    # tiles
    "tiles: flip a bit of an entry": Manipulation(_file(_BUNDLE, _flip(7 * ENTRY_BYTES + 20)), "changed", 7),
    "tiles: flip a bit of the last entry": Manipulation(_file(_LAST_BUNDLE, _flip(-1)), "changed", 299),
    "tiles: flip a bit of a hash": Manipulation(_file(_TILE, _flip(7 * HASH_BYTES)), "changed", 7),
    "tiles: flip a bit of the last hash": Manipulation(_file(_LAST_TILE, _flip(-1)), "changed", 299),
    "tiles: flip a bit of an upper hash": Manipulation(_file(_UPPER, _flip(0)), "changed", 0),
    "tiles: delete entries": Manipulation(lambda stage: (stage.tiles() / _BUNDLE).unlink(), "truncated", 0),
    "tiles: delete the last entries": Manipulation(lambda stage: (stage.tiles() / _LAST_BUNDLE).unlink(), "truncated", 256),
    "tiles: delete hashes": Manipulation(lambda stage: (stage.tiles() / _TILE).unlink(), "truncated", 0),
    "tiles: delete upper hashes": Manipulation(lambda stage: (stage.tiles() / _UPPER).unlink(), "truncated", 0),
    "tiles: insert an entry": Manipulation(
        _file(_BUNDLE, lambda octets: octets.__setitem__(slice(0, 0), octets[:ENTRY_BYTES])), "changed", 1
    ),
    "tiles: insert an entry behind the last": Manipulation(
        _file(_BUNDLE, lambda octets: octets.extend(octets[:ENTRY_BYTES])), "changed", None
    ),
    "tiles: insert a hash behind the last": Manipulation(
        _file(_UPPER, lambda octets: octets.extend(octets[:HASH_BYTES])), "changed", None
    ),
    "tiles: swap two entries": Manipulation(
        _file(_BUNDLE, _exchange(7 * ENTRY_BYTES, 9 * ENTRY_BYTES, ENTRY_BYTES)), "changed", 7
    ),
    "tiles: swap two hashes": Manipulation(_file(_TILE, _exchange(7 * HASH_BYTES, 9 * HASH_BYTES, HASH_BYTES)), "changed", 9),
    "tiles: truncate entries": Manipulation(_file(_LAST_BUNDLE, _truncate(ENTRY_BYTES)), "changed", 256),
    "tiles: truncate hashes": Manipulation(_file(_TILE, _truncate(HASH_BYTES)), "changed", 0),
    "tiles: rewrite under the old checkpoint": Manipulation(_rewrite_all_but_checkpoint, "forked", None),
    # checkpoints
    "checkpoints: flip a bit of the root": Manipulation(
        _file("checkpoint", lambda octets: _flip(octets.index(b"\n300\n") + 8)(octets)), "forked", None
    ),
    "checkpoints: flip a bit of the signature": Manipulation(_file("checkpoint", _flip(-20)), "forked", None),
    "checkpoints: delete it": Manipulation(lambda stage: (stage.tiles() / "checkpoint").unlink(), "truncated", 0),
    "checkpoints: insert a line": Manipulation(_file("checkpoint", _line), "forked", None),
    "checkpoints: swap it for another log's": Manipulation(_another_logs_checkpoint, "forked", None),
    "checkpoints: truncate it": Manipulation(_file("checkpoint", _truncate(30)), "forked", None),
    "checkpoints: put an older one in its place": Manipulation(_older_checkpoint, "truncated", 256),
    "checkpoints: sign with an unknown key": Manipulation(_sign_unknown, "forked", None),
    "checkpoints: sign with another key, published as the log's": Manipulation(_sign_with_another_key, "forked", None),
    # all of it, by somebody who owns database, disk and signing key
    "all: change an event": Manipulation(_rewrite_all, "forked", None),
    "all: drop an event": Manipulation(_drop_and_rewrite_all, "truncated", 299),
    "all: insert an event": Manipulation(_insert_and_rewrite_all, "forked", None),
    "all: truncate the tail": Manipulation(_truncate_all, "truncated", 290),
    "all: change an event and sign with another key": Manipulation(_rewrite_all_with_another_key, "forked", None),
}  # fmt: skip
