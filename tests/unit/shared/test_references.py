"""Finding identifiers in texts, and putting references in their place."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.references import (
    ERASED_MARKER,
    Found,
    find_identifiers,
    join,
    normalise_address,
    normalise_phone,
    split_text,
)


@pytest.mark.parametrize(
    ("text", "normalised", "spelling"),
    [
        ("Write to alice@example.org.", "alice@example.org", "alice@example.org"),
        ("<Alice@Example.ORG>", "alice@example.org", "Alice@Example.ORG"),
        ("mailto:alice@example.org?subject=x", "alice@example.org", "alice@example.org"),
        ("alice&#64;example.org", "alice@example.org", "alice&#64;example.org"),
        ("alice&#x40;example&#46;org!", "alice@example.org", "alice&#x40;example&#46;org"),
        ("a&#108;ice&commat;example.org;", "alice@example.org", "a&#108;ice&commat;example.org"),
        ("?to=alice%40example.org&x=1", "alice@example.org", "alice%40example.org"),
        ("/alice%2Bnews%2540example.org/", "alice+news@example.org", "alice%2Bnews%2540example.org"),
        ("x?to=alice.smith@example.org", "alice.smith@example.org", "alice.smith@example.org"),
        ("from=alice.me@example.org,", "alice.me@example.org", "alice.me@example.org"),
        ("notes on alice@example.org.txt", "alice@example.org", "alice@example.org"),
        ("alice%40example.org.PDF", "alice@example.org", "alice%40example.org"),
        ("alice@example.zip", "alice@example.zip", "alice@example.zip"),
        ("bounces-alice=example.org@list.org", "alice@example.org", "bounces-alice=example.org@list.org"),
        ("news+1234-mary-jane=ex.org@l.org", "mary-jane@ex.org", "news+1234-mary-jane=ex.org@l.org"),
        ("SRS0=h=tt=example.org=alice@f.com", "alice@example.org", "SRS0=h=tt=example.org=alice@f.com"),
        ("prvs=12ab34=alice@example.org", "alice@example.org", "alice@example.org"),
        ("*alice@example.org*", "alice@example.org", "alice@example.org"),
        ("'alice@example.org'", "alice@example.org", "alice@example.org"),
        ("o'brien@example.ie", "o'brien@example.ie", "o'brien@example.ie"),
        ('"alice smith"@example.org', '"alice smith"@example.org', '"alice smith"@example.org'),
        ("联系alice@example.org谢谢", "alice@example.org", "alice@example.org"),
        ("иван@почта.рф", "иван@xn--80a1acny.xn--p1ai", "иван@почта.рф"),
        ("Jürgen@Müller.de", "jürgen@xn--mller-kva.de", "Jürgen@Müller.de"),
        ("root@localhost", "root@localhost", "root@localhost"),
        ("alice＠example.org", "alice@example.org", "alice＠example.org"),
        ("call +49 (0)30 23125-042 now", "+493023125042", "+49 (0)30 23125-042"),
        ("tel:%2B442079460958", "+442079460958", "%2B442079460958"),
        ("+44 20 7946 0958 2024", "+442079460958", "+44 20 7946 0958"),
    ],
)
def test_an_identifier_is_found_in_each_of_its_writings(text: str, normalised: str, spelling: str) -> None:
    """Entities, percent-encoding, bounce addresses, markup and neighbours without spaces do not hide it
    (mission E11)."""
    assert [(found.normalised, found.spelling) for found in find_identifiers(text)] == [
        (normalised, spelling)
    ]


@pytest.mark.parametrize(
    "text",
    ["", "meet me @home", "5@10", "@", "a@", "@b.org", "1+1=2", "020 7946 0958", "+1", "C++ 2011 12 12"],
)
def test_what_names_nobody_exactly_is_left(text: str) -> None:
    """Numbers without a country code, prices, handles and half addresses are no identifiers."""
    assert find_identifiers(text) == []


def test_several_identifiers_come_in_order_without_overlap() -> None:
    """Addresses and numbers side by side, and a number inside of an address belongs to the address."""
    text = "a@x.org,b@x.org;+442079460958 or +442079460958@sms.example"
    assert [found.spelling for found in find_identifiers(text)] == [
        "a@x.org",
        "b@x.org",
        "+442079460958",
        "442079460958@sms.example",
    ]


def test_an_erased_spelling_leaves_a_marker_and_all_other_text() -> None:
    """Joining without a spelling shows that something was there, and nothing of it."""
    text = "Ask alice@example.org or Alice@Example.org or bob@example.org"
    segments, spellings = split_text(text)
    assert [spelling.normalised for spelling in spellings] == ["alice@example.org"] * 2 + ["bob@example.org"]
    left = [None if spelling.normalised.startswith("alice") else spelling.spelling for spelling in spellings]
    assert join(segments, left) == f"Ask {ERASED_MARKER} or {ERASED_MARKER} or bob@example.org"


WRITINGS = st.sampled_from(
    [
        "@",
        "&#64;",
        "%40",
        "alice",
        "example.org",
        "=",
        "bounces-",
        " ",
        "\n",
        "<",
        ">",
        "+49 30 23125042",
        "&",
        "#",
        ";",
        "é",
        "谢",
    ]
)


@settings(max_examples=500)
@given(st.lists(WRITINGS | st.text(max_size=3), max_size=30).map("".join))
def test_splitting_and_joining_gives_the_text_back(text: str) -> None:
    """For any text, exactly; the occurrences are in order, apart from each other, and normalised for good."""
    found = find_identifiers(text)
    assert all(text[one.start : one.end] == one.spelling for one in found)
    assert all(one.end <= two.start for one, two in zip(found, found[1:], strict=False))
    for one in found:
        again = (
            normalise_address(one.normalised) if one.kind == "address" else normalise_phone(one.normalised)
        )
        assert again == one.normalised
    segments, spellings = split_text(text, found)
    assert join(segments, [spelling.spelling for spelling in spellings]) == text


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("Alice@Example.ORG", "alice@example.org"),
        (" <alice@example.org.> ", "alice@example.org"),
        ("alice@MÜLLER.de", "alice@xn--mller-kva.de"),
        ('"alice"@example.org', "alice@example.org"),
        ("ju\u0308rgen@x.org", "jürgen@x.org"),
        ("no address", "no address"),
        ("a@" + "ü" * 300, "a@" + "ü" * 300),
    ],
)
def test_addresses_are_compared_by_one_form(text: str, normalised: str) -> None:
    """Lower case, NFC, the domain in ASCII, no dots at its end, no needless quotes."""
    assert normalise_address(text) == normalised


HOSTILE = [
    "@",
    "a.",
    "a@",
    "a@a.",
    "&#64;",
    "%40",
    "=",
    "+1",
    "+1 2 ",
    "a=b@",
    '"@',
    "&#",
    "SRS0=",
    "-",
    "a.b=c.d@",
    "é@",
    "+49 30 1",
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_text_takes_linear_time(hostile: str) -> None:
    """Four times the text takes about four times the time, never sixteen times; for 20 MB that is still
    bearable."""

    def seconds(characters: int) -> float:
        text = hostile * (characters // len(hostile))
        best = 1e9
        for _ in range(2):
            began = time.process_time()
            find_identifiers(text)
            best = min(best, time.process_time() - began)
        return best

    small, large = seconds(50_000), seconds(200_000)
    assert large < 0.05 or large / small < 9


def test_a_text_of_20_megabytes_is_searched_in_seconds() -> None:
    """Length alone costs little."""
    began = time.process_time()
    found = find_identifiers("some words without anything " * 700_000 + "alice@example.org")
    assert time.process_time() - began < 5
    assert found == [Found(19_600_000, 19_600_017, "address", "alice@example.org", "alice@example.org")]
