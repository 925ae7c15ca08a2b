"""What a PostgreSQL keeps of a password, made here: so the password itself is never sent to it, nor written to its log.

The form is PostgreSQL's (`pg_authid.rolpassword`), the keys are RFC 5802's (§3), with SHA-256 (RFC 7677).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from typing import Final

ITERATIONS: Final = 1
"""Repeating the hash protects what people think of. These passwords are 192 random bits, which nobody guesses, and 4,096
iterations, the server's own choice, were two thirds of the time that it takes to connect. Who asks the server as a role that
there is not is told 4,096, so these roles' names can be told from others; they are no secret."""
_SALT_BYTES: Final = 16


def verifier(password: str, *, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """In the place of a password in `ALTER ROLE … PASSWORD`, or in initdb's file. For a random password in ASCII only."""
    salt = salt or os.urandom(_SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (base64.b64encode(one).decode() for one in (salt, stored, server))
    return f"SCRAM-SHA-256${iterations}:{salt_text}${stored_text}:{server_text}"
