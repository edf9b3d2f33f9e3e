"""What the joint pass adds to the dual encoder, text by text, on products that training never saw.

    python benchmarks/joint_gain.py runs/fashion-0/ranks-en.npz runs/fashion-1/ranks-en.npz runs/fashion-2/ranks-en.npz

pools what runs of fashion_retrieval.py or catalogue_retrieval.py left, and prints R@1 of the dual encoder, of both
fused, their paired difference and the smallest one that so many queries could have shown, with 95% bootstrap intervals
over queries. A query that several seeds ranked is one query, whose value is the mean over seeds.

:func:`rank` is the part that these benchmarks share.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.scoring import dual_matrix, score_pairs
from interbert.tasks.metrics import best_ranks, estimates
from interbert.tasks.retrieval import RetrievalSet
from interbert.tasks.score_fusion import FusionFit, fit_both
from interbert.utils.files import replacing

DEPTH = 50
"""Images of a text that the joint pass reads: as good as all (benchmarks/results/cascade.md)."""
FEW = 16
"""Among so many the joint pass is compared alone."""
Ranks = NDArray[np.int64]
Texts = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Candidates:
    """The dual encoder's best images of each text, best first, with both scores."""

    cosines: NDArray[np.float32]
    """[texts, k]"""
    joint: NDArray[np.float32]
    """[texts, k]"""
    relevant: NDArray[np.bool_]
    """[texts, k]"""
    dual: Ranks
    """[texts] of the best right image among all, by the dual encoder."""
    images: NDArray[np.int64]
    """[texts], a right image of each."""


def candidates(
    model: InterBertForImageTextRetrieval, data: RetrievalSet, texts: Texts, inputs: Sequence[Any], depth: int = DEPTH
) -> Candidates:
    """Recall, and read jointly whatever the model's configuration says.

    Args:
        model: without its fusion (``dual_score_weight`` and ``dual_score_offset`` None).
        data: which texts and images belong together.
        texts: token ids.
        inputs: of each image.
        depth: images of a text that are read.
    """
    cosines = dual_matrix(model, texts, inputs)
    chosen = np.argsort(-cosines, axis=1, kind="stable")[:, :depth]
    joint = score_pairs(model, texts, inputs, chosen)
    relevant = np.take_along_axis(data.relevant, chosen, axis=1)
    ranks, images = best_ranks(cosines, data.relevant), data.relevant.argmax(axis=1)
    return Candidates(np.take_along_axis(cosines, chosen, axis=1), joint, relevant, ranks, images)


def fit(found: Candidates) -> FusionFit:
    """Fusion of validation pairs, fitted as fine-tuning does, on the few best candidates."""
    fitted = fit_both(found.joint[:, :FEW], found.cosines[:, :FEW], found.relevant[:, :FEW], found.images)
    assert fitted is not None, "validation cannot tell a mixture"
    return fitted


def rank(found: Candidates, fusion: FusionFit) -> dict[str, Ranks]:
    """Ranks of each text's right image by the dual encoder, by both fused, and by each alone among the few best."""
    few = slice(None, FEW)
    fused = fusion.mixture(found.joint, found.cosines)
    return {
        "dual": found.dual,
        "fused": _among(fused, found.relevant, found.dual),
        "joint_of_16": _among(found.joint[:, few], found.relevant[:, few], found.dual),
        "dual_of_16": _among(found.cosines[:, few], found.relevant[:, few], found.dual),
    }


def _among(scores: NDArray[np.floating], relevant: NDArray[np.bool_], dual: Ranks) -> Ranks:
    """Ranks among candidates; a right image that is not among them keeps the dual encoder's rank."""
    ranks = dual.copy()
    there = relevant.any(axis=1)
    ranks[there] = best_ranks(scores[there], relevant[there])
    return ranks


def summary(hits: dict[str, NDArray[np.floating]], bootstrap: int = 2000) -> dict[str, Any]:
    """R@1 of each scorer, the paired gain of the fused score, and the smallest gain that could have been seen.

    Args:
        hits: of each scorer of :func:`rank`, 1 where it has the right image first [texts], or a mean over seeds.
        bootstrap: resamplings of the texts.
    """
    percent = {name: 100.0 * one for name, one in hits.items()}
    gain = estimates({"gain": percent["fused"] - percent["dual"]}, bootstrap, 0)["gain"]
    line: dict[str, Any] = {f"{name}_r@1": round(float(percent[name].mean()), 2) for name in ("dual", "fused")}
    line["fused_minus_dual"] = [round(one, 2) for one in (gain.value, gain.low, gain.high)]
    line |= {name: round(float(percent[name].mean()), 2) for name in ("joint_of_16", "dual_of_16")}
    # a gain has to be above half of the interval's width
    return line | {"smallest_visible_gain": round((gain.high - gain.low) / 2, 2), "queries": len(percent["dual"])}


def keep(ranks: dict[str, Ranks], texts: Sequence[str], file: Path) -> None:
    """Write ranks for :func:`main`."""
    known = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    with replacing(file) as part, part.open("wb") as opened:
        np.savez(opened, texts=np.array(known), **ranks)  # type: ignore[arg-type]  # its stubs know no names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ranks", nargs="+", help="ranks-*.npz of runs; those with equal texts are seeds of one set")
    arguments = parser.parse_args()
    sets: dict[str, list[dict[str, NDArray[Any]]]] = {}
    for file in arguments.ranks:
        with np.load(file) as opened:
            kept = {name: opened[name] for name in opened.files}
        sets.setdefault(str(kept.pop("texts")), []).append(kept)
    names = next(iter(sets.values()))[0]
    hits = {
        name: np.concatenate([np.mean([one[name] == 1 for one in seeds], axis=0) for seeds in sets.values()])
        for name in names
    }
    print(json.dumps(summary(hits) | {"sets": len(sets), "runs": len(arguments.ranks)}))


if __name__ == "__main__":
    main()
