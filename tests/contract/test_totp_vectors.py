"""Time-based codes as others make and read them: RFC 6238's vectors, a real authenticator, a real reader of QR codes."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyotp
import pytest

from services.identity import totp

VECTORS = [
    (59, "94287082"), (1111111109, "07081804"), (1111111111, "14050471"), (1234567890, "89005924"), (2000000000, "69279037"),
    (20000000000, "65353130"),
]  # fmt: skip
SEED = b"12345678901234567890"
NEVER = 0


@pytest.mark.parametrize(("seconds", "eight_digits"), VECTORS)
def test_the_vectors_of_rfc_6238(seconds: int, eight_digits: str) -> None:
    """Appendix B, SHA-1. Six digits are the last six of its eight."""
    moment = datetime.fromtimestamp(seconds, UTC)
    assert eight_digits == pyotp.TOTP(totp._base32(SEED), digits=8).at(moment)
    assert seconds // 30 == totp.step_at(moment) == totp.step_of(SEED, eight_digits[2:], moment, NEVER)


def test_the_current_and_the_previous_step_count_and_no_other() -> None:
    """A code is good while it is shown and 30 s longer; one of the future is not."""
    now = datetime(2024, 3, 4, 9, 0, 10, tzinfo=UTC)
    codes = pyotp.TOTP(totp._base32(SEED))
    accepted = [step for step in range(-3, 4) if totp.step_of(SEED, codes.at(now + timedelta(seconds=30 * step)), now, NEVER)]
    assert [-1, 0] == accepted


def test_a_step_that_was_accepted_is_not_accepted_again() -> None:
    """Nor any before it."""
    now = datetime(2024, 3, 4, 9, 0, 10, tzinfo=UTC)
    codes, step = pyotp.TOTP(totp._base32(SEED)), totp.step_at(now)
    assert step == totp.step_of(SEED, codes.at(now), now, step - 1)
    assert totp.step_of(SEED, codes.at(now), now, step) is None
    assert totp.step_of(SEED, codes.at(now - timedelta(seconds=30)), now, step - 1) is None


@pytest.mark.parametrize("code", ["", "12345", "1234567", "abcdef", "１２３４５６", "٣٤٥٦٧٨", "-12345", "12 34 5"])
def test_what_is_no_code_is_none(code: str) -> None:
    """Six ASCII digits, blanks between them apart."""
    assert totp.step_of(SEED, code, datetime.now(UTC), NEVER) is None


def test_a_seed_has_160_bits_and_recovery_codes_80() -> None:
    """And none of either comes twice."""
    assert {20} == {len(totp.new_seed()) for _ in range(100)}
    assert 100 == len({totp.new_seed() for _ in range(100)})
    codes = totp.new_recovery_codes()
    assert (10, {16}) == (len(set(codes)), {len(one.replace("-", "")) for one in codes})
    assert all(totp.is_recovery_code(one) and totp.is_recovery_code(one.upper().replace("-", " ")) for one in codes)


def test_a_real_authenticator_makes_the_codes_that_are_accepted() -> None:
    """`oathtool` (Debian) is given the seed of the `otpauth://` text, as an app takes it."""
    oathtool = shutil.which("oathtool")
    if oathtool is None:
        pytest.skip("oathtool is not installed")
    seed, now = totp.new_seed(), datetime.now(UTC)
    secret = pyotp.parse_uri(totp.uri(seed, "olga@kettles.example", "Lethe")).secret
    asked = [oathtool, "--totp", "--base32", f"--now={now:%Y-%m-%d %H:%M:%S} UTC", "-"]
    code = subprocess.run(asked, input=secret, capture_output=True, text=True, check=True).stdout.strip()
    assert totp.step_at(now) == totp.step_of(seed, code, now, NEVER)


def test_a_real_reader_reads_the_qr_code(tmp_path: Path) -> None:
    """`zbarimg` (Debian) reads from the PNG what the text says."""
    zbarimg = shutil.which("zbarimg")
    if zbarimg is None:
        pytest.skip("zbarimg is not installed")
    uri = totp.uri(totp.new_seed(), "olga.owl+desk@kettles.example", "Lethe")
    picture = tmp_path / "code.png"
    picture.write_bytes(totp.qr_png(uri))
    read = subprocess.run([zbarimg, "--raw", "--quiet", str(picture)], capture_output=True, text=True, check=True).stdout
    assert uri == read.strip()


def test_the_text_for_the_app_names_login_and_issuer() -> None:
    """Without digits, period and algorithm: they are the ones that every app takes for granted."""
    uri = totp.uri(SEED, "olga@kettles.example", "Lethe")
    assert "otpauth://totp/Lethe:olga%40kettles.example?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Lethe" == uri
