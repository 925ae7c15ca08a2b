"""Which checkpoints are kept."""

from __future__ import annotations

from services.audit.seen import NEWEST_KEPT, outlived


def test_what_is_kept_grows_with_the_logarithm_and_thins_with_age() -> None:
    """After 50,000: the newest 64 all, of the older ones at least every 2nd up to 128, every 4th up to 256 …; few in all."""
    kept: set[int] = set()
    most_gone = 0
    for number in range(1, 50_001):
        kept.add(number)
        gone = outlived(number)
        assert kept.issuperset(gone)
        kept.difference_update(gone)
        most_gone = max(most_gone, len(gone))
    assert set(range(50_000 - NEWEST_KEPT + 1, 50_001)) <= kept
    for doubling in range(1, 9):
        oldest = 50_000 - NEWEST_KEPT * 2**doubling
        assert {one for one in range(oldest + 1, 50_001) if one % 2**doubling == 0} <= kept
    assert len(kept) < 32 * 12
    assert most_gone <= 12
