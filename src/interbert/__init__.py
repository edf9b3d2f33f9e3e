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
    from interbert.extraction.sources import open_source
    from interbert.model.cascade import Cascade
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
    from interbert.search.build import build_index
    from interbert.search.changes import add_to_index, remove_from_index, update_columns
    from interbert.search.engine import SearchEngine
    from interbert.search.hits import Hit
    from interbert.search.query import Part, Query
    from interbert.search.rewriting import QueryRewriter
    from interbert.search.scorer import InterBertScorer
    from interbert.search.synonyms import Synonyms
    from interbert.topics.recommend import TopicRecommender

__version__ = "0.2.0"

__all__ = [
    "Cascade",
    "Explanation",
    "Hit",
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
    "Part",
    "Query",
    "QueryRewriter",
    "SearchEngine",
    "Synonyms",
    "TopicRecommender",
    "__version__",
    "add_to_index",
    "build_index",
    "open_source",
    "remove_from_index",
    "update_columns",
]

_HOMES = {
    "Cascade": "model.cascade",
    "Explanation": "explain",
    "Hit": "search.hits",
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
    "Part": "search.query",
    "Query": "search.query",
    "QueryRewriter": "search.rewriting",
    "SearchEngine": "search.engine",
    "Synonyms": "search.synonyms",
    "TopicRecommender": "topics.recommend",
    "add_to_index": "search.changes",
    "build_index": "search.build",
    "open_source": "extraction.sources",
    "remove_from_index": "search.changes",
    "update_columns": "search.changes",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'interbert' has no attribute {name!r}")
    return getattr(import_module(f"interbert.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


_logging.getLogger(__name__).addHandler(_logging.NullHandler())  # a program that sets up no logging is told nothing
_connect()
