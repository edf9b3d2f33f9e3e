"""The published reference implementation, imported from a checkout: its models, its optimizer, its padding.

Nothing of it is part of this project. Its dead dependencies (boto3 and the like, which it only needs to download
weights) get empty stand-ins while it is imported; its files are not touched.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import sys
import types
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

PACKAGE = "bertmodel"
CONFIG = Path("config") / "bert_base_6layer_interbert.json"
NEEDED = {
    "modules": ("BertConfig", "InterBertForMultiModalPreTraining", "InterBertForVLTasks"),
    "optimization": ("BertAdam",),
}
STAND_INS = ("boto3", "botocore", "botocore.exceptions", "requests", "tensorboardX", "tqdm")
TINY = {
    "hidden_size": 96,
    "v_hidden_size": 96,
    "intermediate_size": 192,
    "v_intermediate_size": 192,
    "num_hidden_layers": 2,
    "t_num_hidden_layers": 2,
    "v_num_hidden_layers": 2,
    "vocab_size": 1000,
    "v_feature_size": 64,
    "v_target_size": 50,
    "bi_hidden_size": 128,
}
"""Fields that make its base configuration small; heads stay 12 and 8."""


class NotTheReferenceError(Exception):
    """The folder is no checkout of the reference implementation; the message says what is missing."""


@dataclass(frozen=True)
class Reference:
    """The reference's code, ready to make models of one size."""

    modules: Any
    optimization: Any
    fields: dict[str, Any]
    """Its JSON configuration."""

    @classmethod
    def open(cls, folder: Path, tiny: bool = False) -> Reference:
        """Import it.

        Args:
            folder: checkout with ``bertmodel/`` and ``config/`` in it.
            tiny: make its base configuration small.

        Raises:
            NotTheReferenceError: a file is missing, does not import, or lacks a name.
        """
        files = [Path(PACKAGE) / f"{name}.py" for name in NEEDED]
        absent = [str(file) for file in (*files, CONFIG) if not (folder / file).is_file()]
        if absent:
            raise NotTheReferenceError(f"{folder}: is no checkout of the reference implementation: no {absent[0]}.")
        loaded = {name: _load(folder, name) for name in NEEDED}
        for name, wanted in NEEDED.items():
            for one in wanted:
                if not hasattr(loaded[name], one):
                    raise NotTheReferenceError(f"{folder}: {PACKAGE}/{name}.py has no {one}.")
        fields = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        return cls(loaded["modules"], loaded["optimization"], fields | (TINY if tiny else {}))

    def pretraining_model(self) -> Any:
        """Random weights, seeded by the caller."""
        return self._make(self.modules.InterBertForMultiModalPreTraining)

    def retrieval_model(self) -> Any:
        """What its Flickr30K evaluation loads, random weights."""
        return self._make(self.modules.InterBertForVLTasks, num_labels=1)

    def optimizer(self, model: torch.nn.Module, learning_rate: float, steps: int) -> Any:
        """Its pretraining optimizer: Adam in Python, clipping each parameter, no decay on biases and LayerNorms."""
        plain = [p for name, p in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
        decayed = [p for p in model.parameters() if not any(p is one for one in plain)]
        groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
        warnings.filterwarnings("ignore", message="This overload of")  # its in-place operations are of an old torch
        return self.optimization.BertAdam(groups, lr=learning_rate, warmup=0.1, t_total=steps)

    def _make(self, kind: Any, **values: Any) -> Any:
        with contextlib.redirect_stdout(io.StringIO()):  # its constructors print
            return kind(self.modules.BertConfig.from_dict(self.fields), **values)


def _load(folder: Path, name: str) -> types.ModuleType:
    added = [missing for missing in STAND_INS if not _importable(missing)]
    for missing in added:
        sys.modules[missing] = _StandIn(missing)
    sys.path.insert(0, str(folder))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(f"{PACKAGE}.{name}")
    except (ImportError, SyntaxError, AttributeError) as error:
        raise NotTheReferenceError(f"{folder}: {PACKAGE}/{name}.py does not import: {error}.") from error
    finally:
        sys.path.remove(str(folder))
        for missing in added:
            del sys.modules[missing]


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


class _StandIn(types.ModuleType):
    """A module that has every name: a class that does nothing."""

    __path__: list[str] = []  # noqa: RUF012  (a package, so that its submodules can be asked for)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (Exception,), {})
