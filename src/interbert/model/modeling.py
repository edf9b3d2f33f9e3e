"""The front door: the pretraining model and the retrieval model; the trunk is in ``trunk``, task heads in ``tasks``.

Shapes: B batch, R image tokens (global token first), T text tokens, H hidden size, F region feature size, C region
classes, P pooled size, V vocabulary.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from interbert.model.configuration import InterBertConfig
from interbert.model.cross_encoder_files import write_cross_encoder_files
from interbert.model.heads import LMHead, RegionHead
from interbert.model.matcher import Matcher, prior_logits
from interbert.model.outputs import InterBertForPreTrainingOutput, InterBertModelOutput, InterBertTaskOutput
from interbert.model.trunk import apply_to
from interbert.objectives.matching import matching_loss
from interbert.objectives.region_masking import region_loss
from interbert.objectives.segment_masking import masked_lm_loss

IGNORE_LABEL = -100


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
    ) -> InterBertForPreTrainingOutput:
        """Losses where labels are given, full logits where they are not.

        Args:
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask: as in
                :class:`~interbert.model.trunk.InterBertModel`.
            lm_labels: int64 [B,T], the true piece where predicted and -100 elsewhere.
            masked_regions: bool [B,R], True where a region is predicted (never the global token).
            region_targets: [B,R,C] class distributions, or [B,R,F] features when regressing; for the contrastive
                objective and for regression they are of the unmasked picture.
            matching_labels: int64 [B], 0 match, 1 mismatch.
            contrast_input_ids, contrast_attention_mask: int64 [B,T'], each picture's own caption, unmasked: the
                contrastive objective's texts. None leaves that objective out.
            contrast_region_features: [B,R,F] unmasked features of the same pictures.
            contrast_same: bool [B,B], True where two pairs share picture or text and are no negatives.
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
        losses: list[Tensor] = []
        if output.text_hidden_state is not None:
            result.lm_logits, result.lm_loss = self._language(output, lm_labels, matching_labels)
            if result.lm_loss is not None:
                losses.append(self.config.lm_loss_weight * result.lm_loss)
        if output.image_hidden_state is not None:
            result.region_logits, result.region_loss = self._regions(
                output, masked_regions, region_targets, matching_labels
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
            )
            losses.append(self.config.contrastive_loss_weight * result.contrastive_loss)
        if losses:
            result.loss = torch.stack(losses).sum()
        return result

    def _language(
        self, output: InterBertModelOutput, lm_labels: Tensor | None, matching_labels: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        hidden = output.text_hidden_state
        assert hidden is not None
        if lm_labels is None:
            return self.lm_head(hidden), None
        predicted = lm_labels != IGNORE_LABEL
        if matching_labels is not None and not self.config.lm_loss_on_mismatched:
            predicted = predicted & (matching_labels == 0).unsqueeze(1)
        logits = self.lm_head(hidden[predicted])
        return logits, masked_lm_loss(logits, lm_labels[predicted])

    def _regions(
        self,
        output: InterBertModelOutput,
        masked_regions: Tensor | None,
        region_targets: Tensor | None,
        matching_labels: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        hidden = output.image_hidden_state
        assert hidden is not None
        if masked_regions is None or region_targets is None:
            return self.region_head(hidden), None
        predicted = masked_regions.bool()
        if matching_labels is not None:
            predicted = predicted & (matching_labels == 0).unsqueeze(1)
        logits = self.region_head(hidden[predicted])
        return logits, region_loss(logits, region_targets[predicted], self.config.region_objective)


class InterBertForImageTextRetrieval(Matcher):
    """The matching head alone: how well does a text fit a picture (SPEC part 4, caption-based image retrieval)."""

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
    ) -> InterBertTaskOutput:
        """Matching logits [B,2] (class 0 means match) and, with labels, the loss.

        Args:
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask: as in
                :class:`~interbert.model.trunk.InterBertModel`.
            matching_labels: int64 [B], 0 match, 1 mismatch.
            contrast_rows: int64 [K], rows of the batch that are true pairs: with ``contrastive_size`` set they are
                also encoded in dual mode and contrasted with each other.
            contrast_same: bool [K,K], True where two of them share picture or text.
        """
        output = self.interbert(
            input_ids,
            attention_mask,
            token_type_ids,
            region_features,
            region_locations,
            region_mask,
            pooled_only=True,
        )
        logits = self._matching_logits(output)
        if self.config.dual_prior is not None:
            assert region_features is not None
            assert region_locations is not None
            with torch.no_grad():  # the contrast below is what trains the dual encoder
                texts = self.encode_text(input_ids, attention_mask)
                images = self.encode_image(region_features, region_locations, region_mask)
                cosines = (texts * images).sum(dim=-1)
            logits = logits + prior_logits(cosines * self.config.dual_prior)
        result = InterBertTaskOutput(logits=logits)
        losses = []
        if matching_labels is not None:
            result.matching_loss = matching_loss(logits, matching_labels)
            losses.append(self.config.matching_loss_weight * result.matching_loss)
        if contrast_rows is not None:
            assert region_features is not None
            result.contrastive_loss = self._contrastive_loss(
                input_ids[contrast_rows],
                apply_to(attention_mask, lambda side: side[contrast_rows]),
                region_features[contrast_rows],
                apply_to(region_locations, lambda side: side[contrast_rows]),
                apply_to(region_mask, lambda side: side[contrast_rows]),
                contrast_same,
            )
            losses.append(self.config.contrastive_loss_weight * result.contrastive_loss)
        if losses:
            result.loss = torch.stack(losses).sum()
        return result

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Save as every model does; sentence-transformers' ``CrossEncoder`` can load the directory too."""
        super().save_pretrained(save_directory, **kwargs)
        if kwargs.get("is_main_process", True):
            write_cross_encoder_files(Path(save_directory))

    @torch.inference_mode()
    def score(self, **inputs: Tensor) -> Tensor:
        """Match probabilities [B] of pairs: softmax(matching logits)[0] (SPEC part 4)."""
        return self(**inputs).logits.float().softmax(dim=-1)[:, 0]  # type: ignore[no-any-return]
