"""What keeping the K most probable classes of a region, and the remainder, does to masked region modeling.

    python benchmarks/top_classes.py --regions regions/train --out runs/top_classes --k 1 8 32 128

Copies a store with whole distributions (made by `interbert extract`) into one for each K and prints, for each:

* bytes per row, and seconds to read 256 rows;
* the region loss of the same predictions against both, in two states of knowledge: guesses that know only how frequent
  each class is, and guesses halfway (in the logarithm) between that and the truth; the difference splits into a
  constant (entropies, no gradient) and the rest, and the gradient by the logits is compared: cosine, and length;
* after a training with either store (a linear head from region features to classes, the same batches): the loss on
  held-out regions against their *whole* distributions.

The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from interbert.losses.pretraining import region_loss
from interbert.regions.schema import RegionRecord
from interbert.regions.store import RegionStore
from interbert.regions.verify import summarise
from interbert.training.model_card import versions
from interbert.utils.terminal import progress_bar

_BLOCK = 256


@dataclass(frozen=True)
class Held:
    """Features [M,F] and distributions [M,C] of a store's regions."""

    features: Tensor
    whole: Tensor


def copy(store: RegionStore, path: Path, top: int, rows: int) -> RegionStore:
    """The first rows again, in a store that keeps so many classes."""
    shutil.rmtree(path, ignore_errors=True)
    target = RegionStore.create(path, store.info, top or None)
    captions = store.captions()
    with progress_bar(f"K = {top or 'all'}", rows, "rows") as advance:
        for start in range(0, rows, _BLOCK):
            places = range(start, min(start + _BLOCK, rows))
            records = []
            for regions in store.take(places):
                fields = {name: value for name, value in vars(next(captions)).items() if name != "row"}
                records.append(RegionRecord(**fields, regions=regions))
            target.append(records)
            advance(len(records))
    return target


def read(store: RegionStore, rows: int) -> Held:
    """Everything a region loss needs."""
    taken = [one for start in range(0, rows, _BLOCK) for one in store.take(range(start, min(start + _BLOCK, rows)))]
    features = np.concatenate([one.features for one in taken]).astype(np.float32)
    features = (features - features.mean(0)) / features.std(0).clip(1e-3)
    whole = np.concatenate([one.class_probs for one in taken if one.class_probs is not None]).astype(np.float32)
    return Held(torch.from_numpy(features), torch.from_numpy(whole))


def loss_and_gradient(logits: Tensor, target: Tensor) -> tuple[float, Tensor]:
    """The region loss and its gradient by the logits."""
    own = logits.clone().requires_grad_()
    loss = region_loss(own, target, "classify")
    loss.backward()  # type: ignore[no-untyped-call]
    assert own.grad is not None
    return loss.item(), own.grad


def entropy(target: Tensor) -> float:
    """Mean entropy of distributions."""
    return float(-(target * target.clamp(min=1e-12).log()).sum(-1).mean())


def compared(whole: Tensor, kept: Tensor) -> dict[str, float]:
    """Loss and gradient with the two targets, for predictions in two states of knowledge."""
    frequent = whole.mean(0, keepdim=True).clamp(min=1e-9).log().expand_as(whole)
    found = {"constant": entropy(kept) - entropy(whole)}
    for name, share in (("frequencies", 0.0), ("halfway", 0.5)):
        logits = (1 - share) * frequent + share * whole.clamp(min=1e-7).log()
        (before, first), (after, second) = (loss_and_gradient(logits, target) for target in (whole, kept))
        found |= {
            f"{name}_loss_whole": before,
            f"{name}_loss_kept": after,
            f"{name}_difference_beyond_constant": before - after - found["constant"],
            f"{name}_gradient_cosine": float(
                nn.functional.cosine_similarity(first.double().flatten(), second.double().flatten(), dim=0)
            ),
            f"{name}_gradient_error": float((first - second).norm() / first.norm()),
        }
    return found


def trained(data: Held, targets: Tensor, steps: int, seed: int) -> float:
    """Loss on held-out whole distributions after training a linear head on ``targets``."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    split = len(targets) * 4 // 5
    head = nn.Linear(data.features.shape[1], targets.shape[1])
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=1e-3)
    for _ in range(steps):
        chosen = torch.randint(split, (256,), generator=generator)
        optimizer.zero_grad()
        region_loss(head(data.features[chosen]), targets[chosen], "classify").backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    with torch.inference_mode():
        return region_loss(head(data.features[split:]), data.whole[split:], "classify").item()


def seconds_to_read(store: RegionStore, rows: int) -> float:
    """Median time of five random reads of 256 rows."""
    generator = np.random.default_rng(0)
    times = []
    for _ in range(5):
        places = generator.integers(0, rows, 256).tolist()
        started = time.perf_counter()
        store.take(places)
        times.append(time.perf_counter() - started)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--regions", required=True, help="store with whole distributions")
    parser.add_argument("--out", required=True, help="folder for the copies")
    parser.add_argument("--k", type=int, nargs="*", default=[1, 8, 32, 128])
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=1500, help="of the linear head")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    store = RegionStore.open(arguments.regions)
    rows = min(arguments.rows, len(store))
    data = read(store, rows)
    results = {}
    for top in [0, *arguments.k]:
        copied = copy(store, Path(arguments.out) / f"k-{top}", top, rows)
        kept = read(copied, rows).whole
        line = {"bytes_per_row": summarise(copied).bytes / rows, "seconds_256_rows": seconds_to_read(copied, rows)}
        line |= compared(data.whole, kept)
        runs = [trained(data, kept, arguments.steps, seed) for seed in range(arguments.seeds)]
        line |= {"trained_loss": float(np.mean(runs)), "trained_spread": float(np.ptp(runs))}
        line["remainder"] = float(1 - data.whole.topk(top or data.whole.shape[1], dim=-1).values.sum(-1).mean())
        results[top] = {name: round(value, 5) for name, value in line.items()}
        print(f"K = {top or 'all'}: {json.dumps(results[top])}", flush=True)
        shutil.rmtree(copied.path)
    print(json.dumps({"rows": rows, "regions": len(data.whole), "results": results, "versions": versions()}))


if __name__ == "__main__":
    main()
