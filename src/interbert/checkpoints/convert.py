"""Reference checkpoints to model directories and back.

The published format is a torch-saved state dict with the reference's names beside a JSON configuration such as
``config/bert_base_6layer_interbert.json``. A checkpoint with task heads becomes an ``InterBertForVLTasks``, any other
an ``InterBertForPreTraining``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from interbert.checkpoints.adapter import (
    TASK_HEADS,
    config_from_reference,
    config_to_reference,
    from_reference,
    reference_names,
    to_reference,
)
from interbert.checkpoints.bert import bert_tokenizer
from interbert.checkpoints.directory import require_free, require_interbert, whole_folder
from interbert.checkpoints.foreign_files import listed, read_tensors, require_file_place, write_tensors
from interbert.errors import CheckpointError, ConfigError, UsageError
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForPreTraining, InterBertForVLTasks
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor
from interbert.utils.bounded_files import read_json
from interbert.utils.files import replacing
from interbert.utils.transformers_logging import quiet_transformers

_TIED = ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight")


@dataclass(frozen=True)
class ToReference:
    """What a checkpoint for the reference holds."""

    written: int
    """Tensors."""
    dropped: tuple[str, ...]
    """Ours that the reference has no place for."""
    absent: tuple[str, ...]
    """The reference's that this model lacks."""


def convert_reference(
    file: str | Path, config_file: str | Path, out: str | Path, tokenizer: str | None = None
) -> PreTrainedModel:
    """Write a reference checkpoint as a model directory.

    Args:
        file: a torch-saved state dict; ``module.`` before names and ``gamma``/``beta`` in them are understood.
        config_file: the reference's JSON; fields it omits have the reference's defaults (pooled size 1024, ``mul``).
        out: folder to make.
        tokenizer: directory or Hub id of the BERT whose vocabulary the checkpoint has; with one, the directory gets a
            processor for regions made elsewhere (the reference's features are not standardised).

    Raises:
        CheckpointError: the file cannot be read or was refused, its tensors and the configuration disagree (missing,
            extra and misshapen ones are listed), or the tokenizer has another size than the word embedding.
        ConfigError: the configuration is impossible.
        UsageError: ``out`` is there and not empty.
        StorageError: ``out`` cannot be written.
    """
    folder = Path(out)
    require_free(folder)
    config = _read_config(config_file)
    state = plain_names(read_tensors(file), str(file))
    kind = InterBertForVLTasks if any(name.split(".")[0] in TASK_HEADS for name in state) else InterBertForPreTraining
    if kind is InterBertForVLTasks and "vil_prediction.bias" in state:
        config.num_labels = state["vil_prediction.bias"].numel()
    with torch.device("meta"):
        expected = kind(config).state_dict()
    ours = _fitting(state, expected, config, str(file))
    processor = _processor(tokenizer, config) if tokenizer else None
    model = kind(config)
    model.load_state_dict(ours)
    with whole_folder(folder) as part, quiet_transformers():
        model.save_pretrained(part)
        if processor is not None:
            processor.save_pretrained(part)
    return model


def plain_names(state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Undo the old spellings: ``module.`` of a parallel wrapper, ``gamma`` and ``beta`` of LayerNorms.

    Raises:
        CheckpointError: two names become one.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        plain = name
        while plain.startswith("module."):
            plain = plain.removeprefix("module.")
        head, _, last = plain.rpartition(".")
        if head.endswith("LayerNorm"):
            plain = f"{head}.{ {'gamma': 'weight', 'beta': 'bias'}.get(last, last) }"
        if plain in renamed:
            raise CheckpointError(f"{where}: has {plain} twice, once spelt {name}.")
        renamed[plain] = tensor
    return renamed


def _fitting(
    state: dict[str, Tensor], expected: Mapping[str, Tensor], config: InterBertConfig, where: str
) -> dict[str, Tensor]:
    """The state under our names, when it is all of ``expected`` and nothing else."""
    damaged = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if damaged:
        raise CheckpointError(f"{where}: holds NaN or infinite values in {listed(damaged)}.")
    decoder, words = (state.get(name) for name in _TIED)
    if decoder is None and words is not None:
        state = state | {_TIED[0]: words}  # savers that know of the tie leave it out
    elif decoder is not None and words is not None and not torch.equal(decoder, words):
        raise CheckpointError(
            f"{where}: {_TIED[0]} differs from {_TIED[1]}; in this model they are one, so one would be lost."
        )
    ours, extra = from_reference(state, config)
    theirs = reference_names(config)
    extra += [theirs[name] for name in ours if name not in expected]
    missing = [theirs[name] for name in expected if name not in ours]
    shapes = [
        f"{theirs[name]} {list(tensor.shape)} instead of {list(expected[name].shape)}"
        for name, tensor in ours.items()
        if name in expected and tensor.shape != expected[name].shape
    ]
    wrong = [
        f"{len(names)} {what}: {listed(names)}"
        for what, names in (("missing", missing), ("not known", extra), ("of another shape", shapes))
        if names
    ]
    if wrong:
        raise CheckpointError(f"{where}: its tensors do not fit the configuration. {'; '.join(wrong)}.")
    return {name: tensor.float() for name, tensor in ours.items()}


def _read_config(path: str | Path) -> InterBertConfig:
    try:
        fields = read_json(path)
    except OSError as error:
        raise CheckpointError(f"{path}: there is no configuration to read ({error.strerror}).") from error
    except ValueError as error:
        raise CheckpointError(f"{path}: is no JSON ({error}).") from error
    if not isinstance(fields, dict):
        raise CheckpointError(f"{path}: must be a JSON object with the reference's fields.")
    try:
        return config_from_reference(fields)
    except (ConfigError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error


def _processor(tokenizer: str, config: InterBertConfig) -> InterBertProcessor:
    tokens = bert_tokenizer(tokenizer)
    if len(tokens) != config.vocab_size:
        raise CheckpointError(
            f"{tokenizer}: its tokenizer has {len(tokens)} tokens, the word embedding {config.vocab_size} rows. "
            "Name the BERT that the checkpoint was trained from."
        )
    regions = {
        "name": "imported",
        "settings": {},
        "feature_size": config.region_feature_size,
        "num_classes": config.num_region_classes if config.region_objective == "classify" else None,
    }
    return InterBertProcessor(InterBertRegionFeatureExtractor(regions), tokens)


def convert_to_reference(directory: str | Path, out: str | Path) -> ToReference:
    """Write a model directory as the reference's state dict, its configuration as JSON beside it.

    Args:
        directory: any InterBERT model directory, sharded or not.
        out: file to write; the configuration goes to the same name with ``.json``. Neither may be there.

    Raises:
        CheckpointError: the directory is no InterBERT, is damaged, or its weights and configuration disagree.
        UsageError: a file to write is there already, or ``out`` ends in ``.json``.
        StorageError: the files cannot be written.
    """
    file = Path(out)
    if file.suffix == ".json":
        raise UsageError(f"{file}: the configuration goes there. Name the checkpoint {file.with_suffix('.bin')}.")
    require_file_place(file)
    for path in (file, file.with_suffix(".json")):
        if path.is_file():
            raise UsageError(f"{path}: is there already. Name another file, or remove it.")
    config, state = _read_directory(Path(directory))
    if _TIED[0] not in state and config.tie_word_embeddings and any(name.startswith("lm_head.") for name in state):
        state["lm_head.decoder.weight"] = state["interbert.text_embeddings.word_embeddings.weight"]
    theirs, dropped = to_reference(state, config)
    heads = {name for name in reference_names(config).values() if name.split(".")[0] in TASK_HEADS}
    absent = [name for name in reference_names(config).values() if name not in theirs and name not in heads]
    with replacing(file.with_suffix(".json")) as settings:
        settings.write_text(json.dumps(config_to_reference(config), indent=2) + "\n", encoding="utf-8")
        write_tensors(theirs, file)
    return ToReference(len(theirs), tuple(dropped), tuple(absent))


def _read_directory(directory: Path) -> tuple[InterBertConfig, dict[str, Tensor]]:
    require_interbert(directory)
    try:
        config = InterBertConfig.from_pretrained(str(directory), trust_remote_code=False)
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{directory / 'config.json'}: {error}") from error
    index = directory / "model.safetensors.index.json"
    names = ["model.safetensors"]
    if index.is_file():
        try:
            names = sorted({str(name) for name in read_json(index)["weight_map"].values()})
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise CheckpointError(f"{index}: is damaged.") from error
    state: dict[str, Tensor] = {}
    for name in names:
        state |= read_tensors(directory / name)
    with torch.device("meta"):  # every head there is: names and shapes must be among them
        known = InterBertForVLTasks(config).state_dict() | InterBertForPreTraining(config).state_dict()
    wrong = [name for name, tensor in state.items() if name not in known or known[name].shape != tensor.shape]
    if wrong:
        raise CheckpointError(f"{directory}: its weights do not fit its config.json: {listed(wrong)}.")
    return config, state
