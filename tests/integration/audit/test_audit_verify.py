"""Tampering with a log, in every way, as somebody who owns the database, and the disk, and at last the signing key."""

from __future__ import annotations

import shutil

from audit.findings import Finding, Verdict
from audit.verify import verify
from shared.tiles import tile_path
from tests.integration.audit.audit_stage import AuditStage

SIZE = 300
INSERT = (
    "INSERT INTO lethe.event (account_id, stream, version, event_id, type, schema_version, occurred_at, envelope, salt, sealed)"
    " SELECT account_id, stream, 90, gen_random_uuid(), type, schema_version, occurred_at - interval '1 hour', envelope, salt,"
    " sealed FROM lethe.event JOIN lethe.log USING (sequence) WHERE index = %s RETURNING sequence"
)
FORGED_ENVELOPE = (
    "UPDATE lethe.event SET envelope = convert_to(replace(convert_from(envelope, 'UTF8'), 'correspondent', 'quoted'), 'UTF8')"
    " WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = %s)"
)


def check(stage: AuditStage, kept: bytes | None = None) -> Verdict:
    return verify(stage.settings, "contacts", kept)


def only(verdict: Verdict) -> Finding:
    assert len(verdict.findings) == 1, verdict.findings
    return verdict.findings[0]


def kinds(verdict: Verdict) -> set[str]:
    return {finding.kind for finding in verdict.findings}


def event_id_at(stage: AuditStage, index: int) -> str:
    query = "SELECT event_id::text FROM lethe.event JOIN lethe.log USING (sequence) WHERE index = %s"
    return str(stage.as_attacker(query, index)[0][0])


def test_clean_log_is_whole(logged: AuditStage) -> None:
    """A log that nobody touched has no finding, with a kept checkpoint and without one."""
    verdict = check(logged, logged.note())
    assert verdict.good and check(logged).good
    assert (verdict.size, verdict.kept_size, verdict.checked, verdict.pending) == (SIZE, SIZE, SIZE, 0)


def test_log_that_went_on_is_consistent_with_the_kept_checkpoint(stage: AuditStage) -> None:
    """A log that grew past a full tile since the checkpoint was kept extends it."""
    stage.add_persons(70)
    kept = stage.index()
    stage.add_persons(120)
    stage.index()
    verdict = check(stage, kept)
    assert verdict.good and (verdict.kept_size, verdict.size) == (210, 570)


def test_events_on_their_way_are_pending(stage: AuditStage) -> None:
    """Events that were committed a moment ago and are not in the log yet are pending, not inserted."""
    stage.add_persons(2)
    stage.index()
    stage.add_persons(3)
    verdict = check(stage)
    assert verdict.good and verdict.pending == 9


def test_changed_envelope_is_named(logged: AuditStage) -> None:
    """An event whose envelope was changed is named by its index and its id."""
    logged.as_attacker(FORGED_ENVELOPE, 30)
    finding = only(check(logged))
    assert (finding.kind, finding.index, finding.event_id) == ("changed", 30, event_id_at(logged, 30))


def test_changed_envelope_with_its_leaf_is_named(logged: AuditStage) -> None:
    """Changing the leaf in the log's row along with the envelope does not help: the tiles were signed."""
    logged.as_attacker(FORGED_ENVELOPE, 30)
    logged.as_attacker(
        "UPDATE lethe.log SET leaf = sha256(salt || envelope) FROM lethe.event e WHERE e.sequence = log.sequence AND index = 30"
    )
    finding = only(check(logged))
    assert (finding.kind, finding.index) == ("changed", 30)


def test_changed_envelope_with_leaf_and_tile_is_named(logged: AuditStage) -> None:
    """Changing the entry in the tiles as well is found: the hash tiles, whose root is signed, say another leaf."""
    logged.as_attacker(FORGED_ENVELOPE, 30)
    logged.as_attacker(
        "UPDATE lethe.log SET leaf = sha256(salt || envelope) FROM lethe.event e WHERE e.sequence = log.sequence AND index = 30"
    )
    leaf = bytes(logged.as_attacker("SELECT leaf FROM lethe.log WHERE index = 30")[0][0])
    bundle = logged.tiles() / tile_path("entries", 0)
    octets = bytearray(bundle.read_bytes())
    octets[30 * 34 + 2 : 31 * 34] = leaf
    bundle.chmod(0o600)
    bundle.write_bytes(octets)
    finding = only(check(logged))
    assert (finding.kind, finding.index) == ("changed", 30)


def test_changed_sealed_part_is_named(logged: AuditStage) -> None:
    """A sealed part with one byte changed is named, although its envelope is as it was."""
    logged.as_attacker(
        "UPDATE lethe.event SET sealed[1] = set_byte(sealed[1], 40, get_byte(sealed[1], 40) # 1)"
        " WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 31)"
    )
    finding = only(check(logged))
    assert (finding.kind, finding.index) == ("changed", 31) and "sealed part name" in finding.text


def test_changed_column_is_named(logged: AuditStage) -> None:
    """A query column that says something else than the envelope is named: queries would tell another story."""
    logged.as_attacker(
        "UPDATE lethe.event SET account_id = gen_random_uuid(), occurred_at = occurred_at + interval '1 us'"
        " WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 2)"
    )
    finding = only(check(logged))
    assert (finding.kind, finding.index) == ("changed", 2)
    assert "account_id" in finding.text and "occurred_at" in finding.text


def test_unexplained_prune_is_named(logged: AuditStage) -> None:
    """A sealed part set to NULL, without an event that says its key was cut, is named."""
    logged.as_attacker(
        "UPDATE lethe.event SET sealed[1] = NULL WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 31)"
    )
    finding = only(check(logged))
    assert (finding.kind, finding.index) == ("unexplained prune", 31)


def test_dropped_event_is_named(logged: AuditStage) -> None:
    """An event that was deleted, with its row in the log, is named; so is one whose row was left."""
    logged.as_attacker("DELETE FROM lethe.event WHERE sequence IN (SELECT sequence FROM lethe.log WHERE index IN (50, 80))")
    logged.as_attacker("DELETE FROM lethe.log WHERE index = 50")
    verdict = check(logged)
    assert [(one.kind, one.index) for one in verdict.findings] == [("dropped", 50), ("dropped", 80)]


def test_dropped_row_of_the_log_is_named(logged: AuditStage) -> None:
    """An event whose row in the log was deleted is named with its id, since the event itself is still there."""
    wanted = event_id_at(logged, 60)
    logged.as_attacker("DELETE FROM lethe.log WHERE index = 60")
    finding = next(one for one in check(logged).findings if one.kind == "dropped")
    assert (finding.index, finding.event_id) == (60, wanted)


def test_dropped_event_with_the_gap_closed_is_named(logged: AuditStage) -> None:
    """Moving all later rows down by one does not hide a dropped event: it, and what moved, are named."""
    logged.as_attacker(
        "DELETE FROM lethe.event WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 50);"
        " DELETE FROM lethe.log WHERE index = 50;"
        " UPDATE lethe.log SET index = index + 999999 WHERE index > 50;"
        " UPDATE lethe.log SET index = index - 1000000 WHERE index > 999999"
    )
    verdict = check(logged)
    assert ("dropped", 50) in [(one.kind, one.index) for one in verdict.findings]
    moved = next(one for one in verdict.findings if one.kind == "reordered" and one.index == 50)
    assert "50 to 298" in moved.text


def test_inserted_event_without_a_row_is_named(logged: AuditStage) -> None:
    """An event that was put into the table an hour ago, and is in no log, is named by its id."""
    logged.as_attacker(INSERT, 10)
    finding = only(check(logged))
    assert finding.kind == "inserted"
    assert [(finding.event_id,)] == logged.as_attacker("SELECT event_id::text FROM lethe.event WHERE version = 90")


def test_inserted_event_in_the_middle_is_named(logged: AuditStage) -> None:
    """An event with an index of its own, for which the later ones were moved up, is named."""
    sequence = logged.as_attacker(INSERT, 10)[0][0]
    logged.as_attacker("UPDATE lethe.event SET salt = substr(sha256('other'), 1, 16) WHERE sequence = %s", sequence)
    logged.as_attacker(
        "UPDATE lethe.log SET index = index + 1000001 WHERE index >= 100;"
        " UPDATE lethe.log SET index = index - 1000000 WHERE index > 999999"
    )
    logged.as_attacker(
        "INSERT INTO lethe.log (index, sequence, leaf, term) SELECT 100, sequence, sha256(salt || envelope), 1"
        " FROM lethe.event WHERE sequence = %s",
        sequence,
    )
    verdict = check(logged)
    assert ("inserted", 100) in [(one.kind, one.index) for one in verdict.findings]
    assert "dropped" not in kinds(verdict)


def test_inserted_row_beyond_the_checkpoint_is_named(logged: AuditStage) -> None:
    """A row behind the signed part of the log that has not been signed for an hour is named."""
    sequence = logged.as_attacker(INSERT, 10)[0][0]
    logged.as_attacker(
        "INSERT INTO lethe.log (index, sequence, leaf, term, indexed_at) SELECT 300, sequence, sha256(salt || envelope), 1,"
        " now() - interval '1 hour' FROM lethe.event WHERE sequence = %s",
        sequence,
    )
    assert ("inserted", 300) in [(one.kind, one.index) for one in check(logged).findings]


def test_swapped_events_are_named(logged: AuditStage) -> None:
    """Two events that changed places are named as swapped, with both indices; also when their leaves went with them."""
    logged.as_attacker(
        "CREATE TEMP TABLE pair AS SELECT * FROM lethe.log WHERE index IN (20, 200);"
        " DELETE FROM lethe.log WHERE index IN (20, 200);"
        " INSERT INTO lethe.log SELECT 220 - index, sequence, leaf, term, indexed_at FROM pair"
    )
    swapped = [one for one in check(logged).findings if one.kind == "swapped"]
    assert [one.index for one in swapped] == [20] and "20 and 200" in swapped[0].text


def test_reordered_events_are_named(logged: AuditStage) -> None:
    """Three events that went round in a ring are named as reordered, each."""
    logged.as_attacker(
        "CREATE TEMP TABLE ring AS SELECT * FROM lethe.log WHERE index IN (20, 90, 200);"
        " DELETE FROM lethe.log WHERE index IN (20, 90, 200); INSERT INTO lethe.log"
        " SELECT CASE index WHEN 20 THEN 90 WHEN 90 THEN 200 ELSE 20 END, sequence, leaf, term, indexed_at FROM ring"
    )
    verdict = check(logged)
    assert {20, 90, 200} <= {one.index for one in verdict.findings if one.kind == "reordered"}


def test_truncated_log_is_named(logged: AuditStage) -> None:
    """A log whose last events are gone is truncated at the first of them."""
    logged.as_attacker("DELETE FROM lethe.event WHERE sequence IN (SELECT sequence FROM lethe.log WHERE index >= 290)")
    logged.as_attacker("DELETE FROM lethe.log WHERE index >= 290")
    finding = only(check(logged))
    assert (finding.kind, finding.index) == ("truncated", 290)


def test_log_put_back_with_its_tiles_is_found_by_the_kept_checkpoint(stage: AuditStage) -> None:
    """Database, tiles and checkpoint put back together to an earlier state are whole in themselves, and truncated for
    whoever kept the later checkpoint."""
    stage.add_persons(20)
    stage.index()
    shutil.copytree(stage.tiles(), stage.home / "earlier")
    stage.add_persons(20)
    kept = stage.index()
    stage.as_attacker("DELETE FROM lethe.event WHERE sequence IN (SELECT sequence FROM lethe.log WHERE index >= 60)")
    stage.as_attacker("DELETE FROM lethe.log WHERE index >= 60")
    shutil.rmtree(stage.tiles())
    shutil.copytree(stage.home / "earlier", stage.tiles())
    assert check(stage).good
    finding = only(check(stage, kept))
    assert (finding.kind, finding.index) == ("truncated", 60)


def test_log_signed_anew_is_found_by_the_kept_checkpoint(logged: AuditStage) -> None:
    """A log that an attacker changed, and signed anew with the log's own key, passes by itself; a checkpoint that was kept
    elsewhere shows that history was rewritten."""
    kept = logged.note()
    logged.as_attacker(FORGED_ENVELOPE, 30)
    logged.as_attacker(
        "UPDATE lethe.log SET leaf = sha256(salt || envelope) FROM lethe.event e WHERE e.sequence = log.sequence"
    )
    logged.sign_anew()
    assert check(logged).good
    assert only(check(logged, kept)).kind == "forked"


def test_stream_with_a_hole_is_named_although_it_is_signed(logged: AuditStage) -> None:
    """Who drops the first event of a stream, moves all later ones up and signs anew leaves a version without the one before."""
    logged.as_attacker(
        "DELETE FROM lethe.event WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 51);"
        " DELETE FROM lethe.log WHERE index = 51;"
        " UPDATE lethe.log SET index = index + 999999 WHERE index > 51;"
        " UPDATE lethe.log SET index = index - 1000000 WHERE index > 999999"
    )
    logged.sign_anew()
    finding = only(check(logged))
    assert (finding.kind, finding.index) == ("reordered", 51) and "version 2" in finding.text


def test_cut_of_another_account_explains_no_prune(logged: AuditStage) -> None:
    """A prune is explained by an event of its own account: that another one cut a key of the same id says nothing."""
    logged.as_attacker(  # the event at 42 says that the key of the part at 31 was cut, in the name of another account
        "UPDATE lethe.event e SET account_id = account, envelope = convert_to(replace(replace(convert_from(envelope, 'UTF8'),"
        " e.account_id::text, account::text), '\"data\":{', '\"data\":{\"keys\":[\"' || key || '\"],'), 'UTF8')"
        " FROM (SELECT gen_random_uuid() AS account, encode(substr(sealed[1], 2, 8), 'hex') AS key FROM lethe.event"
        " JOIN lethe.log USING (sequence) WHERE index = 31) AS pruned"
        " WHERE e.sequence = (SELECT sequence FROM lethe.log WHERE index = 42)"
    )
    logged.as_attacker(
        "UPDATE lethe.event SET sealed[1] = NULL WHERE sequence = (SELECT sequence FROM lethe.log WHERE index = 31)"
    )
    logged.as_attacker(
        "UPDATE lethe.log SET leaf = sha256(salt || envelope) FROM lethe.event e WHERE e.sequence = log.sequence"
    )
    logged.sign_anew()
    assert ("unexplained prune", 31) in [(one.kind, one.index) for one in check(logged).findings]


def test_tiles_rewritten_without_the_key_are_forked(logged: AuditStage) -> None:
    """Tiles that were rewritten to fit a changed log, under the checkpoint as it was, have not the signed root."""
    note = logged.note()
    logged.as_attacker(FORGED_ENVELOPE, 30)
    logged.as_attacker(
        "UPDATE lethe.log SET leaf = sha256(salt || envelope) FROM lethe.event e WHERE e.sequence = log.sequence"
    )
    logged.sign_anew()
    (logged.tiles() / "checkpoint").write_bytes(note)
    assert "forked" in kinds(check(logged))


def test_checkpoint_with_a_changed_byte_does_not_hold(logged: AuditStage) -> None:
    """A checkpoint that was changed, published or kept, is not believed."""
    note = logged.note()
    assert kinds(check(logged, note.replace(b"\n300\n", b"\n299\n"))) == {"forked"}
    path = logged.tiles() / "checkpoint"
    path.write_bytes(note.replace(b"\n300\n", b"\n299\n"))
    assert "forked" in kinds(check(logged))


def test_missing_tile_is_named(logged: AuditStage) -> None:
    """A log whose tiles are not all there is not whole."""
    (logged.tiles() / tile_path("entries", 0)).unlink()
    assert "truncated" in kinds(check(logged))
