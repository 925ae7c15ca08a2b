"""The rows of records of reads."""

from alembic import op

from shared.migrations import create_tables

revision = "identity_0003"
down_revision = "identity_0002"


def upgrade() -> None:
    create_tables(op.get_bind(), "identity")
