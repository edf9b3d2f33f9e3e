"""Scores of a pair without some of its words and regions.

A word is removed from the text, with all its pieces: what is left is a text that somebody could have typed, one word
shorter, and it is what deletion and insertion curves remove, too. A region is hidden from attention, as padding is;
regions have no order, so that removes it. The global token stays as it was: it is the mean of all regions' features.

Shapes: R image tokens (global token first), N = R - 1 regions, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from interbert.explain.words import TokenizedText
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import pad_texts
from interbert.model.scoring import inference

Float32 = NDArray[np.float32]

_BATCH = 128
"""Variants of a forward pass."""


@dataclass(frozen=True)
class Removal:
    """What is taken from a pair."""

    words: tuple[int, ...] = ()
    """Places among the text's words."""
    regions: tuple[int, ...] = ()
    """Places among the regions, the global token not counted."""


def scores_without(
    model: InterBertForImageTextRetrieval, text: TokenizedText, image: Float32, removals: Sequence[Removal]
) -> Float32:
    """Matching logit differences [n] of a pair without some of its words and regions, in float32.

    Args:
        model: on its device.
        text: of the pair.
        image: [R,H] embedded image tokens.
        removals: what to remove, each time from the whole pair.

    Returns:
        without the dual score, as the joint pass gives them.
    """
    found: list[Float32] = []
    for start in range(0, len(removals), _BATCH):
        found.append(_scored(model, text, image, removals[start : start + _BATCH]))
    return np.concatenate(found) if found else np.zeros(0, np.float32)


def _scored(
    model: InterBertForImageTextRetrieval, text: TokenizedText, image: Float32, removals: Sequence[Removal]
) -> Float32:
    inputs = pad_texts([text.without(one.words) for one in removals], model.config.pad_token_id)
    mask = np.ones((len(removals), len(image)), np.int64)
    for row, one in enumerate(removals):
        mask[row, [1 + region for region in one.regions]] = 0
    device = model.device
    with inference(model, bf16=False):
        embedded = torch.from_numpy(image).to(device).expand(len(removals), -1, -1)
        words = model.interbert.text_embeddings(inputs["input_ids"].to(device))
        real, shown = inputs["attention_mask"].to(device), torch.from_numpy(mask).to(device)
        output = model.interbert.encode_embedded(words, embedded, real, shown, pooled_only=True, skip_padding=True)
        logits = model.matching_logits(output).float()
        differences: Float32 = (logits[:, 0] - logits[:, 1]).cpu().numpy()
    return differences
