"""The rows that lifecycle owns."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, UUID

from shared.due_rows import due_columns

metadata = sa.MetaData(schema="lethe")
_id = UUID(as_uuid=False)

account = sa.Table(
    "account",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("name", BYTEA),
    sa.Column("event_id", _id, nullable=False),
)
account_period = sa.Table(  # what runs out: a trial, the time for which billing may fail, a suspension, the time in storage
    "account_period",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
)
open_period = sa.Table(  # when something happens to accounts by itself, for the timer, over all accounts; ids and times only
    "open_period",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    *due_columns("open_period"),
    info={"index": True, "cell_wide": True},
)
ended_account = sa.Table(  # which services have removed an account that has ended: ids and times only, and all that stays of it
    "ended_account",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("service", sa.Text, primary_key=True),
    sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("gone_at", sa.DateTime(timezone=True)),
    info={"index": True, "cell_wide": True},
)
account_name = sa.Table(  # the routing table: keyed token of a name → account, over all accounts of the cell
    "account_name",
    metadata,
    sa.Column("token", sa.BigInteger, primary_key=True),
    sa.Column("account_id", _id, nullable=False, unique=True),
    sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
    info={"index": True, "cell_wide": True},
)
