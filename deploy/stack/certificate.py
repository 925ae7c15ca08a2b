"""The certificate of a local stack's gateway: self-signed, for this machine only, made where there is none.

An operator's own is mounted instead (`LETHE_GATEWAY_TLS_CERTIFICATE`); then this one lies idle.
"""

from __future__ import annotations

import os
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared import clock

LIFE: Final = timedelta(days=397)
RENEWED_BEFORE: Final = timedelta(days=30)
NAMES: Final = (
    x509.DNSName("localhost"),
    x509.IPAddress(IPv4Address("127.0.0.1")),
    x509.IPAddress(IPv6Address("::1")),
)


def place(home: Path) -> tuple[Path, Path]:
    """Where certificate and key of a home are."""
    return home / "gateway" / "tls.crt", home / "gateway" / "tls.key"


def create(home: Path) -> None:
    """Makes both where they are missing, or the certificate ends within a month. Both are readable by their owner alone."""
    certificate_path, key_path = place(home)
    if key_path.exists() and days_left(certificate_path) > RENEWED_BEFORE.days:
        return
    certificate_path.parent.mkdir(mode=0o700, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    plain = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    # without a certificate the next start makes both anew: a crash in between leaves no pair that does not fit
    certificate_path.unlink(missing_ok=True)
    _write(key_path, plain)
    _write(certificate_path, _certificate(key).public_bytes(pem))


def days_left(certificate_path: Path) -> int:
    """How long a certificate is still good, in days; below 0 where it is none."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    except (OSError, ValueError):
        return -1
    return (certificate.not_valid_after_utc - clock.now()).days


def _certificate(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lethe on this machine")])
    now = clock.now()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectAlternativeName(NAMES), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_key_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _write(path: Path, octets: bytes) -> None:
    beside = path.with_suffix(path.suffix + "-new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(octets)
    beside.replace(path)
