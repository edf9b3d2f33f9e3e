"""The joint scorer with weights in 8 bits, kept only when it costs no more than half a point of R@1."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interbert.errors import CheckpointError
from interbert.export.modules import PARTS
from interbert.export.runtime import (
    BATCH_TOLERANCE,
    Inputs,
    Runner,
    batch_dependence,
    level_of,
    open_exported,
)
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import pad_texts
from interbert.model.region_inputs import pad_images
from interbert.model.scoring import dual_matrix
from interbert.tasks.metrics import best_ranks
from interbert.tasks.retrieval import RetrievalSet
from interbert.utils.runtimes import import_unreported
from interbert.utils.stored_names import RegionArrays

_CANDIDATES = 16


@dataclass(frozen=True)
class Ranking:
    """Texts, and the images that each of them ranks."""

    ids: Sequence[Sequence[int]]
    images: Sequence[RegionArrays]
    candidates: NDArray[np.int64]
    """[texts, k], the dual encoder's best; all images without a dual encoder."""
    relevant: NDArray[np.bool_]
    """[texts, k]"""

    @classmethod
    def of(
        cls,
        model: InterBertForImageTextRetrieval,
        data: RetrievalSet,
        ids: Sequence[Sequence[int]],
        images: Sequence[RegionArrays],
    ) -> Ranking:
        """The candidates that ``model`` proposes."""
        candidates = np.tile(np.arange(len(images)), (len(ids), 1))
        if model.config.contrastive_size is not None:
            cosines = dual_matrix(model, ids, images)
            candidates = np.argsort(-cosines, axis=1, kind="stable")[:, :_CANDIDATES]
        return cls(ids, images, candidates, np.take_along_axis(data.relevant, candidates, axis=1))

    @property
    def pairs(self) -> int:
        """How many are scored."""
        return int(self.candidates.size)

    def score(self, run: Runner, progress: Callable[[int], None] | None = None, batch: int = 64) -> NDArray[np.float32]:
        """Scores [texts, k]: each text with its candidates, in batches of one text."""
        scores = np.empty(self.candidates.shape, dtype=np.float32)
        for text, chosen in enumerate(self.candidates):
            for start in range(0, len(chosen), batch):
                block = chosen[start : start + batch]
                inputs = pad_texts([self.ids[text]] * len(block)) | pad_images([self.images[i] for i in block])
                scores[text, start : start + len(block)] = run({name: one.numpy() for name, one in inputs.items()})
                if progress is not None:
                    progress(len(block))
        return scores

    def recall_at_1(self, scores: NDArray[np.float32]) -> float:
        """Per cent of all texts whose best candidate is right."""
        found = self.relevant.any(axis=1)
        first = best_ranks(scores[found], self.relevant[found]) <= 1
        return 100.0 * float(first.sum()) / len(self.ids)


LARGEST_LOSS = 0.5
"""Points of R@1 that a quantised file may cost."""

QUANTISED = "joint.int8.onnx"
_BLOCK = 32
_FLOAT32_ACTIVATIONS = 1
"""``accuracy_level`` of ``MatMulNBits``, a contributed operator of onnxruntime; OpenVINO reads it too."""


@dataclass(frozen=True)
class QuantisedRecall:
    """R@1 in percent of the float and of the int8 file on the same pairs."""

    float_r1: float
    int8_r1: float
    queries: int
    candidates: int
    """Images ranked for each query: the dual encoder's best, or all."""
    between_batches: float
    """Largest difference that a pair's company in a batch, and padding, make to its score."""

    def to_dict(self) -> dict[str, float]:
        """Plain numbers."""
        return asdict(self)


def quantise_joint(
    folder: Path,
    model: InterBertForImageTextRetrieval,
    data: RetrievalSet,
    ids: Sequence[Sequence[int]],
    images: Sequence[RegionArrays],
    batch: Inputs,
) -> QuantisedRecall:
    """Write ``joint.int8.onnx`` beside ``joint.onnx``.

    Args:
        folder: of the exported files.
        model, data, ids, images: what is exported, and the validation set that judges it.
        batch: padded inputs of a few pairs, on which scores must not depend on their batch.

    Raises:
        CheckpointError: it costs more than half a point of R@1, or a pair's score depends on its batch; the message has
            the numbers.
    """
    write_quantised(folder / "joint.onnx", folder / QUANTISED)
    between = batch_dependence(
        open_exported(folder / QUANTISED), PARTS[0].inputs, batch, model.config.max_position_embeddings
    )
    if not between <= BATCH_TOLERANCE:
        raise CheckpointError(
            f"{QUANTISED}: a pair's score changes by {between:.1e} with the pairs beside it, more than "
            f"{BATCH_TOLERANCE:.0e}; refused. Export without --quantise."
        )
    ranking = Ranking.of(model, data, ids, images)
    plain, small = (
        ranking.recall_at_1(ranking.score(open_exported(folder / name))) for name in ("joint.onnx", QUANTISED)
    )
    report = QuantisedRecall(plain, small, len(ids), ranking.candidates.shape[1], between)
    if report.float_r1 - report.int8_r1 > LARGEST_LOSS:
        raise CheckpointError(
            f"{QUANTISED}: R@1 of {report.queries} queries falls from {report.float_r1:.1f} to {report.int8_r1:.1f}, "
            f"more than {LARGEST_LOSS} points; refused. Export without --quantise."
        )
    return report


def write_quantised(file: Path, out: Path) -> None:
    """Write a float file's products of weights in 8 bits; products of activations, and embeddings, stay float32."""
    import_unreported("onnxruntime")
    import onnx
    from onnxruntime.quantization import quant_pre_process
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    logger = logging.getLogger("onnxruntime.quantization.matmul_nbits_quantizer")
    with level_of(logger, logging.WARNING):  # it tells of each node
        # the exporter leaves large weights as transposed at run time, and only constants are quantised: fold them first
        quant_pre_process(str(file), str(out), skip_symbolic_shape=True, skip_onnx_shape=True)
        quantiser = MatMulNBitsQuantizer(
            onnx.load(out),
            bits=8,
            block_size=_BLOCK,
            is_symmetric=True,
            accuracy_level=_FLOAT32_ACTIVATIONS,
            op_types_to_quantize=("MatMul",),
        )
        quantiser.process()
        quantiser.model.save_model_to_file(str(out))
