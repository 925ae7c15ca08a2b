"""The scan finds what it looks for, in every form."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

import pytest

from tests.support.byte_scan import scan

WORD = "alice@example.org"


@pytest.mark.parametrize("alignment", range(3))
def test_a_word_is_found_in_base64_at_each_alignment(tmp_path: Path, alignment: int) -> None:
    """Whatever stands before and after it."""
    (tmp_path / "file").write_bytes(base64.b64encode(b"x" * alignment + WORD.encode() + b"yz"))
    assert [hit.word for hit in scan(tmp_path, [WORD])] == [WORD]


@pytest.mark.parametrize(
    "form", [WORD.encode(), WORD.encode("utf-16-le"), WORD.encode("utf-16-be"), WORD.encode().hex().encode(),
             WORD.encode().hex().upper().encode(), gzip.compress(b"." + WORD.encode())],
    ids=["utf-8", "utf-16-le", "utf-16-be", "hex", "HEX", "gzip"],
)  # fmt: skip
def test_a_word_is_found_in_each_other_form(tmp_path: Path, form: bytes) -> None:
    """Both byte orders of UTF-16, both cases of hexadecimal, and inside a compressed file."""
    (tmp_path / "file").write_bytes(b"before" + form + b"after" if form[:2] != b"\x1f\x8b" else form)
    assert [hit.word for hit in scan(tmp_path, [WORD])] == [WORD]


def test_other_bytes_are_no_hit(tmp_path: Path) -> None:
    """Nothing is found where nothing is."""
    (tmp_path / "file").write_bytes(bytes(range(256)) * 1000)
    assert scan(tmp_path, [WORD]) == []
