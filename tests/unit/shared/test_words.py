"""The words by which texts are found."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.words import (
    LONGEST_BEGINNING,
    MAX_BEGINNINGS,
    MAX_WORD_CHARS,
    MAX_WORDS,
    beginnings,
    typed_beginnings,
    words,
)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("The kettles were leaking", "leaks kettle"),
        ("Müller wrote", "muller"),
        ("STRASSE 42", "straße"),
        ("ﬁrst", "first"),
        ("order KX-48213", "48213"),
        ("Привет, Андрей", "андрей"),
        ("请联系客户服务", "客户服务"),
        ("don't", "don"),
    ],
)
def test_a_query_finds_its_text(text: str, query: str) -> None:
    """Every word of the query is among the words of the text: endings, case, accents and writings aside."""
    assert words(query)
    assert words(query) <= words(text)


def test_common_words_and_single_letters_are_not_indexed() -> None:
    """They would be most of the index."""
    assert words("The a I of to x ! — …") == set()


def test_the_words_of_one_text_are_bounded() -> None:
    """At most 2,000, those that come first, none longer than 40 characters."""
    found = words(" ".join(f"word{number}" for number in range(5_000)))
    assert len(found) == MAX_WORDS
    assert "word0" in found and "word4999" not in found
    assert max(map(len, words("x" * 1_000))) == MAX_WORD_CHARS


def test_beginnings_are_found_while_typing() -> None:
    """Two to twelve letters of each word, and a query longer than that is cut to it."""
    assert beginnings("Märta Li") == {"ma", "mar", "mart", "marta", "li"}
    assert typed_beginnings("marta christophersonville") == {"marta", "christophers"}
    assert typed_beginnings("Christophersonville") <= beginnings("Christophersonville")


@given(st.text(max_size=200))
def test_any_text_gives_storable_words(text: str) -> None:
    """Words are not empty and bounded, and every word that is typed is among the beginnings."""
    assert all(0 < len(word) <= MAX_WORD_CHARS for word in words(text))
    assert all(2 <= len(word) <= LONGEST_BEGINNING for word in beginnings(text))
    assert typed_beginnings(text) <= beginnings(text)


def test_large_texts_take_seconds_at_most() -> None:
    """Twenty million characters, of words or of none."""
    began = time.process_time()
    words("supercalifragilistic " * 1_000_000)
    words("x" * 20_000_000)
    assert (
        len(beginnings(" ".join(f"word{number}" for number in range(100_000))))
        < MAX_BEGINNINGS + LONGEST_BEGINNING
    )
    assert time.process_time() - began < 10
