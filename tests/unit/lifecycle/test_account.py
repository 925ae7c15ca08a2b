"""When an account's state changes, and which names are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.lifecycle.account import comparable_name, opening, resume, shown_name, suspend
from services.lifecycle.events import AccountResumed, AccountSuspended
from shared.errors import InvalidArgument

ACCOUNT = "6b1f9d0e-0000-4000-8000-000000000001"


def test_suspending_and_resuming_change_what_is_not_so_yet() -> None:
    """Active ⇄ suspended; doing it twice gives no second event."""
    assert suspend(ACCOUNT, "active", "trial-ended") == AccountSuspended(account_id=ACCOUNT, reason="trial-ended")
    assert suspend(ACCOUNT, "suspended", "by-operator") is None
    assert resume(ACCOUNT, "suspended") == AccountResumed(account_id=ACCOUNT)
    assert resume(ACCOUNT, "active") is None


def test_a_name_is_kept_as_it_was_given_but_for_its_spaces() -> None:
    """Composed, with single spaces."""
    assert opening(ACCOUNT, " Müller\n &  Sons ", "paid").name == "Müller & Sons"


def test_names_that_read_alike_are_the_same() -> None:
    """Case, width, ligatures and white space make no difference; an accent and a letter do."""
    for name in ("strasse kettles", "STRASSE KETTLES", "Straße  Kettles", "ｓｔｒａｓｓｅ kettles"):
        assert comparable_name(name) == "strasse kettles"
    assert comparable_name("Müller") != comparable_name("Muller")


@given(st.text(max_size=60))
def test_a_comparable_name_stays_as_it_is(name: str) -> None:
    """Comparing what is kept gives what comparing the given name gave, and doing it twice changes nothing."""
    try:
        comparable = comparable_name(name)
    except InvalidArgument:
        return
    assert comparable_name(shown_name(name)) == comparable
    assert comparable_name(comparable) == comparable


@pytest.mark.parametrize("name", ["", "  ", "!?", ACCOUNT, ACCOUNT.upper(), "a\x00b", "a\u202eb", "a\u200bb"])
def test_what_is_no_name_is_refused(name: str) -> None:
    """Nothing to read, an id's form, or characters that can't be seen."""
    with pytest.raises(InvalidArgument):
        opening(ACCOUNT, name, "paid")
