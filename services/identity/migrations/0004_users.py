"""Invitations, mailed links and IP ranges; a profile that was changed names the event that sealed it."""

from alembic import op

from shared.migrations import create_tables

revision = "identity_0004"
down_revision = "identity_0003"


def upgrade() -> None:
    create_tables(op.get_bind(), "identity", revision)
    # a database that begins today has the column from its first revision
    op.get_bind().connection.cursor().execute(
        "ALTER TABLE lethe.app_user ADD COLUMN IF NOT EXISTS event_type text NOT NULL DEFAULT 'identity.UserAdded'"
    )
