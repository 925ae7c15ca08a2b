"""What goes wrong with the local stack, said so that its user can act on it."""

from __future__ import annotations


class StackError(Exception):
    """The stack can't do what was asked. The text says why and, where there is one, the way out."""
