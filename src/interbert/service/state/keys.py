"""Keys of the API: made and revoked by ``interbert keys``, looked up for every request."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from interbert.errors import UsageError, listed, require_range, shortened
from interbert.service.errors import ServiceError
from interbert.service.state.column_types import now
from interbert.service.state.database import Store, reading, writing
from interbert.service.state.models import KeyModel
from interbert.service.state.records import RIGHTS, Key, Right

_PREFIX = "ib"
_SOUND_ID = re.compile("[0-9a-f]{12}")
_MOST_CHARACTERS = 200


class KeyStore(Store):
    """Keys. A secret is returned once, when its key is made; the database has its hash alone."""

    @writing
    def create(
        self,
        session: Session,
        name: str,
        rights: Collection[Right],
        indexes: Sequence[str] | None = None,
        expires_at: datetime | None = None,
        rate_per_minute: int | None = None,
    ) -> tuple[Key, str]:
        """Make a key; returns it and its secret, ``ib_<id>_<secret>``.

        Args:
            session: given by the store.
            name: who gets it, for people; several keys may share one.
            rights: one at least.
            indexes: names of the indexes that it may use; None: all.
            expires_at: from then on it is refused; None: never.
            rate_per_minute: requests of a minute; None: no rate of its own.

        Raises:
            UsageError: a value is impossible.
        """
        _check(name, rights, indexes, rate_per_minute)
        row = KeyModel(
            id=secrets.token_hex(6),
            name=name.strip(),
            rights=sorted(rights, key=RIGHTS.index),
            indexes=None if indexes is None else sorted(set(indexes)),
            expires_at=expires_at,
            rate_per_minute=rate_per_minute,
            created_at=now(),
        )
        secret = f"{_PREFIX}_{row.id}_{secrets.token_urlsafe(32)}"
        row.secret_sha256 = _digest(secret)
        session.add(row)
        return _record(row), secret

    @reading
    def verify(self, session: Session, secret: str) -> Key | None:
        """The key of a secret; None when it is not known, revoked or expired."""
        prefix, _, rest = secret.partition("_")
        key_id, _, random = rest.partition("_")
        sound = prefix == _PREFIX and _SOUND_ID.fullmatch(key_id) is not None and bool(random)
        row = session.get(KeyModel, key_id) if sound else None
        # an unknown id is compared too, with a hash that no secret has: both take as long
        right = hmac.compare_digest(_digest(secret), _NO_DIGEST if row is None else row.secret_sha256)
        if row is None or not right or row.revoked_at is not None:
            return None
        return _record(row) if row.expires_at is None or now() < row.expires_at else None

    @writing
    def revoke(self, session: Session, key_id: str) -> Key:
        """Refuse a key from now on, for ever; the moment of the first time stays.

        Raises:
            ServiceError: ``not_found``.
        """
        row = session.get(KeyModel, key_id, with_for_update=True)
        if row is None:
            raise ServiceError("not_found", f"there is no key {shortened(key_id)!r}. See: interbert keys list")
        row.revoked_at = row.revoked_at or now()
        return _record(row)

    @reading
    def list(self, session: Session) -> Sequence[Key]:
        """All keys, revoked and expired ones too, oldest first."""
        return [_record(row) for row in session.scalars(select(KeyModel).order_by(KeyModel.created_at, KeyModel.id))]

    @reading
    def any(self, session: Session) -> bool:
        """Whether a key was ever made: the last one's revocation must not open the service to all."""
        return session.scalar(select(KeyModel.id).limit(1)) is not None


def _check(name: str, rights: Collection[str], indexes: Sequence[str] | None, rate_per_minute: int | None) -> None:
    if not name.strip() or len(name) > _MOST_CHARACTERS or not name.isprintable():
        raise UsageError(f"keys: a name has 1 to {_MOST_CHARACTERS} characters of one line. Say who gets the key.")
    wrong = sorted(set(rights) - set(RIGHTS))
    if wrong or not rights:
        given = f"not {listed(wrong)}" if wrong else "and a key has one at least"
        raise UsageError(f"keys: rights are {', '.join(RIGHTS)}, {given}.")
    if indexes is not None and not all(indexes):
        raise UsageError("keys: the name of an index is empty. Leave indexes out for a key to all.")
    require_range("keys: the rate", rate_per_minute, 1, 2**31)


def _digest(secret: str) -> str:
    """What is kept of a secret.

    A plain SHA-256 is right here, where a password needs a slow hash: the secret is 256 random bits, which nobody finds
    by trying, however fast the hash; and it is computed for every request.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


_NO_DIGEST = "0" * 64


def _record(row: KeyModel) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        rights=frozenset(cast(list[Right], row.rights)),
        indexes=None if row.indexes is None else frozenset(row.indexes),
        expires_at=row.expires_at,
        rate_per_minute=row.rate_per_minute,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
    )
