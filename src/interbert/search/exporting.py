"""Files by which an index's model answers texts without torch, each kept only when it computes what torch computes.

Shapes: B batch, T text tokens, R image tokens, H hidden size, D vector size.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from interbert.checkpoints.directory import whole_folder
from interbert.errors import CheckpointError
from interbert.model.configuration import NO_MIXTURE
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.scoring import inference
from interbert.search.exported_encoder import (
    FOLDER,
    JOINT,
    SETTINGS,
    TEXT,
    TOKENIZER,
    WORDS,
    ExportedEncoder,
    ExportedSettings,
)
from interbert.search.openvino_joint import logit_differences
from interbert.search.query_encoder import ProductEncoder
from interbert.utils.files import atomic_write
from interbert.utils.openvino_module import converted
from interbert.utils.runtimes import import_unreported

SWITCH = "INTERBERT_EXPORT"
"""Environment variable that is 0 where an index should keep no exported model."""
TOLERANCE = 1e-4
"""Largest difference from torch, both in float32, that a file may have."""

_OF_CONFIGURATION = (
    *("hidden_size", "pooler_size", "fusion", "contrastive_size", "contrastive_lexical", "query_bank_size"),
    *("hub_correction", "likeness_size", "likeness_share", *NO_MIXTURE),
)

_Input = tuple[Tensor, tuple[list[int], str]]

_logger = logging.getLogger(__name__)


class _Texts(nn.Module):
    """Word embeddings [B,T,H] of texts of one length, and their ids where a table of words is read, to vectors."""

    def __init__(self, model: InterBertForImageTextRetrieval) -> None:
        super().__init__()
        self.model = model

    def forward(self, words: Tensor, ids: Tensor | None = None) -> Tensor:
        trunk = self.model.interbert
        pooled = trunk.encode_embedded(_embedded(self.model, words), None, pooled_only=True).text_pooled
        assert pooled is not None
        if self.model.config.contrastive_size is None:
            weight = self.model.matching_head.weight
            return pooled * (weight[0] - weight[1])
        return self.model.project_text(pooled, words.new_zeros(words.shape[:2]).long() if ids is None else ids)


class _Pairs(nn.Module):
    """Word embeddings [B,T,H] and embedded images [B,R,H], without padding, to logit differences [B]."""

    def __init__(self, model: InterBertForImageTextRetrieval) -> None:
        super().__init__()
        self.model = model

    def forward(self, words: Tensor, images: Tensor) -> Tensor:
        return logit_differences(self.model, _embedded(self.model, words), images)


def _embedded(model: InterBertForImageTextRetrieval, words: Tensor) -> Tensor:
    """Text tokens [B,T,H] as :class:`interbert.model.modeling.TextEmbeddings` gives them, by word embeddings."""
    layer = model.interbert.text_embeddings
    positions = layer.position_embeddings(torch.arange(words.shape[1], device=words.device))
    embedded: Tensor = layer.layer_norm(words + positions + layer.token_type_embeddings.weight[0])
    return embedded


def export_encoder(encoder: ProductEncoder, directory: Path) -> bool:
    """Write the files beside a model's own; nothing when they are there, OpenVINO is not installed, or SWITCH is 0.

    Args:
        encoder: of the model, as it was loaded, on any device.
        directory: of the model; the files are in a folder in it.

    Returns:
        whether the files are there now.

    Raises:
        StorageError: they cannot be written.
    """
    folder = directory / FOLDER
    if (folder / SETTINGS).is_file():
        return True
    if os.environ.get(SWITCH) == "0":
        return False
    try:
        openvino = import_unreported("openvino")
    except ImportError:
        return False
    model = ProductEncoder.load(directory, "cpu", bf16=False).model.eval()
    try:
        with whole_folder(folder) as part:
            _write(model, encoder, part, openvino)
    except CheckpointError as error:
        _logger.warning(f"{error} Searches use the model itself.")
        return False
    try:
        _check(ExportedEncoder(directory, False, "auto"), model)
    except CheckpointError as error:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        _logger.warning(f"{error} Searches use the model itself.")
        return False
    return True


def _write(model: InterBertForImageTextRetrieval, encoder: ProductEncoder, folder: Path, openvino: Any) -> None:
    config, tokenizer = model.config, encoder.processor.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise CheckpointError("the model's tokenizer is none of the library tokenizers, so its model is not exported.")
    hidden = config.hidden_size
    words, ids = torch.zeros(3, 9, hidden), torch.ones(3, 9, dtype=torch.int64)
    free = ([-1, -1, hidden], "f32")
    inputs: list[_Input] = [(words, free), (ids, ([-1, -1], "i64"))]
    _save(openvino, _Texts(model), inputs[: 1 + config.contrastive_lexical], folder / TEXT)
    if config.reads_jointly:
        _save(openvino, _Pairs(model), [(words, free), (torch.zeros(3, 6, hidden), free)], folder / JOINT)
    np.save(folder / WORDS, model.interbert.text_embeddings.word_embeddings.weight.detach().float().numpy())
    atomic_write(folder / TOKENIZER, backend.to_str())
    settings = ExportedSettings(
        **{name: getattr(config, name) for name in _OF_CONFIGURATION},
        max_text_tokens=encoder.processor.max_text_tokens,
        special_ids=tuple(tokenizer.all_special_ids),
        unknown_id=tokenizer.unk_token_id,
    )
    atomic_write(folder / SETTINGS, json.dumps(asdict(settings), indent=2) + "\n")


def _save(openvino: Any, module: nn.Module, inputs: list[_Input], file: Path) -> None:
    model = converted(module, tuple(tensor for tensor, _ in inputs), [said for _, said in inputs])
    openvino.save_model(model, str(file), compress_to_fp16=False)


def _check(exported: ExportedEncoder, model: InterBertForImageTextRetrieval) -> None:
    """Compare vectors and scores with torch's, for texts and images of several lengths.

    Raises:
        CheckpointError: one differs by more than the tolerance.
    """
    from interbert.search.joint import JointScorer

    torch_encoder = ProductEncoder(model, exported.processor, bf16=False)
    generator = np.random.default_rng(0)
    most = min(exported.config.max_text_tokens, model.config.max_position_embeddings)
    ids = [generator.integers(0, model.config.vocab_size, size).tolist() for size in (3, max(3, most // 2), most)]
    largest = float(np.abs(exported.text_vectors(ids) - torch_encoder.text_vectors(ids)).max(initial=0))
    if exported.config.reads_jointly:
        tokens = [generator.normal(size=(size, model.config.hidden_size)).astype(np.float32) for size in (2, 7, 20)]
        text_of, image_of = np.divmod(np.arange(9), 3)
        with inference(model, bf16=False):
            expected = JointScorer(model, False).pairs(ids, tokens, text_of, image_of)
        found = exported.scorer.pairs(ids, tokens, text_of, image_of)
        largest = max(largest, float(np.abs(found - expected).max()) / max(1.0, float(np.abs(expected).max())))
    if not largest <= TOLERANCE:
        raise CheckpointError(
            f"the exported model differs from torch by {largest:.1e}, more than {TOLERANCE:.0e}; it is not kept."
        )
