"""Equal numbers, then speed: this library against the published reference implementation on the same pairs.

    python benchmarks/against_reference.py --reference DIR

DIR is a checkout of the reference's code (not part of this project, not changed). A model of its base size with seeded
weights is converted in memory. First both must give the same losses on one batch and the same matching scores, in
fp32 without dropout. Then both are timed in one run, in turn:

* training: forward, backward, clipping and optimizer, dropout on. The reference pads texts to 36 tokens and images
  to 36 regions, runs its heads at every position and has its own Adam; ours takes the batches its sampler makes.
* scoring every text with every image: the reference by its Flickr30K evaluation (30 tokens, 101 regions, the whole
  forward for each pair), ours by `interbert.model.scoring`.

Printed are pairs a second and the ratio to the reference of the same round: median [least, most]. The reference
computes in fp32 on a CPU; ours in fp32 and in bf16. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from both_sides import OurScoring, OurTraining, ReferenceScoring, ReferenceTraining, converted, gradients
from numpy.typing import NDArray
from reference_code import NotTheReferenceError, Reference
from synthetic_pairs import Sizes, our_batch, pretraining_batches, reference_batch, retrieval_set
from torch import Tensor

from interbert.checkpoints.adapter import config_from_reference
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForImageTextRetrieval, InterBertForPreTraining
from interbert.model.scoring import autocast
from interbert.search.runtime_choice import processor_name
from interbert.tasks.pretraining import pretraining_losses
from interbert.training.model_card import versions

TRAINING = Sizes(tokens=(8, 20), regions=(10, 36))
SCORING = Sizes(tokens=(12, 20), regions=(10, 60))
REFERENCE_TRAINING_PADS = (36, 36)
REFERENCE_SCORING_PADS = (30, 102)
"""Text tokens, and image tokens with the global one."""
TOLERANCE = 1e-4
LOSSES = ("lm_loss", "region_loss", "matching_loss")

Run = Callable[[], None]


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    try:
        reference = Reference.open(arguments.reference, tiny=arguments.size == "tiny")
    except NotTheReferenceError as error:
        raise SystemExit(str(error)) from error
    config = config_from_reference(reference.fields)
    result: dict[str, Any] = {"equal": {}, "speed": {}}
    for name, part in (("training", _training), ("scoring", _scoring)):
        if arguments.only in (None, name):
            result["equal"][name], result["speed"][name] = part(reference, config, arguments)
    machine = {"processor": processor_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    print(json.dumps({"size": arguments.size, **result, "machine": machine, "versions": versions()}))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, required=True, help="checkout of the reference's code")
    parser.add_argument("--size", choices=("base", "tiny"), default="base", help="tiny: a check that everything runs")
    parser.add_argument("--only", choices=("training", "scoring"), help="one of the two")
    parser.add_argument("--rounds", type=int, default=5, help="times that each side runs")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0, help="of weights and pairs")
    parser.add_argument(
        "--batch-size", type=int, default=64, help="training: pairs a step (the reference's recipe: 64)"
    )
    parser.add_argument("--batches", type=int, default=3, help="training: steps a round")
    parser.add_argument("--text-columns", type=int, default=8, help="scoring: each is scored with every image")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument(
        "--reference-block", type=int, default=64, help="scoring: images per forward of the reference (500 there)"
    )
    return parser.parse_args()


def _training(
    reference: Reference, config: InterBertConfig, arguments: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, Any]]:
    pairs = arguments.batch_size * arguments.batches
    examples = pretraining_batches(config, TRAINING, pairs, arguments.batch_size, arguments.seed)
    ours = [our_batch(batch) for batch in examples]
    theirs = [reference_batch(batch, *REFERENCE_TRAINING_PADS) for batch in examples]
    torch.manual_seed(arguments.seed)
    model = reference.pretraining_model()
    model_fp32 = converted(model, InterBertForPreTraining, config)
    equal = _compare_losses(model.eval(), model_fp32.eval(), theirs[0], ours[0])
    model_bf16 = converted(model, InterBertForPreTraining, config)
    runs: dict[str, Run] = {
        "reference": ReferenceTraining(reference, model.train(), theirs),
        "ours fp32": OurTraining(model_fp32.train(), ours, bf16=False),
        "ours bf16": OurTraining(model_bf16.train(), ours, bf16=True),
    }
    real = sum(int(batch["attention_mask"].sum() + batch["region_mask"].sum()) for batch in ours)
    padded = sum(batch["attention_mask"].numel() + batch["region_mask"].numel() for batch in ours)
    print(f"training: {pairs} pairs in {len(ours)} batches; tokens a pair: {real / pairs:.1f} real, ", end="")
    print(f"{padded / pairs:.1f} in our padded batches, {sum(REFERENCE_TRAINING_PADS) + 1} in the reference's")
    for run in runs.values():
        run()  # optimizers make their state
    return equal, _race(runs, pairs, arguments.rounds)


def _scoring(
    reference: Reference, config: InterBertConfig, arguments: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, Any]]:
    texts, images = retrieval_set(config, SCORING, arguments.texts, arguments.images, arguments.seed)
    torch.manual_seed(arguments.seed)
    model = reference.retrieval_model().eval()
    converted_model = converted(model, InterBertForImageTextRetrieval, config).eval()
    theirs = ReferenceScoring(model, texts, images, REFERENCE_SCORING_PADS, arguments.reference_block)
    ours = {f"ours {kind}": OurScoring(converted_model, texts, images, kind == "bf16") for kind in ("fp32", "bf16")}
    equal = _compare_scores(theirs, ours)
    real = np.mean([len(ids) for ids in texts]) + np.mean([len(features) for features, _ in images])
    print(f"scoring: {len(texts)} texts x {len(images)} images; tokens a pair: {real:.1f} real, ", end="")
    print(f"{sum(REFERENCE_SCORING_PADS)} in the reference's")
    return equal, _race({"reference": theirs, **ours}, len(texts) * len(images), arguments.rounds)


def _compare_losses(
    model: Any, ours: InterBertForPreTraining, their_batch: list[Tensor], our_batch: dict[str, Tensor]
) -> dict[str, float]:
    """Relative differences of the losses of one batch, and of the gradients of their sum, printed."""
    losses = model(*their_batch)
    sum(losses).backward()
    exact = pretraining_losses(ours, our_batch)
    exact["loss"].backward()  # type: ignore[no-untyped-call]
    with torch.no_grad(), autocast(ours, bf16=True):
        rough = pretraining_losses(ours, our_batch)
    found = {}
    for name, loss in zip(LOSSES, losses, strict=True):
        there, here, bf16 = loss.item(), exact[name].item(), rough[name].item()
        found[name] = abs(here - there) / abs(there)
        print(f"{name:<14} reference {there:.7f}  ours {here:.7f}  relative difference {found[name]:.1e}", end="")
        print(f"  (bf16: {abs(bf16 - there) / abs(there):.1e})")
    theirs = gradients(model, None)
    off = sum(float((theirs[name] - own).square().sum()) for name, own in gradients(ours, ours.config).items())
    found["gradient"] = math.sqrt(off / sum(float(one.square().sum()) for one in theirs.values()))
    print(f"gradient       norm of the difference over all parameters / norm: {found['gradient']:.1e}")
    for name, difference in found.items():
        _require(difference, name)
    for side in (model, ours):
        side.zero_grad()
    return found


def _compare_scores(theirs: ReferenceScoring, ours: Mapping[str, OurScoring]) -> dict[str, float]:
    """Largest difference of the matching scores over the largest score, and correlations, printed."""
    theirs()
    largest = float(np.abs(theirs.differences).max())
    found = {}
    for name, run in ours.items():
        run()
        found[name] = float(np.abs(run.differences - theirs.differences).max()) / largest
        off = float(np.abs(1 / (1 + np.exp(-run.differences)) - theirs.probabilities).max())
        agree = float(np.corrcoef(run.differences.ravel(), theirs.differences.ravel())[0, 1])
        print(f"scores, {name}: largest difference {found[name]:.1e} of the largest logit difference {largest:.3f},")
        print(f"    {off:.1e} of a match probability; correlation {agree:.6f}")
    _require(found["ours fp32"], "scores")
    return found


def _require(difference: float, name: str) -> None:
    if not difference <= TOLERANCE:
        raise SystemExit(
            f"{name}: differs by {difference:.1e}, more than {TOLERANCE:.0e}. Speed is not worth measuring."
        )


def _race(runs: Mapping[str, Run], pairs: int, rounds: int) -> dict[str, Any]:
    """Time the runs, warm already, in turn: pairs a second, and ratios to the reference in the same round."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        names = list(runs)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            started = time.perf_counter()
            runs[name]()
            seconds[name].append(time.perf_counter() - started)
        line = ", ".join(f"{name} {pairs / found[-1]:.2f}" for name, found in seconds.items())
        print(f"  round {number + 1}: {line} pairs/s", flush=True)
    base = np.array(seconds["reference"])
    speed: dict[str, Any] = {}
    for name, found in seconds.items():
        rates, ratios = pairs / np.array(found), base / np.array(found)
        print(f"  {name:<10} {_spread(rates)} pairs/s, {_spread(ratios)} times the reference")
        speed[name] = {"pairs_per_second": _numbers(rates), "ratio": _numbers(ratios)}
    return speed


def _spread(values: NDArray[np.float64]) -> str:
    return f"{median(values):.2f} [{values.min():.2f}, {values.max():.2f}]"


def _numbers(values: NDArray[np.float64]) -> dict[str, float]:
    return {
        "median": round(float(median(values)), 3),
        "least": round(float(values.min()), 3),
        "most": round(float(values.max()), 3),
    }


if __name__ == "__main__":
    main()
