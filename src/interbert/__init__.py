"""InterBERT: vision-and-language interaction for multi-modal pretraining (arXiv 2003.13198).

The public names load on first use, so ``import interbert`` and ``interbert --help`` stay quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interbert.model.configuration import InterBertConfig
    from interbert.model.modeling import InterBertForImageTextRetrieval, InterBertForPreTraining
    from interbert.model.processing import InterBertProcessor
    from interbert.model.tasks import (
        InterBertForMultipleChoice,
        InterBertForSequenceClassification,
        InterBertForVLTasks,
    )
    from interbert.model.trunk import InterBertModel

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
    "__version__",
]

_HOMES = {
    "InterBertConfig": "configuration",
    "InterBertForMultipleChoice": "tasks",
    "InterBertForSequenceClassification": "tasks",
    "InterBertForVLTasks": "tasks",
    "InterBertModel": "trunk",
    "InterBertProcessor": "processing",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'interbert' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"interbert.model.{_HOMES.get(name, 'modeling')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
