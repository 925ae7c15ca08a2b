"""The page for API users: what stands there works as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from deploy.stack import Stack
from services.gateway.problems import STATUSES

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "api.md").read_text()


def test_the_blocks_of_the_page_run_as_they_stand(stack: Stack) -> None:
    """One after the other in one shell, each ends well: an account, a session, a token, a ticket, the second factor, a refusal
    from a wrong address, and a customer who erases themselves."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) >= 11
    environment = os.environ | {"LETHE_HOME": str(stack.home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    script = "set -euo pipefail\n" + "\necho\n".join(blocks)
    ran = subprocess.run(
        ["bash", "-c", script], env=environment, cwd=CHECKOUT, capture_output=True, text=True, timeout=180, check=False
    )
    assert 0 == ran.returncode, ran.stdout + ran.stderr
    assert "The invoice is broken" in ran.stdout and "Ann Archer" in ran.stdout
    said = ran.stdout.splitlines()
    assert all(any(one.endswith(line) for one in said) for line in ("second factor", "refused", "The certificate holds."))
    before, _, after = ran.stdout.rpartition("The certificate holds.")
    assert before.count('"code":"permission_refused"') == 1 and after.count('"code":"unauthenticated"') == 1
    assert after.count('"code":"not_found"') == 1 and "Ann Archer" not in after


def test_the_page_names_every_code_with_its_status() -> None:
    """Neither a code that does not exist, nor one that is left out."""
    told: dict[str, set[int]] = {}
    for statuses, codes in re.findall(r"^\| ([0-9, ]+) \| (`.*?`) \|", PAGE, re.MULTILINE):
        for code in re.findall(r"`(\w+)`", codes):
            told[code] = {int(status) for status in statuses.split(",")}
    expected = {code: status for code, (status, _) in STATUSES.items() if code != "tampered"}
    assert expected.keys() == told.keys()
    assert all(status in told[code] for code, status in expected.items())
