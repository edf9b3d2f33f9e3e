"""InterBERT: vision-and-language interaction for multi-modal pretraining (arXiv 2003.13198).

``import interbert`` makes its models known to transformers' Auto classes, but loads no other library: the public names
load on first use, and the models are registered when a program imports the Auto classes. What happens is logged by the
logger ``interbert``, at INFO; nothing is printed outside the command line.
"""

from __future__ import annotations

import logging as _logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from interbert.auto_classes import connect as _connect

if TYPE_CHECKING:
    from interbert.explain import Explanation
    from interbert.model.configuration import InterBertConfig
    from interbert.model.image_pairs import InterBertForImagePairClassification
    from interbert.model.modeling import (
        InterBertForImageTextRetrieval,
        InterBertForMultipleChoice,
        InterBertForPreTraining,
        InterBertForSequenceClassification,
        InterBertForVLTasks,
        InterBertModel,
    )
    from interbert.model.multi_task import InterBertForMultiTask
    from interbert.model.processing import InterBertProcessor
    from interbert.model.region_choice import InterBertForRegionChoice
    from interbert.search.engine import SearchEngine
    from interbert.search.scorer import InterBertScorer
    from interbert.topics.recommend import TopicRecommender

__version__ = "0.1.0"

__all__ = [
    "Explanation",
    "InterBertConfig",
    "InterBertForImagePairClassification",
    "InterBertForImageTextRetrieval",
    "InterBertForMultiTask",
    "InterBertForMultipleChoice",
    "InterBertForPreTraining",
    "InterBertForRegionChoice",
    "InterBertForSequenceClassification",
    "InterBertForVLTasks",
    "InterBertModel",
    "InterBertProcessor",
    "InterBertScorer",
    "SearchEngine",
    "TopicRecommender",
    "__version__",
]

_HOMES = {
    "Explanation": "explain",
    "InterBertConfig": "model.configuration",
    "InterBertForImagePairClassification": "model.image_pairs",
    "InterBertForImageTextRetrieval": "model.modeling",
    "InterBertForMultiTask": "model.multi_task",
    "InterBertForMultipleChoice": "model.modeling",
    "InterBertForPreTraining": "model.modeling",
    "InterBertForRegionChoice": "model.region_choice",
    "InterBertForSequenceClassification": "model.modeling",
    "InterBertForVLTasks": "model.modeling",
    "InterBertModel": "model.modeling",
    "InterBertProcessor": "model.processing",
    "InterBertScorer": "search.scorer",
    "SearchEngine": "search.engine",
    "TopicRecommender": "topics.recommend",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'interbert' has no attribute {name!r}")
    return getattr(import_module(f"interbert.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


_logging.getLogger(__name__).addHandler(_logging.NullHandler())  # a program that sets up no logging is told nothing
_connect()
