"""From when on an actor's tokens count."""

from alembic import op

from shared.migrations import run_script

revision = "identity_0002"
down_revision = "identity_0001"


def upgrade() -> None:
    run_script(op.get_bind(), "actor_cutoffs.sql")
