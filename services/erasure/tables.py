"""The rows that erasure owns."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, UUID

from shared.due_rows import due_columns

metadata = sa.MetaData(schema="lethe")
_id = UUID(as_uuid=False)

request = sa.Table(
    "request",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("request_id", _id, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("completed_at", sa.DateTime(timezone=True)),
    sa.Column("person_ids", sa.ARRAY(_id), nullable=False),
    sa.Column("claim_hash", sa.Text, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("unanswered", JSONB, nullable=False),
    sa.Column("traces", JSONB, nullable=False),
    sa.Column("certificate", sa.Text),
    sa.Column("addresses", BYTEA),
    sa.Column("reason", BYTEA),
    sa.Column("event_id", _id, nullable=False),
    sa.Index("request_by_time", "account_id", "requested_at", "request_id"),
)
request_person = sa.Table(  # whom a request is about, by pseudonym
    "request_person",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("person_id", _id, primary_key=True),
    sa.Column("request_id", _id, primary_key=True),
)
renewed_addresses = sa.Table(  # what a request that was held knows of its persons, in the place of its own addresses
    "renewed_addresses",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("request_id", _id, primary_key=True),
    sa.Column("addresses", BYTEA),
    sa.Column("event_id", _id, nullable=False),
)
hold = sa.Table(  # a legal hold: in force as long as it has not ended
    "hold",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("hold_id", _id, primary_key=True),
    sa.Column("person_ids", sa.ARRAY(_id), nullable=False),
    sa.Column("basis", sa.Text, nullable=False),
    sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("placed_by", _id, nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ended_at", sa.DateTime(timezone=True)),
    sa.Column("ended_as", sa.Text),
    sa.Column("reference", BYTEA),
    sa.Column("event_id", _id, nullable=False),
    sa.Index("hold_by_time", "account_id", "placed_at", "hold_id"),
)
hold_person = sa.Table(  # whom a hold keeps, by pseudonym
    "hold_person",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("person_id", _id, primary_key=True),
    sa.Column("hold_id", _id, primary_key=True),
)
hold_noted = sa.Table(  # which participants have noted a hold; from their events, so not from this service's own log alone
    "hold_noted",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("hold_id", _id, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    info={"index": True},
)
open_hold = sa.Table(  # when holds expire, for the timer, over all accounts; ids and times only
    "open_hold",
    metadata,
    sa.Column("hold_id", _id, primary_key=True),
    sa.Column("account_id", _id, nullable=False),
    *due_columns("open_hold"),
    info={"index": True, "cell_wide": True},
)
receipt = sa.Table(  # what each participant said; from its event, so not from this service's own log
    "receipt",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("request_id", _id, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("counts", JSONB, nullable=False),
    sa.Column("retained", JSONB, nullable=False),
    sa.Column("receipted_at", sa.DateTime(timezone=True), nullable=False),
    info={"index": True},
)
certificate = sa.Table(  # the document itself: signed, without personal data; its digest is in the log
    "certificate",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("request_id", _id, primary_key=True),
    sa.Column("document", BYTEA, nullable=False),
    info={"index": True},
)
suppression = sa.Table(  # no person, no request, the day only (architecture, "Erasure", 6)
    "suppression",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("token", sa.BigInteger, primary_key=True),
    sa.Column("day", sa.Date, nullable=False),
    info={"index": True},
)
open_request = sa.Table(  # what the timer looks after, over all accounts; ids and times only
    "open_request",
    metadata,
    sa.Column("request_id", _id, primary_key=True),
    sa.Column("account_id", _id, nullable=False),
    *due_columns("open_request"),
    info={"index": True, "cell_wide": True},
)
