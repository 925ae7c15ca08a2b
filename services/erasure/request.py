"""The request for an erasure: pure decisions about where it stands. No I/O, no keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.erasure.events import ErasureIncomplete, State


@dataclass(frozen=True)
class Look:
    """What one look at all participants found: who did not answer or gave no receipt, and what traces are left where."""

    unanswered: Sequence[str] = ()
    traces: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Nothing answered, nothing completed; zero traces and every receipt, or it is not complete (mission E8)."""
        return not self.unanswered and not any(self.traces.values())


def is_under_way(state: State) -> bool:
    """Whether the participants have been told, and it is not completed: then it can be looked at again at any time."""
    return state in ("erasing", "incomplete")


def incomplete(request_id: str, look: Look, known_unanswered: Sequence[str], known_traces: Mapping[str, object]) -> (
    ErasureIncomplete | None
):
    """The event that says what is missing, if that is news."""
    traces = {service: dict(found) for service, found in look.traces.items() if found}
    if sorted(look.unanswered) == sorted(known_unanswered) and traces == dict(known_traces):
        return None
    return ErasureIncomplete(request_id=request_id, unanswered=sorted(look.unanswered), traces=traces)
