"""The public keys that a certificate is checked with: from the home's `verifiers/`, or from a folder that the user names."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from shared.errors import InvalidArgument
from shared.signed_note import Verifier


@dataclass(frozen=True)
class VerifierKeys:
    """The certificate's key, and the key of each service's log."""

    certificate: Ed25519PublicKey
    logs: dict[str, Verifier]


def verifier_keys(folder: Path | None) -> VerifierKeys:
    """Reads `certificate.pub` and `log-<service>.vkey`. Raises `InvalidArgument` where the folder has not got them."""
    where = folder or Path(os.environ.get("LETHE_HOME", ".lethe")) / "verifiers"
    try:
        octets = base64.b64decode((where / "certificate.pub").read_text().strip(), validate=True)
        certificate = Ed25519PublicKey.from_public_bytes(octets)
        logs = {
            path.stem.removeprefix("log-"): Verifier.parse(path.read_text())
            for path in sorted(where.glob("log-*.vkey"))
        }
    except (OSError, ValueError, binascii.Error):
        raise InvalidArgument(
            f"There are no verifier keys in {where}: certificate.pub and log-<service>.vkey are needed (--keys DIR)",
            field="keys", rule="is a folder with verifier keys",
        ) from None  # fmt: skip
    return VerifierKeys(certificate, logs)
