"""The legal hold: pure decisions about its basis and its term. No I/O, no keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from services.erasure.events import Basis
from shared.errors import InvalidArgument

ARTICLES: Final[Mapping[Basis, str]] = MappingProxyType(
    {
        "freedom-of-expression": "GDPR Art. 17(3)(a): the right of freedom of expression and information",
        "legal-obligation": "GDPR Art. 17(3)(b): a legal obligation, or a task in the public interest",
        "public-health": "GDPR Art. 17(3)(c): public interest in the area of public health",
        "archiving": "GDPR Art. 17(3)(d): archiving in the public interest, research, statistics",
        "legal-claims": "GDPR Art. 17(3)(e): to establish, exercise or defend legal claims",
    }
)
"""What each basis says, for the person who is told why they are kept (Art. 12(4))."""

LONGEST: Final = timedelta(days=3653)
"""Ten years. Whoever needs longer looks at it again by then, and places another hold."""


def check_term(expires_at: datetime, now: datetime) -> None:
    """A hold has an end. Raises `InvalidArgument`."""
    if not now < expires_at <= now + LONGEST:
        raise InvalidArgument(field="expires_at", rule="lies in the future, and at most ten years ahead")
