"""Finds the mailing lists that carried a mail, by the traces that list software leaves in headers.

Mailing lists and their robots are not persons (architecture, Personal data), so the import makes none of
them. An address that sends this very mail is a person even where a list's pattern fits, unless List-Post or
X-BeenThere name it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from shared.mail.headers import mailboxes, unfold
from shared.mail.model import Mailbox
from shared.references import normalise_address

MAX_LIST_HEADERS = 50
_EVIDENCE = (
    "list-id",
    "list-post",
    "x-beenthere",
    "mailing-list",
    "x-mailing-list",
    "x-mailman-version",
    "x-listname",
)
_ADDRESS = re.compile(r"[^\s<>\",;:()]{1,200}@[^\s<>\",;:()?]{1,200}")
_LIST_ID = re.compile(r"<?([\w+.-]{3,200})>?\s*$")
_ROLE = re.compile(
    r"(?P<before>owner-)?(?P<name>.+?)"
    r"(?P<after>-(?:owner|admin|bounces?|request|errors|help|subscribe|unsubscribe|join|leave|on|off|faq|info"
    r"|return-\d.*)(?:[+=].*)?)?",
    re.DOTALL,
)
_ROBOTS = ("list-help", "list-subscribe", "list-unsubscribe")
_ENVELOPES = ("sender", "return-path", "errors-to", "resent-sender", "x-mailing-list-owner")

Headers = Mapping[str, list[str]]


def mailing_lists(
    headers: Headers, senders: Iterable[Mailbox], recipients: Iterable[Mailbox]
) -> tuple[frozenset[str], bool]:
    """The normalised addresses of lists and list robots, and whether the mail came over a list.

    headers: lower-case name → raw values."""
    is_list = any(name in headers for name in _EVIDENCE) or _precedence(headers) == "list"
    sure = {
        normalise_address(address)
        for name in ("list-post", "x-beenthere")
        for address in _found(headers, name)
    }
    if not is_list:
        return frozenset(), False
    lists = set(sure)
    for name in ("mailing-list", "x-mailing-list"):
        for address in _found(headers, name):
            lists |= _with_base(address)
    lists |= set(_from_list_id(headers))
    for field in headers.get("delivered-to", ())[:MAX_LIST_HEADERS]:
        if unfold(field).lower().startswith("mailing list "):
            lists |= {normalise_address(address) for address in _ADDRESS.findall(unfold(field)[:2_000])}
    for name in (*_ENVELOPES, *_ROBOTS):
        for address in _found(headers, name):
            if _role_base(address) is not None:
                lists |= _with_base(address)
    lists |= set(_namesakes(lists, headers, recipients))
    own = {normalise_address(sender.address) for sender in senders if sender.address}
    return frozenset(lists - (own - sure)), True


def _precedence(headers: Headers) -> str:
    return unfold(headers["precedence"][0]).strip().lower() if headers.get("precedence") else ""


def _found(headers: Headers, name: str) -> Iterator[str]:
    for field in headers.get(name, ())[:MAX_LIST_HEADERS]:
        value = unfold(field)[:2_000]
        if "@" in value:
            yield from (match[0].removeprefix("mailto:") for match in _ADDRESS.finditer(value))


def _role_base(address: str) -> str | None:
    """`fork@xent.com` for `fork-admin@xent.com`, `owner-fork@xent.com`, `fork-bounces+alice=…@xent.com`; else
    None."""
    local, _, domain = address.rpartition("@")
    match = _ROLE.fullmatch(local)
    if match is None or not (match["before"] or match["after"]):
        return None
    return f"{match['name']}@{domain}"


def _with_base(address: str) -> set[str]:
    """The address of a robot and that of its list. One that carries a reader's address
    (`fork-bounces+alice=…`) is left out."""
    base = _role_base(address)
    own = set() if "=" in address else {normalise_address(address)}
    return own | ({normalise_address(base)} if base else set())


def _from_list_id(headers: Headers) -> Iterator[str]:
    for field in headers.get("list-id", ())[:MAX_LIST_HEADERS]:
        match = _LIST_ID.search(unfold(field)[:2_000])
        if match:
            name, dot, domain = match[1].replace(".list-id.", ".").partition(".")
            if name and dot and "." in domain:
                yield normalise_address(f"{name}@{domain}")


def _namesakes(lists: set[str], headers: Headers, recipients: Iterable[Mailbox]) -> Iterator[str]:
    """The same list under another host of its domain: `exmh@listman.example.org` beside
    `exmh@example.org`."""
    known = {(local, _site(domain)) for local, _, domain in (address.rpartition("@") for address in lists)}
    delivered = mailboxes(headers.get("delivered-to", ())[:MAX_LIST_HEADERS])[0]
    for mailbox in (*recipients, *delivered):
        address = normalise_address(mailbox.address) if mailbox.address else ""
        local, _, domain = address.rpartition("@")
        if local and (local, _site(domain)) in known:
            yield address


def _site(domain: str) -> str:
    return ".".join(domain.split(".")[-2:])
