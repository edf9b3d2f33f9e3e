"""What the cascade is worth: recall only, cascades of several depths, and the full joint ranking, with their times.

All stages rank the same queries over the same images, which are encoded beforehand, as an index would have them.
Each is timed twice: one query at a time, as a shopper waits for it, and all queries at once, as a batch job runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from interbert.model.cascade import Cascade
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.scoring import dual_matrix
from interbert.tasks.evaluation import mean_image_control
from interbert.tasks.metrics import DirectionMetrics, Estimate, estimates
from interbert.tasks.relevance import GradedMetrics, RelevanceSet, graded_metrics
from interbert.utils.stored_names import RegionArrays

Floats = NDArray[np.floating]
Kind = Literal["recall", "head", "cascade", "joint"]
Texts = Sequence[Sequence[int]]
Progress = Callable[[int], None]

_TIMED_JOINTLY = 10
"""Queries at most that the full joint ranking is timed on one at a time: each takes about a second."""


@dataclass(frozen=True)
class Timing:
    """How long a query takes, in milliseconds."""

    alone_median: float | None
    """One at a time; None when none was timed so."""
    alone_p95: float | None
    timed: int
    """Queries that were timed one at a time."""
    batched: float
    """With all queries at once: their time divided by their number."""
    processor: float
    """The same of the processor's time, over all threads, which other work on the machine hardly changes."""


@dataclass(frozen=True)
class Stage:
    """One way to rank."""

    kind: Kind
    candidates: int
    """Images of a query that the joint model scores."""
    metrics: GradedMetrics
    timing: Timing | None
    """None where it was not timed."""
    below_joint: Estimate | None = None
    """R@1 of this stage less that of the full joint ranking, with the paired 95% bootstrap interval."""

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return {
            "kind": self.kind,
            "candidates": self.candidates,
            **self.metrics.to_dict(),
            "milliseconds": None if self.timing is None else asdict(self.timing),
            "r@1_less_joint": None if self.below_joint is None else asdict(self.below_joint),
        }


@dataclass(frozen=True)
class CascadeReport:
    """All stages over one set of queries and images."""

    stages: tuple[Stage, ...]
    shuffled: GradedMetrics
    """The last stage's ranking with other products in the place of each: a control, has to be near chance."""
    mean_image: DirectionMetrics
    """The joint ranking (by recall only, where that is left out) of a sample of the texts when every image is the
    mean image: a control, has to be at chance."""
    images: int
    products: int
    catalogue_seconds: float
    """Encoding the images beforehand."""
    threads: int

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return {
            "stages": [one.to_dict() for one in self.stages],
            "shuffled": self.shuffled.to_dict(),
            "mean_image": self.mean_image.to_dict(),
            "pictures": self.images,
            "products": self.products,
            "catalogue_seconds": round(self.catalogue_seconds, 2),
            "threads": self.threads,
        }


@dataclass(frozen=True)
class CascadePlan:
    """What to measure."""

    depths: tuple[int, ...] = ()
    """Candidates per query of each cascade."""
    joint: bool = True
    """Rank everything jointly too."""
    timed: int = 50
    """Queries to time one at a time."""
    bootstrap: int = 1000
    seed: int = 0
    bf16: bool | None = None
    """Score in bf16; None does where the device has it."""

    def of(self, images: int) -> tuple[int, ...]:
        """Depths below the number of images, ascending; the others are the joint ranking."""
        return tuple(sorted({k for k in self.depths if k < images}))

    def pairs(self, data: RelevanceSet) -> int:
        """Pairs that the stages score, for a progress bar."""
        images = len(data.image_rows)
        if data.pool is not None:
            return len(data.pairs()[0]) if self.joint else 0
        return len(data.texts) * (sum(self.of(images)) + images * self.joint)


def evaluate_cascade(
    model: InterBertForImageTextRetrieval,
    data: RelevanceSet,
    texts: Texts,
    images: Sequence[RegionArrays],
    plan: CascadePlan,
    progress: Progress | None = None,
) -> CascadeReport:
    """Measure every stage of a plan.

    Args:
        model: with a matching head.
        data: what is right; with a pool there are no cascades, and times one at a time are not taken.
        texts: token ids of each text.
        images: model inputs of each image.
        plan: what to measure.
        progress: told how many pairs were scored.

    Raises:
        ConfigError: cascades are asked of a model without a recall score.
        DataError: a score is not finite.
    """
    started = time.perf_counter()
    cascade = Cascade(model, images, plan.bf16)
    catalogue_seconds = time.perf_counter() - started
    judge = _Judge(data, plan)
    runs = _Runs(cascade, data, texts, plan, progress)
    stages: list[Stage] = []
    scores: Floats | None = None
    if cascade.can_recall or plan.depths:
        scores, timing = runs.recall()
        stages.append(Stage("recall", 0, judge(scores), timing))
    if cascade.by == "projections" and model.config.fusion == "mul":
        stages.append(Stage("head", 0, judge(dual_matrix(model, texts, images, plan.bf16, "head")), None))
    for depth in plan.of(len(images)) if data.pool is None else ():
        scores, timing = runs.cascade(depth)
        stages.append(Stage("cascade", depth, judge(scores), timing))
    if plan.joint:
        scores, timing = runs.joint()
        stages.append(Stage("joint", len(images), judge(scores), timing))
        stages = [_compared(one, stages[-1], plan) for one in stages]
    assert scores is not None, "a plan without a stage"
    return CascadeReport(
        tuple(stages),
        judge.shuffled(scores),
        _mean_image(model, data, texts, images, scores, plan),
        len(images),
        data.products,
        catalogue_seconds,
        torch.get_num_threads(),
    )


def _mean_image(
    model: InterBertForImageTextRetrieval,
    data: RelevanceSet,
    texts: Texts,
    images: Sequence[RegionArrays],
    scores: Floats,
    plan: CascadePlan,
) -> DirectionMetrics:
    """The control: the last stage that scores every image, over mean images."""

    def score(asked: Texts, means: Sequence[RegionArrays], places: NDArray[np.int64]) -> Floats:
        chosen = data.of_texts(places)
        runs = _Runs(Cascade(model, means, bf16=False), chosen, asked, replace(plan, timed=0), None)
        found, _ = runs.joint() if plan.joint else runs.recall()
        return chosen.of_products(found)

    return mean_image_control(
        score, texts, images, data.of_products(scores), data.relevant, data.pool, plan.bootstrap, plan.seed
    )


def behind_candidates(recalled: Floats, candidates: NDArray[np.int64], fused: Floats) -> Floats:
    """Scores [t,n] of a cascade: the candidates by their fused scores [t,k], then all others as they were recalled."""
    scores: NDArray[np.float64] = (recalled - recalled.max(axis=1, keepdims=True)).astype(np.float64)
    scores += fused.min(axis=1, keepdims=True) - 1.0
    np.put_along_axis(scores, candidates, fused.astype(np.float64), axis=1)
    return scores


class _Judge:
    """Metrics of scores [texts, images]."""

    def __init__(self, data: RelevanceSet, plan: CascadePlan) -> None:
        self._data = data
        self._plan = plan

    def __call__(self, scores: Floats) -> GradedMetrics:
        return self._metrics(self._data.of_products(scores))

    def shuffled(self, scores: Floats) -> GradedMetrics:
        """Of the same scores when every product has another's."""
        ranked = self._data.of_products(scores)
        return self._metrics(ranked[:, np.random.default_rng(self._plan.seed).permutation(ranked.shape[1])])

    def _metrics(self, ranked: Floats) -> GradedMetrics:
        data, plan = self._data, self._plan
        return graded_metrics(ranked, data.grades, data.relevant, data.pool, plan.bootstrap, plan.seed)


class _Runs:
    """Runs stages and times them."""

    def __init__(
        self, cascade: Cascade, data: RelevanceSet, texts: Texts, plan: CascadePlan, progress: Progress | None
    ) -> None:
        self._cascade = cascade
        self._data = data
        self._texts = texts
        self._plan = plan
        self._progress = progress

    def recall(self) -> tuple[Floats, Timing]:
        """The dual encoder's ranking."""
        return self._timed(lambda texts, _: self._cascade.recall(texts), self._plan.timed)

    def cascade(self, depth: int) -> tuple[Floats, Timing]:
        """The cascade's ranking."""

        def run(texts: Texts, progress: Progress | None) -> Floats:
            recalled = self._cascade.recall(texts)
            return behind_candidates(recalled, *self._cascade.rerank(texts, recalled, depth, progress))

        return self._timed(run, self._plan.timed)

    def joint(self) -> tuple[Floats, Timing]:
        """Every image's fused score; of the pool's pairs alone where there is a pool."""

        def run(texts: Texts, progress: Progress | None) -> Floats:
            recalled = self._recalled(texts)
            candidates, fused = self._cascade.rerank(texts, recalled, len(self._cascade), progress)
            scores = np.empty_like(fused)
            np.put_along_axis(scores, candidates, fused, axis=1)
            return scores

        def pooled(texts: Texts, progress: Progress | None) -> Floats:
            recalled, (text_of, image_of) = self._recalled(texts), self._data.pairs()
            scores = np.zeros((len(texts), len(self._cascade)), dtype=np.float32)
            scores[text_of, image_of] = self._cascade.score(texts, recalled, text_of, image_of, progress)
            return scores

        if self._data.pool is not None:
            return self._timed(pooled, 0)
        return self._timed(run, min(self._plan.timed, _TIMED_JOINTLY))

    def _recalled(self, texts: Texts) -> NDArray[np.float32]:
        if self._cascade.can_recall:
            return self._cascade.recall(texts)
        return np.zeros((len(texts), len(self._cascade)), dtype=np.float32)

    def _timed(self, run: Callable[[Texts, Progress | None], Floats], alone: int) -> tuple[Floats, Timing]:
        """Scores of all texts, and how long they took together and ``alone`` of them one by one."""
        some = np.random.default_rng(self._plan.seed).permutation(len(self._texts))[:alone].tolist()
        alone = 0 if self._data.pool is not None else alone
        milliseconds = []
        for text in [*some[:1], *some] if alone else []:  # the first warms up
            started = time.perf_counter()
            run([self._texts[text]], None)
            milliseconds.append(1000 * (time.perf_counter() - started))
        started, worked = time.perf_counter(), time.process_time()
        scores = run(self._texts, self._progress)
        took = time.perf_counter() - started, time.process_time() - worked
        batched, processor = (1000 * seconds / len(self._texts) for seconds in took)
        if not milliseconds:
            return scores, Timing(None, None, 0, batched, processor)
        median, p95 = np.percentile(milliseconds[1:], [50, 95])
        return scores, Timing(float(median), float(p95), len(milliseconds[1:]), batched, processor)


def _compared(stage: Stage, joint: Stage, plan: CascadePlan) -> Stage:
    """A stage with its R@1 beside the joint ranking's."""
    difference = stage.metrics.of_queries["r@1"] - joint.metrics.of_queries["r@1"]
    below = estimates({"r@1": difference}, plan.bootstrap, plan.seed)["r@1"]
    return Stage(stage.kind, stage.candidates, stage.metrics, stage.timing, below)
