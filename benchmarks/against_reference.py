"""Equal numbers, then speed: this library against the published reference implementation on the same pairs.

    python benchmarks/against_reference.py --reference DIR

DIR is a checkout of the reference's code (not part of this project, not changed). A model of its base size with seeded
weights is converted in memory. First both must give the same losses on one batch and the same matching scores, in
fp32 without dropout. Then both are timed in one run, in turn:

* training: forward, backward, clipping and optimizer, dropout on. The reference pads texts to 36 tokens and pictures
  to 36 regions, runs its heads at every position and has its own Adam; ours takes the batches its sampler makes.
* scoring every text with every picture: the reference by its Flickr30K evaluation (30 tokens, 101 regions, the whole
  forward for each pair), ours by `interbert.model.scoring`.

Printed are pairs a second and the ratio to the reference of the same round: median [least, most]. The reference
computes in fp32 on a CPU; ours in fp32 and in bf16. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from made_up_pairs import Sizes, our_batch, pretraining_batches, reference_batch, retrieval_set
from numpy.typing import NDArray
from reference_code import NotTheReferenceError, Reference
from torch import Tensor, nn

from interbert.checkpoints.adapter import config_from_reference, from_reference
from interbert.data.examples import Picture
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForImageTextRetrieval, InterBertForPreTraining
from interbert.model.processing import pad_pictures, pad_texts
from interbert.model.scoring import autocast, score_matrix
from interbert.training.arguments import attention_for_training
from interbert.training.optimizer import make_optimizer
from interbert.training.options import TrainingOptions
from interbert.training.provenance import versions

TRAINING = Sizes(pieces=(8, 20), regions=(10, 36))
SCORING = Sizes(pieces=(12, 20), regions=(10, 60))
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
    machine = {"processor": _processor_name(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
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
    parser.add_argument("--texts", type=int, default=8, help="scoring: each is scored with every picture")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument(
        "--reference-block", type=int, default=64, help="scoring: pictures per forward of the reference (500 there)"
    )
    return parser.parse_args()


def _training(
    reference: Reference, config: InterBertConfig, arguments: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, Any]]:
    examples = pretraining_batches(
        config, TRAINING, arguments.batch_size * arguments.batches, arguments.batch_size, arguments.seed
    )
    ours = [our_batch(batch) for batch in examples]
    theirs = [reference_batch(batch, *REFERENCE_TRAINING_PADS) for batch in examples]
    torch.manual_seed(arguments.seed)
    model = reference.pretraining_model()
    converted = _converted(model, InterBertForPreTraining, config)
    equal = _compare_losses(model.eval(), converted.eval(), theirs[0], ours[0])
    runs: dict[str, Run] = {"reference": ReferenceTraining(reference, model.train(), theirs)}
    runs["ours fp32"] = OurTraining(converted.train(), ours, bf16=False)
    runs["ours bf16"] = OurTraining(_copy(converted).train(), ours, bf16=True)
    tokens = sum(int(batch["attention_mask"].sum() + batch["region_mask"].sum()) for batch in ours)
    padded = sum(batch["attention_mask"].numel() + batch["region_mask"].numel() for batch in ours)
    pairs = sum(map(len, examples))
    print(f"training: {pairs} pairs in {len(ours)} batches; tokens a pair: {tokens / pairs:.1f} real, ", end="")
    print(f"{padded / pairs:.1f} in our padded batches, {sum(REFERENCE_TRAINING_PADS) + 1} in the reference's")
    return equal, _race(runs, pairs, arguments.rounds)


def _scoring(
    reference: Reference, config: InterBertConfig, arguments: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, Any]]:
    texts, pictures = retrieval_set(config, SCORING, arguments.texts, arguments.pictures, arguments.seed)
    torch.manual_seed(arguments.seed)
    model = reference.retrieval_model().eval()
    converted = _converted(model, InterBertForImageTextRetrieval, config).eval()
    theirs = ReferenceScoring(model, texts, pictures, arguments.reference_block)
    ours = {f"ours {kind}": OurScoring(converted, texts, pictures, kind == "bf16") for kind in ("fp32", "bf16")}
    equal = _compare_scores(theirs, ours)
    tokens = np.mean([len(ids) for ids in texts]) + np.mean([len(features) for features, _ in pictures])
    print(f"scoring: {len(texts)} texts x {len(pictures)} pictures; tokens a pair: {tokens:.1f} real, ", end="")
    print(f"{sum(REFERENCE_SCORING_PADS)} in the reference's")
    return equal, _race({"reference": theirs, **ours}, len(texts) * len(pictures), arguments.rounds)


class ReferenceTraining:
    """Steps as the reference's pretraining script makes them."""

    def __init__(self, reference: Reference, model: Any, batches: list[list[Tensor]]) -> None:
        self._model = model
        self._batches = batches
        self._optimizer = reference.optimizer(model, learning_rate=1e-4, steps=10_000)

    def __call__(self) -> None:
        for batch in self._batches:
            loss = sum(self._model(*batch))
            loss.backward()
            loss.item()
            self._optimizer.step()
            self._optimizer.zero_grad()


class OurTraining:
    """Steps as our trainer makes them: its attention, optimizer, clipping and precision."""

    def __init__(self, model: InterBertForPreTraining, batches: list[dict[str, Tensor]], bf16: bool) -> None:
        options = TrainingOptions(learning_rate=1e-4)
        model.set_attn_implementation(attention_for_training(options))
        self._model = model
        self._batches = batches
        self._bf16 = bf16
        self._most = options.max_grad_norm
        self._optimizer = make_optimizer(model, options)
        for group in self._optimizer.param_groups:
            group["lr"] *= 1e-3  # as early in the warm-up as the reference is

    def __call__(self) -> None:
        for batch in self._batches:
            with autocast(self._model, self._bf16):
                loss = self._model(**batch).loss
            loss.backward()
            loss.item()
            nn.utils.clip_grad_norm_(self._model.parameters(), self._most)
            self._optimizer.step()
            self._optimizer.zero_grad()


class ReferenceScoring:
    """Scores as the reference's Flickr30K evaluation computes them: one text with a block of padded pictures."""

    def __init__(self, model: Any, texts: list[list[int]], pictures: list[Picture], block: int) -> None:
        tokens, regions = REFERENCE_SCORING_PADS
        filler = (np.zeros((regions, pictures[0][0].shape[1]), np.float32), np.zeros((regions, 5), np.float32))
        padded = pad_pictures([*pictures, filler])
        self._pictures = {name: side[:-1] for name, side in padded.items()}
        self._pictures["region_mask"] = self._pictures["region_mask"].clone()
        self._texts = {name: side[:-1] for name, side in pad_texts([*texts, [0] * tokens]).items()}
        self._model = model
        self._block = block
        self.scores: NDArray[np.float32] = np.zeros((len(texts), len(pictures)), dtype=np.float32)
        self.differences = self.scores.copy()

    @torch.no_grad()
    def __call__(self) -> None:
        for row, (ids, mask) in enumerate(zip(*self._texts.values(), strict=True)):
            for start in range(0, self.scores.shape[1], self._block):
                block = slice(start, start + self._block)
                features, locations, region_mask = (side[block] for side in self._pictures.values())
                count = len(features)
                joint = torch.cat([region_mask, mask.expand(count, -1)], dim=-1)
                segments = torch.zeros_like(mask)[None]
                output = self._model(
                    ids.expand(count, -1), features, locations, segments, mask[None], region_mask, multimodal_mask=joint
                )
                logits = output[2]
                self.scores[row, block] = torch.softmax(logits, dim=1)[:, 0].numpy()
                self.differences[row, block] = (logits[:, 0] - logits[:, 1]).numpy()


class OurScoring:
    """Scores by :func:`interbert.model.scoring.score_matrix`."""

    def __init__(
        self, model: InterBertForImageTextRetrieval, texts: list[list[int]], pictures: list[Picture], bf16: bool
    ) -> None:
        self._inputs = (model, texts, pictures)
        self._bf16 = bf16
        self.differences: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)

    def __call__(self) -> None:
        self.differences = score_matrix(*self._inputs, bf16=self._bf16)


def _converted(model: Any, kind: Any, config: InterBertConfig) -> Any:
    """Our model with the reference's weights."""
    ours = kind(config)
    state, unknown = from_reference(model.state_dict(), config)
    wanted = ours.state_dict()
    assert not unknown, f"the adapter does not know {unknown}"
    ours.load_state_dict({name: state[name] for name in wanted})
    return ours


def _copy(model: InterBertForPreTraining) -> InterBertForPreTraining:
    other = InterBertForPreTraining(model.config)
    other.load_state_dict(model.state_dict())
    return other


def _compare_losses(
    model: Any, converted: InterBertForPreTraining, theirs: list[Tensor], ours: dict[str, Tensor]
) -> dict[str, float]:
    """Relative differences of the losses of one batch, printed."""
    with torch.no_grad():
        expected = [loss.item() for loss in model(*theirs)]
        output = converted(**ours)
    found = {}
    for name, there in zip(LOSSES, expected, strict=True):
        here = getattr(output, name).item()
        found[name] = abs(here - there) / abs(there)
        print(f"{name:<14} reference {there:.7f}  ours {here:.7f}  relative difference {found[name]:.1e}")
        _require(found[name], name)
    return found


def _compare_scores(theirs: ReferenceScoring, ours: Mapping[str, OurScoring]) -> dict[str, float]:
    """Largest difference of the matching scores over the largest score, and correlations, printed."""
    theirs()
    found = {}
    for name, run in ours.items():
        run()
        largest = float(np.abs(theirs.differences).max())
        found[name] = float(np.abs(run.differences - theirs.differences).max()) / largest
        probabilities = 1 / (1 + np.exp(-run.differences))
        off = float(np.abs(probabilities - theirs.scores).max())
        agree = float(np.corrcoef(run.differences.ravel(), theirs.differences.ravel())[0, 1])
        print(f"scores, {name}: largest difference {found[name]:.1e} of the largest logit difference {largest:.3f}, ")
        print(f"    {off:.1e} of a match probability; correlation {agree:.6f}")
    _require(found["ours fp32"], "scores")
    return found


def _require(difference: float, name: str) -> None:
    if not difference <= TOLERANCE:
        raise SystemExit(
            f"{name}: differs by {difference:.1e}, more than {TOLERANCE:.0e}. Speed is not worth measuring."
        )


def _race(runs: Mapping[str, Run], pairs: int, rounds: int) -> dict[str, Any]:
    """Time the runs in turn, after one round that warms up; pairs a second, and ratios to the reference."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        names = list(runs)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            started = time.perf_counter()
            runs[name]()
            seconds[name].append(time.perf_counter() - started)
        line = ", ".join(f"{name} {pairs / found[-1]:.2f}" for name, found in seconds.items())
        print(f"  {f'round {number}' if number else 'warm-up'}: {line} pairs/s", flush=True)
    base = np.array(seconds["reference"][1:])
    speed: dict[str, Any] = {}
    for name, found in seconds.items():
        rates, ratios = pairs / np.array(found[1:]), base / np.array(found[1:])
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


def _processor_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    main()
