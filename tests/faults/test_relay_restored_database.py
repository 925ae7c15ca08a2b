"""A database that was put back to an earlier time, or changed by hand, under a log that was signed since."""

from __future__ import annotations

import subprocess

from relay_stage import RelayStage

from shared.checkpoint import Checkpoint


def logged_and_stopped(stage: RelayStage, count: int, before: int = 0) -> Checkpoint:
    relay = stage.start_relay()
    stage.append(count)
    stage.await_published(before + count)
    relay.terminate()
    relay.wait(10)
    return stage.checkpoint()


def test_a_database_put_back_is_refused_and_the_missing_indices_are_named(stage: RelayStage) -> None:
    """After a restore of an older dump the relay signs nothing, and says which indices are missing."""
    logged_and_stopped(stage, 300)
    dump = subprocess.run(["pg_dump", "-Fc", "-d", stage.admin_dsn], check=True, capture_output=True).stdout
    signed = logged_and_stopped(stage, 40, before=300)
    stage.execute("DROP SCHEMA lethe CASCADE; DROP SCHEMA keys CASCADE")
    subprocess.run(["pg_restore", "-d", stage.admin_dsn], check=True, input=dump, capture_output=True)
    stage.append(7)  # the services go on, with other events
    stage.start_relay()
    state = stage.await_state("stopped")
    assert "40 of 340" in state.reason and "300-339" in state.reason
    assert signed == stage.checkpoint()
    assert 300 == stage.execute("SELECT count(*) FROM lethe.log")[0][0]
    assert "300-339" in stage.relay_log()


def test_rows_that_go_while_the_relay_leads_are_noticed(stage: RelayStage) -> None:
    """Rows deleted from the end of the log are named within seconds, also when nothing is written."""
    stage.start_relay()
    stage.append(20)
    stage.await_published(20)
    stage.execute_untriggered("DELETE FROM lethe.log WHERE index >= 15")
    assert "15-19" in stage.await_state("stopped").reason
    assert 20 == stage.signed_size()


def test_a_missing_row_in_the_middle_is_named(stage: RelayStage) -> None:
    """One row taken out of the middle of the log is named by its index."""
    signed = logged_and_stopped(stage, 600)
    stage.execute_untriggered("DELETE FROM lethe.log WHERE index IN (7, 301)")
    stage.start_relay()
    assert "7, 301" in stage.await_state("stopped").reason
    assert signed == stage.checkpoint()


def test_a_changed_leaf_is_named(stage: RelayStage) -> None:
    """A row whose leaf differs from the signed tiles stops the relay, which names the index."""
    signed = logged_and_stopped(stage, 600)
    stage.execute_untriggered("UPDATE lethe.log SET leaf = sha256(leaf) WHERE index = 431")
    stage.append(3)
    stage.start_relay()
    assert "index 431 " in stage.await_state("stopped").reason
    assert signed == stage.checkpoint()


def test_the_relay_goes_on_once_the_rows_are_back(stage: RelayStage) -> None:
    """A refusal is not for ever: when the missing rows are back, the same process goes on by itself."""
    logged_and_stopped(stage, 10)
    stage.execute("CREATE TABLE kept AS SELECT * FROM lethe.log WHERE index >= 8")
    stage.execute_untriggered("DELETE FROM lethe.log WHERE index >= 8")
    stage.start_relay()
    stage.await_state("stopped")
    stage.execute("INSERT INTO lethe.log SELECT * FROM kept")
    stage.append(5)
    stage.await_published(15)
    stage.check_whole(15)
