"""The front door: the pretraining model and the retrieval model; the trunk is in ``trunk``, task heads in ``tasks``.

Shapes: B batch, R image tokens (global token first), T text tokens, H hidden size, F region feature size, C region
classes, P pooled size, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from interbert.model.configuration import InterBertConfig
from interbert.model.heads import LMHead, RegionHead, predict_at
from interbert.model.matcher import Matcher
from interbert.model.outputs import InterBertForPreTrainingOutput, InterBertModelOutput
from interbert.objectives.matching import MATCH, matching_loss
from interbert.objectives.positions import flat_positions
from interbert.objectives.region_masking import region_loss
from interbert.objectives.segment_masking import IGNORE_LABEL, masked_lm_loss


class InterBertForPreTraining(Matcher):
    """Masked segment modeling, masked region modeling and image-text matching (paper section 3.2)."""

    _tied_weights_keys = {  # noqa: RUF012
        "lm_head.decoder.weight": "interbert.text_embeddings.word_embeddings.weight"
    }

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.lm_head = LMHead(config)
        self.region_head = RegionHead(config)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        """Return the LM decoder, tied to the word embedding."""
        return self.lm_head.decoder

    def set_output_embeddings(self, value: nn.Linear) -> None:
        """Replace the LM decoder."""
        self.lm_head.decoder = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        lm_labels: Tensor | None = None,
        masked_regions: Tensor | None = None,
        region_targets: Tensor | None = None,
        matching_labels: Tensor | None = None,
        contrast_input_ids: Tensor | None = None,
        contrast_attention_mask: Tensor | None = None,
        contrast_region_features: Tensor | None = None,
        contrast_same: Tensor | None = None,
        predicted_tokens: Tensor | None = None,
        predicted_regions: Tensor | None = None,
        predicted_counts: Tensor | None = None,
        real_tokens: Tensor | None = None,
        real_regions: Tensor | None = None,
        contrast_real_tokens: Tensor | None = None,
    ) -> InterBertForPreTrainingOutput:
        """Losses where labels are given, full logits where they are not.

        Args:
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask: as in
                :class:`~interbert.model.trunk.InterBertModel`.
            lm_labels: int64 [B,T], the true token where predicted and -100 elsewhere.
            masked_regions: bool [B,R], True where a region is predicted (never the global token).
            region_targets: [B,R,C] class distributions, or [B,R,F] features when regressing; or those of
                ``predicted_regions`` alone, [M,C] or [M,F]. For the contrastive objective and for regression they are
                of the unmasked image.
            matching_labels: int64 [B], 0 match, 1 mismatch.
            contrast_input_ids, contrast_attention_mask: int64 [B,T'], each image's own caption, unmasked: the
                contrastive objective's texts. None leaves that objective out.
            contrast_region_features: [B,R,F] unmasked features of the same images.
            contrast_same: bool [K,K], True where two pairs share image or text and are no negatives; K is B, or the
                pairs of all processes, whose vectors are then contrasted together.
            predicted_tokens: int64 [M], flat positions of [B,T] whose tokens are predicted; found in ``lm_labels``
                (and ``matching_labels``) when not given, which makes a GPU wait.
            predicted_regions: int64 [M], flat positions of [B,R]; found in ``masked_regions`` of matched pairs when
                not given.
            predicted_counts: float [2], divide the summed losses of tokens and of regions by these instead of by how
                many there are: a share of an optimizer step's batches over all processes.
            real_tokens, real_regions: int64 [N] each, flat positions of [B,T] and [B,R] that are no padding, as in
                :class:`~interbert.model.trunk.InterBertModel`: a GPU computes padding too when not given.
            contrast_real_tokens: int64 [N], likewise of the contrastive objective's texts [B,T'].
        """
        every_logit = (input_ids is not None and lm_labels is None) or (
            region_features is not None and (masked_regions is None or region_targets is None)
        )
        output = self.interbert(
            input_ids,
            attention_mask,
            token_type_ids,
            region_features,
            region_locations,
            region_mask,
            skip_padding=not every_logit,
            real_tokens=real_tokens,
            real_regions=real_regions,
        )
        token_count, regions_count = (None, None) if predicted_counts is None else predicted_counts.unbind()
        result = InterBertForPreTrainingOutput(**output)
        losses: list[Tensor] = []
        if output.text_hidden_state is not None:
            result.lm_logits, result.lm_loss = self._language(
                output, lm_labels, matching_labels, predicted_tokens, token_count
            )
            if result.lm_loss is not None:
                losses.append(self.config.lm_loss_weight * result.lm_loss)
        if output.image_hidden_state is not None:
            result.region_logits, result.region_loss = self._regions(
                output, masked_regions, region_targets, matching_labels, predicted_regions, regions_count
            )
            if result.region_loss is not None:
                losses.append(self.config.region_loss_weight * result.region_loss)
        result.matching_logits = self._matching_logits(output)
        if matching_labels is not None:
            result.matching_loss = matching_loss(result.matching_logits, matching_labels)
            losses.append(self.config.matching_loss_weight * result.matching_loss)
        if contrast_input_ids is not None and contrast_region_features is not None:
            result.contrastive_loss = self._contrastive_loss(
                contrast_input_ids,
                contrast_attention_mask,
                contrast_region_features,
                region_locations,
                region_mask,
                contrast_same,
                contrast_real_tokens,
                real_regions,
            )
            losses.append(self.config.contrastive_loss_weight * result.contrastive_loss)
        if losses:
            result.loss = torch.stack(losses).sum()
        return result

    def _language(
        self,
        output: InterBertModelOutput,
        lm_labels: Tensor | None,
        matching_labels: Tensor | None,
        positions: Tensor | None,
        count: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        hidden = output.text_hidden_state
        assert hidden is not None
        if lm_labels is None:
            return self.lm_head(hidden), None
        if positions is None:
            predicted = lm_labels != IGNORE_LABEL
            if matching_labels is not None and not self.config.lm_loss_on_mismatched:
                predicted = predicted & (matching_labels == MATCH).unsqueeze(1)
            positions = flat_positions(predicted)
        logits = predict_at(self.lm_head, hidden, positions)
        return logits, masked_lm_loss(logits, lm_labels.flatten()[positions], count)

    def _regions(
        self,
        output: InterBertModelOutput,
        masked_regions: Tensor | None,
        region_targets: Tensor | None,
        matching_labels: Tensor | None,
        positions: Tensor | None,
        count: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        hidden = output.image_hidden_state
        assert hidden is not None
        if masked_regions is None or region_targets is None:
            return self.region_head(hidden), None
        if positions is None:
            predicted = masked_regions.bool()
            if matching_labels is not None:
                predicted = predicted & (matching_labels == MATCH).unsqueeze(1)
            positions = flat_positions(predicted)
        logits = predict_at(self.region_head, hidden, positions)
        targets = region_targets if region_targets.ndim == 2 else region_targets.flatten(0, 1)[positions]
        return logits, region_loss(logits, targets, self.config.region_objective, count)
