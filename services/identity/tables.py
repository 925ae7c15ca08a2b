"""The rows that identity owns. Sealed columns hold the event's own bytes; the index table holds keyed tokens only.

The table marked `index` is not projected from the log: it is made from opened values, and rebuilt with the keys. Those marked
`outside_log` hold credentials, which are no events: hashes of tokens, and what is sealed under the user's item key, bound to
its row. Those marked `by_function` lead from a credential to its account, over all accounts; they hold digests, keyed tokens
and ids, and are reached by the functions of their revision only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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

_ACCESS = "identity_0003"


def _credentials(name: str, *columns: sa.Column[Any], indices: Sequence[sa.Index] = ()) -> sa.Table:
    """A table of credentials. `person_id` is what an erasure finds the rows by."""
    return sa.Table(
        name, metadata, sa.Column("account_id", _id, primary_key=True), *columns,
        sa.Column("person_id", _id, nullable=False), sa.Index(f"{name}_of_person", "account_id", "person_id"), *indices,
        info={"outside_log": True, "revision": _ACCESS},
    )  # fmt: skip


password = _credentials(
    "password",
    sa.Column("user_id", _id, primary_key=True),
    sa.Column("row_id", _id, nullable=False),  # new with each hash: what the hash is bound to, and a cache by it
    sa.Column("hash", BYTEA, nullable=False),  # argon2id, sealed
    sa.Column("stands_alone", sa.Boolean, nullable=False),  # is long enough without a second factor
    sa.Column("failures", sa.Integer, nullable=False),  # in a row
    sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("used_on", sa.Date),  # over HTTP Basic
)
session = _credentials(
    "session",
    sa.Column("session_id", _id, primary_key=True),
    sa.Column("user_id", _id, nullable=False),
    sa.Column("digest", BYTEA, nullable=False),  # SHA-256
    sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("source", BYTEA, nullable=False),  # sealed
    indices=(
        sa.Index("session_by_digest", "account_id", "digest", unique=True),
        sa.Index("session_of_user", "account_id", "user_id"),
        sa.Index("session_by_end", "account_id", "expires_at"),
    ),
)
challenge = _credentials(  # a login that waits for the second factor
    "challenge",
    sa.Column("digest", BYTEA, primary_key=True),  # SHA-256
    sa.Column("user_id", _id, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("login_token", sa.BigInteger, nullable=False),  # keyed; failures of codes delay this login
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    indices=(sa.Index("challenge_of_user", "account_id", "user_id"),),
)
api_token = _credentials(
    "api_token",
    sa.Column("api_token_id", _id, primary_key=True),
    sa.Column("user_id", _id, nullable=False),
    sa.Column("digest", BYTEA, nullable=False),  # SHA-256
    sa.Column("name", BYTEA, nullable=False),  # sealed
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("used_on", sa.Date),
    indices=(
        sa.Index("api_token_by_digest", "account_id", "digest", unique=True),
        sa.Index("api_token_of_user", "account_id", "user_id"),
    ),
)
second_factor = _credentials(
    "second_factor",
    sa.Column("user_id", _id, primary_key=True),
    sa.Column("row_id", _id, nullable=False),  # new with each seed: what the seed is bound to
    sa.Column("seed", BYTEA, nullable=False),  # sealed
    sa.Column("on_since", sa.DateTime(timezone=True)),  # NULL until a code of the seed was confirmed
    sa.Column("last_step", sa.BigInteger, nullable=False),  # of the last code that was accepted
    sa.Column("failures", sa.Integer, nullable=False),  # since the last success
)
recovery_code = _credentials(
    "recovery_code",
    sa.Column("user_id", _id, primary_key=True),
    sa.Column("digest", BYTEA, primary_key=True),  # SHA-256
)
access_policy = sa.Table(
    "access_policy",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("second_factor_by", sa.DateTime(timezone=True)),  # from then on required; NULL where it is not
    info={"revision": _ACCESS},
)
credential_route = sa.Table(
    "credential_route",
    metadata,
    sa.Column("digest", BYTEA, primary_key=True),
    sa.Column("account_id", _id, nullable=False),
    info={"cell_wide": True, "by_function": True, "revision": _ACCESS},
)
login_route = sa.Table(
    "login_route",
    metadata,
    sa.Column("token", sa.BigInteger, primary_key=True),
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("user_id", _id, primary_key=True),
    sa.Index("login_route_of_user", "account_id", "user_id"),
    info={"cell_wide": True, "by_function": True, "revision": _ACCESS},
)
login_delay = sa.Table(  # failures of a login from a source, both as keyed tokens; of accounts that do not exist as well
    "login_delay",
    metadata,
    sa.Column("login", sa.BigInteger, primary_key=True),
    sa.Column("source", sa.BigInteger, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("login_delay_by_time", "failed_at"),
    info={"cell_wide": True, "by_function": True, "revision": _ACCESS},
)

_USERS = "identity_0004"

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
invitation_token = sa.Table(
    "invitation_token",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("token", sa.BigInteger, primary_key=True),
    sa.Column("invitation_id", _id, nullable=False),
    sa.Index("token_of_invitation", "account_id", "invitation_id"),
    info={"index": True, "revision": _USERS},
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
