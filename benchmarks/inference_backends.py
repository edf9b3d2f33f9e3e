"""Joint scoring by torch (fp32, bf16, compiled), onnxruntime and OpenVINO: the same pairs, speed and recall.

    python benchmarks/inference_backends.py --model models/retrieval --regions regions/validation \\
        --exported models/onnx --texts title

--exported is what `interbert export onnx` wrote for the model. Every backend scores each text with the dual encoder's
16 best pictures, --rounds times in turn; printed are the ratio of torch fp32's time to its own, the spread of the
ratios over the rounds, and the R@1 it gets.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from interbert.checkpoints.directory import load_model, load_processor
from interbert.data.pairs import PairTable
from interbert.export.modules import JointScorer
from interbert.export.ranking import Ranking
from interbert.export.runtime import Runner, open_exported
from interbert.progress import progress_bar
from interbert.regions.store import RegionStore
from interbert.tasks.retrieval import RetrievalSet
from interbert.training.provenance import versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="retrieval model directory")
    parser.add_argument("--regions", required=True, help="region store with texts")
    parser.add_argument("--exported", required=True, help="folder that interbert export onnx wrote")
    parser.add_argument("--texts", nargs="*", default=[], help="columns of the store")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    model, processor = load_model(arguments.model).eval(), load_processor(arguments.model)
    store = RegionStore.open(arguments.regions)
    table = PairTable.from_captions(store.captions(), arguments.texts, arguments.regions)
    data = RetrievalSet.from_table(table, arguments.queries)
    ranking = Ranking.of(model, data, *data.encode(store, processor))
    file = Path(arguments.exported) / "joint.onnx"
    module = JointScorer(model).eval()
    makers: dict[str, Callable[[], Runner]] = {
        "torch fp32": lambda: _torch(module, False),
        "torch bf16": lambda: _torch(module, True),
        "torch compiled bf16": lambda: _torch(torch.compile(module, dynamic=True), True),
        "onnxruntime fp32": lambda: open_exported(file),
        "onnxruntime int8": lambda: open_exported(file.with_name("joint.int8.onnx")),
        "openvino fp32": lambda: open_exported(file, "openvino"),
        "openvino bf16": lambda: open_exported(file, "openvino", bf16=True),
    }
    if not file.with_name("joint.int8.onnx").exists():
        del makers["onnxruntime int8"]
    runners = {name: make() for name, make in makers.items()}
    recalls = {name: ranking.recall_at_1(ranking.score(run)) for name, run in runners.items()}  # and warms them up
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    with progress_bar("scoring", ranking.pairs * len(runners) * arguments.rounds, "pairs") as advance:
        for _ in range(arguments.rounds):
            for name, run in runners.items():
                started = time.perf_counter()
                ranking.score(run, advance)
                seconds[name].append(time.perf_counter() - started)
    base = np.array(seconds["torch fp32"])
    lines = {}
    print(f"{ranking.pairs} pairs, {ranking.candidates.shape[1]} pictures a text; speed over torch fp32 [least, most]")
    for name, found in seconds.items():
        ratios = base / np.array(found)
        middle = float(np.median(ratios))
        print(f"{name:<20} {middle:.2f} [{ratios.min():.2f}, {ratios.max():.2f}]  R@1 {recalls[name]:.1f}")
        lines[name] = {"ratio": round(middle, 2), "r@1": round(recalls[name], 2)}
    print(json.dumps({"pairs": ranking.pairs, "backends": lines, "versions": versions()}))


def _torch(module: Any, bf16: bool) -> Runner:
    def run(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            scores: NDArray[np.float32] = module(**tensors).float().numpy()
        return scores

    return run


if __name__ == "__main__":
    main()
