"""Places outside that take a log's checkpoints: a folder, and a witness by HTTP (c2sp.org/tlog-witness).

Each takes a newer checkpoint only if it extends what is there: what an earlier push left is evidence, and no later one may
write over it. `shared/checkpoint_push.py` says when. Nothing secret is sent.
"""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from shared.checkpoint import Checkpoint, open_checkpoint
from shared.consistency_proof import ConsistencyProof
from shared.durable_files import read_if_there, replace
from shared.errors import Conflict, LetheError, Tampered, Unavailable
from shared.signed_note import Verifier
from shared.tiles import TileReader, files_in

CONNECT_SECONDS: Final = 5.0
PUSH_SECONDS: Final = 15.0
"""The most that one request may take, however slowly the other side answers."""
MOST_ANSWER_BYTES: Final = 64 * 1024
MOST_PLACES: Final = 8
LOOPBACK: Final = frozenset(("127.0.0.1", "localhost", "::1"))


class PlaceRefused(Conflict):
    """The place has another history, or a longer one: our log was rewritten or cut short, or theirs is not ours."""

    code = "place_refused"
    default = "The place has another history than the log."


@dataclass(frozen=True)
class Published:
    """The newest checkpoint of a log: its note, its files, and the key that signs it."""

    note: bytes
    checkpoint: Checkpoint
    tiles: Path
    verifier: Verifier

    def proof_from(self, old_size: int) -> ConsistencyProof:
        """The proof that it extends the tree of `old_size`, whose root the place knows."""
        reader = TileReader(files_in(self.tiles), self.checkpoint.size)
        return ConsistencyProof(old_size, tuple(reader.consistency_proof(old_size)), self.note)


class Place(Protocol):
    """Takes checkpoints. `name` is shown to operators."""

    name: str

    def push(self, published: Published, known_size: int) -> None:
        """Takes it, or raises `PlaceRefused`, `Unavailable`, `OSError`. known_size: what the place took last, 0 for unknown."""


class FolderPlace:
    """A folder, best on a medium of somebody else's: `<service>.checkpoint` is replaced whole.

    It must be there: one that we made would lie under the mount point of a medium that is missing.
    """

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder

    def push(self, published: Published, known_size: int) -> None:
        """Replaces the file, unless what is there is not extended by it."""
        if not self._folder.is_dir():
            raise Unavailable("there is no such folder")
        path = self._folder / f"{published.checkpoint.origin.rpartition('/')[2]}.checkpoint"
        there = read_if_there(path)
        if there is not None and there != published.note:
            self._compare(there, published)
        replace(path, published.note)

    def _compare(self, there: bytes, published: Published) -> None:
        try:
            old = open_checkpoint(there, [published.verifier])
        except Tampered:
            raise PlaceRefused("the file that is there is no checkpoint of this log") from None
        if old.size > published.checkpoint.size:
            raise PlaceRefused(f"the checkpoint that is there covers {old.size} events, the log {published.checkpoint.size}")
        try:
            published.proof_from(old.size).verify(old, [published.verifier])
        except LetheError:
            raise PlaceRefused(f"the log does not extend the checkpoint of {old.size} events that is there") from None


class WitnessPlace:
    """A witness: POST `<url>/add-checkpoint` with the size that it knows, the consistency proof and the checkpoint.

    It checks by itself that the log extends what it has seen. The cosignature that it answers with is not kept. http is for
    this machine only, redirects are not followed, and a URL has no credentials in it.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        plain_at_home = parts.scheme == "http" and parts.hostname in LOOPBACK
        if not parts.hostname or parts.username or parts.query or parts.fragment:
            raise ValueError("a witness is a URL with a host, and without user, query and fragment")
        if parts.scheme != "https" and not plain_at_home:
            raise ValueError("a witness is reached by https (http on this machine only)")
        self.name = url
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._path = f"{parts.path.rstrip('/')}/add-checkpoint"

    def push(self, published: Published, known_size: int) -> None:
        """Sends it; where the witness knows another size than we thought, once more from there."""
        status, answer = self._post(published.proof_from(known_size).encode())
        if status == 409:
            theirs = self._size_in(answer)
            if theirs > published.checkpoint.size:
                raise PlaceRefused(f"the witness knows {theirs} events, the log has {published.checkpoint.size}")
            status, answer = self._post(published.proof_from(theirs).encode())
        if status in (409, 422):
            raise PlaceRefused(f"the witness does not take the log as one that extends what it knows ({status})")
        if status != 200:
            raise Unavailable(f"the witness answers {status}")
        if not answer.startswith("— ".encode()):
            raise Unavailable("the witness answers with no cosignature")

    @staticmethod
    def _size_in(answer: bytes) -> int:
        text = answer.decode("ascii", "replace").strip()
        if not (text.isascii() and text.isdigit()) or len(text) > 19:
            raise Unavailable("the witness names no size")
        return int(text)

    def _post(self, body: bytes) -> tuple[int, bytes]:
        with closing(self._connection()) as connection:
            # time-outs of the socket are for each of its calls; this ends an answer that drips as well
            end = threading.Timer(PUSH_SECONDS, _end, [connection])
            end.daemon = True
            end.start()
            try:
                connection.request("POST", self._path, body, {"Content-Type": "text/plain; charset=utf-8"})
                answer = connection.getresponse()
                return answer.status, answer.read(MOST_ANSWER_BYTES)
            except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
                raise Unavailable(f"the witness does not answer ({type(error).__name__})") from None
            finally:
                end.cancel()

    def _connection(self) -> http.client.HTTPConnection:
        if not self._secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self._host, self._port, timeout=CONNECT_SECONDS, context=context)


def _end(connection: http.client.HTTPConnection) -> None:
    """Ends a request from another thread: its next read fails."""
    if (sock := connection.sock) is not None:
        try:
            sock.shutdown(2)
        except OSError:
            pass


def places_of(text: str) -> Sequence[Place]:
    """The places in a setting, with white space between. Raises `ValueError` for what is none, so that the start fails."""
    words = text.split()
    if len(words) > MOST_PLACES or len(set(words)) < len(words):
        raise ValueError(f"checkpoints are pushed to {MOST_PLACES} different places at most")
    return [_place(word) for word in words]


def _place(word: str) -> Place:
    if word.startswith("/"):
        return FolderPlace(Path(word))
    if "://" in word:
        return WitnessPlace(word)
    raise ValueError("a place for checkpoints is the absolute path of a folder, or the URL of a witness")
