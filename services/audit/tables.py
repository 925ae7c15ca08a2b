"""The rows that audit owns. They belong to no customer's account, so each bears the account of the cell itself."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, UUID

CELL: Final = "00000000-0000-0000-0000-000000000000"
"""The account that stands in audit's rows and envelopes: no account can have it."""

metadata = sa.MetaData(schema="lethe")
_id = UUID(as_uuid=False)

alert = sa.Table(
    "alert",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("alert_id", _id, primary_key=True),
    sa.Column("service", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("handed_in", sa.Boolean, nullable=False),
    sa.Column("seen_size", sa.BigInteger),
    sa.Column("seen_root", sa.Text),
    sa.Column("size", sa.BigInteger),
    sa.Column("root", sa.Text),
    sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("cleared_at", sa.DateTime(timezone=True)),
    sa.Column("cleared_by", sa.Text),
    sa.Column("version", sa.Integer, nullable=False),  # of the cause's stream: what the next event follows
    sa.Index("alert_one_open", "account_id", "service", "cause", unique=True, postgresql_where=sa.text("cleared_at IS NULL")),
)
log_key = sa.Table(  # the verifier key of each log as it was first seen: another one does not take its place
    "log_key",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("verifier", sa.Text, nullable=False),
    sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
    info={"outside_log": True},
)
seen_checkpoint = sa.Table(  # signed notes, as they were published or handed in
    "seen_checkpoint",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, primary_key=True),
    sa.Column("root", BYTEA, primary_key=True),
    sa.Column("standing", sa.Text, nullable=False),  # followed: extends all before it; awaited; contradicting
    sa.Column("number", sa.BigInteger),  # of one that was published and followed: 1, 2, 3 …
    sa.Column("is_evidence", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("note", BYTEA, nullable=False),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    sa.UniqueConstraint("account_id", "service", "number"),
    info={"outside_log": True},
)
