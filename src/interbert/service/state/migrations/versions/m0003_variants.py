"""Searches say which variant of an experiment answered them, and how long that took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns."""
    op.add_column("queries", sa.Column("variant", sa.Text(), nullable=True))
    op.add_column("queries", sa.Column("took_ms", sa.Double(), nullable=True))
