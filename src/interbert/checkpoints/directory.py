"""Open a model directory, with errors a user can act on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from interbert.checkpoints.foreign_files import require_own_files
from interbert.checkpoints.normalising import restore_normalizer
from interbert.errors import CheckpointError, UsageError, first_line, writing
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import (
    InterBertForImageTextRetrieval,
    InterBertForPreTraining,
    InterBertForSequenceClassification,
    InterBertPreTrainedModel,
)
from interbert.model.processing import InterBertProcessor
from interbert.utils.bounded_files import read_json
from interbert.utils.files import only_writer
from interbert.utils.transformers_logging import quiet_transformers

_PART, _WHOLE = "best.part", "best.whole"
"""Of a model directory: what is being written, and what has been and takes its place."""

_NEEDED = ("pad", "mask")
"""Tokens of a tokenizer that are used by their name; damaged settings name none."""

_Model = TypeVar("_Model", bound=InterBertPreTrainedModel)


def load_processor(directory: str | Path) -> InterBertProcessor:
    """Tokenizer and region scaling of a model directory (or Hub id).

    Raises:
        CheckpointError: it is missing, is no InterBERT, or is damaged.
    """
    require_interbert(directory)
    try:
        with quiet_transformers():
            processor = InterBertProcessor.from_pretrained(str(directory), trust_remote_code=False)
    except Exception as error:  # whatever broken settings, or packages that they need, make the library stumble over
        raise CheckpointError(f"{directory}: its processor cannot be read ({first_line(error)}).") from error
    assert isinstance(processor, InterBertProcessor)
    lacking = [name for name in _NEEDED if getattr(processor.tokenizer, f"{name}_token_id", None) is None]
    if lacking:
        raise CheckpointError(
            f"{directory}: its tokenizer has no {lacking[0]}_token; tokenizer_config.json is damaged, or of another."
        )
    _check_vocabulary(directory, len(processor.tokenizer))
    restore_normalizer(processor.tokenizer, directory)
    return processor


def _check_vocabulary(directory: str | Path, tokens: int) -> None:
    """A tokenizer of another size gives ids that mean something else; without its file the library makes up five."""
    config = Path(directory) / "config.json"
    if not config.is_file():
        return
    rows = read_json(config).get("vocab_size", InterBertConfig().vocab_size)
    if not 0.9 * rows <= tokens <= rows:
        raise CheckpointError(
            f"{directory}: its tokenizer has {tokens} tokens, its word embedding {rows} rows: tokenizer.json is "
            "missing or another model's."
        )


def load_model(directory: str | Path, **overrides: Any) -> InterBertForImageTextRetrieval:
    """A pretrained or fine-tuned model directory (or Hub id) as a retrieval model.

    Raises:
        CheckpointError: it is missing, is no InterBERT, is damaged, or its weights do not fit its configuration.
    """
    model, missing = _open(InterBertForImageTextRetrieval, directory, **overrides)
    if missing:
        raise CheckpointError(
            f"{directory}: lacks {len(missing)} weights of a retrieval model, such as {missing[0]}. Give a model "
            "pretrained with matching."
        )
    return model


def load_pretraining_model(directory: str | Path, **overrides: Any) -> InterBertForPreTraining:
    """A pretrained model directory (or Hub id) with all its heads; ``overrides`` are fields of the configuration.

    Raises:
        CheckpointError: as :func:`load_model`.
    """
    model, missing = _open(InterBertForPreTraining, directory, **overrides)
    if missing:
        raise CheckpointError(
            f"{directory}: lacks {len(missing)} weights of a pretraining model, such as {missing[0]}. Give what "
            "interbert pretrain wrote."
        )
    return model


def _open(kind: type[_Model], directory: str | Path, **overrides: Any) -> tuple[_Model, list[str]]:
    """A directory's model of this kind, and the names of its weights that are not there."""
    require_interbert(directory)
    try:
        with quiet_transformers():
            model, info = kind.from_pretrained(
                str(directory), output_loading_info=True, trust_remote_code=False, **overrides
            )
    except MemoryError:
        raise
    except Exception as error:  # as above: ImportError of a quantisation's package, AttributeError of an unknown dtype
        raise CheckpointError(f"{directory}: its weights cannot be read ({first_line(error)}).") from error
    assert isinstance(model, kind)
    return model, sorted(info["missing_keys"])


def load_classifier(directory: str | Path, labels: Sequence[str]) -> InterBertForSequenceClassification:
    """Any model directory (or Hub id) as a classifier; its head starts random unless it has one for these labels.

    Raises:
        CheckpointError: as :func:`load_model`.
    """
    model, _ = _open(
        InterBertForSequenceClassification,
        directory,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: place for place, label in enumerate(labels)},
        ignore_mismatched_sizes=True,
    )
    return model


def load_with_head(kind: type[_Model], directory: str | Path, **overrides: Any) -> _Model:
    """Any model directory (or Hub id) as a model of a kind, whose head starts random unless the directory has its like.

    Args:
        kind: class of the model.
        directory: to load.
        overrides: fields of the configuration; and ``key_mapping``, patterns of weights' names to what they become.

    Raises:
        CheckpointError: as :func:`load_model`.
    """
    return _open(kind, directory, ignore_mismatched_sizes=True, **overrides)[0]


def load_fine_tuned(kind: type[_Model], directory: str | Path, **overrides: Any) -> _Model:
    """A model directory (or Hub id) as a model of a kind that has all its weights; arguments as above.

    Raises:
        CheckpointError: as :func:`load_model`; or weights are missing.
    """
    model, missing = _open(kind, directory, **overrides)
    if missing:
        raise CheckpointError(
            f"{directory}: lacks {len(missing)} weights of its task's model, such as {missing[0]}. Fine-tune it again."
        )
    return model


def is_pretrained_only(directory: str | Path) -> bool:
    """Whether a local model directory holds a pretraining model: its matching head was never fine-tuned."""
    config = Path(directory) / "config.json"
    if not config.is_file():
        return False
    fields = read_json(config)
    return "InterBertForPreTraining" in (fields.get("architectures") or [])


def require_interbert(directory: str | Path) -> None:
    """Refuse what is no InterBERT directory; what looks like a Hub id passes.

    Raises:
        CheckpointError: there is no model, one of another kind, or one that asks for code or files outside itself.
    """
    folder = Path(directory)
    config = folder / "config.json"
    perhaps_hub = str(directory).count("/") == 1 and not str(directory).startswith(".")
    if not folder.exists() and perhaps_hub and not folder.parent.exists():
        return
    if not config.is_file():
        raise CheckpointError(
            f"{directory}: there is no model here (no config.json). Train one with: interbert pretrain"
        )
    try:
        kind = dict(read_json(config)).get("model_type")
    except (ValueError, TypeError, OSError) as error:
        raise CheckpointError(f"{config}: is damaged ({first_line(error)}).") from error
    if kind != "interbert":
        raise CheckpointError(f"{directory}: is a {kind!r} model, not an InterBERT.")
    require_own_files(folder)


def require_free(folder: Path) -> None:
    """Check before long work that a folder can be made.

    Raises:
        UsageError: it is there and not empty, is a file, or lies below one.
    """
    if any(parent.is_file() for parent in folder.parents):
        raise UsageError(f"{folder}: lies below a file. Name another folder.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder}: is there already. Name another folder, or remove it.")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into that becomes ``folder`` when the block ends well, and leaves nothing when it does not.

    What a killed process left of it is removed by the next one that writes the same folder.

    Raises:
        UsageError: another command is writing it.
        StorageError: it cannot be written.
    """
    with only_writer(folder), writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = folder.with_name(f".{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        try:
            yield part
            make_readable(part)
            part.chmod(0o755)
            if folder.exists():
                folder.rmdir()
            part.replace(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


@contextmanager
def replaced_files(folder: Path) -> Iterator[Path]:
    """A folder to write into whose files replace those of a model directory when the block ends well.

    Killed while they change places, :func:`finish_replacing` does the rest.

    Raises:
        StorageError: it cannot be written; the directory is as it was.
    """
    finish_replacing(folder)
    part = folder / _PART
    with writing(folder):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            yield part
            make_readable(part)
            part.replace(folder / _WHOLE)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    finish_replacing(folder)


def finish_replacing(folder: Path) -> None:
    """Put files in their places that :func:`replaced_files` had written to their end.

    Raises:
        StorageError: a file cannot be moved.
    """
    whole = folder / _WHOLE
    if whole.is_dir():
        with writing(folder):
            for file in sorted(whole.iterdir()):
                file.replace(folder / file.name)
            whole.rmdir()


def make_readable(folder: Path) -> None:
    """Give a saved model's files the permissions of any other new file; safetensors writes for its owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    for file in folder.iterdir():
        if file.is_file():
            file.chmod(0o666 & ~mask)
