"""What a look at a published checkpoint amounts to: pure decisions."""

from __future__ import annotations

from typing import get_args

import pytest

from services.audit.alert import CAUSES, FOR_GOOD, GRACE_SECONDS, TEXTS, Suspicion, judge, of_relation, raised, stream_of
from services.audit.events import TYPES, Cause, Reason
from services.erasure.participants import participants
from shared.checkpoint import Checkpoint
from shared.log_consistency import Relation
from shared.merkle import EMPTY_ROOT

EMPTY = Checkpoint("test/tickets", 0, EMPTY_ROOT)


def tree(size: int, root: int = 1) -> Checkpoint:
    return Checkpoint("test/tickets", size, bytes([root]) * 32)


def judged(
    seen: Checkpoint | None, published: Checkpoint | None, relation: Relation = "extends", awaited: tuple[Checkpoint, ...] = ()
) -> tuple[list[Reason], list[Checkpoint]]:
    found = judge(seen, awaited, published, lambda _, __: relation, EMPTY)
    return [one.reason for one in found.suspicions], found.confirmed


def test_each_reason_has_a_cause_a_text_and_each_cause_a_grace() -> None:
    """Nothing can be found of which nobody has thought what it is called."""
    assert set(get_args(Reason)) == set(CAUSES) == set(TEXTS)
    assert set(get_args(Cause)) == set(CAUSES.values()) == set(GRACE_SECONDS)
    assert set(get_args(Cause)) > FOR_GOOD


def test_a_log_that_grows_is_no_suspicion() -> None:
    """The same checkpoint again, a later one that extends it, the first one, and none at all before the first."""
    assert ([], []) == judged(tree(5), tree(5))
    assert ([], []) == judged(tree(5), tree(9))
    assert ([], []) == judged(None, tree(9))
    assert ([], []) == judged(None, None)


@pytest.mark.parametrize(
    ("seen", "published", "relation", "reason"),
    [
        (tree(5), tree(5, 2), "other root", "other-root"),
        (tree(5), tree(9), "does not extend", "does-not-extend"),
        (tree(5), tree(9), "other tiles", "other-tiles"),
        (None, tree(9), "other tiles", "other-tiles"),
        (tree(5), tree(4), "extends", "older"),
        (tree(5), None, "extends", "missing"),
    ],
)
def test_what_is_wrong_is_named(
    seen: Checkpoint | None, published: Checkpoint | None, relation: Relation, reason: Reason
) -> None:
    """Each thing that can be wrong with a published checkpoint, by itself."""
    assert ([reason], []) == judged(seen, published, relation)


def test_a_checkpoint_that_was_handed_in_is_awaited_until_the_log_contains_it() -> None:
    """While the log is shorter it is cut short; once it is longer, the awaited tree is confirmed, or the log is forked."""
    assert (["older"], []) == judged(tree(5), tree(6), awaited=(tree(8),))
    assert ([], [tree(8)]) == judged(tree(5), tree(8), awaited=(tree(8),))
    assert (["does-not-extend"], []) == judged(None, tree(9), "does not extend", awaited=(tree(8),))


def test_an_alert_names_sizes_and_roots_and_has_one_stream_a_cause() -> None:
    """The event says which trees contradict each other; the same cause of the same log always has the same stream."""
    event = raised("tickets", Suspicion("other-root", tree(5), tree(5, 2), handed_in=True))
    assert ("tickets", "forked", True, 5, "01" * 32, 5, "02" * 32) == (
        event.service, event.cause, event.handed_in, event.seen_size, event.seen_root, event.size, event.root
    )  # fmt: skip
    streams = {stream_of(service, cause) for service in ("tickets", "contacts") for cause in get_args(Cause)}
    assert 2 * len(get_args(Cause)) == len(streams)
    assert stream_of("tickets", "forked") in streams
    assert None is of_relation("extends", tree(5), tree(5))


def test_audit_holds_nothing_of_anybody() -> None:
    """It declares no personal field, and so is no participant of an erasure."""
    assert not TYPES.holds_personal_data()
    assert [] == TYPES.undeclared()
    assert "audit" not in participants()
