"""Events as structs and as bytes."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from services.contacts.events import TYPES, PersonAdded, SpellingAdded
from services.erasure.events import ErasureRequested
from services.erasure.participants import event_types, participants
from shared.errors import Tampered
from shared.events import Envelope, Event, EventTypes, SealedField, canonical, decode_envelope
from shared.ids import new_id
from shared.personal import ERASED, undeclared_fields

CHECKOUT = Path(__file__).resolve().parents[3]
_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text("abcdefghijklmnopqrstuvwxyz_", max_size=8), inner, max_size=4),
    max_leaves=12,
)


def envelope_with(data: dict[str, object]) -> Envelope:
    return Envelope(
        account=new_id(), actor=new_id(), causation=None, data=data, event=new_id(), schema=1, sealed=[],
        service="contacts", stream="person/1", time=datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC),
        type="contacts.PersonAdded", version=1,
    )  # fmt: skip


@given(st.dictionaries(st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8), _plain, max_size=5))
def test_the_canonical_bytes_are_those_of_rfc_8785(data: dict[str, object]) -> None:
    """msgspec's deterministic order gives the same bytes as an RFC 8785 library for all that an envelope may hold."""
    raw = canonical(envelope_with(data))
    assert raw == rfc8785.dumps(msgspec.json.decode(raw))


def test_every_string_of_every_event_is_declared() -> None:
    """A string that is declared neither personal nor not personal fails the build (mission G6)."""
    assert {service: types.undeclared() for service, types in event_types().items()} == {
        service: [] for service in event_types()
    }


def test_the_build_check_finds_an_undeclared_string() -> None:
    """The check can fail: a bare string, also inside a list, is named."""

    class Forgetful(Event, frozen=True, kw_only=True):
        note: str
        tags: list[str]

    assert list(undeclared_fields(Forgetful)) == ["Forgetful.note", "Forgetful.tags"]


@pytest.mark.parametrize("service", sorted(event_types()))
def test_every_string_of_every_command_and_answer_is_declared(service: str) -> None:
    """What passes over RPC is declared as well: personal data in transit is known as such."""
    names = [path.stem for path in (CHECKOUT / "services" / service).glob("*commands.py")]
    modules = [importlib.import_module(f"services.{service}.{name}") for name in names]
    structs = [
        one
        for module in modules
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, msgspec.Struct) and one.__module__ == module.__name__
    ]
    assert structs
    assert [name for struct in structs for name in undeclared_fields(struct)] == []


def test_whoever_declares_a_personal_field_takes_part_in_every_erasure() -> None:
    """The participants are found from the declarations, not from a list that somebody could forget."""
    assert set(participants()) == {name for name, types in event_types().items() if types.holds_personal_data()}
    assert {"contacts", "tickets", "erasure"} <= set(participants())


def test_an_event_whose_key_is_cut_reads_as_erased() -> None:
    """Reading what was cut gives the value `Erased`, never an exception."""
    event = SpellingAdded(identifier_id=new_id(), spelling_id=new_id(), person_ids=[], text="alice@example.org")
    public = TYPES.public_data(event)
    assert "text" not in public
    sealed = [{"digest": "00", "field": "text", "item": event.identifier_id, "key": "00"}]
    envelope = msgspec.structs.replace(
        envelope_with(public), type="contacts.SpellingAdded", sealed=msgspec.convert(sealed, list)
    )
    decoded = TYPES.decode(decode_envelope(canonical(envelope)))
    assert isinstance(decoded, SpellingAdded)
    assert decoded.text is ERASED
    value = TYPES.encode_value(event, "text")
    assert value is not None
    assert TYPES.decode(decode_envelope(canonical(envelope)), {"text": value}) == event


def test_an_older_schema_version_is_upcast_on_reading() -> None:
    """An event of version 1 reads as one of version 2."""

    class Moved(Event, frozen=True, kw_only=True):
        schema_version = 2
        steps: int

    types = EventTypes("walks", {"Moved": Moved}, {("walks.Moved", 1): lambda data, _: {"steps": data["paces"]}})
    envelope = msgspec.structs.replace(envelope_with({"paces": 3}), type="walks.Moved")
    assert types.decode(envelope) == Moved(steps=3)
    with pytest.raises(Tampered):
        types.decode(msgspec.structs.replace(envelope, schema=3))


@pytest.mark.parametrize(("actor", "asked_by"), [("person", "customer"), ("somebody else", "user")])
def test_a_request_of_version_1_says_who_asked(actor: str, asked_by: str) -> None:
    """`ErasureRequested` of version 1 did not say who asked: whoever acted for their own person was a customer."""
    person = new_id()
    envelope = msgspec.structs.replace(
        envelope_with({"request_id": new_id(), "person_ids": [new_id(), person], "claim_hash": "00"}),
        type="erasure.ErasureRequested", service="erasure", actor=person if actor == "person" else new_id(),
    )  # fmt: skip
    requested = event_types()["erasure"].decode(envelope)
    assert isinstance(requested, ErasureRequested)
    assert requested.asked_by == asked_by


def test_an_unknown_type_or_broken_data_is_an_error() -> None:
    """What this service never wrote is tampering, not something to skip."""
    with pytest.raises(Tampered):
        TYPES.decode(msgspec.structs.replace(envelope_with({}), type="contacts.Unheard"))
    with pytest.raises(Tampered):
        TYPES.decode(envelope_with({"person_id": 7}))
    assert TYPES.decode(envelope_with({"person_id": (one := new_id()), "origin": "quoted"})) == PersonAdded(
        person_id=one, origin="quoted"
    )


@pytest.mark.parametrize("service", sorted(event_types()))
def test_every_event_type_is_decoded_without_its_sealed_fields(service: str) -> None:
    """An envelope alone gives an event of its type; what travelled sealed reads as erased, what was never there as None."""
    types = event_types()[service]
    for name, kind in types.by_name.items():
        public = {
            field: one
            for field, one in {**EXAMPLES, "reason": REASONS.get(name, REASONS.get(service))}.items()
            if field in kind.__struct_fields__ and field not in types.personal[kind]
        }
        sealed = [
            SealedField(digest="00", field=field, item=new_id(), key="00") for field in types.personal[kind]
        ]
        envelope = msgspec.structs.replace(
            envelope_with(public), service=service, type=name, schema=kind.schema_version, sealed=sealed
        )
        event = types.decode(decode_envelope(canonical(envelope)))
        assert type(event) is kind
        assert all(getattr(event, field) is ERASED for field in types.personal[kind])


REASONS = {
    "identity": "left", "identity.LoginFailed": "password", "identity.SessionsEnded": "logged out",
    "identity.PortalSessionsEnded": "signed out", "identity.AppGrantEnded": "by the app", "lifecycle": "by-operator",
    "audit.AlertRaised": "older",
}  # fmt: skip
ONE_ID = "0e729602-9984-48a1-91f3-4b3263c53077"
EXAMPLES: dict[str, object] = {
    **dict.fromkeys(
        (
            "account_id", "user_id", "person_id", "ticket_id", "message_id", "request_id", "identifier_id", "spelling_id",
            "organisation_id", "requester_id", "author_id", "owner_id", "item_id", "grant_id", "staff_id",
            "mail_id", "batch_id", "hold_id", "link_id", "search_id", "app_id", "session_id", "api_token_id", "invitation_id",
        ),
        ONE_ID,
    ),
    "purpose": "legal", "minutes": 5, "was": "active", "method": "show_ticket", "ticket_ids": [ONE_ID],
    **dict.fromkeys(
        ("pending_until", "expires_at", "not_before", "trial_ends_at", "suspended_at", "dissolved_at", "ended_at"),
        "2026-01-31T12:00:00Z",
    ),
    "person_ids": [ONE_ID], "keys": ["00"], "shared_items": 0, "origin": "quoted", "kind": "address", "owner": "person",
    "channel": "e-mail", "direction": "incoming", "sent_at": None, "attachments": [], "outcome": "erased", "counts": {},
    "retained": [], "kept": [], "cut_at": "2026-01-01T00:00:00Z", "claim_hash": "00", "unanswered": [], "traces": {},
    "requested_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:00Z", "certificate": "00", "plan": "paid",
    "role": "agent", "failure": "rejected", "attempts": 1, "reply_code": 550,
    "how": "own", "with_second_factor": True, "session_ids": [ONE_ID], "day": "2026-01-01T00:00:00Z", "scope": "read",
    "alert_id": ONE_ID, "service": "tickets", "cause": "truncated", "handed_in": False, "seen_size": 5, "seen_root": "00",
    "size": None, "root": None, "cleared_by": "itself", "is_password_void": False,
    "hold_ids": [ONE_ID], "basis": "archiving", "end": "expired", "ranges": [[0, 3]], "events": 4, "rows": 5,
    "asked_by": "user", "by": "link", "left": 9, "required_from": None, "count": 0,
    "reads": [
        {
            "at": "2026-01-01T00:00:00Z", "actor": ONE_ID, "door": None, "method": "show_ticket", "purpose": "support",
            "persons": [ONE_ID], "tickets": [],
        }
    ],
}  # fmt: skip
