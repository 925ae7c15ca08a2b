"""The rows that identity owns. Sealed columns hold the event's own bytes; the index table holds keyed tokens only.

The table marked `index` is not projected from the log: it is made from opened values, and rebuilt with the keys.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, UUID

from shared.read_records import declare_tables

metadata = sa.MetaData(schema="lethe")
declare_tables(metadata)
_id = UUID(as_uuid=False)

app_user = sa.Table(
    "app_user",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("user_id", _id, primary_key=True),
    sa.Column("person_id", _id, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("name", BYTEA),
    sa.Column("login", BYTEA),
    sa.Column("event_id", _id, nullable=False),
    sa.Index("user_by_time", "account_id", "added_at", "user_id"),
    sa.Index("user_of_person", "account_id", "person_id"),
)
login_token = sa.Table(
    "login_token",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("token", sa.BigInteger, primary_key=True),
    sa.Column("user_id", _id, nullable=False),
    sa.Index("token_of_user", "account_id", "user_id"),
    info={"index": True},
)
staff_grant = sa.Table(
    "staff_grant",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("grant_id", _id, primary_key=True),
    sa.Column("staff_id", _id, nullable=False),
    sa.Column("basis", sa.Text, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("minutes", sa.Integer, nullable=False),
    sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("pending_until", sa.DateTime(timezone=True), nullable=False),
    sa.Column("decided_by", _id),
    sa.Column("decided_at", sa.DateTime(timezone=True)),
    sa.Column("expires_at", sa.DateTime(timezone=True)),
    sa.Column("closed_at", sa.DateTime(timezone=True)),
    sa.Column("sessions", sa.Integer, nullable=False),
    sa.Column("reference", BYTEA),
    sa.Column("event_id", _id, nullable=False),
    sa.Index("staff_grant_by_time", "account_id", "requested_at", "grant_id"),
)
open_staff_grant = sa.Table(  # what the timer looks after, over all accounts; ids and times only
    "open_staff_grant",
    metadata,
    sa.Column("grant_id", _id, primary_key=True),
    sa.Column("account_id", _id, nullable=False),
    sa.Column("look_at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("open_staff_grant_by_time", "look_at"),
    info={"index": True, "cell_wide": True},
)
