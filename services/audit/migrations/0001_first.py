"""The first schema: what every service has, and the tables of audit."""

from alembic import op

from shared.migrations import create_base, create_tables

revision = "audit_0001"
down_revision = None


def upgrade() -> None:
    create_base(op.get_bind())
    create_tables(op.get_bind(), "audit")
