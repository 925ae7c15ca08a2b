"""The invented people, things and sentences of the generated mail archive (`deploy.demo_mail`)."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.headerregistry import Address

import msgspec

DESK_ADDRESS = "support@harbour-kettles.example"
LIST_ADDRESS = "kettles@lists.example.net"
FIRST_DAY = datetime(2024, 3, 4, 8, 0, tzinfo=UTC)

FIRST_NAMES = (
    "Alice", "Bruno", "Chiara", "Dmitri", "Edith", "Farid", "Greta", "Hamza", "Imogen", "Jürgen",
    "Katarína", "Łukasz", "Márta", "Nadia", "Oisín", "Priya", "Quentin", "Rosa", "Søren", "Tereza", "Ulla",
    "Vivek", "Wanda", "Ximena", "Yara", "Zoltán", "Ανδρέας", "Иван", "小明", "محمد",
)  # fmt: skip
LAST_NAMES = (
    "Abernathy", "Brockhaus", "Castellano", "Dvořák", "Eriksen", "Fitzwilliam", "Grünwald", "Haddad",
    "Iwaszkiewicz", "Jankovič", "Kowalczyk", "Lindqvist", "MacAllister", "Novotný", "O'Brannigan",
    "Pettersson", "Quarshie", "Rossetti", "Szabolcsi", "Thornquist", "Underhill", "Vasquez",
    "Wojciechowska", "Yamashita", "Zimmermann",
)  # fmt: skip
DOMAINS = ("example.org", "example.com", "mail.example.net", "post.example", "büro.example")
SUBJECTS = (
    "Broken lid", "Invoice missing", "Where is my order", "Refund please", "Question on warranty",
    "Odd noise", "Wrong colour delivered", "Größe und Maße", "Can I change the address",
)  # fmt: skip
PRODUCTS = ("copper kettle", "tea strainer", "milk jug", "travel stove", "sugar tongs", "porcelain pot")
COMPLAINTS = (
    "The {product} with the number {serial} has leaked since the second morning.",
    "I ordered a {product} under {serial}, and nobody has told me where it is.",
    "My neighbour warned me of the {product}, and now {serial} has cracked as well.",
    "On the bill {serial} the {product} is charged twice.",
    "Since the storm the {product} (serial {serial}) whistles all night.",
)
REMEDIES = (
    "We are sending a new {product} today, the parcel is {serial}.",
    "Please return the {product} with the slip {serial}; we pay the postage.",
    "Your refund for the {product} is booked as {serial}.",
)


class DemoPerson(msgspec.Struct, frozen=True):
    """Somebody who writes. `phone` is E.164, "" for those without; the spellings are how they write them."""

    name: str
    address: str
    other_address: str
    phone: str
    phone_spelling: str

    def mailbox(self, *, other_address: bool = False) -> str:
        """As it stands in a header: `Name <address>`."""
        return f"{_quoted(self.name)} <{self.other_address if other_address else self.address}>"


def _quoted(name: str) -> str:
    return str(Address(display_name=name, username="x", domain="y")).removesuffix(" <x@y>")


def invent_people(number: int, source: random.Random) -> list[DemoPerson]:
    """As many people, no two with the same address or number."""
    people = []
    for position in range(number):
        first = FIRST_NAMES[position % len(FIRST_NAMES)]
        last = source.choice(LAST_NAMES)
        word = "".join(
            letter for letter in f"{first}.{last}".lower() if letter.isascii() and letter not in "'"
        )
        local = f"{word.strip('.') or 'writer'}{position}"
        domain = source.choice(DOMAINS)
        phone, spelling = _phone(position) if position % 3 else ("", "")
        people.append(
            DemoPerson(f"{first} {last}", f"{local}@{domain}", f"{local}@home.example", phone, spelling)
        )
    return people


def _phone(position: int) -> tuple[str, str]:
    """A number from the ranges that Ofcom and the Bundesnetzagentur set aside for films."""
    if position % 2:
        return f"+442079460{position % 1000:03}", f"+44 20 7946 0{position % 1000:03}"
    return f"+493023125{position % 1000:03}", f"+49 (0)30 23125-{position % 1000:03}"
