"""Options by the names that earlier versions had: they work for one release, with a line that names the new one."""

from __future__ import annotations

import sys
from collections.abc import Container, Sequence
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
    "dual_prior": "score_fusion",
    "more_pictures": "more_images",
}
"""Old name -> new name, as they stand in recipes; no verb has an option of an old name."""

REMOVED = {
    **{name: f"it is {value:,}" for name, value in FIXED_OPTIONS.items()},
    "model.contrastive_loss_weight": "it is 1; model.contrastive_size null leaves the contrast out",
    "rerank": "only searches are reranked; the joint model added nothing to topic pages",
    "validation_catalogue": "only the columns of --catalogue are read, and topics are calibrated on titles",
}
"""Options that a verb had, and why it has them no more."""


def spelled(name: str) -> str:
    """An option as it is written on the command line: ``top_k`` is ``--top-k``."""
    return "--" + name.replace("_", "-")


def current_words(words: Sequence[str], options: Container[str]) -> list[str]:
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
            present = RENAMED.get(plain, plain)
            if present in REMOVED and present not in options:
                raise UsageError(f"{name} is gone: {REMOVED[present]}. Leave it out.")
            now = spelled(present)
            if now != name and present in options:
                old[name] = now
            result.append(now + equals + value)
        else:
            result.append(word)
    _note(old)
    return result


def read_renamed_recipes() -> None:
    """Let jsonargparse read recipes that have old names; once for the process."""
    load = get_loader("yaml")

    def load_renamed(text: str) -> Any:
        read = load(text)
        if not isinstance(read, dict):
            return read
        for section, values in read.items():
            for name in values if isinstance(values, dict) else ():
                if f"{section}.{name}" in REMOVED:
                    raise UsageError(f"{section}.{name} is gone: {REMOVED[f'{section}.{name}']}. Leave it out.")
        old = {name: RENAMED[name] for name in read if name in RENAMED}
        _note({f"{name}:": f"{now}:" for name, now in old.items()})
        return {old.get(name, name): value for name, value in read.items()}

    set_loader("yaml", load_renamed, exceptions=(yaml.YAMLError,))


def _note(old: dict[str, str]) -> None:
    if old:
        listed = ", ".join(f"{name} is {now}" for name, now in old.items())
        sys.stderr.write(f"interbert: {listed}. The old name works for one more release.\n")
