"""The searches that a customer keeps: added, listed, forgotten. Each is an item of its own: to forget one is to cut its key."""

from __future__ import annotations

from services.identity.commands import Done
from services.identity.customer import SAVED_SEARCHES_AT_MOST
from services.identity.portal_commands import AddSavedSearch, RemoveSavedSearch, SavedSearchList, SavedSearchView
from services.identity.portal_events import PortalNames, SavedSearchAdded, SavedSearchRemoved
from shared.errors import NotFound, Refused
from shared.idempotency import once
from shared.ids import new_id
from shared.item_cuts import cut_item
from shared.work import SealedValue, Store, Work


def add_saved_search(
    store: Store, account_id: str, person_id: str, command: AddSavedSearch, idempotency_key: str | None
) -> SavedSearchView:
    """Keeps a search of a customer. Raises `Refused` where they keep too many."""

    def decide(work: Work) -> str:
        def do() -> dict[str, str]:
            (kept,) = work.fetch(
                "SELECT count(*) FROM saved_search WHERE account_id = %s AND person_id = %s", (account_id, person_id)
            )[0]
            if kept >= SAVED_SEARCHES_AT_MOST:
                raise Refused("There are too many saved searches.", reason="too many")
            search_id = new_id()
            added = SavedSearchAdded(search_id=search_id, person_id=person_id, name=command.name, words=command.words)
            work.append(_stream_of(search_id), 0, [added])
            return {"search_id": search_id}

        return str(once(work, person_id, idempotency_key, command, do)["search_id"])

    search_id = store.run(account_id, decide, actor=person_id)
    shown = [one for one in list_saved_searches(store, account_id, person_id).searches if one.search_id == search_id]
    if not shown:
        raise NotFound()
    return shown[0]


def list_saved_searches(store: Store, account_id: str, person_id: str) -> SavedSearchList:
    """A customer's searches, in the order in which they were kept. They are few."""
    with store.work(account_id) as work:
        rows = work.fetch(
            "SELECT search_id, added_at, name, words, event_id FROM saved_search WHERE account_id = %s AND person_id = %s"
            " ORDER BY added_at, search_id",
            (account_id, person_id),
        )
        opened = work.open(
            [
                SealedValue(sealed, _stream_of(row[0]), row[4], PortalNames.SAVED_SEARCH_ADDED, field)
                for row in rows
                for field, sealed in (("name", row[2]), ("words", row[3]))
            ]
        )
    return SavedSearchList(
        searches=[
            SavedSearchView(search_id=row[0], added_at=row[1], name=opened[2 * place], words=opened[2 * place + 1])
            for place, row in enumerate(rows)
        ]
    )


def remove_saved_search(store: Store, account_id: str, person_id: str, command: RemoveSavedSearch) -> Done:
    """Forgets a search for good: nothing of it opens from now on. The cut journal and the pruning follow (`item_cuts.py`).
    Raises `NotFound`."""

    def decide(work: Work) -> None:
        _check_theirs(work, person_id, command.search_id)
        stream = _stream_of(command.search_id)
        removed = SavedSearchRemoved(search_id=command.search_id, keys=cut_item(work, command.search_id))
        work.append(stream, work.versions_of([stream])[stream], [removed])

    store.run(account_id, decide, actor=person_id)
    return Done()


def remove_again(work: Work, search_id: str) -> None:
    """Forgets a search that had been forgotten, and of which the database does not know it. What is no search is left."""
    if work.fetch("SELECT 1 FROM saved_search WHERE account_id = %s AND search_id = %s", (work.account_id, search_id)):
        stream = _stream_of(search_id)
        removed = SavedSearchRemoved(search_id=search_id, keys=cut_item(work, search_id))
        work.append(stream, work.versions_of([stream])[stream], [removed])


def _check_theirs(work: Work, person_id: str, search_id: str) -> None:
    if not work.fetch(
        "SELECT 1 FROM saved_search WHERE account_id = %s AND search_id = %s AND person_id = %s FOR UPDATE",
        (work.account_id, search_id, person_id),
    ):
        raise NotFound()


def _stream_of(search_id: str) -> str:
    return f"saved-search/{search_id}"
