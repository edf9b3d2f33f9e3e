"""What a recipe names outside of itself, by its content: lists of words, evaluation sets, a model."""

from __future__ import annotations

from pathlib import Path

from interbert.curation.recipe import DatasetRecipe
from interbert.curation.shards_of_source import OpenShards, SourceShard, fingerprint, list_shards
from interbert.errors import SourceError
from interbert.utils.files import file_sha256

_WORDS = ("promotional_words", "superlatives", "block_list")


def named_fingerprints(recipe: DatasetRecipe) -> dict[str, str]:
    """Fingerprints of what the recipe names, by the option that names it; the same wherever it lies.

    Raises:
        SourceError: an evaluation set or a list of words is missing or cannot be read.
        CheckpointError: there is no model.
    """
    words = {f"title_rules.{name}": getattr(recipe.title_rules, name) for name in _WORDS}
    found = {option: _fingerprint(path) for option, path in words.items() if path}
    found |= {f"exclude.{number}": _fingerprint(path) for number, path in enumerate(recipe.exclude)}
    if recipe.model is not None:
        from interbert.search.index_model import model_fingerprint  # torch

        found["model"] = model_fingerprint(recipe.model)
    return found


def _fingerprint(named: str) -> str:
    """Of a file, of all that lies in a folder or matches a glob, or of a data set of the Hub."""
    path = Path(named).expanduser()
    try:
        if path.is_file():
            return file_sha256(path)
        shards = [SourceShard(path.name, str(path))] if path.is_dir() else list_shards(named)
        return fingerprint(shards, OpenShards(shards))
    except OSError as error:
        raise SourceError(f"{named}: cannot be read ({error.strerror}). Make it readable, or name another.") from error
