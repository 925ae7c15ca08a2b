"""The rows that tickets owns. Sealed columns hold the event's own bytes; index tables hold keyed tokens only."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, UUID

from shared.read_tables import declare_tables

metadata = sa.MetaData(schema="lethe")
declare_tables(metadata)
_id = UUID(as_uuid=False)

ticket = sa.Table(
    "ticket",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("ticket_id", _id, primary_key=True),
    sa.Column("requester_id", _id),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("messages", sa.Integer, nullable=False),
    sa.Column("subject", BYTEA),
    sa.Column("event_id", _id, nullable=False),
    sa.Index("ticket_of_requester", "account_id", "requester_id"),
    sa.Index("ticket_by_time", "account_id", "opened_at", "ticket_id"),
    # Each message changes its ticket's row. No index may hold or ask for what changes (and pages keep room, see the
    # migration): so the row is changed in its page, and no index is written
)
message = sa.Table(
    "message",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("message_id", _id, primary_key=True),
    sa.Column("ticket_id", _id, nullable=False),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("author_id", _id),
    sa.Column("owner_id", _id),
    sa.Column("direction", sa.Text, nullable=False),
    sa.Column("sent_at", sa.DateTime(timezone=True)),
    sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("content", BYTEA),
    sa.Column("event_id", _id, nullable=False),
    sa.Index("message_of_ticket", "account_id", "ticket_id", "place"),
    sa.Index("message_of_owner", "account_id", "owner_id"),
)
attachment = sa.Table(
    "attachment",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("blob_id", _id, primary_key=True),
    sa.Column("message_id", _id, nullable=False),
    sa.Column("item_id", _id, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("is_text", sa.Boolean, nullable=False),
    sa.Index("attachment_of_message", "account_id", "message_id"),
)
put_aside = sa.Table(
    "put_aside",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("put_aside_id", _id, primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("put_aside_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("source_token", sa.BigInteger, nullable=False),
    sa.UniqueConstraint("account_id", "source_token"),
    info={"index": True},
)
mail_token = sa.Table(  # which mails are in: by content and Message-ID, and by the bytes of their source
    "mail_token",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("token", sa.BigInteger, primary_key=True),
    sa.Column("message_id", _id, nullable=False),
    sa.Index("token_of_mail", "account_id", "message_id"),
    info={"index": True},
)
thread_token = sa.Table(  # Message-IDs that lead to a ticket
    "thread_token",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("token", sa.BigInteger, primary_key=True),
    sa.Column("ticket_id", _id, primary_key=True),
    sa.Column("message_id", _id, nullable=False),  # the message that brought it, and takes it along
    sa.Index("token_of_thread", "account_id", "message_id"),
    info={"index": True},
)
search_token = sa.Table(
    "search_token",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("token", sa.BigInteger, primary_key=True),
    sa.Column("message_id", _id, primary_key=True),
    info={"index": True},
)
message_tokens = sa.Table(  # the same by message, so that they can be removed when its text no longer opens
    "message_tokens",
    metadata,
    sa.Column("account_id", _id, primary_key=True),
    sa.Column("message_id", _id, primary_key=True),
    sa.Column("tokens", ARRAY(sa.BigInteger), nullable=False),
    info={"index": True},
)
