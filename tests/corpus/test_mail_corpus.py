"""The mails of the real corpus, each compared with a second reading that shares no code with the first.

The corpus is no part of the project: `MAIL_CORPUS` names the folder where it is unpacked.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from shared.mail import Mail, MailSource, count, read_mail, walk
from shared.references import find_identifiers, join, split_text
from tests.corpus.independent_mail import independent_text

pytestmark = pytest.mark.corpus


@pytest.fixture(scope="module")
def corpus() -> list[tuple[MailSource, Mail]]:
    """All mails with their sources."""
    folder = os.environ.get("MAIL_CORPUS")
    if not folder or not Path(folder).is_dir():
        pytest.skip("MAIL_CORPUS does not name the folder of the unpacked mail corpus")
    sources = list(walk([folder]))
    assert len(sources) == count([folder])
    return [(source, read_mail(source.raw)) for source in sources]


def letters(text: str) -> str:
    return "".join(re.findall(r"\w", text))


def test_no_mail_of_the_corpus_is_unreadable(corpus: list[tuple[MailSource, Mail]]) -> None:
    """Each of the 3,000 mails is read."""
    assert len(corpus) == 3_000


def test_plain_text_equals_the_independent_reading(corpus: list[tuple[MailSource, Mail]]) -> None:
    """The text of every mail that is not HTML is, to the character, what a second parser reads."""
    different = []
    for source, mail in corpus:
        text, from_html = independent_text(source.raw)
        if not from_html and mail.text != text:
            different.append(source.path.name)
    assert different == []


def test_html_holds_the_same_words_in_the_same_order(corpus: list[tuple[MailSource, Mail]]) -> None:
    """The text of every HTML mail has the letters that a second parser finds, all of them. In one mail they
    stand in another order: text directly inside of a table goes before it, as the HTML standard says and
    browsers do."""
    different: list[str] = []
    reordered: list[str] = []
    for source, mail in corpus:
        text, from_html = independent_text(source.raw)
        if from_html and letters(mail.text) != letters(text):
            same = sorted(letters(mail.text)) == sorted(letters(text))
            (reordered if same else different).append(source.path.name)
    assert different == []
    assert len(reordered) <= 1


def test_every_text_is_given_back_exactly_around_its_references(
    corpus: list[tuple[MailSource, Mail]],
) -> None:
    """Splitting at identifiers and joining again changes nothing, and what is split off is nowhere in the
    rest."""
    for _, mail in corpus:
        found = find_identifiers(mail.text)
        segments, spellings = split_text(mail.text, found)
        assert join(segments, [spelling.spelling for spelling in spellings]) == mail.text
