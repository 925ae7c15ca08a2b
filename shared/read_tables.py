"""The rows of the records of reads, apart from the events (`read_records.py`): who only reads events needs no SQLAlchemy."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import UUID


def declare_tables(metadata: sa.MetaData) -> None:
    """Declares the rows of the records, for the `tables.py` of a service that keeps them."""
    identifier = UUID(as_uuid=False)
    sa.Table(
        "read_record",
        metadata,
        sa.Column("account_id", identifier, primary_key=True),
        sa.Column("batch_id", identifier, primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", identifier, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Index("read_by_actor", "account_id", "actor_id"),
    )
    sa.Table(
        "read_subject",
        metadata,
        sa.Column("account_id", identifier, primary_key=True),
        sa.Column("subject_id", identifier, primary_key=True),
        sa.Column("batch_id", identifier, primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Index("subject_of_read", "account_id", "batch_id", "place"),
    )
