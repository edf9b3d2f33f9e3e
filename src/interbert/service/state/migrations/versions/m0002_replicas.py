"""Several processes over one database: lines of tasks, replicas, what they hold, and secrets that they share."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from interbert.errors import UsageError

revision = "0002"
down_revision = "0001"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables; the lines of tasks are no files any more.

    Raises:
        UsageError: files of this machine have lines that are not applied.
    """
    writes = sa.text("SELECT count(*) FROM tasks WHERE finished_at IS NULL AND kind <> 'index.rebuild'")
    if op.get_bind().scalar(writes):
        raise UsageError(
            "the database has writes that are not finished. Let the version before finish them, then update."
        )
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "replicas",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("beat", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_replicas"),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_secrets"),
    )
    op.create_table(
        "task_lines",
        sa.Column("task_number", _NUMBER, nullable=False),
        sa.Column("part", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lines", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["task_number"], ["tasks.number"], name="fk_task_lines_task_number", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("task_number", "part", name="pk_task_lines"),
    )
    op.drop_column("tasks", "payload")
