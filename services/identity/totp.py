"""The second factor: time-based codes (RFC 6238, as authenticator apps have them: SHA-1, six digits, 30 s) and recovery codes.
Pure: which step a code is of is told here; that no step counts twice is the row's, in one atomic UPDATE.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import re
import secrets
from datetime import datetime
from typing import Final

import pyotp
import segno

STEP_SECONDS: Final = 30
SEED_BYTES: Final = 20
FAILURES_AT_MOST: Final = 20
"""Over the user's life; only a success resets it. From then on a recovery code alone lets in."""
RECOVERY_CODES: Final = 10
TOLD_AFTER: Final = frozenset({5, FAILURES_AT_MOST})
"""Failures after which the user is told by mail: whoever gives codes has the password."""
_RECOVERY_BYTES = 10
_SIX_DIGITS = re.compile(r"[0-9]{6}")


def new_seed() -> bytes:
    """160 random bits."""
    return secrets.token_bytes(SEED_BYTES)


def step_at(moment: datetime) -> int:
    """The number of the 30 seconds that a moment lies in."""
    return int(moment.timestamp()) // STEP_SECONDS


def step_of(seed: bytes, code: str, now: datetime, last_step: int) -> int | None:
    """The step whose code this is: the current or the previous one, and later than the last that was accepted; else None."""
    digits = code.strip().replace(" ", "")
    if not _SIX_DIGITS.fullmatch(digits):
        return None
    codes = pyotp.TOTP(_base32(seed))
    current = step_at(now)
    found = [step for step in (current, current - 1) if hmac.compare_digest(codes.generate_otp(step), digits)]
    return next((step for step in found if step > last_step), None)


def uri(seed: bytes, login: str, issuer: str) -> str:
    """`otpauth://totp/…`, as authenticator apps take it."""
    return pyotp.TOTP(_base32(seed)).provisioning_uri(name=login, issuer_name=issuer)


def qr_png(text: str) -> bytes:
    """A text as a QR code."""
    picture = io.BytesIO()
    segno.make(text, error="m", micro=False).save(picture, kind="png", scale=6, border=4)
    return picture.getvalue()


def new_recovery_codes() -> list[str]:
    """Ten codes of 80 random bits, to be written down: `abcd-efgh-ijkl-mnop`."""
    return [_grouped(base64.b32encode(secrets.token_bytes(_RECOVERY_BYTES)).decode().lower()) for _ in range(RECOVERY_CODES)]


def is_recovery_code(code: str) -> bool:
    """Whether this has the form of one."""
    return re.fullmatch(r"[a-z2-7]{16}", _ungrouped(code)) is not None


def recovery_digest(user_id: str, code: str) -> bytes:
    """What is kept of a recovery code: SHA-256, with whose it is."""
    return hashlib.sha256(f"recovery code\n{user_id}\n{_ungrouped(code)}".encode("utf-8", "surrogatepass")).digest()


def _base32(seed: bytes) -> str:
    return base64.b32encode(seed).decode()


def _grouped(letters: str) -> str:
    return "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))


def _ungrouped(code: str) -> str:
    return re.sub(r"[\s-]", "", code).lower()
