"""The event logs over HTTP: names, types, caching, who may read; without any service."""

from __future__ import annotations

import functools
import hashlib
import secrets
from pathlib import Path
from typing import Any

import httpx
import pytest

from shared.checkpoint import Checkpoint, open_checkpoint
from shared.signed_note import SigningKey, sign_note
from shared.tile_writer import TileWriter
from shared.tiles import TileReader, parse_tile_path, tile_path
from tests.support.gateway import application
from tests.unit.gateway.test_edge import ask

KEY = SigningKey.generate("cell.example/tickets")
ENTRIES = [hashlib.sha256(str(number).encode()).digest() for number in range(700)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one log of 700 entries, beside things that are nobody's."""
    made = tmp_path_factory.mktemp("home")
    tiles = made / "tiles" / "tickets"
    writer = TileWriter(tiles)
    writer.append(ENTRIES)
    note = sign_note(Checkpoint(KEY.name, writer.size, writer.root()).text(), KEY)
    (tiles / "checkpoint").write_bytes(note)
    (tiles / "cut-journal.jsonl").write_text("{}\n")
    (tiles / "suppression").mkdir()
    (tiles / "suppression" / "one.jsonl").write_text("secret\n")
    (made / "stack.json").write_text("secret")
    (made / "verifiers").mkdir()
    (made / "verifiers" / "log-tickets.vkey").write_text(f"{KEY.verifier}\n")
    return made


serving = functools.cache(application)


def get(home: Path, path: str, method: str = "GET", public: bool = True, tokens: str = "", **headers: str) -> httpx.Response:
    app = serving(home=home, logs_public=public, log_tokens=frozenset(tokens.split()))
    return ask(app, method, f"/logs/{path}", headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_a_reader_that_knows_only_the_formats_reads_the_whole_log(home: Path) -> None:
    """By HTTP alone: the checkpoint, its root from the tiles, every entry, and a proof."""
    note = get(home, "tickets/checkpoint")
    checkpoint = open_checkpoint(note.content, [KEY.verifier])

    def read(path: str) -> bytes | None:
        answer = get(home, f"tickets/{path}")
        return answer.content if answer.status_code == 200 else None

    reader = TileReader(read, checkpoint.size)
    assert (checkpoint.root, ENTRIES) == (reader.root(), list(reader.entries()))


def test_types_and_caching_are_those_of_the_specification(home: Path) -> None:
    """The checkpoint is text and is asked for anew; tiles and bundles, partial ones too, are octets for ever."""
    note, key = get(home, "tickets/checkpoint"), get(home, "tickets/verifier.vkey")
    for text in (note, key):
        assert ("text/plain; charset=utf-8", "no-cache") == (text.headers["content-type"], text.headers["cache-control"])
    assert f"{KEY.verifier}\n" == key.text
    for path in ("tile/0/000", "tile/0/002.p/188", "tile/entries/001", "tile/entries/002.p/188", "tile/1/000.p/2"):
        answer = get(home, f"tickets/{path}")
        assert (200, "application/octet-stream") == (answer.status_code, answer.headers["content-type"]), path
        assert "public, max-age=31536000, immutable" == answer.headers["cache-control"]
    private = get(home, "tickets/tile/0/000", public=False, tokens=hashlib.sha256(b"t").hexdigest(), Authorization="Bearer t")
    assert "private, max-age=31536000, immutable" == private.headers["cache-control"]


def test_what_a_reader_has_is_not_sent_again(home: Path) -> None:
    """304 to its own tag, strong or weak, alone or among others; 200 to another; HEAD has the headers and no body."""
    whole = get(home, "tickets/checkpoint")
    tag = whole.headers["etag"]
    for shown in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = get(home, "tickets/checkpoint", If_None_Match=shown)
        assert (304, b"", tag) == (again.status_code, again.content, again.headers["etag"])
    assert 200 == get(home, "tickets/checkpoint", If_None_Match='"other"').status_code
    head = get(home, "tickets/tile/0/000", "HEAD")
    assert (200, "8192") == (head.status_code, head.headers["content-length"])


@pytest.mark.parametrize(
    "path",
    [
        "tickets/tile/0/000/", "tickets/tile/0/0", "tickets/tile/00/000", "tickets/tile/0/x000/000", "tickets/tile/64/000",
        "tickets/tile/0/000.p/0", "tickets/tile/0/002.p/256", "tickets/tile/0/002.p/0188", "tickets/tile/8/0/000",
        "tickets/tile/entries/000.p/5", "tickets/tile/data/000", "tickets/tile", "tickets/", "tickets", "", "nobody/checkpoint",
        "tickets/cut-journal.jsonl", "tickets/suppression/one.jsonl", "tickets/../../stack.json",
        "tickets/..%2f..%2fstack.json", "tickets/tile/0/%2e%2e/000",
        "tickets/tile/%30/000", "tickets/check%70oint", "gateway/checkpoint", "contacts/checkpoint", "tickets/tile/0/003",
        "tickets/tile/0/٠٠٠", "tickets/tile/0/000%0a", "tickets//checkpoint", "tickets/checkpoint/", "tickets/tile/0/000?x=1",
    ],
)  # fmt: skip
def test_there_is_nothing_else(home: Path, path: str) -> None:
    """Other spellings, other files, ways out of the folder, a partial tile that is not there: nothing, and nothing is told."""
    answer = get(home, path)
    assert answer.status_code == (422 if "?" in path else 404)
    assert "no-store" == answer.headers["cache-control"] and "secret" not in answer.text


def test_by_default_it_takes_a_token_that_the_operator_gave(home: Path) -> None:
    """None, a wrong one, one shown as a password: 401, for what is there and for what is not. Each of several is good."""
    one, other = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    tokens = " ".join(hashlib.sha256(token.encode()).hexdigest() for token in (one, other))
    who: dict[str, Any] = {"public": False, "tokens": tokens}
    for path in ("tickets/checkpoint", "tickets/tile/0/000", "tickets/verifier.vkey", "tickets/nothing"):
        assert 401 == get(home, path, **who).status_code
        assert 401 == get(home, path, **who, Authorization=f"Bearer {one}x").status_code
        assert 401 == get(home, path, **who, Authorization=f"Basic {one}").status_code
        assert 401 == get(home, path, public=False, Authorization="Bearer ").status_code
    for token in (one, other):
        assert 200 == get(home, "tickets/checkpoint", **who, Authorization=f"Bearer {token}").status_code


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nobody_writes(home: Path, method: str) -> None:
    """Another method is not taken, and those that are, are told."""
    answer = get(home, "tickets/checkpoint", method)
    assert (405, "GET, HEAD") == (answer.status_code, answer.headers["allow"])


def test_reading_has_the_rate_of_its_source(home: Path) -> None:
    """The limits of the edge hold here too."""
    app = application(home=home, logs_public=True, source_rate=0.001, source_burst=3)
    assert 429 == ask(app, "GET", "/logs/tickets/checkpoint", times=4).status_code


def test_paths_of_tiles_are_read_as_they_are_written() -> None:
    """Each number at the borders of its groups, on each kind of level, full and partial."""
    for number in (0, 999, 1000, 999_999, 1_000_000, 1_234_067, 10**12):
        for level in (0, 5, 63, "entries"):
            for width in (1, 255, 256):
                assert (level, number, width) == parse_tile_path(tile_path(level, number, width))  # type: ignore[arg-type]
