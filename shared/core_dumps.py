"""No core dumps: a core file is this process's memory, opened keys and texts included, on disk."""

from __future__ import annotations

import contextlib
import ctypes
import resource

_PR_SET_DUMPABLE = 4


def switch_off() -> None:
    """Forbids core files to this process and its children; on Linux also to a handler that the machine pipes
    them to.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):  # not Linux: the limit above has to do
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
