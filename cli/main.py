"""The program `lethe`: all commands together, and how each ends. Every other module here is a group of commands."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import typer

from cli import exit_status
from cli.options import HELP
from cli.output import stderr
from deploy.stack.errors import StackError
from shared.errors import InternalError, LetheError

_MODULES: Final = {
    "cli.stack_commands": ("up", "down", "status", "logs", "doctor", "reset"),
    "cli.demo": ("demo",),
    "cli.demo_access": ("demo-access",),
    "cli.account_commands": ("account", "user"),
    "cli.import_commands": ("import-mail",),
    "cli.person_commands": ("person",),
    "cli.ticket_commands": ("ticket", "search"),
    "cli.erase_commands": ("erase", "erasure"),
    "cli.hold_commands": ("hold",),
    "cli.certificate_commands": ("certificate",),
    "cli.audit_commands": ("audit",),
    "cli.audit_watch_commands": ("audit",),
    "cli.audit_prove_commands": ("audit",),
    "cli.audit_trail_commands": ("audit",),
    "cli.audit_report_commands": ("audit",),
    "cli.export_commands": ("export",),
    "cli.rpc_commands": ("rpc",),
    "cli.clock_commands": ("clock",),
    "cli.keys_commands": ("keys",),
    "cli.recover_commands": ("recover",),
    "cli.dead_letter_commands": ("dead-letters",),
    "cli.mail_commands": ("mail",),
    "cli.reads_commands": ("reads",),
    "cli.staff_commands": ("staff",),
    "cli.schema_commands": ("schema",),
}
"""The modules with commands, in the order of the help, and the first words of those. Each has `register(app)`."""


def _lethe() -> None:
    """A support desk that forgets a person, and can prove it. Try it: lethe demo"""


@cache
def program(first_word: str | None = None) -> Any:
    """The commands as Click runs them: those that begin with a word, or all. What a command does not need is not imported: all
    modules together take longer than many commands do."""
    app = typer.Typer(
        name="lethe",
        help="A support desk that forgets a person, and can prove it.\n\nTry it: lethe demo",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings=HELP,
    )
    app.callback()(_lethe)
    for module in [name for name, words in _MODULES.items() if first_word in words] or _MODULES:
        importlib.import_module(module).register(app)
    return typer.main.get_command(app)


warnings.filterwarnings("ignore", message=r"(?s).*Eventlet is deprecated")


def invoke(arguments: Sequence[str]) -> int:
    """Runs one command in this process and gives its exit status. What it says goes to stdout and stderr."""
    try:
        program(arguments[0] if arguments else None)(list(arguments), prog_name="lethe")
    except SystemExit as end:
        if _was_interrupted(end):
            return _interrupted()
        return end.code if isinstance(end.code, int) else exit_status.DONE if end.code is None else exit_status.REFUSED
    except LetheError as error:
        if os.environ.get("LETHE_DEBUG"):
            raise
        stderr().print(f"lethe: {explain(error)}", style="red", soft_wrap=True)
        return exit_status.exit_status_of(error)
    except StackError as error:
        stderr().print(f"lethe: {error}", style="red", soft_wrap=True)
        return exit_status.UNAVAILABLE
    except KeyboardInterrupt:
        return _interrupted()
    except BrokenPipeError:
        # whoever read our output has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_status.DONE
    except OSError as error:
        if os.environ.get("LETHE_DEBUG"):
            raise
        reason = error.strerror or type(error).__name__
        where = f": {error.filename}" if error.filename else ""
        stderr().print(f"lethe: {reason}{where}", style="red", soft_wrap=True)
        return exit_status.REFUSED
    return exit_status.DONE


def _was_interrupted(end: SystemExit) -> bool:
    """Whether Typer made this of a Ctrl+C: it ends with the status alone, and says nothing."""
    return end.__context__ is not None and isinstance(end.__context__.__cause__, KeyboardInterrupt)


def _interrupted() -> int:
    stderr().print("lethe: stopped. What was done so far stays done.", style="yellow", soft_wrap=True)
    return exit_status.INTERRUPTED


def explain(error: LetheError) -> str:
    """An error in one line: what it says, and the details that help (never more than the error itself carries)."""
    if isinstance(error, InternalError):
        return f"{error.message} (its log says more: lethe logs)"
    shown = {
        key: value for key, value in error.details.items() if key not in ("field", "rule") and str(value)
    }
    more = ", ".join(
        f"{key}: {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in shown.items()
    )
    return f"{error.message} ({more})" if more else error.message


def main() -> None:
    """The entry point of the program."""
    sys.exit(invoke(sys.argv[1:]))


if __name__ == "__main__":
    main()
