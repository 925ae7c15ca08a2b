"""What one log says that another must say too: where both are verified, they are compared (mission A2). Pure.

Each log is whole by itself; but who owns one service's database and log key can sign there what never was: that a legal hold
has ended, or that an account is gone. The service that decides such things has it in its own log first, since the others hear
of it only when it is signed. So the logs of those who decide are read last: what an earlier one has of them is in theirs. An
account's end is decided by the very last one; it holds nothing of persons, so what it says of holds hides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from audit.findings import Finding, Verdict

HOLDS: Final = "erasure"
"""Which service ends holds."""
ACCOUNTS: Final = "lifecycle"
"""Which service ends accounts."""


def reading_order(services: Iterable[str]) -> list[str]:
    """The order in which logs are to be read, for their comparison to hold: those who decide last."""
    return sorted(services, key=_rank)


def compared(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts, with a finding for each thing that a log tells and the one that it hangs on does not. Nothing is compared
    with a log that was read in part only, or that is not there."""
    told = {one.service: one for one in verdicts if one.told is not None and not one.since}
    return [_with(one, [*_holds(one, told.get(HOLDS)), *_accounts(one, told.get(ACCOUNTS))]) for one in verdicts]


def _holds(verdict: Verdict, decides: Verdict | None) -> list[Finding]:
    if verdict.told is None or decides is None or decides.told is None or verdict.service == ACCOUNTS:
        return []
    ended, gone = set(decides.told.holds_ended), {*decides.told.accounts_gone, *verdict.told.accounts_gone}
    return [
        Finding(
            kind="changed", index=at,
            text=f"hold {hold} has ended, it says, and {HOLDS} never ended it: what was cut since then was cut under a hold",
        )
        for account, hold, at in verdict.told.holds_released
        if (account, hold) not in ended and account not in gone
    ]  # fmt: skip


def _accounts(verdict: Verdict, decides: Verdict | None) -> list[Finding]:
    if verdict.told is None or decides is None or decides.told is None:
        return []
    ended = {*decides.told.accounts_ended, *decides.told.accounts_gone}
    return [
        Finding(kind="changed", text=f"account {account} is gone, it says, and {ACCOUNTS} never ended it")
        for account in verdict.told.accounts_gone
        if account not in ended
    ]


def _with(verdict: Verdict, findings: list[Finding]) -> Verdict:
    return msgspec.structs.replace(verdict, findings=[*verdict.findings, *findings]) if findings else verdict


def _rank(service: str) -> int:
    return {HOLDS: 1, ACCOUNTS: 2}.get(service, 0)
