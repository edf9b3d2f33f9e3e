"""What keeping freed memory saves (`interbert.utils.environment`): seconds and resident memory.

    OMP_NUM_THREADS=1 python benchmarks/memory.py

Times three kinds of work on synthetic input, each round in a process of its own, alternating with and without: a
training step (mini size, 32 pairs, bf16), exact scoring of 512 pairs, and describing 64 decoded images by the grid
extractor. Prints seconds of computing (not of the clock) as median [least, most], the ratio, and the peak of resident
memory. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from mfu import SIZES, synthetic_batch
from PIL import Image

from interbert.extraction.grid import GridExtractor
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForPreTraining
from interbert.tasks.pretraining import pretraining_losses
from interbert.training.model_card import versions
from interbert.utils.environment import keep_freed_memory

REPEATS = 4


def training() -> Callable[[], object]:
    """A step of mini size."""
    torch.manual_seed(0)
    config = InterBertConfig(**SIZES["mini"])
    model = InterBertForPreTraining(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    batch, _ = synthetic_batch(config, 32, torch.device("cpu"), varied=False)

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = pretraining_losses(model, batch)["loss"]
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return step


def scoring() -> Callable[[], object]:
    """Joint passes of 512 pairs, 64 at a time."""
    torch.manual_seed(0)
    config = InterBertConfig(**SIZES["mini"])
    model = InterBertForPreTraining(config).eval()
    text, image = torch.randn(64, 20, config.hidden_size), torch.randn(64, 37, config.hidden_size)

    def score() -> None:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            for _ in range(8):
                model.match_embedded(text, image)

    return score


def images() -> Callable[[], object]:
    """64 images through the grid extractor."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 80, 60, 3), dtype=np.uint8)
    decoded = [Image.fromarray(one) for one in noise]
    extractor = GridExtractor(device="cpu")
    return lambda: extractor.detect(decoded)


WORK = {"training step": training, "scoring": scoring, "pictures": images}


def measure(name: str, keep: bool) -> tuple[float, float]:
    """Seconds of computing of one repeat, and peak MiB, in this process."""
    if keep:
        keep_freed_memory()
    run = WORK[name]()
    run()
    started = time.process_time()
    for _ in range(REPEATS):
        run()
    return (time.process_time() - started) / REPEATS, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one[0], arguments.one[1] == "kept")))
        return
    result: dict[str, dict[str, list[float]]] = {}
    for name in WORK:
        found: dict[str, list[tuple[float, float]]] = {"given back": [], "kept": []}
        for _ in range(arguments.rounds):
            for way, rounds in found.items():
                words = [sys.executable, __file__, "--one", name, way]
                rounds.append(json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout))
        seconds = {way: [one for one, _ in rounds] for way, rounds in found.items()}
        for way, rounds in found.items():
            middle = statistics.median(seconds[way])
            peak = statistics.median(one for _, one in rounds)
            spread = f"[{min(seconds[way]):.2f}, {max(seconds[way]):.2f}]"
            print(f"{name:<14} {way:<11} {middle:.2f} s {spread}  {peak:,.0f} MiB")
            result.setdefault(name, {})[way] = [round(middle, 3), round(peak)]
        ratio = statistics.median(seconds["given back"]) / statistics.median(seconds["kept"])
        print(f"{name:<14} {ratio:.2f} times as fast", flush=True)
    print(json.dumps(result | {"threads": torch.get_num_threads(), "versions": versions()}))


if __name__ == "__main__":
    main()
