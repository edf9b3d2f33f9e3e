"""The tables. Every change of them needs a migration in ``migrations/versions``; a test compares the two."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

from sqlalchemy import JSON as ANY_JSON
from sqlalchemy import BigInteger, Double, ForeignKey, Index, Integer, MetaData, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from interbert.service.state.column_types import MOST_CHARACTERS_OF_ID, SafeText, UtcDateTime

_NUMBER = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up INTEGER keys alone
JSON = ANY_JSON(none_as_null=True)
Id = Annotated[str, mapped_column(SafeText(MOST_CHARACTERS_OF_ID))]
"""Text of a key or an index."""


class Base(DeclarativeBase):
    """Of all tables. Constraints have names, so that later migrations can change them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: SafeText,
        int: BigInteger,
        float: Double,
        datetime: UtcDateTime,
        list[str]: JSON,
        dict[str, Any]: JSON,
        list[dict[str, Any]]: JSON,
    }


class KeyModel(Base):
    """Keys of the API; never their secrets."""

    __tablename__ = "api_keys"
    id: Mapped[Id] = mapped_column(primary_key=True)
    name: Mapped[str]
    secret_sha256: Mapped[str]
    rights: Mapped[list[str]]
    indexes: Mapped[list[str] | None]
    expires_at: Mapped[datetime | None]
    rate_per_minute: Mapped[int | None]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class TaskModel(Base):
    """Writes that go on after their answer."""

    __tablename__ = "tasks"
    number: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    id: Mapped[Id] = mapped_column(unique=True)
    kind: Mapped[str]
    index_name: Mapped[Id] = mapped_column(index=True)
    state: Mapped[str]
    total: Mapped[int | None]
    done: Mapped[int]
    result: Mapped[dict[str, Any] | None]
    key_id: Mapped[str | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class TaskErrorModel(Base):
    """Lines of tasks that were not done."""

    __tablename__ = "task_errors"
    task_number: Mapped[int] = mapped_column(_NUMBER, ForeignKey("tasks.number", ondelete="CASCADE"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    product_id: Mapped[str | None]
    reason: Mapped[str]


class TaskLinesModel(Base):
    """Lines of tasks that are not finished, so many a row."""

    __tablename__ = "task_lines"
    task_number: Mapped[int] = mapped_column(_NUMBER, ForeignKey("tasks.number", ondelete="CASCADE"), primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """From 0."""
    lines: Mapped[bytes]
    """Whole lines."""


class IdempotencyModel(Base):
    """Answers of requests with an idempotency key."""

    __tablename__ = "idempotency"
    key_id: Mapped[Id] = mapped_column(primary_key=True)
    """Empty where there are no keys."""
    idempotency_key: Mapped[Id] = mapped_column(primary_key=True)
    request_digest: Mapped[str]
    run: Mapped[str]
    """The process that answers, while there is no answer."""
    status: Mapped[int | None]
    body: Mapped[Any | None] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(index=True)


class AuditModel(Base):
    """Who changed what."""

    __tablename__ = "audit"
    number: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    at: Mapped[datetime] = mapped_column(index=True)
    key_id: Mapped[str | None]
    index_name: Mapped[str | None]
    action: Mapped[str]
    what: Mapped[str]
    count: Mapped[int]


class TopicModel(Base):
    """Topics."""

    __tablename__ = "topics"
    number: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    index_name: Mapped[Id]
    id: Mapped[Id]
    texts: Mapped[list[str]]
    where: Mapped[str | None] = mapped_column("filter")
    top_k: Mapped[int]
    min_probability: Mapped[float | None]
    diversity: Mapped[float | None]
    diversify_by: Mapped[list[str]]
    pinned: Mapped[list[str]]
    hidden: Mapped[list[str]]
    valid_from: Mapped[datetime | None]
    valid_to: Mapped[datetime | None]
    published: Mapped[bool]
    revision: Mapped[int]
    updated_at: Mapped[datetime]
    __table_args__ = (UniqueConstraint("index_name", "id"),)


class TopicPageModel(Base):
    """The products of each topic, as they were last computed."""

    __tablename__ = "topic_pages"
    topic_number: Mapped[int] = mapped_column(
        _NUMBER, ForeignKey("topics.number", ondelete="CASCADE"), primary_key=True
    )
    index_version: Mapped[str]
    revision: Mapped[int]
    items: Mapped[list[dict[str, Any]]]
    notes: Mapped[list[str]]
    closed: Mapped[str | None]
    evidence: Mapped[str]
    updated_at: Mapped[datetime]


class TopicChangeModel(Base):
    """What came to topics' pages and left them."""

    __tablename__ = "topic_changes"
    number: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    topic_number: Mapped[int] = mapped_column(_NUMBER, ForeignKey("topics.number", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    product_id: Mapped[str]
    what: Mapped[str]
    why: Mapped[str]


class QueryModel(Base):
    """Searches that were answered; personal data where there is a client."""

    __tablename__ = "queries"
    id: Mapped[Id] = mapped_column(primary_key=True)
    index_name: Mapped[Id]
    text: Mapped[str | None]
    normal_text: Mapped[str | None]
    """Equal for texts that count as one query; None where there is no text."""
    results: Mapped[int]
    probability_best: Mapped[float | None]
    client_id: Mapped[Id | None] = mapped_column(index=True)
    at: Mapped[datetime] = mapped_column(index=True)
    variant: Mapped[str | None]
    """Of an experiment, the index that answered."""
    took_ms: Mapped[float | None]
    __table_args__ = (Index(None, "index_name", "at"),)


class EventModel(Base):
    """What shoppers did; personal data where there is a client."""

    __tablename__ = "events"
    number: Mapped[int] = mapped_column(_NUMBER, primary_key=True)
    kind: Mapped[str]
    query_id: Mapped[Id | None] = mapped_column(index=True)
    """Of a search, which may come later than the event, or be unknown."""
    product_id: Mapped[str]
    rank: Mapped[int | None]
    client_id: Mapped[Id | None] = mapped_column(index=True)
    at: Mapped[datetime] = mapped_column(index=True)


class ReplicaModel(Base):
    """Processes of the service that live."""

    __tablename__ = "replicas"
    id: Mapped[Id] = mapped_column(primary_key=True)
    beat: Mapped[int]
    """Counts up while it lives."""


class LeaseModel(Base):
    """What one replica may do at a time."""

    __tablename__ = "leases"
    name: Mapped[Id] = mapped_column(primary_key=True)
    owner: Mapped[Id]
    """Id of a replica, or empty; it holds nothing any more when it is none of those that live."""


class SecretModel(Base):
    """Secrets that replicas share."""

    __tablename__ = "secrets"
    name: Mapped[Id] = mapped_column(primary_key=True)
    value: Mapped[bytes]
