"""The rows that identity owns. Sealed columns hold the event's own bytes; the index table holds keyed tokens only.

The table marked `index` is not projected from the log: it is made from opened values, and rebuilt with the keys. Those marked
`outside_log` hold credentials, which are no events: hashes of tokens, and what is sealed under the user's item key, bound to
its row. Those marked `by_function` lead from a credential to its account, over all accounts; they hold digests, keyed tokens
and ids, and are reached by the functions in `routes.sql` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, UUID

from shared.due_rows import due_columns
from shared.read_tables import declare_tables

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
    sa.Column("event_type", sa.Text, nullable=False, server_default="identity.UserAdded"),  # what sealed name and login
    sa.Column("version", sa.Integer, nullable=False),  # of the stream, at the last change of this row
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

def _credentials(name: str, *columns: sa.Column[Any], indices: Sequence[sa.Index] = ()) -> sa.Table:
    """A table of credentials. `person_id` is what an erasure finds the rows by."""
    return sa.Table(
        name, metadata, sa.Column("account_id", _id, primary_key=True), *columns,
        sa.Column("person_id", _id, nullable=False), sa.Index(f"{name}_of_person", "account_id", "person_id"), *indices,
        info={"outside_log": True},
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
    sa.Column("ranges_suspended", sa.Boolean, nullable=False),  # the account's IP ranges do not hold for it
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
)
credential_route = sa.Table(
    "credential_route",
    metadata,
    sa.Column("digest", BYTEA, primary_key=True),
    sa.Column("account_id", _id, nullable=False),
    info={"cell_wide": True, "by_function": True},
)
login_route = sa.Table(
    "login_route",
    metadata,
    sa.Column("token", sa.BigInteger, primary_key=True),
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("user_id", _id, primary_key=True),
    sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("confirmed_at", sa.DateTime(timezone=True)),  # NULL until somebody showed that the mailbox is theirs
    sa.Index("login_route_of_user", "account_id", "user_id"),
    info={"cell_wide": True, "by_function": True},
)
login_delay = sa.Table(  # failures of a login from a source, both as keyed tokens; of accounts that do not exist as well
    "login_delay",
    metadata,
    sa.Column("login", sa.BigInteger, primary_key=True),
    sa.Column("source", sa.BigInteger, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("login_delay_by_time", "failed_at"),
    info={"cell_wide": True, "by_function": True},
)
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
)
invitation_token = sa.Table(
    "invitation_token",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("token", sa.BigInteger, primary_key=True),
    sa.Column("invitation_id", _id, nullable=False),
    sa.Index("token_of_invitation", "account_id", "invitation_id"),
    info={"index": True},
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
    sa.Column("held", BYTEA),  # what it is to bring about, sealed under the user's key: the login that they will have
    sa.Index("link_of_subject", "account_id", "subject_id"),
    sa.Index("link_of_person", "account_id", "person_id"),
    sa.Index("link_by_end", "expires_at"),
    info={"outside_log": True},
)
ip_ranges = sa.Table(
    "ip_ranges",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
    sa.Column("ranges", BYTEA),
    sa.Column("event_id", _id, nullable=False),
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
    *due_columns("open_staff_grant"),
    info={"index": True, "cell_wide": True},
)
customer = sa.Table(  # a person who has signed in to the portal
    "customer",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("person_id", _id, primary_key=True),
    sa.Column("since", sa.DateTime(timezone=True), nullable=False),
    sa.Column("signed_in_at", sa.DateTime(timezone=True), nullable=False),
)
saved_search = sa.Table(
    "saved_search",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("search_id", _id, primary_key=True),
    sa.Column("person_id", _id, nullable=False),
    sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("name", BYTEA),
    sa.Column("words", BYTEA),
    sa.Column("event_id", _id, nullable=False),
    sa.Index("saved_search_of_person", "account_id", "person_id", "added_at"),
)
app = sa.Table(  # what may ask customers to act for them
    "app",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("app_id", _id, primary_key=True),
    sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("name", BYTEA),
    sa.Column("redirect_uris", BYTEA),
    sa.Column("event_id", _id, nullable=False),
)
app_grant = sa.Table(
    "app_grant",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("grant_id", _id, primary_key=True),
    sa.Column("app_id", _id, nullable=False),
    sa.Column("person_id", _id, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("app_grant_of_person", "account_id", "person_id"),
    sa.Index("app_grant_of_app", "account_id", "app_id"),
)


def _customers(name: str, *columns: sa.Column[Any], indices: Sequence[sa.Index] = ()) -> sa.Table:
    """A table of customers' credentials. `person_id` is whose they are, and what an erasure finds the rows by."""
    return sa.Table(
        name, metadata, sa.Column("account_id", _id, primary_key=True), *columns,
        sa.Index(f"{name}_of_person", "account_id", "person_id"), *indices, info={"outside_log": True},
    )  # fmt: skip


sign_in_link = _customers(  # of nobody where the address that was typed is nobody's: so both take the same time
    "sign_in_link",
    sa.Column("digest", BYTEA, primary_key=True),  # SHA-256
    sa.Column("person_id", _id),
    sa.Column("address", sa.BigInteger, nullable=False),  # keyed token of what was typed
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    indices=(
        sa.Index("sign_in_link_by_end", "expires_at"),
        sa.Index("sign_in_link_of_address", "account_id", "address"),
    ),
)
portal_password = _customers(
    "portal_password",
    sa.Column("person_id", _id, primary_key=True),
    sa.Column("row_id", _id, nullable=False),  # new with each hash: what the hash is bound to
    sa.Column("hash", BYTEA, nullable=False),  # argon2id, sealed
    sa.Column("failures", sa.Integer, nullable=False),  # in a row
    sa.Column("failed_at", sa.DateTime(timezone=True)),
    sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
)
portal_session = _customers(
    "portal_session",
    sa.Column("session_id", _id, primary_key=True),
    sa.Column("person_id", _id, nullable=False),
    sa.Column("digest", BYTEA, nullable=False),  # SHA-256
    sa.Column("began_by", sa.Text, nullable=False),
    sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("source", BYTEA, nullable=False),  # sealed
    indices=(sa.Index("portal_session_by_digest", "account_id", "digest", unique=True),),
)
app_code = _customers(  # what an app exchanges for its first tokens
    "app_code",
    sa.Column("digest", BYTEA, primary_key=True),  # SHA-256
    sa.Column("app_id", _id, nullable=False),
    sa.Column("person_id", _id, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("redirect_place", sa.Integer, nullable=False),  # which of the app's addresses
    sa.Column("challenge", sa.Text, nullable=False),  # a SHA-256 of random text (RFC 7636)
    sa.Column("grant_id", _id),  # NULL until it is used
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
)
app_token = _customers(
    "app_token",
    sa.Column("digest", BYTEA, primary_key=True),  # SHA-256
    sa.Column("kind", sa.Text, nullable=False),  # access, refresh
    sa.Column("grant_id", _id, nullable=False),
    sa.Column("app_id", _id, nullable=False),
    sa.Column("person_id", _id, nullable=False),
    sa.Column("scope", sa.Text, nullable=False),
    sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("used_at", sa.DateTime(timezone=True)),  # of a refresh token that was exchanged: using it again ends the grant
    indices=(sa.Index("app_token_of_grant", "account_id", "grant_id"),),
)
