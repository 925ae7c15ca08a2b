"""A group of commands, one of which is meant where none is named: `import-mail PATH…`, `import-mail put-aside list`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class DefaultGroup(TyperGroup):
    """Takes what is not the name of one of its commands as arguments of the command `DEFAULT`."""

    DEFAULT = "run"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts the default command's name before its arguments."""
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            args = [self.DEFAULT, *args]
        return super().parse_args(ctx, args)
