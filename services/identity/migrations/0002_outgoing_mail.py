"""The queue of outgoing mail."""

from alembic import op

from shared.migrations import create_outgoing_mail

revision = "identity_0002_outgoing_mail"
down_revision = "identity_0002"


def upgrade() -> None:
    create_outgoing_mail(op.get_bind())
