"""Masked segment modeling (paper section 3.2, SPEC part 3): one contiguous segment of a caption is predicted.

With n tokens ([CLS] and [SEP] excluded) and n >= 4: start ~ U{0..n}, length ~ U{1..n}, cut at the end (a start
of n leaves an empty segment). Inside it each token becomes [MASK] with 80%, a random token with 10%, and stays with
10%; all are predicted. Loss: cross-entropy over predicted tokens only.

Example::

    masking = SegmentMasking(max_share=0.5)
    masked = masking(ids, maskable, mask_token_id=103, random_tokens=np.arange(1000, 30522), generator=generator)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from interbert.errors import ConfigError

IGNORE_LABEL = -100
MIN_SEGMENT_TOKENS = 4
"""30% of a caption's tokens must be at least one token."""

Int64 = NDArray[np.int64]


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
            generator: the sample's own, see :mod:`interbert.objectives.seeding`.
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


def masked_lm_loss(logits: Tensor, labels: Tensor, count: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of M predicted tokens; 0 when M is 0.

    Args:
        logits: [M,V].
        labels: int64 [M].
        count: divide the sum by this number instead of M.
    """
    if not len(labels):
        return logits.sum() * 0.0
    if count is None:
        return nn.functional.cross_entropy(logits.float(), labels)
    return nn.functional.cross_entropy(logits.float(), labels, reduction="sum") / count
