"""The rows that identity owns. Sealed columns hold the event's own bytes; the index table holds keyed tokens only.

The table marked `index` is not projected from the log: it is made from opened values, and rebuilt with the keys.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, UUID

metadata = sa.MetaData(schema="lethe")
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
    sa.Column("event_type", sa.Text, nullable=False, server_default="identity.UserAdded"),  # what sealed name and login
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

_USERS = "identity_users"

invitation = sa.Table(  # those that are open; what they led to is a user
    "invitation",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("invitation_id", _id, primary_key=True),
    sa.Column("person_id", _id, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("invited_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("login", BYTEA),
    sa.Column("event_id", _id, nullable=False),
    sa.Index("invitation_by_time", "account_id", "invited_at", "invitation_id"),
    sa.Index("invitation_of_person", "account_id", "person_id"),
    info={"revision": _USERS},
)
link = sa.Table(  # one-time links that were mailed: of the token only its SHA-256
    "link",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("digest", BYTEA, primary_key=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("subject_id", _id, nullable=False),  # the invitation, or the user
    sa.Column("person_id", _id, nullable=False),
    sa.Column("mailed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("link_of_subject", "account_id", "subject_id"),
    sa.Index("link_of_person", "account_id", "person_id"),
    info={"outside_log": True, "revision": _USERS},
)
ip_ranges = sa.Table(
    "ip_ranges",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("ranges", BYTEA),
    sa.Column("event_id", _id, nullable=False),
    info={"revision": _USERS},
)
