"""A receipt with its proof: the event as it stands in the service's log, and the way from it to a signed checkpoint."""

from __future__ import annotations

from typing import Annotated

import msgspec

from shared.checkpoint import parse_checkpoint
from shared.personal import NotPersonal
from shared.tiles import TileReader, files_in
from shared.tlog_proof import TlogProof
from shared.work import Store, Work


class ReceiptProof(msgspec.Struct, frozen=True, kw_only=True):
    """All that an auditor needs to check, offline, that the receipt is in the log: envelope, salt, inclusion proof."""

    envelope: Annotated[bytes, NotPersonal("a canonical envelope: ids, counts and times")]
    salt: Annotated[bytes, NotPersonal("random")]
    proof: Annotated[bytes, NotPersonal("hashes and a checkpoint")]


def receipt_proof(store: Store, work: Work, request_id: str) -> ReceiptProof | None:
    """The proof of this service's receipt of a request; None while it is not covered by a checkpoint."""
    row = work.fetch_one(
        "SELECT e.envelope, e.salt, l.index FROM lethe.event e JOIN lethe.log l USING (sequence)"
        " WHERE e.account_id = %s AND e.stream = %s AND e.type = %s ORDER BY e.version DESC LIMIT 1",
        (work.account_id, f"erasure/{request_id}", f"{store.service}.ErasureReceipted"),
    )
    return None if row is None else event_proof(store, bytes(row[0]), bytes(row[1]), row[2])


def event_proof(store: Store, envelope: bytes, salt: bytes, index: int) -> ReceiptProof | None:
    """The proof of any event of the service's own log, against its newest checkpoint."""
    tiles = store.settings.path("tiles", store.service)
    note = (tiles / "checkpoint").read_bytes()
    checkpoint = parse_checkpoint(note.decode().split("\n\n")[0] + "\n")
    if index >= checkpoint.size:
        return None
    hashes = TileReader(files_in(tiles), checkpoint.size).inclusion_proof(index)
    proof = TlogProof(index=index, hashes=tuple(hashes), checkpoint=note)
    return ReceiptProof(envelope=envelope, salt=salt, proof=proof.encode())
