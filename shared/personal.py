"""Declares, where a field is, whether it holds personal data (mission G6).

From these declarations come the sealing of events, the set of participants of an erasure and the record of processing.
A string field that is declared neither personal nor not personal fails the build: `undeclared_fields` finds it.
This module knows types only. It must not seal, store or log anything.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

Category = Literal["name", "e-mail", "phone", "address", "ip-address", "time-stamp", "cookie", "credential", "content"]
"""The data categories of the record of processing (GDPR Art. 30(1)(c), mission G6)."""

Retention = Literal["person", "account"]
"""How long a field is kept: until its person or until its account is erased, whichever comes first."""


class Erased(msgspec.Struct, frozen=True, tag="erased"):
    """What reading a cut field gives: a value, never an exception. It carries nothing on purpose."""

    def __str__(self) -> str:
        return "[erased]"


ERASED = Erased()


class Personal(msgspec.Struct, frozen=True, kw_only=True):
    """Marks a field as personal data, to be sealed.

    item: name of the id field whose value names the item key that the field is sealed under.
    person: name of the id field that names the data subject (one id or a tuple of ids); None where the field is about
        no person (an organisation's name), so that it is sealed under an item of the account itself.
    """

    category: Category
    purpose: str
    item: str
    person: str | None
    retention: Retention = "person"


class NotPersonal(msgspec.Struct, frozen=True):
    """Marks a string as holding no personal data, and says why."""

    why: str


class InTransit(msgspec.Struct, frozen=True, kw_only=True):
    """Marks a field of a command or an answer: personal data that passes through sealed RPC bodies and is never stored so."""

    category: Category


Marker = Personal | NotPersonal | InTransit


def marker_of(annotation: object) -> Marker | None:
    """The declaration in an annotation such as `Annotated[str, Personal(...)]`, or None."""
    if typing.get_origin(annotation) is Annotated:
        for extra in typing.get_args(annotation)[1:]:
            if isinstance(extra, (Personal, NotPersonal, InTransit)):
                return extra
        return marker_of(typing.get_args(annotation)[0])
    return None


def hints_of(struct: type) -> dict[str, Any]:
    """The annotations of a struct's fields, with their declarations kept."""
    hints = typing.get_type_hints(struct, include_extras=True)
    return {field: hints[field] for field in getattr(struct, "__struct_fields__", ())}


def personal_fields(struct: type) -> dict[str, Personal]:
    """The fields of an event that are sealed, by name."""
    marked = {name: marker_of(hint) for name, hint in hints_of(struct).items()}
    return {name: marker for name, marker in marked.items() if isinstance(marker, Personal)}


def undeclared_fields(struct: type, _seen: frozenset[type] = frozenset()) -> Iterator[str]:
    """Yields `Struct.field` for each string (or bytes) reachable in `struct` that carries no declaration."""
    if struct in _seen:
        return
    for name, hint in hints_of(struct).items():
        for inner in _undeclared_in(hint, _seen | {struct}):
            yield f"{struct.__name__}.{name}{inner}"


def _undeclared_in(hint: Any, seen: frozenset[type]) -> Iterator[str]:
    marker = marker_of(hint)
    if isinstance(marker, (NotPersonal, InTransit)):
        return
    bare = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
    if isinstance(marker, Personal):
        if marker.item not in ("", None) and not isinstance(bare, type):
            return
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            yield from ("." + rest.split(".", 1)[1] for rest in undeclared_fields(bare, seen))
        return
    if bare in (str, bytes, Any, object):
        yield ""
        return
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
        yield from ("." + rest.split(".", 1)[1] for rest in undeclared_fields(bare, seen))
        return
    if typing.get_origin(bare) is Literal:
        return
    for argument in typing.get_args(bare):
        if argument is not Ellipsis and argument is not type(None):
            yield from _undeclared_in(argument, seen)
