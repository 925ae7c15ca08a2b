"""Manipulations by somebody who may change the schema as well: a column has another type, a check is gone, a row holds bytes of
another. Each is found, or the database is said to be unreadable; nothing ends a verification untyped (mission A2)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from audit.verify import verify
from shared.errors import Unavailable
from tests.integration.audit.audit_stage import AuditStage

AT = "(SELECT sequence FROM lethe.log WHERE index = 31)"
_NO_CHECKS = (
    "DO $$ DECLARE one record; BEGIN FOR one IN SELECT conname, conrelid::regclass AS of FROM pg_constraint WHERE contype = 'c'"
    " AND conrelid IN ('lethe.event'::regclass, 'lethe.log'::regclass)"
    " LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', one.of, one.conname); END LOOP; END $$;"
)
_AS_SENT = """
    int4send(4) || int4send(version) || int4send(4) || int4send(schema_version) || int4send(8) || timestamptz_send(occurred_at)
    || int4send(16) || uuid_send(event_id) || int4send(16) || uuid_send(account_id) || int4send(4)
    || int4send(octet_length(stream)) || int4send(4) || int4send(octet_length(type)) || int4send(4)
    || int4send(octet_length(envelope)) || int4send(octet_length(stream)) || convert_to(stream, 'UTF8')
    || int4send(octet_length(type)) || convert_to(type, 'UTF8') || int4send(16 + octet_length(envelope)) || salt || envelope
    || int4send(octet_length(array_send(sealed))) || array_send(sealed)
"""
_EVENT_IN_ITS_LEAF = (
    f"{_NO_CHECKS} UPDATE lethe.log l SET leaf = leaf || {_AS_SENT} FROM lethe.event e WHERE e.sequence = l.sequence"
    " AND index = 31"
)

FOUND = {
    "the event stands in its leaf, and is gone": f"{_EVENT_IN_ITS_LEAF}; DELETE FROM lethe.event WHERE sequence = {AT}",
    "the event stands in its leaf, and another in its place": (
        f"{_EVENT_IN_ITS_LEAF}; UPDATE lethe.event SET envelope = convert_to(repeat('x', octet_length(envelope)), 'UTF8')"
        f" WHERE sequence = {AT}"
    ),
    "the event stands in its salt": (
        f"{_NO_CHECKS} UPDATE lethe.event SET salt = salt || envelope || int4send(octet_length(array_send(sealed)))"
        " || array_send(sealed), envelope = convert_to(repeat('x', octet_length(envelope)), 'UTF8'), sealed = '{}'"
        f" WHERE sequence = {AT}"
    ),
    "a leaf is NULL": "ALTER TABLE lethe.log ALTER leaf DROP NOT NULL; UPDATE lethe.log SET leaf = NULL WHERE index = 31",
    "a type is no text": (
        "ALTER TABLE lethe.event ALTER COLUMN type TYPE bytea USING convert_to(type, 'UTF8');"
        f" UPDATE lethe.event SET type = '\\xff' WHERE sequence = {AT}"
    ),
    "a type is NULL": (
        f"ALTER TABLE lethe.event ALTER type DROP NOT NULL; UPDATE lethe.event SET type = NULL WHERE sequence = {AT}"
    ),
    "a time is NULL": (
        "ALTER TABLE lethe.event ALTER occurred_at DROP NOT NULL;"
        f" UPDATE lethe.event SET occurred_at = NULL WHERE sequence = {AT}"
    ),
    "sealed parts are NULL": (
        f"ALTER TABLE lethe.event ALTER sealed DROP NOT NULL; UPDATE lethe.event SET sealed = NULL WHERE sequence = {AT}"
    ),
}
EVERYWHERE = {
    "event ids are text": "ALTER TABLE lethe.event ALTER COLUMN event_id TYPE text",
    "versions are long": "ALTER TABLE lethe.event ALTER COLUMN version TYPE bigint",
    "times are text": "ALTER TABLE lethe.event ALTER COLUMN occurred_at TYPE text",
    "indices are short": "ALTER TABLE lethe.log ALTER COLUMN index TYPE integer",
    "sealed parts are text": "ALTER TABLE lethe.event ALTER COLUMN sealed TYPE text[]",
}
BEFORE_THE_FIRST = (
    f"{_NO_CHECKS} INSERT INTO lethe.event (account_id, stream, version, event_id, type, schema_version, occurred_at, envelope,"
    " salt, sealed) SELECT account_id, stream, 90, gen_random_uuid(), type, schema_version, occurred_at, envelope,"
    " substr(sha256('other'), 1, 16), sealed FROM lethe.event LIMIT 1; INSERT INTO lethe.log (index, sequence, leaf, term)"
    " SELECT -7, sequence, sha256(salt || envelope), 1 FROM lethe.event WHERE version = 90"
)


@pytest.fixture
def hostile(stage: AuditStage) -> Callable[[str], AuditStage]:
    """A log of 60 events of its own, to which a statement was done."""

    def do(statement: str) -> AuditStage:
        stage.add_persons(20)
        stage.index()
        stage.as_attacker(statement)
        return stage

    return do


@pytest.mark.parametrize("name", FOUND)
def test_a_row_that_is_not_what_it_seems_is_named(name: str, hostile: Callable[[str], AuditStage]) -> None:
    """The finding has the index, whatever the row holds."""
    verdict = verify(hostile(FOUND[name]).settings, "contacts")
    assert {31} == {one.index for one in verdict.findings}, verdict.findings


@pytest.mark.parametrize("name", [name for name in FOUND if "stands in" in name])
def test_so_is_one_without_sealed_parts(name: str, hostile: Callable[[str], AuditStage]) -> None:
    """The event before has none: there the row ends with an empty list, and no digest shows what is left over."""
    verdict = verify(hostile(FOUND[name].replace("index = 31", "index = 30")).settings, "contacts")
    assert {30} == {one.index for one in verdict.findings}, verdict.findings


@pytest.mark.parametrize("name", EVERYWHERE)
def test_a_column_of_another_type_is_found(name: str, hostile: Callable[[str], AuditStage]) -> None:
    """No row can be read as one of ours then: nothing is called whole, and the verification ends."""
    assert not verify(hostile(EVERYWHERE[name]).settings, "contacts").good


def test_a_row_before_the_first_is_named(hostile: Callable[[str], AuditStage]) -> None:
    """An index below 0, where a check of the table is gone."""
    verdict = verify(hostile(BEFORE_THE_FIRST).settings, "contacts")
    assert [("inserted", -7)] == [(one.kind, one.index) for one in verdict.findings]


def test_a_table_that_answers_with_an_error_says_so(hostile: Callable[[str], AuditStage]) -> None:
    """A view in its place that divides by zero."""
    view = (
        "ALTER TABLE lethe.event RENAME TO held; CREATE VIEW lethe.event AS SELECT sequence, account_id, stream,"
        " version / (version - version) AS version, event_id, type, schema_version, occurred_at, envelope, salt, sealed"
        " FROM lethe.held; GRANT SELECT ON lethe.event TO PUBLIC"
    )
    with pytest.raises(Unavailable):
        verify(hostile(view).settings, "contacts")
