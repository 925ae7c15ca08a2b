"""The rows of records of reads."""

from alembic import op

from shared.migrations import create_tables

revision = "contacts_0003"
down_revision = "contacts_0002"


def upgrade() -> None:
    create_tables(op.get_bind(), "contacts")
