"""Stacks for tests: homes in folders of their own, brought up once or by the test itself, and destroyed when it is over."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from deploy.stack import Stack
from deploy.stack.processes import Program

LIMITS = (
    "SOURCE_RATE", "SOURCE_BURST", "CREDENTIAL_RATE", "CREDENTIAL_BURST", "DOOR_RATE", "DOOR_BURST", "SIGN_UPS_PER_HOUR",
)  # fmt: skip
"""The gateway's limits on who sends how much: out of the way of tests that are not about them."""


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder for a home that others may pass through (PostgreSQL does not run as root), gone after the block."""
    folder = Path(tempfile.mkdtemp(prefix="lethe-"))
    folder.chmod(0o711)
    try:
        yield folder / "home"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class CheapStack(Stack):
    """A stack whose identity hashes passwords cheaply (`cheap_hashes.py`)."""

    def _replica(self, service: str, replica: int) -> Program:
        if service != "identity":
            return super()._replica(service, replica)
        return self._worker(f"{service}-{replica}", ["tests.support.cheap_hashes", service, str(replica)])


@contextmanager
def running_stack(
    replicas: dict[str, int] | None = None, up: bool = True, kind: type[Stack] = Stack
) -> Iterator[Stack]:
    """A stack of its own for the length of the block. With LETHE_DATABASE_URL set its databases have names of their own.

    What a test says on failing is found in the logs, whose folder is kept when LETHE_KEEP_LOGS names one.
    """
    with ExitStack() as later:
        patch = later.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("LETHE_DATABASE_PREFIX", f"test_{secrets.token_hex(4)}")
        home = later.enter_context(temporary_home())
        stack = kind(home, replicas)
        later.callback(_destroy, stack)
        if up:
            stack.up()
        yield stack


def _destroy(stack: Stack) -> None:
    stack.down()
    if (kept := os.environ.get("LETHE_KEEP_LOGS")) and (stack.home / "logs").is_dir():
        shutil.copytree(stack.home / "logs", Path(kept) / stack.home.parent.name, dirs_exist_ok=True)
    if stack.home.exists():
        stack.reset()
