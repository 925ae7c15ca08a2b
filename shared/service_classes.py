"""Finds the class of a service by the service's name. Importing it imports nameko."""

from __future__ import annotations

import importlib
import inspect
from typing import Any


def service_class(service: str) -> Any:
    """The only class in `services.<service>.service` whose `name` is the service's. Raises `LookupError` otherwise."""
    module = importlib.import_module(f"services.{service}.service")
    found = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if getattr(kind, "name", None) == service and kind.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise LookupError(f"services.{service}.service has {len(found)} classes with name = {service!r}, not one")
    return found[0]
