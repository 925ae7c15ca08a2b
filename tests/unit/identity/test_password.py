"""What a new password has to be, and how it is hashed."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from argon2 import extract_parameters

from services.identity import password
from services.identity.common_passwords import _common, is_common
from services.identity.password import NOBODYS_HASH, check_new, hashed, is_outdated, matches, stands_alone
from shared.errors import Busy, InvalidArgument
from shared.heavy_work import HeavyWork

LOGIN = "olga.owl@kettles.example"


def is_taken(text: str, *, has_second_factor: bool = False) -> bool:
    try:
        check_new(text, LOGIN, has_second_factor=has_second_factor)
    except InvalidArgument:
        return False
    return True


def test_a_password_alone_has_fifteen_characters_and_eight_beside_a_second_factor() -> None:
    """The lengths are NIST SP 800-63B-4's, to the character."""
    assert not is_taken("olm pit gnu zeb"[:14])
    assert is_taken("olm pit gnu zeb"[:15])
    assert not is_taken("olmpitg", has_second_factor=True)
    assert is_taken("olmpitgn", has_second_factor=True)
    assert (False, True) == (stands_alone("olmpitgn"), stands_alone("olm pit gnu zeb"))


@pytest.mark.parametrize("length", [64, 100, 1_000])
def test_a_long_password_counts_to_its_last_character(length: int) -> None:
    """Nothing is cut off: one that differs in the last character only is another one."""
    text = "".join(chr(0x4E00 + place * 7919 % 20_000) for place in range(length))
    assert is_taken(text)
    stored = hashed(text)
    assert (True, False) == (matches(stored, text), matches(stored, text[:-1] + "x"))


def test_letters_of_one_kind_are_enough() -> None:
    """There are no rules of composition."""
    assert is_taken("trailing obelisk marmot")
    assert is_taken("ольга любит сов и чай")


def test_a_password_is_the_same_however_it_is_typed() -> None:
    """Composed and decomposed letters, and letters of another width, are one (NFKC)."""
    stored = hashed("zo\u00eb und der kleine ｋｅｓｓｅｌ")
    assert matches(stored, "zoe\u0308 und der kleine kessel")


@pytest.mark.parametrize(
    "text",
    [
        "passwordpassword", "PasswordPassword", "P@ssw0rdP@ssw0rd", "password12345678", "correct horse battery staple",
        "qwertyuiopqwertyuiop", "aaaaaaaaaaaaaaaaaaaa", "abc1abc1abc1abc1", "123456789012345", "abcdefghijklmnopqrst",
        "welcome-administrator", "thequickbrownfox", "ｐａｓｓｗｏｒｄｐａｓｓｗｏｒｄ", LOGIN, LOGIN.upper(),
    ],
)  # fmt: skip
def test_what_everybody_tries_first_is_refused(text: str) -> None:
    """Words, walks over the keyboard, repetitions and the login itself, in any spelling."""
    assert not is_taken(text)


@pytest.mark.parametrize("text", ["Password1!", "summer2024", "qwertyuiop", "1qaz2wsx", "Monday123", "iloveyou!", "00000000"])
def test_short_ones_beside_a_second_factor_are_compared_as_well(text: str) -> None:
    """Eight characters are enough, but not these."""
    assert not is_taken(text, has_second_factor=True)


def test_the_list_is_long_enough() -> None:
    """At least 3,000 that are long enough to be chosen at all; and it does not take just anything for common."""
    assert 3_000 <= sum(1 for one in _common() if len(one) >= 8)
    assert 3_000 <= sum(1 for one in _common() if len(one) >= 15)
    assert [] == [text for text in ("trailing-obelisk-42-marmot", "olm pit gnu zebu", "kettle of owls 9") if is_common(text)]


def test_a_refusal_names_the_rule_and_not_the_password() -> None:
    """What somebody typed is on no screen and in no log."""
    with pytest.raises(InvalidArgument) as refused:
        check_new("passwordpassword", LOGIN, has_second_factor=False, field="new_password")
    assert ("new_password", "is none that everybody tries first") == (refused.value.field, refused.value.rule)
    assert "passwordpassword" not in str(refused.value)


def test_a_hash_has_the_parameters_of_rfc_9106() -> None:
    """argon2id with 64 MiB, three passes, four lanes, 16 bytes of salt and 32 of tag; so has the one for nobody."""
    for stored in (hashed("olm pit gnu zeb"), NOBODYS_HASH):
        made = extract_parameters(stored)
        assert ("ID", 65_536, 3, 4, 16, 32) == (
            made.type.name, made.memory_cost, made.time_cost, made.parallelism, made.salt_len, made.hash_len,
        )  # fmt: skip
    assert hashed("olm pit gnu zeb") != hashed("olm pit gnu zeb")


def test_an_older_hash_is_outdated_and_todays_is_not() -> None:
    """Rehashing at login waits for this."""
    weak = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdC4uLg$FPqQnqeSJBBIxbZlW3zJX5TH3n3FVPDhR2JRVDBV7ks"
    assert (True, False) == (is_outdated(weak), is_outdated(NOBODYS_HASH))


def test_two_hashes_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 200 logins at the same moment two are hashed at a time, some wait, and the rest is told `busy`: never more memory."""
    now, most, lock, begun = 0, 0, threading.Lock(), threading.Event()

    def slow(_: Any) -> str:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        begun.wait(10)
        with lock:
            now -= 1
        return "hash"

    monkeypatch.setattr(password._hasher.__class__, "hash", lambda self, octets: slow(octets))
    outcomes = []
    with ThreadPoolExecutor(200) as pool:
        futures = [pool.submit(hashed, "olm pit gnu zeb") for _ in range(200)]
        while sum(one.done() for one in futures) < 193:
            pass
        begun.set()
        outcomes = [type(one.exception()) for one in futures]
    assert (2, 7, 193) == (most, outcomes.count(type(None)), outcomes.count(Busy))


def test_who_waits_too_long_is_told_so() -> None:
    """The queue has a time limit, and a place is free again afterwards."""
    work, leave = HeavyWork(at_once=1, waiting=1, patience_seconds=0.01), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        entered = threading.Event()
        first = pool.submit(work.run, lambda: entered.set() or leave.wait(10))
        entered.wait(10)
        with pytest.raises(Busy):
            work.run(lambda: None)
        leave.set()
        assert first.result()
    assert "done" == work.run(lambda: "done")
