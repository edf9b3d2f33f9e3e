"""Write a retrieval model as ONNX files, each kept only when it computes what torch computes.

A folder of an exported model holds ``joint.onnx`` (pairs to scores), ``text_encoder.onnx`` and ``image_encoder.onnx``
(either side to dual-encoder vectors), the configuration and the processor, and ``export.json`` with what was checked.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interbert.checkpoints.directory import load_model, load_processor, require_free, whole_folder
from interbert.data.pairs import PairTable
from interbert.errors import CheckpointError, MissingExtraError, UsageError
from interbert.export.modules import PARTS, Part
from interbert.export.quantise import QuantisedRecall, quantise_joint
from interbert.export.runtime import BATCH_TOLERANCE, batch_dependence, level_of, open_exported
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor, pad_texts
from interbert.model.region_inputs import pad_images
from interbert.regions.schema import ExtractorInfo
from interbert.regions.store import RegionStore
from interbert.tasks.retrieval import RetrievalSet
from interbert.utils.files import atomic_write
from interbert.utils.runtimes import import_unreported

TOLERANCE = 1e-4
"""Largest difference from torch that a file may have."""

REPORT = "export.json"
_BATCHES = (1, 3, 8)
_LEAST_IMAGES = sum(_BATCHES)


@dataclass(frozen=True)
class ExportReport:
    """What was written and how far it is from torch."""

    differences: dict[str, float]
    """File -> largest absolute difference on real inputs."""
    between_batches: dict[str, float]
    """File -> largest difference that a row's company in a batch, and padding, make."""
    quantised: QuantisedRecall | None


def export_onnx(
    directory: str | Path,
    regions: str,
    out: str | Path,
    texts: Sequence[str] = (),
    quantise: bool = False,
    queries: int = 200,
) -> ExportReport:
    """Export a model directory.

    Args:
        directory: of a retrieval model.
        regions: region store with texts, by the model's extractor: the real inputs that the files are checked on, and
            for ``quantise`` the validation set that decides.
        out: folder to make.
        texts: columns of the store to read; all when empty.
        quantise: write ``joint.int8.onnx`` too, when it keeps recall.
        queries: of the validation set, as many as are ranked to judge the quantised file.

    Raises:
        CheckpointError: the model cannot be read, a file differs from torch by more than 1e-4, a row's output depends
            on its batch by more than that, or the quantised file costs more than half a point of R@1; nothing is kept
            then.
        StoreError: the regions are missing or by another extractor.
        UsageError: ``out`` is there and not empty, or the store has too few images.
        MissingExtraError: onnx or onnxruntime is not installed.
        StorageError: ``out`` cannot be written.
    """
    folder = Path(out)
    require_free(folder)
    try:
        import_unreported("onnxruntime")
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError.of("onnxruntime or onnxscript", "export") from error
    model, processor = load_model(directory, attn_implementation="eager").eval(), load_processor(directory)
    store = RegionStore.open(regions)
    store.require(ExtractorInfo.from_dict(processor.extractor_info))
    table = PairTable.from_captions(store.captions(), list(texts), regions)
    data = RetrievalSet.from_table(table, max(queries, _LEAST_IMAGES))
    if len(data.image_rows) < _LEAST_IMAGES:
        raise UsageError(f"{regions}: has {len(data.image_rows)} images with texts; {_LEAST_IMAGES} are needed.")
    with whole_folder(folder) as part:
        return _write(model, processor, data, store, part, quantise)


def _write(
    model: InterBertForImageTextRetrieval,
    processor: InterBertProcessor,
    data: RetrievalSet,
    store: RegionStore,
    folder: Path,
    quantise: bool,
) -> ExportReport:
    ids, images = data.encode(store, processor)
    batches = _real_batches(ids, images, processor.pad_token_id)
    differences, between = {}, {}
    mixed = {name: tensor.numpy() for name, tensor in batches[-1].items()}
    for part in PARTS:
        module = part.module(model).eval()
        _export(module, part, batches[-1], folder / part.file, model.config.max_position_embeddings)
        differences[part.file] = _check(module, part, batches, folder / part.file)
        run = open_exported(folder / part.file)
        between[part.file] = batch_dependence(run, part.inputs, mixed, model.config.max_position_embeddings)
        if not between[part.file] <= BATCH_TOLERANCE:
            raise CheckpointError(
                f"{part.file}: a row's output changes by {between[part.file]:.1e} with the rows beside it, more than "
                f"{BATCH_TOLERANCE:.0e}; it is not kept."
            )
    model.config.save_pretrained(folder)
    processor.save_pretrained(folder)
    recall = quantise_joint(folder, model, data, ids, images, mixed) if quantise else None
    content: dict[str, Any] = {
        "largest difference from torch": differences,
        "largest difference between batches": between,
        "tolerance": TOLERANCE,
    }
    if recall is not None:
        content["int8"] = recall.to_dict()
    atomic_write(folder / REPORT, json.dumps(content, indent=2) + "\n")
    return ExportReport(differences, between, recall)


def _real_batches(ids: Sequence[Sequence[int]], images: Sequence[Any], pad_id: int) -> list[dict[str, Tensor]]:
    """Pairs in batches of several sizes, text lengths and region counts, with padding on both sides."""
    batches, start = [], 0
    for size in _BATCHES:
        chosen = range(start, start + size)
        start += size
        cut = [images[index] for index in chosen]
        if size > 1:  # images of a grid all have as many regions: leave some out of the first
            features, locations = cut[0]
            keep = max(2, len(features) - 2)
            cut[0] = features[:keep], locations[:keep]
        texts = pad_texts([ids[index % len(ids)] for index in chosen], pad_id)
        batches.append(texts | pad_images(cut))
    return batches


def _export(module: nn.Module, part: Part, example: dict[str, Tensor], file: Path, most_text: int) -> None:
    """Write one file with a free batch size, text length and number of regions."""
    sizes = {
        "batch": torch.export.Dim("batch"),
        "text": torch.export.Dim("text_tokens", min=2, max=most_text),
        "image": torch.export.Dim("image_tokens", min=2),
    }
    shapes = {
        name: {0: sizes["batch"], 1: sizes["image" if name.startswith("region") else "text"]} for name in part.inputs
    }
    with level_of(logging.getLogger("torch.onnx"), logging.ERROR), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of names of axes that are equal
        torch.onnx.export(
            module,
            tuple(example[name] for name in part.inputs),
            str(file),
            dynamo=True,
            dynamic_shapes=shapes,
            input_names=list(part.inputs),
            output_names=[part.output],
            external_data=False,
            verbose=False,
        )


def _check(module: nn.Module, part: Part, batches: Sequence[dict[str, Tensor]], file: Path) -> float:
    """The largest difference between the file and torch.

    Raises:
        CheckpointError: it is above 1e-4.
    """
    run = open_exported(file)
    largest = 0.0
    for batch in batches:
        with torch.no_grad():
            ours: NDArray[np.float32] = module(*(batch[name] for name in part.inputs)).numpy()
        theirs = run({name: batch[name].numpy() for name in part.inputs})
        largest = max(largest, float(np.abs(ours - theirs).max()))
    if not largest <= TOLERANCE:
        raise CheckpointError(
            f"{part.file}: differs from torch by {largest:.1e}, more than {TOLERANCE:.0e}; it is not kept."
        )
    return largest
