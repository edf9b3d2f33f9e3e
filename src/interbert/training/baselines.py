"""What each objective's loss is for a model that knows nothing but averages: the line a curve has to leave."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable

import numpy as np
from numpy.typing import NDArray

from interbert.data.texts import FlatIds
from interbert.losses.pretraining import baseline_loss
from interbert.regions.schema import RegionReader


def baseline_losses(
    ids: FlatIds, store: RegionReader, objective: str, batch_size: int, mismatch_share: float
) -> dict[str, float]:
    """Chance value of every loss.

    ``lm_loss``: entropy of the tokens' frequencies. ``region_loss``: mean KL from the average class distribution, or
    F for standardised features. ``matching_loss``: entropy of the label. ``contrastive_loss``: ln(batch).
    """
    values = {
        "lm_loss": token_entropy(ids),
        "matching_loss": baseline_loss(mismatch_share),
        "contrastive_loss": math.log(batch_size),
    }
    region = float(store.info.feature_size) if objective == "regress" else _class_divergence(store)
    return values if region is None else values | {"region_loss": region}


def label_entropy(labels: Iterable[Hashable]) -> float:
    """Cross-entropy of a classifier that knows how frequent each label is, and nothing of the item."""
    return _entropy(np.array(list(Counter(labels).values())))


def token_entropy(ids: FlatIds) -> float:
    """Cross-entropy of a model that knows how frequent each token is, and nothing of the text."""
    ends = ids.lengths.cumsum()
    special = np.concatenate([ends - ids.lengths, ends - 1])  # [CLS] and [SEP] are never predicted
    counts = np.bincount(np.delete(ids.flat, special))
    return _entropy(counts[counts > 0])


def _entropy(counts: NDArray[np.int64]) -> float:
    shares = counts / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _class_divergence(store: RegionReader, rows: int = 256) -> float | None:
    sample = np.linspace(0, len(store) - 1, min(rows, len(store))).astype(int)
    found = [one.class_probs for one in store.take(sample.tolist()) if one.class_probs is not None]
    if not found:
        return None
    probabilities = np.concatenate(found).astype(np.float64).clip(min=1e-9)
    mean = probabilities.mean(axis=0)
    return float((probabilities * np.log(probabilities / mean)).sum(axis=1).mean())
