"""Grants of access for the vendor's staff, and when each is to be looked at."""

from alembic import op

from shared.migrations import create_tables

revision = "identity_staff_grants"
down_revision = ("identity_0003", "identity_0002_outgoing_mail")


def upgrade() -> None:
    create_tables(op.get_bind(), "identity")
