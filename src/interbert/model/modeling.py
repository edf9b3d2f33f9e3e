"""The front door: the pretraining model and the retrieval model; the trunk is in ``trunk``, task heads in ``tasks``.

Shapes: B batch, R image tokens (global token first), T text tokens, H hidden size, F region feature size, C region
classes, P pooled size, V vocabulary.
"""

from __future__ import annotations

from torch import Tensor, nn

from interbert.losses.pretraining import IGNORE_LABEL, flat_positions, masked_lm_loss, matching_loss, region_loss
from interbert.model.configuration import InterBertConfig
from interbert.model.heads import LMHead, RegionHead, predict_at
from interbert.model.matcher import Matcher
from interbert.model.outputs import InterBertForPreTrainingOutput


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
    ) -> InterBertForPreTrainingOutput:
        """Losses where labels are given, full logits where they are not.

        Args:
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask: as in
                :class:`~interbert.model.trunk.InterBertModel`.
            lm_labels: int64 [B,T], the true token where predicted and -100 elsewhere.
            masked_regions: bool [B,R], True where a region is predicted (never the global token).
            region_targets: [B,R,C] class distributions, or [B,R,F] features of the unmasked image when regressing.
            matching_labels: int64 [B], 0 match, 1 mismatch.
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
        )
        result = InterBertForPreTrainingOutput(**output)
        if input_ids is not None:
            result.lm_logits, result.lm_loss = self._language(output.text_hidden_state, lm_labels, matching_labels)
        if region_features is not None:
            result.region_logits, result.region_loss = self._regions(
                output.image_hidden_state, masked_regions, region_targets, matching_labels
            )
        result.matching_logits = self.matching_logits(output)
        if matching_labels is not None:
            result.matching_loss = matching_loss(result.matching_logits, matching_labels)
        losses = {name: getattr(result, name) for name in ("lm_loss", "region_loss", "matching_loss")}
        losses = {name: loss for name, loss in losses.items() if loss is not None}
        if losses:
            result.loss = self.total_loss(losses)
        return result

    def _language(
        self, hidden: Tensor, labels: Tensor | None, matching_labels: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        if labels is None:
            return self.lm_head(hidden), None
        only_of = None if self.config.lm_loss_on_mismatched else matching_labels
        positions = flat_positions(labels != IGNORE_LABEL, only_of)
        logits = predict_at(self.lm_head, hidden, positions)
        return logits, masked_lm_loss(logits, labels.flatten()[positions])

    def _regions(
        self, hidden: Tensor, masked: Tensor | None, targets: Tensor | None, matching_labels: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        if masked is None or targets is None:
            return self.region_head(hidden), None
        positions = flat_positions(masked.bool(), matching_labels)
        logits = predict_at(self.region_head, hidden, positions)
        return logits, region_loss(logits, targets.flatten(0, 1)[positions], self.config.region_objective)
