"""Joint scoring by torch (fp32, bf16, compiled), onnxruntime and OpenVINO: the same pairs, speed, recall, sameness.

    python benchmarks/inference_backends.py --model models/retrieval --regions regions/validation \\
        --exported models/onnx --text-columns title

--exported is what `interbert export onnx` wrote for the model. Every backend scores each text with the dual encoder's
16 best images, --rounds times in turn; printed are the ratio of torch fp32's time to its own, the spread of the
ratios over the rounds, the R@1 it gets, its largest difference from torch fp32, and the largest difference that a
pair's company in a batch and padding make to its score. --other-int8 adds two ways to quantise that the export does not
use: dynamic, with one scale per tensor, and 8-bit activations with a scale per row. --only NAMES measures some alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from interbert.checkpoints.directory import load_model, load_processor
from interbert.data.pairs import PairTable
from interbert.export.modules import PARTS, JointScorer
from interbert.export.quantise import Ranking
from interbert.export.runtime import Runner, batch_dependence, open_exported
from interbert.model.processing import pad_texts
from interbert.model.region_inputs import pad_images
from interbert.regions.store import RegionStore
from interbert.tasks.retrieval import RetrievalSet
from interbert.training.model_card import versions
from interbert.utils.terminal import progress_bar


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="retrieval model directory")
    parser.add_argument("--regions", required=True, help="region store with texts")
    parser.add_argument("--exported", required=True, help="folder that interbert export onnx wrote")
    parser.add_argument("--text-columns", nargs="*", default=[], help="columns of the store")
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--other-int8", action="store_true", help="dynamic, and per row, too")
    parser.add_argument("--only", nargs="*", help="backends to measure beside torch fp32; all when not given")
    arguments = parser.parse_args()
    model, processor = load_model(arguments.model, dual_score_offset=None).eval(), load_processor(arguments.model)
    store = RegionStore.open(arguments.regions)
    table = PairTable.from_captions(store.captions(), arguments.texts, arguments.regions)
    data = RetrievalSet.from_table(table, arguments.queries)
    ids, images = data.encode(store, processor)
    ranking = Ranking.of(model, data, ids, images)
    fewer = [len(features) - place % 2 for place, (features, _) in enumerate(images[:8])]  # a grid's all have as many
    cut = [(features[:most], boxes[:most]) for (features, boxes), most in zip(images, fewer, strict=False)]
    mixed = {name: one.numpy() for name, one in (pad_texts(ids[:8]) | pad_images(cut)).items()}
    file = Path(arguments.exported) / "joint.onnx"
    small = file.with_name("joint.int8.onnx")
    module = JointScorer(model).eval()
    makers: dict[str, Callable[[], Runner]] = {
        "torch fp32": lambda: _torch(module, False),
        "torch bf16": lambda: _torch(module, True),
        "torch compiled bf16": lambda: _torch(torch.compile(module, dynamic=True), True),
        "onnxruntime fp32": lambda: open_exported(file),
        "onnxruntime int8": lambda: open_exported(small),
        "openvino fp32": lambda: open_exported(file, "openvino"),
        "openvino bf16": lambda: open_exported(file, "openvino", bf16=True),
        "openvino int8": lambda: open_exported(small, "openvino"),
    }
    if not small.exists():
        del makers["onnxruntime int8"], makers["openvino int8"]
    if arguments.other_int8:
        makers |= {f"onnxruntime int8, {name}": partial(_quantised, file, name) for name in ("dynamic", "per row")}
    if arguments.only is not None:
        makers = {name: make for name, make in makers.items() if name in ("torch fp32", *arguments.only)}
    runners = {name: make() for name, make in makers.items()}
    scores = {name: ranking.score(run) for name, run in runners.items()}  # and warms them up
    most_text = model.config.max_position_embeddings
    same = {name: batch_dependence(run, PARTS[0].inputs, mixed, most_text) for name, run in runners.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    with progress_bar("scoring", ranking.pairs * len(runners) * arguments.rounds, "pairs") as advance:
        for _ in range(arguments.rounds):
            for name, run in runners.items():
                started = time.perf_counter()
                ranking.score(run, advance)
                seconds[name].append(time.perf_counter() - started)
    base = np.array(seconds["torch fp32"])
    lines = {}
    print(f"{ranking.pairs} pairs, {ranking.candidates.shape[1]} images a text; speed over torch fp32 [least, most]")
    for name, found in seconds.items():
        ratios = base / np.array(found)
        middle = float(np.median(ratios))
        recall = ranking.recall_at_1(scores[name])
        far = float(np.abs(scores[name] - scores["torch fp32"]).max())
        print(
            f"{name:<25} {middle:.2f} [{ratios.min():.2f}, {ratios.max():.2f}]  R@1 {recall:.1f}  from fp32 {far:.1e}  "
            f"between batches {same[name]:.1e}"
        )
        lines[name] = {"ratio": round(middle, 2), "r@1": round(recall, 2), "from_fp32": far, "batches": same[name]}
    print(json.dumps({"pairs": ranking.pairs, "backends": lines, "versions": versions()}))


def _quantised(file: Path, how: str) -> Runner:
    """What the export does not write, opened."""
    import onnx
    from onnxruntime.quantization import QuantType, quant_pre_process, quantize_dynamic
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    with tempfile.TemporaryDirectory() as folder:
        folded, out = Path(folder) / "folded.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(str(file), str(folded), skip_symbolic_shape=True, skip_onnx_shape=True)
        if how == "dynamic":
            quantize_dynamic(folded, out, weight_type=QuantType.QInt8)
        else:
            quantiser = MatMulNBitsQuantizer(
                onnx.load(folded), bits=8, block_size=32, is_symmetric=True, accuracy_level=4
            )
            quantiser.process()
            quantiser.model.save_model_to_file(str(out))
        return open_exported(out)


def _torch(module: Any, bf16: bool) -> Runner:
    def run(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        tensors = {name: torch.from_numpy(value) for name, value in inputs.items()}
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            scores: NDArray[np.float32] = module(**tensors).float().numpy()
        return scores

    return run


if __name__ == "__main__":
    main()
