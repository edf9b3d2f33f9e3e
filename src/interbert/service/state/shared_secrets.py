"""Secrets that all replicas of the service share, such as the one that signs page cursors."""

from __future__ import annotations

import secrets

from sqlalchemy.orm import Session

from interbert.service.state.database import Store, writing
from interbert.service.state.models import SecretModel

_BYTES = 32


class SecretStore(Store):
    """Random secrets by name."""

    @writing
    def get(self, session: Session, name: str) -> bytes:
        """A secret of 32 bytes, made by the first who asks for it."""
        row = session.get(SecretModel, name)
        if row is None:
            row = SecretModel(name=name, value=secrets.token_bytes(_BYTES))
            session.add(row)
            session.flush()
        return row.value
