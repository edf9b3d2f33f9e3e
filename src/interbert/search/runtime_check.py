"""Which runtime computes an index's joint pass: torch and OpenVINO are measured when it is built, on its own pairs.

The result is a file of a local index, with the numbers it was chosen by (:mod:`interbert.search.runtime_choice`).
"""

from __future__ import annotations

import importlib.util
import json
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.search.exported_encoder import exported_encoder
from interbert.search.index import ProductIndex
from interbert.search.index_model import model_folder
from interbert.search.joint import JointScorer, PairScorer, joint_scorer
from interbert.search.query_encoder import ProductEncoder
from interbert.search.runtime_choice import CHECK_FILE, processor_name
from interbert.utils.files import atomic_write

Float32 = NDArray[np.float32]
_Pairs = tuple[list[list[int]], list[Float32], NDArray[np.int64], NDArray[np.int64]]

_LEAST_IMAGES = 100
"""Of a smaller index the check would take longer than the build."""
_TEXTS, _CANDIDATES = 32, 8
_FASTER = 0.9
"""Share of torch's time that OpenVINO may take at most."""
_SPREAD = 0.1
"""Largest root mean square of the difference from float32, as a share of the scores' standard deviation."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RuntimeCheck:
    """What was measured, and what follows."""

    runtime: Literal["torch", "openvino"]
    processor: str
    pairs: int
    torch_seconds: float
    openvino_seconds: float
    openvino_difference: float
    """Root mean square of the difference of OpenVINO's scores from torch's in float32."""
    torch_difference: float
    """The same of torch's scores as they are computed here, in bf16 where the processor has it."""
    deviation: float
    """Standard deviation of the scores."""
    torch_first: int
    """Titles whose own image has the largest joint score of its candidates, by torch."""
    openvino_first: int


def check_runtimes(index: ProductIndex, encoder: ProductEncoder) -> RuntimeCheck | None:
    """Measure both runtimes on pairs of an index and write what is chosen into it.

    Args:
        index: local, just written.
        encoder: its model.

    Returns:
        None where there is nothing to choose: a small index or one in a bucket, no titles, no OpenVINO, a model on a
        GPU or one that does not read jointly.
    """
    model = encoder.model
    if "://" in index.path:
        return None
    (Path(index.path) / CHECK_FILE).unlink(missing_ok=True)  # of the build before
    if len(index) < _LEAST_IMAGES or not importlib.util.find_spec("openvino"):
        return None
    if model.device.type != "cpu" or not model.config.reads_jointly:
        return None
    pairs = _pairs(index, encoder)
    if pairs is None:
        return None
    exported = exported_encoder(
        model_folder(index.path, index.manifest.model_fingerprint), encoder.bf16, None, on_cpu=True
    )
    other = joint_scorer(model, encoder.bf16, "openvino") if exported is None else exported.scorer
    check = measured(model, encoder.bf16, pairs, other)
    atomic_write(Path(index.path) / CHECK_FILE, json.dumps(asdict(check), indent=2) + "\n")
    _logger.info("joint pass by %s: %s", check.runtime, json.dumps(asdict(check)))
    return check


def measured(
    model: InterBertForImageTextRetrieval, bf16: bool | None, pairs: _Pairs, openvino: PairScorer
) -> RuntimeCheck:
    """Torch and ``openvino``, which searches use, over the same pairs, each text's first being its own image's."""
    exact = JointScorer(model, bf16=False).pairs(*pairs)
    found, seconds = {}, {}
    for runtime, scorer in (("torch", joint_scorer(model, bf16)), ("openvino", openvino)):
        found[runtime] = scorer.pairs(*pairs)  # and warms it up
        taken = []
        for _ in range(3):
            started = time.perf_counter()
            scorer.pairs(*pairs)
            taken.append(time.perf_counter() - started)
        seconds[runtime] = min(taken)
    away = {name: float(np.sqrt(np.square(scores - exact).mean())) for name, scores in found.items()}
    first = {name: int((scores.reshape(-1, _CANDIDATES).argmax(axis=1) == 0).sum()) for name, scores in found.items()}
    deviation = float(exact.std())
    faster = seconds["openvino"] <= _FASTER * seconds["torch"]
    near = away["openvino"] <= _SPREAD * deviation and first["openvino"] >= first["torch"] - 1
    return RuntimeCheck(
        "openvino" if faster and near else "torch",
        processor_name(),
        len(exact),
        seconds["torch"],
        seconds["openvino"],
        away["openvino"],
        away["torch"],
        deviation,
        first["torch"],
        first["openvino"],
    )


def _pairs(index: ProductIndex, encoder: ProductEncoder) -> _Pairs | None:
    """Pairs of titles, each with its own image first and then others; None where too few images have a title."""
    fields = ["picture_id", "texts", "regions"]
    rows = index.table.search().select(fields).limit(4 * _TEXTS).to_arrow().to_pylist()
    rows = [row for row in rows if row["texts"] and row["texts"][0].strip()][:_TEXTS]
    ids = encoder.processor.texts_to_ids([row["texts"][0] for row in rows]) if rows else []
    known = [place for place, one in enumerate(ids) if encoder.knows(one)]
    if len(known) < _CANDIDATES:
        return None
    tokens = [index.tokens_of(rows[place]["regions"], rows[place]["picture_id"]) for place in known]
    text_of = np.repeat(np.arange(len(known)), _CANDIDATES)
    image_of = (text_of + np.tile(np.arange(_CANDIDATES), len(known))) % len(known)
    return [ids[place] for place in known], tokens, text_of, image_of
