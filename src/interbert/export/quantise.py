"""An int8 joint scorer, judged by its recall on real pictures: embeddings look fine long after ranking is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from interbert.data.examples import Picture
from interbert.errors import CheckpointError
from interbert.export.ranking import Ranking
from interbert.export.runtime import open_exported
from interbert.model.retrieval import InterBertForImageTextRetrieval
from interbert.tasks.retrieval import RetrievalSet

LARGEST_LOSS = 0.5
"""Points of R@1 that a quantised file may cost."""

QUANTISED = "joint.int8.onnx"


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
    ranking = Ranking.of(model, data, ids, pictures)
    plain, small = (
        ranking.recall_at_1(ranking.score(open_exported(folder / name))) for name in ("joint.onnx", QUANTISED)
    )
    report = QuantisedRecall(plain, small, len(ids), ranking.candidates.shape[1])
    if report.float_r1 - report.int8_r1 > LARGEST_LOSS:
        raise CheckpointError(
            f"{QUANTISED}: R@1 of {report.queries} queries falls from {report.float_r1:.1f} to {report.int8_r1:.1f}, "
            f"more than {LARGEST_LOSS} points; refused. Export without --quantise."
        )
    return report
