"""Hashes of passwords that cost next to nothing, for tests that are not about them: real ones were a sixth of what all tests
together cost.

`python -m tests.support.cheap_hashes SERVICE REPLICA` is that service, which hashes with other parameters of argon2id. A stack
with several replicas, and all tests of hashes, keep those of the product.
"""

from __future__ import annotations

import sys
from collections.abc import Callable


def make_cheap(set_: Callable[[object, str, object], object]) -> None:
    """Sets what hashes with, by something like `setattr`."""
    from argon2 import PasswordHasher

    from services.identity import password, sign_in_handlers

    set_(password, "_hasher", PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1))
    nobodys = password.hashed("nobody's")
    for user in (password, sign_in_handlers):
        set_(user, "NOBODYS_HASH", nobodys)


def main() -> int:
    """Runs the service of the command line. In a process of its own: the runner patches the standard library, before anything
    else is imported."""
    from shared.service_runner import main as run

    make_cheap(setattr)
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
