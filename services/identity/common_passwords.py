"""Passwords that everybody tries first: made from words, names, years and walks over the keyboard, as guessers make them.

Pure; about 80,000 of them, made at the first question. Nothing here was copied from a list of stolen passwords.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata

_WORDS = """
password passwort passwd pass secret login logon welcome admin administrator root user guest master letmein access system
server default changeme change test testing tester temp temporary hello helloworld iloveyou loveyou lovely love sunshine
princess dragon monkey football baseball basketball soccer hockey tennis golf superman batman spiderman pokemon starwars matrix
shadow flower cheese chocolate cookie coffee orange banana apple cherry pepper ginger summer winter spring autumn monday
tuesday wednesday thursday friday saturday sunday january february march april may june july august september october november
december michael jennifer jessica jordan daniel thomas andrew joshua matthew charlie robert william david george hunter
ashley amanda michelle nicole samantha elizabeth maria anna laura sophie emma peter martin stefan andreas london paris
berlin america canada england germany france spain italy mexico texas dallas chicago liverpool arsenal chelsea barcelona madrid
computer internet windows linux google facebook amazon samsung android mobile phone email mail office company business
support service helpdesk desk customer ticket lethe freedom whatever trustno nothing something forever family friends baby angel
killer ninja samurai warrior wizard pirate tiger lion eagle falcon mustang ferrari porsche mercedes harley yamaha
silver golden diamond purple yellow black white green blue red
""".split()
_ENDINGS = (
    "", "!", "!!", "?", ".", "*", "0", "1", "2", "7", "9", "00", "01", "11", "12", "21", "22", "69", "77", "88", "99", "007",
    "111", "123", "321", "666", "777", "911", "1234", "4321", "12345", "123456", "1234567", "12345678", "123456789",
    "1234567890", "1!", "12!", "123!", "1234!", "@123", "@1234", "#1", "#123", "$1", "!1", "!123", "!@#",
    *(str(year) for year in range(1950, 2036)), *(f"{year}!" for year in range(2015, 2036)),
)  # fmt: skip
_ROWS = ("1234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn")
_WALKS = (
    "qazwsx", "qazwsxedc", "qazwsxedcrfv", "qazwsxedcrfvtgb", "1qaz2wsx", "1qaz2wsx3edc", "1qaz2wsx3edc4rfv", "zaq12wsx",
    "1q2w3e4r", "1q2w3e4r5t", "1q2w3e4r5t6y", "1q2w3e4r5t6y7u", "q1w2e3r4", "q1w2e3r4t5", "q1w2e3r4t5y6", "abcdefgh",
    "abcdefghijklmnopqrstuvwxyz", "abc123", "abcd1234", "a1b2c3d4", "a1b2c3d4e5", "qwe123", "qweasdzxc", "asd123", "qweqweqwe",
    "asdasdasd", "987654321", "0987654321", "123123123", "123321123", "147258369", "159357", "1234554321", "112233445566",
    "correcthorsebatterystaple", "correct horse battery staple", "thequickbrownfox", "thequickbrownfoxjumpsoverthelazydog",
    "passwordpassword", "mypasswordis", "thisismypassword", "thisisapassword", "iforgotmypassword", "nevergonnagiveyouup",
    "tobeornottobe", "maytheforcebewithyou", "inthebeginning", "loremipsum", "loremipsumdolorsitamet", "helloworldhelloworld",
)  # fmt: skip
_LEET = str.maketrans({"0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t", "@": "a", "$": "s", "!": "i"})


def is_common(password: str) -> bool:
    """Whether guessers try this early: in any letter case, with letters spelt as digits, words joined by a sign or a blank, or
    a short thing repeated to some length."""
    plain = _squeezed(password)
    if not plain or _is_repetition(plain) or _is_run(plain):
        return True
    known = _common()
    stem = plain.rstrip("0123456789!?.*@#$")
    return plain in known or plain.translate(_LEET) in known or stem.translate(_LEET) + plain[len(stem) :] in known


def _squeezed(password: str) -> str:
    folded = unicodedata.normalize("NFKC", password).casefold()
    return "".join(letter for letter in folded if not letter.isspace() and letter not in "-_+,;:/&")


def _is_repetition(plain: str) -> bool:
    """A unit of at most a quarter of the whole, over and over: `aaaaaaaa`, `abc1abc1abc1abc1`."""
    longest = len(plain) // 4
    return any(plain == (plain[:size] * (len(plain) // size + 1))[: len(plain)] for size in range(1, longest + 1))


def _is_run(plain: str) -> bool:
    """One step up or down all the way: `23456789`, `zyxwvuts`; nine is followed by nought."""
    steps = {(ord(after) - ord(before)) for before, after in itertools.pairwise(plain)}
    return len(plain) > 3 and any(steps <= around for around in ({1, -9}, {-1, 9}))


@functools.cache
def _common() -> frozenset[str]:
    """All of them, squeezed."""
    walks = {
        walk[at : at + size]
        for row in _ROWS
        for walk in (row, row[::-1], row * 2)
        for size in range(5, len(walk) + 1)
        for at in range(len(walk) - size + 1)
    }
    stems = {*_WORDS, *walks, *_WALKS}
    made = {f"{stem}{ending}" for stem in {*_WORDS, *_WALKS, *_ROWS} for ending in _ENDINGS}
    made |= {f"{first}{second}" for first, second in itertools.product(_WORDS, repeat=2)}
    made |= {f"{ending}{word}" for word in _WORDS for ending in ("1", "12", "123", "1234", "the", "my", "ilove")}
    return frozenset(_squeezed(one) for one in stems | made | {stem * 2 for stem in stems})
