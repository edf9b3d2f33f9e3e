"""What pretraining hides of a pair (paper section 3.2, SPEC part 3): a segment of its caption, overlapping regions.

*Masked segments*: with n tokens ([CLS] and [SEP] excluded) and n >= 4: start ~ U{0..n}, length ~ U{1..n}, cut at the
end (a start of n leaves an empty segment). Inside it each token becomes [MASK] with 80%, a random token with 10%, and
stays with 10%; all are predicted.

*Masked regions*: each region is an anchor with probability 0.1; every region with IoU >= 0.4 to an anchor (the anchor
included, no chain from region to region) is zeroed and predicted, so that no visible box leaks an anchor. IoU is taken
on normalised boxes with the +1-pixel convention: width = x2 - x1 + 1/w, height = y2 - y1 + 1/h.

Example::

    masking = SegmentMasking(max_share=0.5)
    masked = masking(ids, maskable, mask_token_id=103, random_tokens=np.arange(1000, 30522), generator=generator)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interbert.errors import ConfigError
from interbert.losses.pretraining import IGNORE_LABEL, PRETRAINING_MISMATCHES

MIN_SEGMENT_TOKENS = 4
"""30% of a caption's tokens must be at least one token."""

Bool = NDArray[np.bool_]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]


def draw_mismatch(generator: np.random.Generator, probability: float = PRETRAINING_MISMATCHES) -> bool:
    """Whether a sample gets another image's caption."""
    return bool(generator.random() < probability)


class MaskedText(NamedTuple):
    """A caption with tokens hidden, both int64 [T]."""

    input_ids: Int64
    labels: Int64
    """The true token where it is to be predicted, -100 elsewhere."""


@dataclass(frozen=True)
class SegmentMasking:
    """How tokens of a caption are chosen.

    Args:
        mode: ``segment`` (the paper's), or ``token``: each token on its own (the ablation baseline).
        max_share: longest segment as a share of the caption's tokens (at least one token); None is the plain law,
            which masks about a third of a caption, now and then all of it or nothing.
        token_probability: chance of a token in ``token`` mode.

    Raises:
        ConfigError: a share or probability is outside (0, 1].
    """

    mode: Literal["segment", "token"] = "segment"
    max_share: float | None = None
    token_probability: float = 0.15

    def __post_init__(self) -> None:
        if self.mode not in ("segment", "token"):
            raise ConfigError(f"masking mode must be 'segment' or 'token', not {self.mode!r}.")
        if self.max_share is not None and not 0 < self.max_share <= 1:
            raise ConfigError(f"max_share must be above 0 and at most 1, not {self.max_share}.")
        if not 0 < self.token_probability <= 1:
            raise ConfigError(f"token_probability must be above 0 and at most 1, not {self.token_probability}.")

    def choose(self, num_tokens: int, generator: np.random.Generator) -> NDArray[np.bool_]:
        """Which of a caption's tokens are predicted, bool [n]."""
        chosen = np.zeros(num_tokens, dtype=np.bool_)
        if self.mode == "token":
            return generator.random(num_tokens) < self.token_probability
        if num_tokens < MIN_SEGMENT_TOKENS:
            return chosen
        longest = num_tokens if self.max_share is None else max(1, int(self.max_share * num_tokens))
        start = int(generator.integers(0, num_tokens + 1))
        length = int(generator.integers(1, longest + 1))
        chosen[start : start + length] = True
        return chosen

    def __call__(
        self,
        input_ids: Int64,
        maskable: NDArray[np.bool_],
        mask_token_id: int,
        random_tokens: Int64,
        generator: np.random.Generator,
    ) -> MaskedText:
        """Hide part of a caption.

        Args:
            input_ids: int64 [T].
            maskable: bool [T], False at [CLS], [SEP] and padding.
            mask_token_id: id of [MASK].
            random_tokens: ids a token may be replaced with.
            generator: the sample's own, see :mod:`interbert.data.sampling`.
        """
        positions = np.flatnonzero(maskable)
        chosen = positions[self.choose(len(positions), generator)]
        labels = np.full_like(input_ids, IGNORE_LABEL)
        labels[chosen] = input_ids[chosen]
        masked = input_ids.copy()
        fate = generator.random(len(chosen))
        masked[chosen[fate < 0.8]] = mask_token_id
        swapped = chosen[(fate >= 0.8) & (fate < 0.9)]
        masked[swapped] = generator.choice(random_tokens, size=len(swapped))
        return MaskedText(masked, labels)


class MaskedRegions(NamedTuple):
    """Which of N regions are predicted and which are hidden, both bool [N]."""

    predicted: Bool
    zeroed: Bool


@dataclass(frozen=True)
class RegionMasking:
    """How regions are chosen.

    Args:
        mode: ``iou`` (the paper's) or ``plain``: each region on its own (the ablation).
        anchor_probability: chance of being an anchor; the paper's, whose share of hidden regions it sets together with
            ``iou_threshold``.
        iou_threshold: overlap with an anchor that hides a region too.
        plain_probability: chance of a region in ``plain`` mode.
        plain_zeroed: share of those that is hidden; the rest stays visible and is predicted all the same.

    Raises:
        ConfigError: a probability is outside [0, 1].
    """

    mode: Literal["iou", "plain"] = "iou"
    anchor_probability: float = 0.1
    iou_threshold: float = 0.4
    plain_probability: float = 0.15
    plain_zeroed: float = 0.9

    def __post_init__(self) -> None:
        if self.mode not in ("iou", "plain"):
            raise ConfigError(f"region masking mode must be 'iou' or 'plain', not {self.mode!r}.")
        for name in ("anchor_probability", "iou_threshold", "plain_probability", "plain_zeroed"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be between 0 and 1, not {getattr(self, name)}.")

    def __call__(self, boxes: NDArray[Any], width: int, height: int, generator: np.random.Generator) -> MaskedRegions:
        """Choose regions of one image.

        Args:
            boxes: [N,4] as x1, y1, x2, y2 in pixels.
            width: of the image, pixels.
            height: of the image, pixels.
            generator: the sample's own, see :mod:`interbert.data.sampling`.
        """
        count = len(boxes)
        if self.mode == "plain":
            predicted = generator.random(count) < self.plain_probability
            return MaskedRegions(predicted, predicted & (generator.random(count) < self.plain_zeroed))
        anchors = generator.random(count) < self.anchor_probability
        near = region_iou(boxes, width, height)[:, anchors] >= self.iou_threshold
        predicted = near.any(axis=1) | anchors
        return MaskedRegions(predicted, predicted)


def hide_regions(image: tuple[Float32, Float32], zeroed: Bool) -> tuple[Float32, Float32]:
    """Inputs of an image with some of its regions hidden by masking; the image itself stays as it is.

    Args:
        image: region_features [N+1,F], global token first, and region_locations [N+1,5].
        zeroed: bool [N], which. They become zeros before the global token's mean is taken, with N still the divisor, so
            nothing leaks (SPEC part 2).
    """
    if not zeroed.any():
        return image
    features, locations = image
    hidden = features.copy()
    hidden[1:][zeroed] = 0
    hidden[1:].mean(axis=0, out=hidden[0])
    return hidden, locations


def region_iou(boxes: NDArray[Any], width: int, height: int) -> NDArray[np.float64]:
    """Intersection over union [N,N] of boxes [N,4] in pixels, by the +1-pixel convention on normalised boxes."""
    scale = np.array([width, height, width, height], dtype=np.float64)
    x1, y1, x2, y2 = (np.asarray(boxes, dtype=np.float64) / scale).T
    pixel_x, pixel_y = 1.0 / width, 1.0 / height
    area = (x2 - x1 + pixel_x) * (y2 - y1 + pixel_y)
    overlap_x = np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1) + pixel_x
    overlap_y = np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1) + pixel_y
    overlap = overlap_x.clip(min=0) * overlap_y.clip(min=0)
    iou: NDArray[np.float64] = overlap / (area[:, None] + area - overlap)
    return iou
