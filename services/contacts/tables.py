"""The rows that contacts owns. Sealed columns hold the event's own bytes; index tables hold keyed tokens only.

Tables marked `index` are not projected from the log: they are made from opened values, and rebuilt with the keys.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, UUID

from shared.read_tables import declare_tables

metadata = sa.MetaData(schema="lethe")
declare_tables(metadata)
_id = UUID(as_uuid=False)

person = sa.Table(
    "person",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("person_id", _id, primary_key=True),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("name", BYTEA),
    sa.Column("name_event_id", _id),
    sa.Index("person_by_time", "account_id", "added_at", "person_id"),
)
organisation = sa.Table(
    "organisation",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("organisation_id", _id, primary_key=True),
    sa.Column("name", BYTEA),
    sa.Column("name_event_id", _id),
)
identifier = sa.Table(
    "identifier",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("identifier_id", _id, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("address", BYTEA),
    sa.Column("event_id", _id, nullable=False),
)
identifier_person = sa.Table(
    "identifier_person",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("identifier_id", _id, primary_key=True),
    sa.Column("person_id", _id, primary_key=True),
    sa.Index("identifier_of_person", "account_id", "person_id"),
)
spelling = sa.Table(
    "spelling",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("spelling_id", _id, primary_key=True),
    sa.Column("identifier_id", _id, nullable=False),
    sa.Column("text", BYTEA),
    sa.Column("event_id", _id, nullable=False),
    sa.Index("spelling_of_identifier", "account_id", "identifier_id"),
)
identifier_token = sa.Table(
    "identifier_token",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("token", sa.BigInteger, primary_key=True),
    sa.Column("identifier_id", _id, nullable=False),
    sa.Index("token_of_identifier", "account_id", "identifier_id"),
    info={"index": True},
)
spelling_token = sa.Table(
    "spelling_token",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("token", sa.BigInteger, primary_key=True),
    sa.Column("spelling_id", _id, nullable=False),
    sa.Column("identifier_id", _id, nullable=False),
    sa.Index("token_of_spelling", "account_id", "identifier_id"),
    info={"index": True},
)
name_token = sa.Table(
    "name_token",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("token", sa.BigInteger, primary_key=True),
    sa.Column("person_id", _id, primary_key=True),
    sa.Index("token_of_person", "account_id", "person_id"),
    info={"index": True},
)
