"""Every command helps, with an example; every `--json` has a published schema; the examples name commands that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from cli.main import program
from cli.schemas import outputs

PROGRAM: Any = program()


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """(name, command) of each command of the program."""
    for name, command in sorted(group.commands.items()):
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(PROGRAM))


@pytest.mark.parametrize("word", PROGRAM.commands)
def test_a_command_is_found_by_its_first_word(word: str) -> None:
    """Where only the modules of this word are loaded, all that begins with it is there, and hardly anything else."""
    alone = dict(commands(program(word)))
    assert {name for name in COMMANDS if name.split()[0] == word} <= set(alone)
    assert len(program(word).commands) < len(PROGRAM.commands) / 2


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_an_example(name: str) -> None:
    """Whoever asks for help sees a line that they can type."""
    example = re.search(r"Example: lethe ((?s:.+))", COMMANDS[name].help or "")
    assert example, name
    words = shlex.split(example[1].replace("\n", " "))
    path = name.removesuffix(" run").split()
    assert path == words[: len(path)]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_has_options_that_the_command_has(name: str) -> None:
    """An example does not grow old when an option is renamed."""
    command = COMMANDS[name]
    known = {option for parameter in command.params for option in parameter.opts}
    used = set(re.findall(r"(?<![\w-])--[a-z-]+", command.help.partition("Example:")[2]))
    assert used <= known


@pytest.mark.parametrize("name", COMMANDS)
def test_json_has_a_published_schema(name: str) -> None:
    """A program knows what it will read."""
    takes_json = any("--json" in parameter.opts for parameter in COMMANDS[name].params)
    if takes_json and name != "rpc":
        declared = outputs()[name]
        assert isinstance(declared, dict) or msgspec.json.schema(declared)


def test_every_published_schema_can_be_made() -> None:
    """No schema is of a command that is not there."""
    known = set(COMMANDS) | {"import-mail", "erase --dry-run", "rpc list"}
    for name, declared in outputs().items():
        assert name in known, name
        assert isinstance(declared, dict) or msgspec.json.schema(declared)
