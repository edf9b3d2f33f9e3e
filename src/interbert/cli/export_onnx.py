"""Write a retrieval model as ONNX files that run under onnxruntime and OpenVINO, without torch.

OUT gets joint.onnx (pairs to scores), text_encoder.onnx and image_encoder.onnx (either side to dual-encoder vectors),
the processor, and export.json. Every file is run on images and texts of REGIONS first and kept only when it agrees
with torch to 1e-4 and does not depend on the batch. --quantise adds a joint scorer with 8-bit weights, unless it costs
more than half a point of R@1 on them.

    interbert export onnx models/retrieval regions/validation models/onnx --text-columns title
"""

from __future__ import annotations

from dataclasses import dataclass, field

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert export onnx``."""

    model: str
    """Model directory."""
    regions: str
    """Region store with texts to check on; for --quantise, the validation set that decides."""
    out: str
    """Folder to make."""
    text_columns: list[str] = field(default_factory=list)
    """Source columns whose texts are used; all when not given."""
    quantise: bool = False
    """Write an int8 joint scorer too."""
    queries: int = 200
    """Images, and their texts, that are ranked to judge the int8 file."""


def run(options: Options) -> None:
    """Export and report."""
    from interbert.errors import UsageError
    from interbert.export.onnx import export_onnx

    if options.queries < 1:
        raise UsageError(f"export onnx: --queries must be at least 1, not {options.queries}.")
    report = export_onnx(
        options.model, options.regions, options.out, options.text_columns, options.quantise, options.queries
    )
    for file, difference in report.differences.items():
        between = report.between_batches[file]
        say(f"{options.out}/{file}: differs from torch by {difference:.1e} at most, between batches by {between:.1e}")
    if report.quantised is not None:
        recall = report.quantised
        say(
            f"{options.out}/joint.int8.onnx: R@1 {recall.int8_r1:.1f}, of the float file {recall.float_r1:.1f} "
            f"({recall.queries} queries, {recall.candidates} images each); differs between batches by "
            f"{recall.between_batches:.1e}"
        )
