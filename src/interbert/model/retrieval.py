"""Caption-based image retrieval: how well does a text fit an image (SPEC part 4).

Shapes: B batch, R image tokens (global token first), T text tokens, H hidden size, F region feature size, K true pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interbert.errors import ConfigError
from interbert.model.configuration import InterBertConfig
from interbert.model.cross_encoder_files import write_cross_encoder_files
from interbert.model.matcher import Matcher, prior_logits
from interbert.model.outputs import InterBertTaskOutput
from interbert.model.trunk import apply_to
from interbert.objectives.in_batch import choose_in_batch, hard_batch
from interbert.objectives.matching import MATCH, MISMATCH, matching_loss
from interbert.objectives.segment_masking import IGNORE_LABEL


@dataclass(frozen=True)
class _Pairs:
    """Embedded true pairs: [B,T,H] and [B,R,H] with their masks."""

    text: Tensor
    text_mask: Tensor | None
    image: Tensor
    image_mask: Tensor | None
    words: Tensor | None
    """What the contrastive head's table says of the texts' words [B,D]."""
    real_tokens: Tensor | None
    real_regions: Tensor | None


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
        contrast_rows: Tensor | None = None,
        contrast_same: Tensor | None = None,
        negative_draws: Tensor | None = None,
        negative_hardness: Tensor | None = None,
        negative_same: Tensor | None = None,
        real_tokens: Tensor | None = None,
        real_regions: Tensor | None = None,
    ) -> InterBertTaskOutput:
        """Matching logits [B,2] (class 0 means match) and, with labels, the loss.

        Args:
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask: as in
                :class:`~interbert.model.trunk.InterBertModel`.
            matching_labels: int64 [B], 0 match, 1 mismatch.
            contrast_rows: int64 [K], rows of the batch that are true pairs: with ``contrastive_size`` set they are
                also encoded in dual mode and contrasted with each other.
            contrast_same: bool [K,K], True where two of them share image or text; of all processes' true pairs, they
                are contrasted together.
            negative_draws, negative_hardness, negative_same: given, all rows are true pairs, and each gets a wrong
                image and a wrong text of the batch (:func:`~interbert.objectives.in_batch.choose_in_batch`); the
                logits are then [3B,2]. Needs ``contrastive_size``.
            real_tokens, real_regions: int64 [N] each, flat positions of [B,T] and [B,R] that are no padding, as in
                :class:`~interbert.model.trunk.InterBertModel`. Rows that are chosen on the device (the pairs with
                ``negative_draws``'s wrong sides, those of ``contrast_rows``) stay padded on a GPU.
        """
        if negative_draws is not None:
            assert region_features is not None
            assert region_locations is not None
            assert negative_hardness is not None
            assert negative_same is not None
            pairs = _Pairs(
                self.interbert.text_embeddings(input_ids, token_type_ids),
                attention_mask,
                self.interbert.image_embeddings(region_features, region_locations),
                region_mask,
                self.words(input_ids, attention_mask),
                real_tokens,
                real_regions,
            )
            return self._with_in_batch_negatives(pairs, contrast_same, negative_draws, negative_hardness, negative_same)
        output = self.interbert(
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
        logits = self._matching_logits(output)
        if self.config.dual_score_weight is not None:
            assert region_features is not None
            assert region_locations is not None
            with torch.no_grad():  # the contrast below is what trains the dual encoder
                texts = self.encode_text(input_ids, attention_mask, real_tokens)
                image_vectors = self.encode_image(region_features, region_locations, region_mask, real_regions)
                cosines = (texts * image_vectors).sum(dim=-1)
            logits = logits + prior_logits(cosines * self.config.dual_score_weight)
        matching = None if matching_labels is None else matching_loss(logits, matching_labels)
        contrastive = None
        if contrast_rows is not None:
            assert region_features is not None
            contrastive = self._contrastive_loss(
                input_ids[contrast_rows],
                apply_to(attention_mask, lambda side: side[contrast_rows]),
                region_features[contrast_rows],
                apply_to(region_locations, lambda side: side[contrast_rows]),
                apply_to(region_mask, lambda side: side[contrast_rows]),
                contrast_same,
            )
        return self._summed(logits, matching, contrastive)

    def _with_in_batch_negatives(
        self, pairs: _Pairs, contrast_same: Tensor | None, draws: Tensor, hardness: Tensor, same: Tensor
    ) -> InterBertTaskOutput:
        trunk = self.interbert
        text_pooled = trunk.encode_embedded(
            pairs.text, None, pairs.text_mask, pooled_only=True, skip_padding=True, real_tokens=pairs.real_tokens
        ).text_pooled
        image_pooled = trunk.encode_embedded(
            None,
            pairs.image,
            None,
            pairs.image_mask,
            pooled_only=True,
            skip_padding=True,
            real_regions=pairs.real_regions,
        ).image_pooled
        assert text_pooled is not None
        assert image_pooled is not None
        with torch.no_grad():
            head = self.contrastive_head
            scores = head.scale * (head.text(text_pooled, pairs.words) @ head.image(image_pooled).T)
        images, texts, usable = choose_in_batch(scores, same, draws, hardness)
        output = trunk.encode_embedded(
            hard_batch(pairs.text, texts, first=False),
            hard_batch(pairs.image, images, first=True),
            apply_to(pairs.text_mask, lambda side: hard_batch(side, texts, first=False)),
            apply_to(pairs.image_mask, lambda side: hard_batch(side, images, first=True)),
            pooled_only=True,
            skip_padding=True,
        )
        logits = self._matching_logits(output)
        wrong = torch.where(usable, MISMATCH, IGNORE_LABEL)
        matching = matching_loss(logits, torch.cat([torch.full_like(wrong, MATCH), wrong, wrong]))
        contrastive = None
        if contrast_same is not None:
            contrastive = self._contrast_pooled(text_pooled, image_pooled, contrast_same, pairs.words)
        return self._summed(logits, matching, contrastive)

    def _summed(self, logits: Tensor, matching: Tensor | None, contrastive: Tensor | None) -> InterBertTaskOutput:
        """Losses by their weights."""
        weighted = [
            weight * loss
            for weight, loss in (
                (self.config.matching_loss_weight, matching),
                (self.config.contrastive_loss_weight, contrastive),
            )
            if loss is not None
        ]
        return InterBertTaskOutput(
            loss=torch.stack(weighted).sum() if weighted else None,
            logits=logits,
            matching_loss=matching,
            contrastive_loss=contrastive,
        )

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
