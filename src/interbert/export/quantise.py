"""An int8 joint scorer, judged by its recall on real images: embeddings look fine long after ranking is not.

Weights are 8 bits, with a scale per block of a column; activations stay float32. Rounding those too is faster, but then
a pair's score depends on its batch: dynamic quantisation as ONNX has it (``DynamicQuantizeLinear``) has one scale for
all pairs of a batch, and even with a scale per row the last digit of a float32 sum, which padding and company change,
decides where an activation is rounded to; a few such steps are 0.02 in the score
(``benchmarks/results/inference_backends.md``).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from interbert.errors import CheckpointError
from interbert.export.batches import BATCH_TOLERANCE, Inputs, batch_dependence
from interbert.export.modules import PARTS
from interbert.export.ranking import Ranking
from interbert.export.runtime import import_unreported, level_of, open_exported
from interbert.model.retrieval import InterBertForImageTextRetrieval
from interbert.region_arrays import RegionArrays
from interbert.tasks.retrieval import RetrievalSet

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
