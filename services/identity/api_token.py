"""The API token: its form and its check digits. Pure. Only its SHA-256 is kept (`session.digest`)."""

from __future__ import annotations

import re
import secrets
import string
import zlib
from typing import Final, get_args

from services.identity.access_commands import Scope

PREFIX: Final = "lethe_"
TOKENS_AT_MOST: Final = 100
"""Of one user."""

_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_LENGTH = 30
_CHECK_LENGTH = 6
_FORM = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECK_LENGTH}}}")


def new_token() -> str:
    """`lethe_`, 178 random bits in base 62, and their CRC-32 in six more digits, so that scanners can tell it from anything
    else, and a mistyped one costs no look."""
    random = "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM_LENGTH))
    return f"{PREFIX}{random}{_check_digits(random)}"


def has_form(text: str) -> bool:
    """Whether a text can be an API token at all."""
    random = text[len(PREFIX) : -_CHECK_LENGTH]
    return _FORM.fullmatch(text) is not None and text.endswith(_check_digits(random))


def is_within(scope: Scope, held: Scope) -> bool:
    """Whether a scope is no wider than another: read < write < manage."""
    order = get_args(Scope)
    return order.index(scope) <= order.index(held)


def _check_digits(random: str) -> str:
    rest, digits = zlib.crc32(random.encode()), ""
    for _ in range(_CHECK_LENGTH):
        rest, place = divmod(rest, len(_DIGITS))
        digits = _DIGITS[place] + digits
    return digits
