"""A stack whose hashes of passwords cost next to nothing: real ones were a sixth of what all tests together cost.

For tests that are not about them: `python -m tests.support.cheap_hashes SERVICE REPLICA` is that service, which hashes with
other parameters of argon2id. A stack with several replicas, and all tests of hashes, keep those of the product.
"""

from __future__ import annotations

import sys
from typing import Any

from argon2 import PasswordHasher

from deploy.stack import Stack
from deploy.stack.processes import Program

PARAMETERS: dict[str, Any] = {"time_cost": 1, "memory_cost": 1024, "parallelism": 1}


def cheap_hasher() -> PasswordHasher:
    """In the place of the product's."""
    return PasswordHasher(**PARAMETERS)


class CheapStack(Stack):
    """The stack whose identity is run by this module."""

    def _replica(self, service: str, replica: int) -> Program:
        if service != "identity":
            return super()._replica(service, replica)
        return self._worker(f"{service}-{replica}", ["tests.support.cheap_hashes", service, str(replica)])


def main() -> int:
    """Runs the service of the command line. In a process of its own: what it imports patches the standard library."""
    from services.identity import password, sign_in_handlers
    from shared.service_runner import main as run

    password._hasher = cheap_hasher()
    nobodys = password.hashed("nobody's")
    for user in (password, sign_in_handlers):
        setattr(user, "NOBODYS_HASH", nobodys)  # noqa: B010 - a constant, for everybody else
    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
