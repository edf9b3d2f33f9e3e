"""An int8 joint scorer, judged by its recall on real pictures: embeddings look fine long after ranking is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interbert.data.examples import Picture
from interbert.errors import CheckpointError
from interbert.export.runtime import Runner, open_exported
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import pad_pictures, pad_texts
from interbert.model.scoring import dual_matrix
from interbert.tasks.metrics import best_ranks
from interbert.tasks.retrieval import RetrievalSet

LARGEST_LOSS = 0.5
"""Points of R@1 that a quantised file may cost."""

QUANTISED = "joint.int8.onnx"
_CANDIDATES = 16
_BATCH = 64


@dataclass(frozen=True)
class QuantisedRecall:
    """R@1 in percent of the float and of the int8 file on the same pairs."""

    float_r1: float
    int8_r1: float
    queries: int
    candidates: int
    """Pictures ranked for each query: the dual encoder's best, or all."""

    def to_dict(self) -> dict[str, float]:
        """Plain numbers."""
        return asdict(self)


def quantise_joint(
    folder: Path,
    model: InterBertForImageTextRetrieval,
    data: RetrievalSet,
    ids: Sequence[Sequence[int]],
    pictures: Sequence[Picture],
) -> QuantisedRecall:
    """Write ``joint.int8.onnx`` beside ``joint.onnx``.

    Raises:
        CheckpointError: it costs more than half a point of R@1; the message has the numbers.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(folder / "joint.onnx", folder / QUANTISED, weight_type=QuantType.QInt8)
    candidates = np.tile(np.arange(len(pictures)), (len(ids), 1))
    if model.config.contrastive_size is not None:
        cosines = dual_matrix(model, ids, pictures)
        candidates = np.argsort(-cosines, axis=1, kind="stable")[:, :_CANDIDATES]
    right = np.take_along_axis(data.relevant, candidates, axis=1)
    found = right.any(axis=1)
    recalls = []
    for name in ("joint.onnx", QUANTISED):
        scores = _score(open_exported(folder / name), ids, pictures, candidates)
        first = best_ranks(scores[found], right[found]) <= 1
        recalls.append(100.0 * float(first.sum()) / len(ids))
    report = QuantisedRecall(recalls[0], recalls[1], len(ids), candidates.shape[1])
    if report.float_r1 - report.int8_r1 > LARGEST_LOSS:
        raise CheckpointError(
            f"{QUANTISED}: R@1 of {report.queries} queries falls from {report.float_r1:.1f} to {report.int8_r1:.1f}, "
            f"more than {LARGEST_LOSS} points; refused. Export without --quantise."
        )
    return report


def _score(
    run: Runner, ids: Sequence[Sequence[int]], pictures: Sequence[Picture], candidates: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Scores of each text with its candidates [texts, k]."""
    scores = np.empty(candidates.shape, dtype=np.float32)
    for text, chosen in enumerate(candidates):
        for start in range(0, len(chosen), _BATCH):
            block = chosen[start : start + _BATCH]
            inputs = pad_texts([ids[text]] * len(block)) | pad_pictures([pictures[index] for index in block])
            scores[text, start : start + len(block)] = run({name: value.numpy() for name, value in inputs.items()})
    return scores
