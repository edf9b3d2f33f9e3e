"""InterBERT: vision-and-language interaction for multi-modal pretraining (arXiv 2003.13198).

``import interbert`` makes its models known to transformers' Auto classes. In the command line the public names load on
first use instead, so ``interbert --help`` stays quick.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interbert.model.configuration import InterBertConfig
    from interbert.model.modeling import InterBertForPreTraining
    from interbert.model.processing import InterBertProcessor
    from interbert.model.retrieval import InterBertForImageTextRetrieval
    from interbert.model.tasks import (
        InterBertForMultipleChoice,
        InterBertForSequenceClassification,
        InterBertForVLTasks,
    )
    from interbert.model.trunk import InterBertModel
    from interbert.search.engine import SearchEngine
    from interbert.search.scorer import InterBertScorer

__version__ = "0.1.0"

__all__ = [
    "InterBertConfig",
    "InterBertForImageTextRetrieval",
    "InterBertForMultipleChoice",
    "InterBertForPreTraining",
    "InterBertForSequenceClassification",
    "InterBertForVLTasks",
    "InterBertModel",
    "InterBertProcessor",
    "InterBertScorer",
    "SearchEngine",
    "__version__",
]

_HOMES = {
    "InterBertConfig": "model.configuration",
    "InterBertForImageTextRetrieval": "model.retrieval",
    "InterBertForMultipleChoice": "model.tasks",
    "InterBertForPreTraining": "model.modeling",
    "InterBertForSequenceClassification": "model.tasks",
    "InterBertForVLTasks": "model.tasks",
    "InterBertModel": "model.trunk",
    "InterBertProcessor": "model.processing",
    "InterBertScorer": "search.scorer",
    "SearchEngine": "search.engine",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'interbert' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"interbert.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def _connect() -> None:
    """Wire models and extractors, but not in ``interbert ...``, whose verbs import what they need."""
    program = sys.argv[0] if sys.argv else ""
    if program == "-m" or Path(program).stem == "interbert":  # "-m": python -m interbert, while this file is read
        return
    from interbert.wiring import connect

    connect()


_connect()
