"""Lists that come in pages: each entry once, in the same order as without, also where large messages end a page earlier."""

from __future__ import annotations

from typing import Any

import pytest

from services.tickets import queries
from shared.ids import new_id
from shared.settings import Settings
from tests.support.cell import Cell

MAILS = 7


@pytest.fixture
def cell(settings: Settings) -> Cell:
    return Cell(settings)


@pytest.fixture
def account(cell: Cell) -> str:
    """An account with one ticket of some mails, and as many mails put aside."""
    made = new_id()
    mails = [
        f"From: alice@example.org\nSubject: The kettle\nMessage-ID: <{number}@mail.example>\nReferences: <0@mail.example>\n\n"
        f"It leaks, {'and leaks, ' * number}says number{number}\n".encode()
        for number in range(MAILS)
    ]
    cell.call(made, "tickets", "import_mails", {"mails": [*mails, *(b" " * number for number in range(MAILS))]})
    return made


def in_pages(cell: Cell, account: str, service: str, method: str, key: str, argument: dict[str, Any]) -> list[list[Any]]:
    """The pages of a list, one after the other."""
    pages, after = [], None
    while True:
        answer = cell.call(account, service, method, argument | {"after": after})
        pages.append(getattr(answer, key))
        after = answer.next_after
        if after is None:
            return pages
        assert len(pages) < 3 * MAILS, "the pages do not end"


def ticket_of(cell: Cell, account: str) -> str:
    """The one ticket."""
    (one,) = cell.call(account, "tickets", "list_tickets", {}).tickets
    return str(one.ticket_id)


@pytest.mark.parametrize("limit", [1, 3, MAILS, MAILS + 1])
def test_pages_hold_each_entry_once_and_in_order(cell: Cell, account: str, limit: int) -> None:
    """Messages of a ticket and of a person, hits of a search, what was put aside."""
    ticket = ticket_of(cell, account)
    person = cell.call(account, "contacts", "show_person", {"who": "alice@example.org"}).person_id
    for method, key, argument in (
        ("show_ticket", "messages", {"ticket_id": ticket}),
        ("messages_of", "messages", {"person_id": person}),
        ("search_tickets", "hits", {"words": "leaking"}),
        ("search_tickets", "hits", {"words": "kett"}),
        ("list_put_aside", "mails", {}),
    ):
        pages = in_pages(cell, account, "tickets", method, key, argument | {"limit": limit})
        whole = getattr(cell.call(account, "tickets", method, argument | {"limit": 200}), key)
        assert MAILS == len(whole), method
        assert whole == [one for page in pages for one in page], method
        assert -(-MAILS // limit) == len(pages), method


def test_a_page_ends_where_its_messages_get_too_large_for_one_answer(
    cell: Cell, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large they are, one message at least is on each page."""
    argument = {"ticket_id": ticket_of(cell, account)}
    whole = cell.call(account, "tickets", "show_ticket", argument).messages
    for most, pages in ((0, MAILS), (500, None)):
        monkeypatch.setattr(queries, "PAGE_BYTES", most)
        found = in_pages(cell, account, "tickets", "show_ticket", "messages", argument)
        assert whole == [one for page in found for one in page]
        assert pages is None or pages == len(found)
        assert 1 < len(found) <= MAILS


def test_requests_for_erasure_come_in_pages_the_newest_first(cell: Cell, account: str) -> None:
    """Also where several were asked for at the same moment."""
    for number in range(3):
        mail = f"From: p{number}@example.org\n\nhello\n".encode()
        cell.call(account, "tickets", "import_mails", {"mails": [mail]})
        cell.call(account, "erasure", "request_erasure", {"who": f"p{number}@example.org", "reason": "asked"})
    pages = in_pages(cell, account, "erasure", "list_erasures", "requests", {"limit": 1})
    whole = cell.call(account, "erasure", "list_erasures", {}).requests
    assert [3, 3] == [len(pages), len(whole)]
    assert [one.request_id for one in whole] == [one.request_id for page in pages for one in page]
    assert sorted(whole, key=lambda one: one.requested_at, reverse=True) == whole
