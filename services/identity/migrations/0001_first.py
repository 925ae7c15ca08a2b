"""The first schema: what every service has, the queue of mails, and the tables of identity with the routes to accounts."""

from alembic import op

from shared.migrations import create_base, create_outgoing_mail, create_tables, run_script

revision = "identity_0001"
down_revision = None


def upgrade() -> None:
    create_base(op.get_bind())
    create_outgoing_mail(op.get_bind())
    create_tables(op.get_bind(), "identity")
    run_script(op.get_bind(), "services/identity/routes.sql")
