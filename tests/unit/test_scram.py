"""What a server keeps of a password."""

from __future__ import annotations

import base64

from deploy.stack.scram import verifier


def test_the_example_of_the_rfc() -> None:
    """RFC 7677 §3: from its salt, password and number of iterations follow the keys that its messages prove."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    assert verifier("pencil", salt=salt, iterations=4_096) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def test_no_two_are_the_same() -> None:
    """Each has a salt of its own, and none has the password in it."""
    password = "0f" * 24
    assert verifier(password) != verifier(password) and password not in verifier(password)
