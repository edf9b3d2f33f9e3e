"""Where a model comes from, saved beside its weights: ``provenance.json``, and the ``README.md`` that people read."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interbert.utils.environment import installed_versions
from interbert.utils.files import atomic_write
from interbert.utils.redaction import published
from interbert.utils.terminal import printable

CARD = "README.md"
LOW, HIGH = "_low", "_high"
"""Ends of the names of a metric's bounds, the 95% interval of a bootstrap."""

_USES = {
    "InterBertForPreTraining": "It was pretrained: fine-tune it (`interbert finetune retrieval`), or rank with it as "
    "it is (`interbert evaluate retrieval --zero-shot`).",
    "InterBertForImageTextRetrieval": "It ranks images for a text: `interbert search DIR TEXT --source IMAGES`, "
    "`InterBertScorer(DIR)`, or sentence-transformers' `CrossEncoder(DIR)`.",
    "InterBertForSequenceClassification": "It answers for the rows of a table: `interbert predict DIR TABLE OUT`.",
    "InterBertForImagePairClassification": "It answers for the rows of a table: `interbert predict DIR TABLE OUT`.",
    "InterBertForMultipleChoice": "It answers for the rows of a table: `interbert predict DIR TABLE OUT`.",
    "InterBertForRegionChoice": "It finds what a text means: `interbert predict DIR TABLE OUT`.",
    "InterBertForMultiTask": "It answers for several tasks: `interbert predict DIR TABLE OUT --task TASK`.",
    "BertForMaskedLM": "An InterBERT starts from it: `interbert pretrain REGIONS OUT --init-from DIR`. transformers "
    "opens it as any BERT: `AutoModelForMaskedLM.from_pretrained(DIR)`.",
}


@dataclass(frozen=True)
class _Words:
    """What a card says of a kind of model."""

    library: str
    tags: tuple[str, ...]
    what: str
    limits: str
    measured: str
    data: str


_INTERBERT = _Words(
    "interbert",
    ("image-text-retrieval", "vision-and-language"),
    "An InterBERT ([arXiv 2003.13198](https://arxiv.org/abs/2003.13198)): it reads a text together with the regions of "
    "an\nimage and says how well they fit.",
    "It knows the kind of images and texts it was trained on. Its scores order images for a text; they are no measure "
    "of\ntruth, and nothing was done against what its training texts and images leave out or have too much of.",
    "On validation images that were not trained on, per cent",
    "region store",
)
_TEXT_ALONE = _Words(
    "transformers",
    ("fill-mask",),
    "A BERT that was pretrained on texts alone by masked segments, as InterBERT is\n"
    "([arXiv 2003.13198](https://arxiv.org/abs/2003.13198)): the text side of an InterBERT to come.",
    "It knows the kind of texts it was trained on. Nothing was done against what these leave out or have too much of.",
    "On validation texts that were not trained on; accuracy is of hidden tokens, in per cent",
    "texts",
)


_NAMED_LABELS = 20
"""More are counted alone."""
_LONGEST_LABEL = 60
"""Characters."""


def _classifier(origin: Mapping[str, Any]) -> _Words:
    """Of a classifier: what it reads, and its labels."""
    recipe = origin["recipe"]
    text, image = recipe.get("text"), recipe.get("image_column")
    read = "a text and an image" if text and image else "an image" if image else "a text"
    labels = [str(one) for one in origin.get("labels", [])]
    named = ", ".join(f"`{printable(one)[:_LONGEST_LABEL]}`" for one in labels[:_NAMED_LABELS])
    more = f" and {len(labels) - _NAMED_LABELS:,} more" if len(labels) > _NAMED_LABELS else ""
    return _Words(
        "interbert",
        ("image-classification" if image and not text else "text-classification",),
        f"A classifier: it reads {read} and answers with one of {len(labels):,} labels, the column "
        f"`{recipe.get('label')}` of\nits training items: {named}{more}. It is an InterBERT "
        "([arXiv 2003.13198](https://arxiv.org/abs/2003.13198)) with one linear layer.",
        "It knows the kind of items it was trained on, and answers with one of its labels whatever it is given. "
        "Nothing was done\nagainst what its training items leave out or have too much of.",
        "On validation items that were not trained on, per cent",
        "items",
    )


def _words_of(kind: str, origin: Mapping[str, Any]) -> _Words:
    if kind == "InterBertForSequenceClassification" and "labels" in origin:
        return _classifier(origin)
    return _TEXT_ALONE if kind == "BertForMaskedLM" else _INTERBERT


def write_model_card(folder: Path, kind: str, origin: Mapping[str, Any]) -> None:
    """Write the card from what :mod:`interbert.training.model_card` knows.

    Args:
        folder: model directory.
        kind: name of the model class.
        origin: provenance with ``reached``.
    """
    origin = published(origin)
    recipe = dict(origin["recipe"])
    training = dict(recipe.get("training", {}))
    reached = dict(origin.get("reached", {}))
    metrics = {name.removeprefix("eval_"): value for name, value in reached.items() if name.startswith("eval_")}
    candidates = metrics.pop("candidates", None)
    rows = "\n".join(f"| {name} | {value} |" for name, value in with_bounds(metrics).items())
    among = "" if candidates is None else f", each text ranking {candidates:.0f} images"
    settings = "\n".join(f"| {name} | {value} |" for name, value in training.items())
    data = "\n".join(f"- {name}: `{value}`" for name, value in origin["data"].items())
    versions = ", ".join(f"{name} {value}" for name, value in origin["versions"].items())
    words = _words_of(kind, origin)
    tags = "\n".join(f"- {tag}" for tag in ("interbert", *words.tags))
    named = [recipe.get(name) for name in ("init_from", "model")]
    start = next((one for one in named if isinstance(one, str)), "random weights")
    card = f"""---
library_name: {words.library}
tags:
{tags}
---

# {kind}

{words.what} Started from `{start}`.

## Use

{_USES.get(kind, "Load it with `from_pretrained`.")}

{words.limits} Look at results
before people depend on them.

## How good it is

{words.measured}, step {reached.get("step", 0)}{among}:

| | |
| --- | --- |
{rows}

## How it was made

Data, by fingerprint of the {words.data}:

{data}

| setting | |
| --- | --- |
{settings}

Everything else: `provenance.json`. Versions: {versions}. Commit: {origin.get("git") or "not known"}.
"""
    atomic_write(folder / CARD, card)


def with_bounds(metrics: Mapping[str, float]) -> dict[str, str]:
    """Metrics as people read them, each with its bounds behind it where these are among them."""
    texts = {}
    for name, value in metrics.items():
        low, high = metrics.get(f"{name}{LOW}"), metrics.get(f"{name}{HIGH}")
        if not any(name.endswith(end) and name.removesuffix(end) in metrics for end in (LOW, HIGH)):
            texts[name] = f"{value:.1f}" + ("" if low is None or high is None else f" [{low:.1f}, {high:.1f}]")
    return texts


PROVENANCE = "provenance.json"
_PACKAGES = ("interbert", "torch", "transformers", "tokenizers", "pylance", "numpy")


def provenance(recipe: Mapping[str, Any], data: Mapping[str, str]) -> dict[str, Any]:
    """Git hash, resolved recipe, versions, machine, and fingerprints of the data.

    It is published with the model: what lay at an absolute path is named alone. The run's ``recipe.json`` has paths.
    """
    return {
        "git": _git_hash(),
        "recipe": published(recipe),
        "data": published(data),
        "versions": versions(),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
    }


def versions() -> dict[str, str]:
    """Installed versions of what decides the numbers."""
    return installed_versions(_PACKAGES)


def write_provenance(folder: Path, content: Mapping[str, Any]) -> None:
    """Write ``provenance.json`` into a model directory."""
    atomic_write(folder / PROVENANCE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _git_hash() -> str | None:
    """Commit of the source tree; None for an installed package."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
