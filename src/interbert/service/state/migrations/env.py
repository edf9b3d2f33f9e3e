"""Alembic runs this for every command; ``schema.py`` hands over the connection."""

from __future__ import annotations

from alembic import context

from interbert.service.state.models import Base
from interbert.service.state.schema import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
