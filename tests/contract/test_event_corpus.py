"""Events as they were once written: every version ever released reads today, and amounts to the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from hashlib import sha256

import pytest

from audit.replay import replay
from services.erasure.participants import event_types
from shared.events import canonical, sealed_digest
from shared.settings import Settings
from tests.support import event_corpus
from tests.support.cell import Cell
from tests.support.databases import Template, fresh_home

SERVICES = sorted(event_types())


@pytest.fixture(scope="module")
def settings(
    superuser_url: str, template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Settings]:
    """Databases of all services, with nothing in them."""
    with fresh_home(tmp_path_factory.mktemp("corpus"), superuser_url, template=template) as made:
        yield made


@pytest.mark.parametrize("service", SERVICES)
def test_every_version_of_every_event_is_in_the_corpus(service: str) -> None:
    """An event type, or a new version of one, that is not in the corpus fails the build (docs/checklists.md)."""
    wanted = {f"{name} {version}" for name, version in event_corpus.wanted(event_types()[service])}
    assert wanted <= {one.name for one in event_corpus.specimens(service)}


def test_no_event_of_the_corpus_has_changed_or_gone() -> None:
    """Each line has the SHA-256 that was pinned when it was added, and none is missing."""
    found = {one.name: sha256(one.line).hexdigest() for service in SERVICES for one in event_corpus.specimens(service)}
    assert event_corpus.pins() == found


@pytest.mark.parametrize("service", SERVICES)
def test_the_corpus_is_in_the_form_of_a_log(service: str) -> None:
    """Its envelopes are canonical to the byte, its sealed parts have their digests: a log could hold it."""
    for place, one in enumerate(event_corpus.specimens(service), start=1):
        envelope = one.envelope
        assert canonical(envelope) == one.raw
        assert [field.digest for field in envelope.sealed] == [sealed_digest(part) for part in one.sealed]
        assert envelope.version == place


@pytest.mark.parametrize("service", SERVICES)
def test_old_events_amount_to_what_they_always_did(service: str, settings: Settings) -> None:
    """Every event of the corpus reads as it is on record to, its sealed values too, and gives the same rows."""
    assert event_corpus.outcomes(service) == json.loads(json.dumps(list(event_corpus.computed_outcomes(settings, service))))


@pytest.mark.parametrize("service", SERVICES)
def test_a_log_of_old_events_replays_to_the_rows_that_were_made_of_them(service: str, settings: Settings) -> None:
    """In a signed log, the corpus is replayed to the very rows that its events made one by one, the older versions included."""
    event_corpus.write_log(settings, service)
    Cell(settings).sign(service)
    result = replay(settings, service, patience_seconds=0.5)
    assert result.size == len(event_corpus.specimens(service))
    assert result.equal, [(one.table, one.differences) for one in result.tables if one.differing]
