"""InterBERT: vision-and-language interaction for multi-modal pretraining (arXiv 2003.13198).

``import interbert`` makes its models known to transformers' Auto classes. In the command line itself the public names
load on first use instead, so ``interbert --help`` stays quick.
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


def _is_command() -> bool:
    """Whether this process is ``interbert ...`` or ``python -m interbert ...``, whose verbs import what they need.

    Anything else is somebody's program, to which the models are made known; taking the command for one only costs time.
    """
    if not sys.argv:
        return False
    if sys.argv[0] == "-m":  # Python still looks for the module of `python -m NAME`; sys.orig_argv alone has its name
        name = "".join(sys.orig_argv[-len(sys.argv) :][:1]).removeprefix("-m")
        return name.partition(".")[0] == "interbert"
    program = Path(sys.argv[0]).absolute()
    return program.name in ("interbert", "interbert.exe") and program.parent.name in ("bin", "Scripts")


if not _is_command():
    from interbert.auto_classes import connect as _connect

    _connect()
