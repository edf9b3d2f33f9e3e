"""Pairs a second through the joint model, 512 in a call, as an engine of an index scores them by default.

16 titles of 12 tokens with 32 images of 6 tokens each (five windows and the global token); model of the mini size with
random weights.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Any

import made_index
import numpy as np
import row

TOLERANCES = {"from_float32": 0.02, "first": 0.15}
"""Root mean square of the difference from float32, in logits: bf16 has some in either build (the goal of 1e-2 for a
single score is below that of the base's own bf16). Of the texts so large a share may have another first image."""
_TEXTS, _IMAGES, _TOKENS, _REGIONS = 16, 32, 12, 6
_ROUNDS = {False: 8, True: 40}


def prepare(setting: row.Setting) -> None:
    """A small index, whose engine scores."""
    made_index.made_index(_index(setting), setting.common, made_index.DRAWN)


def measure(setting: row.Setting) -> dict[str, Any]:
    """The median call."""
    from interbert import SearchEngine

    encoder: Any = SearchEngine.open(_index(setting)).encoder
    generator = np.random.default_rng(0)
    texts = generator.integers(2_000, 20_000, (_TEXTS, _TOKENS)).tolist()
    images = list(generator.normal(size=(_TEXTS * _IMAGES, _REGIONS, encoder.hidden_size)).astype(np.float32))
    text_of, image_of = np.repeat(np.arange(_TEXTS), _IMAGES), np.arange(_TEXTS * _IMAGES)

    def score() -> Any:
        if hasattr(encoder, "scorer"):
            return encoder.scorer.pairs(texts, images, text_of, image_of)
        import torch

        with torch.inference_mode():
            return encoder.joint_listed(texts, images, text_of, image_of, np.zeros(len(text_of), np.float32))

    scores = score()
    exact = _float32(encoder, texts, images, text_of, image_of)
    score()
    clock, processor = [], []
    for _ in range(_ROUNDS[setting.full]):
        started, worked = time.perf_counter(), time.process_time()
        score()
        clock.append(time.perf_counter() - started)
        processor.append(time.process_time() - worked)
    return {
        "value": len(text_of) / statistics.median(clock),
        "unit": "pairs/s",
        "processor_us_a_pair": 1e6 * statistics.median(processor) / len(text_of),
        "deviation": float(scores.std()),
        "largest_from_float32": float(np.abs(scores - exact).max()),
        "equal": {
            "from_float32": float(np.sqrt(np.square(scores - exact).mean())),
            "first": [f"{text}: {place}" for text, place in enumerate(scores.reshape(_TEXTS, -1).argmax(1).tolist())],
        },
    }


def _float32(encoder: Any, texts: Any, images: Any, text_of: Any, image_of: Any) -> Any:
    """The same scores by torch in float32."""
    import torch

    from interbert.model.scoring import score_embedded

    counts = np.full(len(images), _REGIONS)
    embedded = torch.from_numpy(np.stack(images))
    return score_embedded(encoder.model, texts, embedded, counts, text_of, image_of, bf16=False)


def _index(setting: row.Setting) -> Path:
    return setting.own / f"index_{made_index.DRAWN}"


if __name__ == "__main__":
    row.main(__doc__, prepare, measure)
