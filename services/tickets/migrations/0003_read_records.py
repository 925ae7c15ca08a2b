"""The rows of records of reads."""

from alembic import op

from shared.migrations import create_tables

revision = "tickets_0003"
down_revision = "tickets_0002"


def upgrade() -> None:
    create_tables(op.get_bind(), "tickets")
