"""State of the service in SQL: SQLite in one file, or PostgreSQL."""

from interbert.service.state.records import (
    AuditEntry,
    Change,
    Event,
    EventKind,
    Judgement,
    Judgements,
    Key,
    Page,
    QueryCount,
    RankClicks,
    Right,
    SeenQuery,
    Task,
    TaskError,
    TopicRow,
)
from interbert.service.state.state import State, database_url

__all__ = [
    "AuditEntry",
    "Change",
    "Event",
    "EventKind",
    "Judgement",
    "Judgements",
    "Key",
    "Page",
    "QueryCount",
    "RankClicks",
    "Right",
    "SeenQuery",
    "State",
    "Task",
    "TaskError",
    "TopicRow",
    "database_url",
]
