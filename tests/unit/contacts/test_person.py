"""What becomes known of people from a text, and what stays erased."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import count

import pytest

from services.contacts.events import (
    IdentifierAdded,
    IdentifierMarkedAsList,
    IdentifierShared,
    PersonAdded,
    PersonNamed,
    SpellingAdded,
)
from services.contacts.person import KnownIdentifier, Resolution, Suppressed, is_erased_here, parties, refusal
from shared.resolving import IdentifierSeen, TextSeen

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ALICE = ("address", "alice@example.org")


def seen(
    role: str = "sender", *, is_list: bool = False, name: str = "", spellings: tuple[str, ...] = ("alice@example.org",)
) -> IdentifierSeen:
    return IdentifierSeen(
        kind="address", address=ALICE[1], role=role, is_list=is_list, name=name, spellings=list(spellings)
    )  # type: ignore[arg-type]  # fmt: skip


def text(when: datetime | None, *identifiers: IdentifierSeen) -> TextSeen:
    return TextSeen(message_key="m", content_digest="00", earliest=when, identifiers=list(identifiers))


def resolution(known: dict[tuple[str, str], KnownIdentifier] | None = None) -> Resolution:
    numbers = count(1)
    return Resolution(known or {}, lambda: f"id-{next(numbers)}", NOW)


def events_of(one: Resolution) -> list[type]:
    return [type(event) for events in one.events.values() for event in events]


def test_somebody_new_becomes_a_person_with_an_identifier_a_name_and_spellings() -> None:
    """One text that names somebody new adds a person, their identifier, each spelling once, and the name."""
    one = resolution()
    known = one.see(seen(name="Alice Smith", spellings=("Alice Smith <alice@example.org>", "alice@example.org")))
    assert len(known.spellings) == 2
    assert events_of(one).count(PersonAdded) == events_of(one).count(IdentifierAdded) == 1
    again = one.see(seen(name="Alice S."))
    assert again is known
    assert events_of(one).count(PersonNamed) == 1


def test_a_list_is_nobody() -> None:
    """An address that mail headers mark as a list has no person."""
    one = resolution()
    assert one.see(seen(is_list=True)).person_ids == []
    assert PersonAdded not in events_of(one)


def test_headers_take_no_address_away_from_somebody_who_has_written() -> None:
    """List headers can be forged: a correspondent keeps their address; only one who was merely quoted loses it."""
    for origin, owner in (("correspondent", "person"), ("quoted", "list")):
        one = resolution({ALICE: KnownIdentifier("i", "person", ["p"], {}, origin)})  # type: ignore[arg-type]
        assert one.see(seen("recipient" if origin == "correspondent" else "quoted", is_list=True)).owner == owner
        assert (IdentifierMarkedAsList in events_of(one)) == (owner == "list")


def test_whoever_writes_from_a_supposed_list_gets_their_address_back() -> None:
    """An address wrongly taken for a list becomes a person's when somebody writes from it."""
    one = resolution({ALICE: KnownIdentifier("i", "list", [], {}, None)})
    assert one.see(seen()).owner == "person"
    assert IdentifierShared in events_of(one)


@pytest.mark.parametrize(
    ("when", "is_refused"),
    [(None, True), (datetime(2026, 4, 1, tzinfo=UTC), True), (datetime(2026, 4, 2, tzinfo=UTC), False)],
)
def test_mail_of_an_erased_sender_is_refused_if_it_is_old_or_undated(when: datetime | None, is_refused: bool) -> None:
    """The list keeps the day only, so that day counts as before; a mail without any date counts as old."""
    suppressed = Suppressed([False], {ALICE: date(2026, 4, 1)})
    assert (refusal(text(when, seen()), 0, suppressed, {}) is not None) == is_refused


def test_a_suppressed_mail_is_refused_whatever_its_date_says() -> None:
    """Message-ID or content name it, so that a changed date does not bring it back."""
    assert refusal(text(datetime(2030, 1, 1, tzinfo=UTC), seen()), 0, Suppressed([True], {}), {}) is not None


def test_an_erased_address_stays_erased_in_what_others_write() -> None:
    """In new mail of others too, unless its human has come back and the mail is from after the erasure."""
    suppressed = Suppressed([False], {ALICE: date(2026, 4, 1)})
    old, new = text(datetime(2026, 3, 1, tzinfo=UTC)), text(datetime(2026, 4, 9, tzinfo=UTC))
    back = KnownIdentifier("i", "person", ["p"])
    quoted = seen("quoted")
    assert is_erased_here(old, quoted, None, suppressed)
    assert is_erased_here(new, quoted, None, suppressed)
    assert is_erased_here(old, quoted, back, suppressed)
    assert not is_erased_here(new, quoted, back, suppressed)
    assert not is_erased_here(new, seen("sender"), None, suppressed)


def test_a_name_is_not_kept_with_an_address_that_is_nobodys() -> None:
    """Under a list's or the account's own address a name would outlive the person whom it names."""
    for owner in ("list", "account"):
        one = resolution({ALICE: KnownIdentifier("i", owner, [], {}, None)})  # type: ignore[arg-type]
        known = one.see(seen("recipient", spellings=("Greta Thorn <alice@example.org>",)))
        kept = [event.text for events in one.events.values() for event in events if isinstance(event, SpellingAdded)]
        assert kept == ["alice@example.org"]
        assert set(known.spellings) == {"Greta Thorn <alice@example.org>", "alice@example.org"}


def test_whoever_was_quoted_before_the_address_was_taken_for_a_list_is_the_one_who_writes() -> None:
    """Two persons with one address could not both be erased."""
    one = resolution({ALICE: KnownIdentifier("i", "list", ["p"], {}, "quoted")})
    assert one.see(seen()).person_ids == ["p"]
    assert PersonAdded not in events_of(one)


def test_an_answer_of_the_account_counts_with_those_to_whom_it_went() -> None:
    """Else it would come back under another Message-ID after its recipient's erasure."""
    desk = ("address", "support@desk.example")
    answer = text(
        NOW,
        IdentifierSeen(kind="address", address=desk[1], role="sender", spellings=[desk[1]]),
        seen("recipient"),
    )
    assert parties(answer, {desk: KnownIdentifier("d", "account", [])}) == [desk[1], ALICE[1]]  # type: ignore[dict-item]
    assert parties(answer, {desk: KnownIdentifier("d", "person", ["p"])}) == [desk[1]]  # type: ignore[dict-item]


def test_an_old_answer_to_people_who_are_all_erased_is_refused() -> None:
    """It was theirs. One that went to somebody else as well, or that is new, is not."""
    desk, bob = ("address", "support@desk.example"), ("address", "bob@example.org")
    known = {desk: KnownIdentifier("d", "account", []), bob: KnownIdentifier("b", "person", ["p"])}

    def to(when: datetime, *more: IdentifierSeen) -> str | None:
        sender = IdentifierSeen(kind="address", address=desk[1], role="sender", spellings=[desk[1]])
        suppressed = Suppressed([False], {ALICE: date(2026, 4, 1)})
        return refusal(text(when, sender, seen("recipient"), *more), 0, suppressed, known)  # type: ignore[arg-type]

    old, new = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 9, tzinfo=UTC)
    assert to(old) is not None
    assert to(new) is None
    assert to(old, IdentifierSeen(kind="address", address=bob[1], role="recipient", spellings=[bob[1]])) is None
