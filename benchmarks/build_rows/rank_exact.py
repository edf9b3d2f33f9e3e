"""The exact joint ranking: every text with every image, 10 x 1,000 (with --full 200 x 1,000), seconds.

Model of the mini size with random weights, texts of 8 to 15 tokens, images of 6.
"""

from __future__ import annotations

import time
from typing import Any

import made_index
import numpy as np
import row

TOLERANCES = {"first": 0.2}
"""Of the texts so large a share may have another first image: random weights score many alike, and bf16 rounds."""
_TEXTS = {False: 10, True: 200}
_IMAGES, _REGIONS = 1_000, 6


def prepare(setting: row.Setting) -> None:
    """The model."""
    made_index.made_model(setting.common / "model")


def measure(setting: row.Setting) -> dict[str, Any]:
    """One ranking, after a small one that warms up."""
    from interbert.checkpoints.directory import load_model
    from interbert.model.scoring import score_matrix

    model = load_model(setting.common / "model")
    generator = np.random.default_rng(0)
    sizes = generator.integers(8, 16, _TEXTS[setting.full])
    texts = [generator.integers(2_000, 20_000, size).tolist() for size in sizes]
    features = generator.random((_IMAGES, _REGIONS, model.config.region_feature_size)).astype(np.float32)
    boxes = generator.random((_IMAGES, _REGIONS, 5)).astype(np.float32)
    images = list(zip(features, boxes, strict=True))
    score_matrix(model, texts[:1], images[:100])
    started, worked = time.perf_counter(), time.process_time()
    scores = score_matrix(model, texts, images)
    clock, processor = time.perf_counter() - started, time.process_time() - worked
    first = [f"{text}: {place}" for text, place in enumerate(scores.argmax(axis=1).tolist())]
    return {
        "value": clock,
        "unit": "s",
        "processor_s": processor,
        "deviation": float(scores.std()),
        "equal": {"first": first},
    }


if __name__ == "__main__":
    row.main(__doc__, prepare, measure)
