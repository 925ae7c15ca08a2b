"""The watch over the logs (mission A2): what it says when a log is cut short, forked, signed by another, or stands still; and
that it says nothing of a log that only grows. Two replicas look in all of these tests.
"""

from __future__ import annotations

from datetime import timedelta
from threading import Barrier, Thread

import pytest

from audit.replay import replay
from audit.verify import verify
from services.audit import handlers
from services.audit.alert import Suspicion
from services.audit.commands import ClearAlert, ListAlerts
from services.audit.seen import outlived
from services.audit.watch import RECHECK_SECONDS
from shared import clock
from shared.checkpoint import Checkpoint
from shared.errors import InvalidArgument, NotFound
from shared.ids import new_id
from shared.signed_note import SigningKey
from tests.integration.watch.watch_stage import ORIGIN, STALL_SECONDS, WatchStage
from tests.support.cell import Cell

GRACE = 3


def changed(entries: list[bytes], at: int = 0) -> list[bytes]:
    """The same with one entry flipped."""
    return [bytes([one[0] ^ 1]) + one[1:] if place == at else one for place, one in enumerate(entries)]


def test_a_log_that_only_grows_raises_no_alert(stage: WatchStage) -> None:
    """Before the first event, while nothing happens, event by event, in bulk over the edge of a tile: each new checkpoint is
    kept once, with its own note, and nobody is told anything."""
    stage.look(times=3)
    notes = [stage.grow() for _ in range(3) if not stage.look()]
    stage.look(times=3)
    notes.append(stage.grow(300))
    stage.look(times=int(STALL_SECONDS) + 5)
    assert [] == stage.alerts()
    seen = stage.seen()
    assert [303, 3, 2, 1] == [one.size for one in seen]
    assert notes[::-1] == [one.note.encode() for one in seen]
    assert {"followed"} == {one.standing for one in seen}
    assert [] == stage.events()


def test_a_second_tree_of_one_size_is_an_alert_for_good(stage: WatchStage) -> None:
    """Somebody with key, tiles and database rewrites an event and signs: one alert, and both signed notes are kept. It does not
    go with the rewritten log; an operator ends it, and it does not come again then."""
    first = stage.grow(5)
    stage.look()
    with stage.put_back():
        second = stage.rewrite(changed(stage.entries()))
        stage.look()
        assert [("lifecycle", "other-root", 5, 5)] == stage.told()
        stage.look(times=5)
    stage.look(times=5)
    (alert,) = stage.alerts()
    assert alert.cleared_at is None and alert.seen_root != alert.root
    evidence = {one.standing: (one.note.encode(), one.is_evidence) for one in stage.seen()}
    assert {"followed": (first, True), "contradicting": (second, True)} == evidence
    assert "operator" == stage.ask("clear_alert", ClearAlert(alert_id=alert.alert_id)).cleared_by
    stage.grow()
    stage.look(times=5)
    assert [] == stage.alerts(only_open=True)
    assert ["AlertRaised", "AlertCleared"] == stage.events()


def test_an_alert_that_is_cleared_while_its_cause_is_there_comes_again(stage: WatchStage) -> None:
    """Clearing does not silence the watch."""
    stage.grow(5)
    stage.look()
    stage.rewrite(changed(stage.entries()))
    stage.look()
    (alert,) = stage.alerts()
    stage.ask("clear_alert", ClearAlert(alert_id=alert.alert_id))
    stage.look(times=3)
    assert ["AlertRaised", "AlertCleared", "AlertRaised"] == stage.events()
    stage.cells[0].sign("audit")
    assert replay(stage.settings, "audit", patience_seconds=0.5).equal, "of one cause several are on record, one is open"


@pytest.mark.parametrize("more", [1, 300])
def test_a_rewritten_log_that_has_grown_is_an_alert(stage: WatchStage, more: int) -> None:
    """The same where the rewritten log is longer than the one that was seen, so that no two sizes are equal."""
    stage.grow(5)
    stage.look()
    stage.rewrite(changed(stage.entries()) + [new_id().encode()[:32] for _ in range(more)])
    stage.look(times=3)
    assert [("lifecycle", "does-not-extend", 5, 5 + more)] == stage.told()


def test_an_older_checkpoint_in_the_place_of_a_newer_one_is_an_alert_while_it_is_there(stage: WatchStage) -> None:
    """A log that was cut short, or put back: an alert once it has been so for longer than after a power cut; over by itself
    when the newer one is back."""
    older = stage.grow(3)
    stage.look()
    newer = stage.grow(3)
    stage.look()
    stage.put(older)
    stage.look(times=GRACE)
    assert [] == stage.alerts()
    stage.look(times=2)
    stage.look(times=int(STALL_SECONDS) + 5)
    assert [("lifecycle", "older", 6, 3)] == stage.told()
    stage.put(newer)
    stage.look(times=2)
    assert ["itself"] == [one.cleared_by for one in stage.alerts()]
    (stage.tiles / "checkpoint").unlink()
    stage.look(times=GRACE + 1)
    assert [("lifecycle", "missing", 6, None)] == stage.told(only_open=True)


def test_a_log_that_was_cut_short_and_grew_again_is_forked(stage: WatchStage) -> None:
    """Two events taken from the end and three others put there: the one who does so can't get around what was seen."""
    stage.grow(6)
    stage.look()
    stage.rewrite(stage.entries()[:4] + [bytes([number]) * 32 for number in range(3)])
    stage.look()
    assert [("lifecycle", "does-not-extend", 6, 7)] == stage.told()


def test_what_another_key_signed_is_an_alert(stage: WatchStage) -> None:
    """Also where its verifier key is put beside it: the log's key is the one that was seen first. Over when the note is the
    log's own again. A note that is none, or another log's, is the same."""
    note = stage.grow(5)
    stage.look()
    key = SigningKey.generate(ORIGIN)
    verifier = stage.settings.path("verifiers", "log-lifecycle.vkey")
    whole = verifier.read_text()
    with stage.put_back():
        stage.rewrite(changed(stage.entries()), key)
        verifier.write_text(f"{key.verifier}\n")
        stage.look(times=GRACE + 1)
        assert [("lifecycle", "not-signed", 5, None)] == stage.told()
    verifier.write_text(whole)
    stage.look()
    assert [] == stage.told(only_open=True)
    for other in (b"", b"no note", note.replace(b"lifecycle", b"contacts"), note + b"x" * 2_000_000):
        stage.put(other)
        stage.look(times=GRACE + 1)
        assert [("lifecycle", "not-signed", 5, None)] == stage.told(only_open=True)
        stage.put(note)
        stage.look()
        assert [] == stage.told(only_open=True)


def test_tiles_that_are_not_those_of_the_signed_tree_are_an_alert(stage: WatchStage) -> None:
    """A changed or missing hash tile under a new checkpoint: said of the tiles, and not taken for a fork."""
    stage.grow(5)
    stage.look()
    stage.grow(5)
    tile = stage.tiles / "tile" / "0" / "000.p" / "10"
    whole = tile.read_bytes()
    tile.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    stage.look(times=GRACE + 1)
    assert [("lifecycle", "other-tiles", 5, 10)] == stage.told()
    tile.unlink()
    stage.look(times=3)
    assert 1 == len(stage.alerts())
    tile.write_bytes(whole)
    stage.look()
    assert [] == stage.told(only_open=True)
    assert 10 == stage.seen()[0].size
    tile.unlink()  # under a checkpoint that was found good
    stage.look(times=int(RECHECK_SECONDS) + GRACE + 1)
    assert [("lifecycle", "other-tiles", 10, 10)] == stage.told(only_open=True)


def test_events_that_are_not_signed_in_time_are_an_alert_until_they_are(stage: WatchStage) -> None:
    """Committed, and no relay takes them up: an alert after the bound; over by itself once a signed checkpoint covers them."""
    stage.grow()
    stage.look(times=3)
    stage.commit()
    stage.look(times=int(STALL_SECONDS) - 1)
    assert [] == stage.alerts()
    stage.look(times=3)
    assert [("lifecycle", "events-wait", 1, None)] == stage.told()
    stage.look(times=20)
    stage.sign()
    stage.look(times=2)
    assert [("itself", "stalled")] == [(one.cleared_by, one.cause) for one in stage.alerts()]


def test_a_lease_that_nobody_holds_is_an_alert(stage: WatchStage) -> None:
    """A relay that is gone is found although nothing waits for it."""
    stage.grow()
    stage.look(times=5)
    stage.set_lease("2026-01-01")
    stage.look(times=int(STALL_SECONDS) + 2)
    assert [("lifecycle", "no-relay-leads", 1, None)] == stage.told()


def test_a_checkpoint_that_somebody_kept_is_compared(stage: WatchStage) -> None:
    """Older, newest and not yet seen ones agree; a second tree of a size, be it kept here or not, is an alert with both notes;
    what the log's key has not signed is none."""
    early = stage.grow(3)
    stage.look()
    stage.grow(300)
    stage.look()
    unseen = stage.grow(2)
    for note, size in ((early, 3), (unseen, 305)):
        answer = stage.hand_in(note)
        assert ("agrees", size, 303, None) == (answer.comparison, answer.size, answer.seen_size, answer.alert_id)
    stranger = SigningKey.generate(ORIGIN)
    assert "not signed" == stage.hand_in(stage.signed(3, bytes(32), stranger)).comparison
    assert "not signed" == stage.hand_in(b"whatever").comparison
    stage.look(times=GRACE + 2)
    assert [] == stage.alerts()
    for size, reason in ((3, "other-root"), (100, "does-not-extend")):
        note = stage.signed(size, bytes([size]) * 32)
        answer = stage.hand_in(note)
        (alert,) = stage.alerts(only_open=True)
        assert ("contradicts", alert.alert_id) == (answer.comparison, answer.alert_id)
        assert (reason, size, True) == (alert.reason, alert.size, alert.handed_in)
        assert alert.alert_id == stage.hand_in(note).alert_id
        stage.ask("clear_alert", ClearAlert(alert_id=alert.alert_id))
    stage.look(times=5)
    assert ["AlertRaised", "AlertCleared"] * 2 == stage.events()
    assert {3, 100} == {one.size for one in stage.seen() if one.standing == "contradicting"}


def test_a_checkpoint_beyond_the_published_one_is_an_alert_until_the_log_contains_it(stage: WatchStage) -> None:
    """Somebody outside has a later tree than we were ever shown: the log was cut short before we looked. The log has to contain
    it when it is as long again, or it is forked."""
    older = stage.grow(3)
    stage.look()
    later = stage.grow(3)
    stage.put(older)
    assert "ahead" == stage.hand_in(later).comparison
    stage.look(times=GRACE + 2)
    assert [("lifecycle", "older", 6, 3)] == stage.told()
    assert "ahead" == stage.hand_in(later).comparison
    with stage.put_back():
        stage.rewrite(stage.entries()[:3] + [bytes([number]) * 32 for number in range(5)])
        stage.look(times=2)
        assert [("lifecycle", "older", 6, 3), ("lifecycle", "does-not-extend", 6, 8)] == stage.told()
    (fork,) = [one for one in stage.alerts() if one.cause == "forked"]
    stage.put(later)
    stage.ask("clear_alert", ClearAlert(alert_id=fork.alert_id))
    stage.look(times=2)
    assert [] == stage.alerts(only_open=True)
    known = stage.known()
    assert [] == known.awaited and known.seen is not None and 6 == known.seen.size


@pytest.mark.parametrize("for_seconds", [1, GRACE + 2])
def test_an_awaited_checkpoint_is_done_with_once_a_larger_one_contains_it(stage: WatchStage, for_seconds: int) -> None:
    """Also where the published log passes over its size; it is kept then only if an alert was about it."""
    older = stage.grow(3)
    stage.look()
    awaited, newest = stage.grow(2), stage.grow(2)
    stage.put(older)
    assert "ahead" == stage.hand_in(awaited).comparison
    stage.look(times=for_seconds)
    assert [("lifecycle", "older", 5, 3)] * (for_seconds > 1) == stage.told()
    stage.put(newest)
    stage.look(times=2)
    known = stage.known()
    assert [] == known.awaited and known.seen is not None and 7 == known.seen.size
    expected = [7, 5, 3] if for_seconds > 1 else [7, 3]
    assert expected == [one.size for one in stage.seen()]
    assert {"followed"} == {one.standing for one in stage.seen()}


def test_what_was_seen_outlives_every_replica(stage: WatchStage) -> None:
    """All replicas die; the log is rewritten while nobody looks; new ones find it, and the alert stays the only one."""
    stage.grow(5)
    stage.look()
    stage.rewrite(changed(stage.entries(), 4))
    for generation in range(3):
        stage.close()
        stage.cells = [Cell(stage.settings), Cell(stage.settings)]
        stage.watches = [stage.new_watch(cell) for cell in stage.cells]
        stage.look(times=2)
        assert [("lifecycle", "other-root", 5, 5)] == stage.told(), generation


def test_a_clock_that_goes_back_does_no_harm(stage: WatchStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day jumps back by a day, and ahead: no alert of a whole log, and a fork and a stall are found as ever."""
    present = clock.now
    stage.grow(3)
    stage.look()
    for days in (-1, 2, -3):
        monkeypatch.setattr(clock, "now", lambda days=days: present() + timedelta(days=days))
        stage.grow()
        stage.look(times=3)
        assert [] == stage.alerts()
    assert [6, 5, 4, 3] == [one.size for one in stage.seen()]
    stage.commit()
    stage.look(times=int(STALL_SECONDS) + 2)
    assert [("lifecycle", "events-wait", 6, None)] == stage.told()
    stage.sign()
    stage.look(times=2)
    stage.rewrite(changed(stage.entries()))
    stage.look()
    assert [("lifecycle", "other-root", 7, 7)] == stage.told(only_open=True)


def test_of_replicas_that_find_the_same_at_once_one_raises_it(stage: WatchStage) -> None:
    """Eight replicas at the same moment, ten times over: one event each time, and all name the same alert."""
    stores = [Cell(stage.settings).store("audit") for _ in range(8)]
    suspicion = Suspicion("other-root", Checkpoint(ORIGIN, 5, bytes(32)), Checkpoint(ORIGIN, 5, b"1" * 32))
    for turn in range(1, 11):
        together, ids = Barrier(len(stores)), list[str | None]()

        def find(store: object, together: Barrier = together, ids: list[str | None] = ids) -> None:
            together.wait()
            ids.append(handlers.raise_alert(store, "lifecycle", suspicion))  # type: ignore[arg-type]

        threads = [Thread(target=find, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 8 == len(ids) and 1 == len(set(ids)) and None not in ids
        assert turn == stage.events().count("AlertRaised")
        stage.ask("clear_alert", ClearAlert(alert_id=str(ids[0])))
    for store in stores:
        store.database.close()


def test_a_replica_that_stood_still_tells_nothing_that_is_over(stage: WatchStage) -> None:
    """It had looked before an alert was raised and cleared by another; what it found then is out of date."""
    stage.grow(3)
    stage.look()
    suspicion = Suspicion("older", None, None)
    store = stage.cells[1].store("audit")
    version = stage.known().versions.get("truncated", 0)
    alert = handlers.raise_alert(stage.cells[0].store("audit"), "lifecycle", suspicion, version)
    assert alert is not None
    handlers.end_alert(stage.cells[0].store("audit"), alert, "itself")
    assert None is handlers.raise_alert(store, "lifecycle", suspicion, version)
    assert ["AlertRaised", "AlertCleared"] == stage.events()


def test_kept_checkpoints_are_bounded_and_evidence_is_kept_for_good(stage: WatchStage) -> None:
    """After 500 checkpoints the rows are those that the rule names; one that an alert is about stays besides."""
    store, note = stage.cells[0].store("audit"), stage.grow()
    stage.look()
    for number in range(2, 501):
        handlers.follow(store, "lifecycle", Checkpoint(ORIGIN, number, bytes(32)), note, number, [])
        if number == 3:
            suspicion = Suspicion("other-root", Checkpoint(ORIGIN, 3, bytes(32)), Checkpoint(ORIGIN, 3, b"1" * 32))
            handlers.raise_alert(store, "lifecycle", suspicion)
    expected = set(range(1, 501)) - {gone for number in range(1, 501) for gone in outlived(number)} | {3}
    assert expected == {one.size for one in stage.seen()} | {one for one in expected if one < stage.seen()[-1].size}
    with store.work("00000000-0000-0000-0000-000000000000") as work:
        rows = work.fetch("SELECT size FROM seen_checkpoint WHERE service = 'lifecycle'")
    assert expected == {size for (size,) in rows}
    assert len(expected) < 200


def test_audits_own_log_is_whole_and_replays_to_its_rows(stage: WatchStage) -> None:
    """Alerts are events like all others: the log verifies, and the rows are those that it gives."""
    stage.grow(3)
    stage.look()
    older = stage.note()
    stage.grow()
    stage.look()
    stage.put(older)
    stage.look(times=GRACE + 2)
    stage.cells[0].sign("audit")
    verdict = verify(stage.settings, "audit")
    assert verdict.good and 1 == verdict.size, verdict.findings
    result = replay(stage.settings, "audit")
    assert result.equal and {"alert": 1} == {one.table: one.rebuilt for one in result.tables}
    stage.look(times=3)
    assert ["older"] == [one.reason for one in stage.alerts()]


def test_what_is_asked_for_wrongly_is_refused(stage: WatchStage) -> None:
    """A service that is none, an alert that is none, a log that has published nothing; pages come in order."""
    with pytest.raises(NotFound):
        stage.hand_in(b"note")
    with pytest.raises(NotFound):
        stage.ask("clear_alert", ClearAlert(alert_id=new_id()))
    with pytest.raises(InvalidArgument):
        stage.ask("list_seen_checkpoints", {"service": "nothing"})
    store = stage.cells[0].store("audit")
    for service in ("tickets", "contacts", "identity"):
        handlers.raise_alert(store, service, Suspicion("older", None, None))
    first = stage.ask("list_alerts", ListAlerts(limit=2))
    rest = stage.ask("list_alerts", ListAlerts(limit=2, after=first.next_after))
    assert ["identity", "contacts", "tickets"] == [one.service for one in (*first.alerts, *rest.alerts)]
    assert (3, 3, None) == (first.open, rest.open, rest.next_after)
