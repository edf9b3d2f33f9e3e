"""Options by the names that earlier versions had: they work for one release, with a line that names the new one."""

from __future__ import annotations

import sys
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

from interbert.errors import UsageError
from interbert.utils.deprecation import FIXED_OPTIONS

RENAMED = {
    "picture": "image_column",
    "picture_id": "image_id_column",
    "product_id": "product_id_column",
    "texts": "text_columns",
    "titles": "full_text",
    "least": "min_probability",
    "spread": "diversify_by",
    "coding": "token_quantisation",
    "more_pictures": "more_images",
    "frcnn.weights": "weights",
    "detector.model": "weights",
    "ray_address": "ray",
    **{
        f"{detector}.{name}": name
        for detector in ("frcnn", "detector")
        for name in ("min_boxes", "max_boxes", "threshold")
    },
}
"""Old name -> new name, as they stand in recipes; no verb has an option of an old name."""


def _fixed(*names: str) -> dict[str, str]:
    return {name: f"it is {FIXED_OPTIONS[name]:,}. Leave it out" for name in names}


_OVERRIDDEN = {
    f"model.{name}": f"it is {name} in model.config_overrides"
    for name in (
        "num_interaction_layers",
        "num_text_layers",
        "num_image_layers",
        "image_num_attention_heads",
        "image_intermediate_size",
        "fusion",
        "region_objective",
        "contrastive_lexical",
        "lm_loss_on_mismatched",
        "contrastive_loss_weight",
    )
}
_ATTENTION = {"training.attention": "it is sdpa on a GPU and eager on a CPU. Leave it out"}
_SCORE_FUSION = "it is done after every training that has a dual encoder. Leave it out"
_RERANK = {"rerank": "only searches are reranked; the joint model added nothing to topic pages. Leave it out"}
_NO_CATALOGUE = "only the columns of --catalogue are read, and topics are calibrated on titles. Leave it out"

REMOVED: dict[str, dict[str, str]] = {
    "pretrain": {
        **_fixed("warm_start.max_pairs", "model.region_loss_weight", "model.matching_loss_weight"),
        **_fixed("masking.anchor_probability", "negatives.pool"),
        "warm_start.head_learning_rate": "it is warm_start.learning_rate. Leave it out",
        "negatives.mine": "a model to find negatives with is there in fine-tuning only. Leave it out",
        **_OVERRIDDEN,
        **_ATTENTION,
    },
    "finetune retrieval": {
        **_fixed("rerank", "negatives.pool"),
        "score_fusion": _SCORE_FUSION,
        "dual_prior": _SCORE_FUSION,
        "hub_correction": "it is 0.5. Leave it out, or set hub_correction in the model's config.json",
        **_ATTENTION,
    },
    "finetune classification": _ATTENTION,
    "extract": {
        "overlap": "it is 0.5. Leave it out",
        "frcnn.nms": "it is 0.3, the published detector's. Leave it out",
        "ray_cpus": "a worker takes one core. Leave it out",
    },
    "topics learn": _RERANK | {"validation_catalogue": _NO_CATALOGUE},
    "topics build": _RERANK,
    "topics evaluate": _RERANK,
}
"""Verb -> option that it had -> why it has it no more, and what to do."""


def spelled(name: str) -> str:
    """An option as it is written on the command line: ``top_k`` is ``--top-k``."""
    return "--" + name.replace("_", "-")


def current_words(verb: str, words: Sequence[str], options: Container[str]) -> list[str]:
    """The words of a command line with ``options`` by their present names; what was renamed is noted once.

    Options written with underscores are old names, too.

    Raises:
        UsageError: an option is no more.
    """
    result, old = [], {}
    for word in words:
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            plain = name[2:].replace("-", "_")
            _require_present(verb, plain, f"{verb}: {name}")
            now = spelled(RENAMED.get(plain, plain))
            if now != name and now[2:].replace("-", "_") in options:
                old[name] = now
            result.append(now + equals + value)
        else:
            result.append(word)
    _note(old)
    return result


_load_yaml = get_loader("yaml")


def read_renamed_recipes(verb: str) -> None:
    """Let jsonargparse read a verb's recipes that have old names."""

    def load_renamed(text: str) -> Any:
        read = _load_yaml(text)
        return _current_recipe(verb, read) if isinstance(read, dict) else read

    set_loader("yaml", load_renamed, exceptions=(yaml.YAMLError,))


def _current_recipe(verb: str, read: Mapping[Any, Any]) -> dict[Any, Any]:
    """A recipe by the present names; what was renamed is noted.

    Raises:
        UsageError: an option is no more, or two old ones that are one now have different values.
    """
    result: dict[Any, Any] = {}
    moved: list[tuple[str, Any]] = []
    for name, value in read.items():
        _require_present(verb, name, name)
        if name in RENAMED:
            moved.append((name, value))
        elif isinstance(value, dict):
            result[name] = {inner: one for inner, one in value.items() if f"{name}.{inner}" not in RENAMED}
            for inner, one in value.items():
                _require_present(verb, f"{name}.{inner}", f"{name}.{inner}")
                if f"{name}.{inner}" in RENAMED:
                    moved.append((f"{name}.{inner}", one))
            if value and not result[name]:
                del result[name]
        else:
            result[name] = value
    return result | _moved(moved, result)


def _moved(old: Iterable[tuple[str, Any]], present: Mapping[Any, Any]) -> dict[str, Any]:
    """Old options by their new names, noted; of two that are one now, what says nothing gives way.

    Raises:
        UsageError: both say something, and not the same.
    """
    found: dict[str, tuple[str, Any]] = {}
    notes = {}
    for name, value in old:
        now = RENAMED[name]
        notes[f"{name}:"] = f"{now}:"
        first, other = found.get(now, (now, present.get(now)))
        if _says(other) == _says(value) == 2 and other != value:
            raise UsageError(
                f"{first} is {other!r} and {name} is {value!r}, which are one option now: {now}. Give one."
            )
        found[now] = (first, other) if _says(other) > _says(value) else (name, value)
    _note(notes)
    return {now: value for now, (_, value) in found.items() if value is not None}


def _says(value: Any) -> int:
    """How much a value says: nothing, yes or no, or more (``ray: true`` beside ``ray_address: auto``)."""
    return 0 if value in (None, "") else 1 if isinstance(value, bool) else 2


def _require_present(verb: str, name: str, shown: str) -> None:
    why = REMOVED.get(verb, {}).get(name)
    if why is not None:
        raise UsageError(f"{shown} is gone: {why}.")


def _note(old: dict[str, str]) -> None:
    if old:
        listed = ", ".join(f"{name} is {now}" for name, now in old.items())
        sys.stderr.write(f"interbert: {listed}. The old name works for one more release.\n")
