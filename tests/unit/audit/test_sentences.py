"""Every type of event that a service has can be told in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, get_args, get_origin

import msgspec
import pytest

from audit.sentences import SENTENCES, sentence_for, several, tell, types_of_services
from shared.events import Envelope, Event
from shared.ids import new_id
from shared.personal import hints_of

ALL = {name: kind for types in types_of_services().values() for name, kind in types.by_name.items()}


def value_of(hint: Any) -> Any:
    """Some value of a type, as plain data."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hasattr(hint, "__metadata__"):
        return new_id() if "id" in str(hint.__metadata__) else value_of(hint.__origin__)
    if origin is list:
        return [value_of(arguments[0])]
    if origin is tuple:
        return [value_of(one) for one in arguments]
    if origin is dict:
        return {"rows": value_of(arguments[1])}
    if arguments and type(None) in arguments:
        return value_of(next(one for one in arguments if one is not type(None)))
    if arguments:
        return arguments[0]  # one of a fixed list
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return {field: value_of(kind) for field, kind in hints_of(hint).items()}
    return {str: "word", int: 1, bool: True, datetime: "2026-05-31T12:00:00Z"}[hint]


def some(name: str) -> Envelope:
    """An event of a type, with every field of its envelope filled."""
    service = name.partition(".")[0]
    kind: type[Event] = ALL[name]
    sealed = types_of_services()[service].personal[kind]
    public = {field: hint for field, hint in hints_of(kind).items() if field not in {*sealed, "schema_version"}}
    data = {field: value_of(hint) for field, hint in public.items()}
    return Envelope(
        account=new_id(), actor=new_id(), causation=None, data=data, event=new_id(), schema=kind.schema_version, sealed=[],
        service=service, stream="thing/1", time=datetime(2026, 5, 31, 12, tzinfo=UTC), type=name, version=1,
    )  # fmt: skip


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_type_of_event_is_told_in_a_sentence(name: str) -> None:
    """A type without a sentence fails here; a sentence is one line, says something, and names no type."""
    assert sentence_for(name) is not None, f"give {name} a sentence in audit/sentences.py"
    told = tell(some(name))
    assert "does not know" not in told and "\n" not in told and "None" not in told
    assert len(told) > 15 and told[0].isupper()


def test_no_sentence_tells_of_a_type_that_does_not_exist() -> None:
    """What stands in the table is a type of a service: a typing error would leave the right type without words."""
    assert [] == sorted(set(SENTENCES) - set(ALL))


def test_a_type_of_a_later_program_is_told_by_its_name() -> None:
    """An auditor with an older program is told that there was an event, and of which type."""
    later = msgspec.structs.replace(some("tickets.TicketOpened"), type="tickets.TicketMerged", schema=7)
    assert "An event that this program does not know: tickets.TicketMerged, version 7" == tell(later)


def test_long_lists_are_counted() -> None:
    """Of many ids the first three stand in a sentence."""
    ids = [f"{number}" * 36 for number in range(1, 6)]
    assert "persons 11111111, 22222222, 33333333 and 2 more" == several("person", ids)
    assert "person 11111111" == several("person", ids[:1])
