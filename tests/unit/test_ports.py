"""Which ports a stack's servers get."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from deploy.stack import ports
from deploy.stack.errors import StackError


@pytest.fixture
def clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which the system says which ports it gives to clients."""
    file = tmp_path / "ip_local_port_range"
    monkeypatch.setattr(ports, "_CLIENTS", file)
    return file


def test_no_port_is_one_of_the_clients(clients: Path) -> None:
    """All lie below those that a connection could have by the time a server listens, and no two are the same."""
    clients.write_text("11000\t60999\n")
    found = ports.free_ports(200)
    assert 200 == len(set(found))
    assert 10_000 <= min(found) and max(found) < 11_000


@pytest.mark.parametrize("said", [None, "", "1024 65535\n", "10999 65535\n"])
def test_where_hardly_any_are_left_any_will_do(clients: Path, said: str | None) -> None:
    """A system that keeps all for clients, or does not say, gets its stack too."""
    if said is not None:
        clients.write_text(said)
    assert max(ports.free_ports(200)) > 11_000


def test_what_is_taken_is_left_out(clients: Path) -> None:
    """Neither what the home had before, nor where somebody listens."""
    clients.write_text("11000 60999\n")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", ports.free_ports(1)[0]))
        listener.listen()
        port = listener.getsockname()[1]
        left = set(range(10_000, 11_000)) - {port}
        kept = set(sorted(left)[:900])
        assert not set(ports.free_ports(20, kept)) & (kept | {port})
        with pytest.raises(StackError, match="fewer than 101"):
            ports.free_ports(101, kept)
