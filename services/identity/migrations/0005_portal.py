"""Customers of the portal: what they hold, what they saved, and the apps that act for them."""

from alembic import op

from shared.migrations import create_tables

revision = "identity_0005_portal"
down_revision = "identity_0004"


def upgrade() -> None:
    create_tables(op.get_bind(), "identity", revision)
