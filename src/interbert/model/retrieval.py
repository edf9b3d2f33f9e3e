"""Caption-based image retrieval: how well does a text fit an image (SPEC part 4).

Shapes: B batch, R image tokens (global token first), T text tokens, H hidden size, F region feature size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interbert.errors import ConfigError
from interbert.losses.pretraining import matching_loss
from interbert.model.configuration import InterBertConfig
from interbert.model.cross_encoder_files import write_cross_encoder_files
from interbert.model.matcher import Matcher, prior_logits
from interbert.model.outputs import InterBertTaskOutput


class InterBertForImageTextRetrieval(Matcher):
    """The matching head alone."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        matching_labels: Tensor | None = None,
    ) -> InterBertTaskOutput:
        """Matching logits [B,2] (class 0 means match) and, with labels, the loss.

        Args:
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask: as in
                :class:`~interbert.model.trunk.InterBertModel`.
            matching_labels: int64 [B], 0 match, 1 mismatch.
        """
        logits = self.pair_logits(
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask
        )
        result = InterBertTaskOutput(logits=logits)
        if matching_labels is not None:
            result.matching_loss = matching_loss(logits, matching_labels)
            result.loss = self.total_loss({"matching_loss": result.matching_loss})
        return result

    def pair_logits(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        real_tokens: Tensor | None = None,
        real_regions: Tensor | None = None,
    ) -> Tensor:
        """Matching logits [B,2]; ``real_tokens`` and ``real_regions`` as in the trunk's ``encode``."""
        output = self.interbert.encode(
            input_ids,
            attention_mask,
            token_type_ids,
            region_features,
            region_locations,
            region_mask,
            pooled_only=True,
            real_tokens=real_tokens,
            real_regions=real_regions,
        )
        logits = self.matching_logits(output)
        if self.config.dual_score_weight is None:
            return logits
        assert region_features is not None
        assert region_locations is not None
        with torch.no_grad():  # the contrastive objective is what trains the dual encoder
            text_pooled = self.pool_text(input_ids, attention_mask, real_tokens)
            texts = self.project_text(text_pooled, input_ids, attention_mask)
            image_pooled = self.pool_image(region_features, region_locations, region_mask, real_regions)
            cosines = (texts * self.project_image(image_pooled)).sum(dim=-1)
        return logits + prior_logits(cosines * self.config.dual_score_weight)

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Save as every model does; sentence-transformers' ``CrossEncoder`` can load the directory too."""
        super().save_pretrained(save_directory, **kwargs)
        if kwargs.get("is_main_process", True):
            write_cross_encoder_files(Path(save_directory))

    @torch.inference_mode()
    def score(self, **inputs: Tensor) -> Tensor:
        """Match probabilities [B] of pairs: softmax(matching logits)[0] (SPEC part 4), without dropout in any mode.

        Raises:
            ConfigError: one side of the pairs is missing; what the other says alone is no match probability.
        """
        require_pairs(inputs.get("input_ids"), inputs.get("region_features"))
        was_training = self.training
        self.eval()
        try:
            return self(**inputs).logits.float().softmax(dim=-1)[:, 0]  # type: ignore[no-any-return]
        finally:
            self.train(was_training)


def require_pairs(input_ids: Tensor | None, region_features: Tensor | None) -> None:
    """Refuse half a pair.

    Raises:
        ConfigError: a side is missing; the message says which.
    """
    if input_ids is None or region_features is None:
        missing = "input_ids" if input_ids is None else "region_features"
        raise ConfigError(f"A pair is a text and an image: {missing} is missing. Give the processor both sides.")
