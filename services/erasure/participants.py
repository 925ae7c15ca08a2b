"""Who takes part in every erasure: by construction, each service that declares a personal field (architecture, "Erasure", 5).

The one module that looks at all services' `events.py`: a service that begins to hold personal data takes part from then on,
whether or not anybody remembers to say so here.
"""

from __future__ import annotations

import importlib
import pkgutil

import services
from shared.events import EventTypes


def event_types() -> dict[str, EventTypes]:
    """The event types of every service, by service."""
    found = {}
    for module in sorted(one.name for one in pkgutil.iter_modules(services.__path__)):
        try:
            found[module] = importlib.import_module(f"services.{module}.events").TYPES
        except ModuleNotFoundError as missing:
            if missing.name != f"services.{module}.events":
                raise
    return found


def participants() -> tuple[str, ...]:
    """The services that hold personal data, in the order of their names."""
    return tuple(name for name, types in event_types().items() if types.holds_personal_data())
