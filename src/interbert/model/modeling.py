"""The front door: InterBERT, its pretraining model and its retrieval model; task heads are in ``tasks``.

Shapes: B batch, R image tokens (global token first), T text tokens, H hidden size, F region feature size, C region
classes, P pooled size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from interbert.errors import ConfigError
from interbert.model.configuration import InterBertConfig
from interbert.model.embeddings import ImageEmbeddings, TextEmbeddings
from interbert.model.encoder import BertLayer, InterBertEncoder, SelfAttention
from interbert.model.heads import ContrastiveHead, Fusion, LMHead, Pooler, RegionHead
from interbert.model.outputs import (
    InterBertForPreTrainingOutput,
    InterBertModelOutput,
    InterBertTaskOutput,
)
from interbert.objectives.contrastive import contrastive_loss_from_scores
from interbert.objectives.matching import matching_loss
from interbert.objectives.region_masking import region_loss
from interbert.objectives.segment_masking import masked_lm_loss

IGNORE_LABEL = -100
_HEAD_SHARE = 0.3
"""Weight of the matching head's contrast beside the cosines': at 1 it costs the dual encoder a fifth of its recall."""


class InterBertPreTrainedModel(PreTrainedModel):  # type: ignore[misc]
    """Initialisation, saving and loading shared by all InterBERT models."""

    config_class = InterBertConfig
    config: InterBertConfig
    base_model_prefix = "interbert"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False
    _no_split_modules = ["BertLayer"]  # noqa: RUF012  (the base class's own form)
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": BertLayer, "attentions": SelfAttention}  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Weights N(0, initializer_range), biases 0, LayerNorm 1/0 (SPEC part 1)."""
        super()._init_weights(module)


class InterBertModel(InterBertPreTrainedModel):
    """Embeddings, encoder and poolers."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.text_embeddings = TextEmbeddings(config)
        self.image_embeddings = ImageEmbeddings(config)
        self.encoder = InterBertEncoder(config)
        self.text_pooler = Pooler(config)
        self.image_pooler = Pooler(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the word embedding."""
        return self.text_embeddings.word_embeddings

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the word embedding."""
        self.text_embeddings.word_embeddings = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        pooled_only: bool = False,
    ) -> InterBertModelOutput:
        """Encode texts, images, or pairs of both.

        Args:
            input_ids: int64 [B,T]; None for images alone.
            attention_mask: [B,T], 1 at real tokens; None when all are.
            token_type_ids: int64 [B,T]; None means segment 0.
            region_features: [B,R,F], global token first; None for texts alone.
            region_locations: [B,R,5].
            region_mask: [B,R], 1 at real regions; None when all are.
            pooled_only: compute no more than the pooled vectors need; hidden states then have length 1.

        Raises:
            ConfigError: neither side is given, or features come without locations.
        """
        if input_ids is None and region_features is None:
            raise ConfigError("Give input_ids, region_features, or both: the model got neither.")
        text = image = None
        if input_ids is not None:
            text = self.text_embeddings(input_ids, token_type_ids)
        if region_features is not None:
            if region_locations is None:
                raise ConfigError("region_features need region_locations [B,R,5] beside them.")
            image = self.image_embeddings(region_features, region_locations)
        return self.encode_embedded(text, image, attention_mask, region_mask, pooled_only)

    def encode_embedded(
        self,
        text: Tensor | None,
        image: Tensor | None,
        attention_mask: Tensor | None = None,
        region_mask: Tensor | None = None,
        pooled_only: bool = False,
    ) -> InterBertModelOutput:
        """Encode tokens that are embedded already ([B,T,H], [B,R,H]): what pair scoring reuses for each picture."""
        text, image = self.encoder(text, image, attention_mask, region_mask, pooled_only)
        return InterBertModelOutput(
            text_hidden_state=text,
            image_hidden_state=image,
            text_pooled=None if text is None else self.text_pooler(text),
            image_pooled=None if image is None else self.image_pooler(image),
        )


def apply_to(side: Tensor | None, change: Callable[[Tensor], Tensor]) -> Tensor | None:
    """``change`` a tensor that may be absent."""
    return None if side is None else change(side)


def prior_logits(difference: Tensor) -> Tensor:
    """A logit difference [B] as logits [B,2] of match and mismatch."""
    return torch.stack([difference, -difference], dim=-1) / 2


class _Matcher(InterBertPreTrainedModel):
    """Trunk + fusion + matching head, and the dual-encoder mode of the same weights (SPEC part 6)."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.interbert = InterBertModel(config)
        self.fusion = Fusion(config)
        self.dropout = nn.Dropout(config.fusion_dropout_prob)
        self.matching_head = nn.Linear(config.pooler_size, 2)
        if config.contrastive_size is not None:
            self.contrastive_head = ContrastiveHead(config)

    def _matching_logits(self, output: InterBertModelOutput) -> Tensor:
        logits: Tensor = self.matching_head(self.dropout(self.fusion(output.text_pooled, output.image_pooled)))
        return logits

    def match_embedded(self, text: Tensor, image: Tensor, region_mask: Tensor | None = None) -> Tensor:
        """Matching logits [B,2] of embedded texts [B,T,H] without padding and embedded pictures [B,R,H].

        The dual prior is not in them: it is a product of separately encoded sides, which pair scoring computes once
        for all pairs.
        """
        output = self.interbert.encode_embedded(text, image, None, region_mask, pooled_only=True)
        return self._matching_logits(output)

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Vectors of texts in dual-encoder mode: unit [B,D] with ``contrastive_size``, else pooled [B,P]."""
        pooled = self._pool_text(input_ids, attention_mask)
        return self.contrastive_head.text(pooled) if self.config.contrastive_size else pooled

    def encode_image(
        self, region_features: Tensor, region_locations: Tensor, region_mask: Tensor | None = None
    ) -> Tensor:
        """Vectors of pictures in dual-encoder mode: unit [B,D] with ``contrastive_size``, else pooled [B,P]."""
        pooled = self.pool_image(region_features, region_locations, region_mask)
        return self.contrastive_head.image(pooled) if self.config.contrastive_size else pooled

    def _pool_text(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        pooled: Tensor = self.interbert(input_ids, attention_mask, pooled_only=True).text_pooled
        return pooled

    def pool_image(
        self, region_features: Tensor, region_locations: Tensor, region_mask: Tensor | None = None
    ) -> Tensor:
        """Pooled vectors [B,P] of pictures encoded alone."""
        pooled: Tensor = self.interbert(
            region_features=region_features,
            region_locations=region_locations,
            region_mask=region_mask,
            pooled_only=True,
        ).image_pooled
        return pooled

    def contrast(self, text_pooled: Tensor, image_pooled: Tensor, same: Tensor | None = None) -> Tensor:
        """Contrast of pooled vectors [B,P] of separately encoded sides: by the dual encoder's cosines and by the head.

        With the sides encoded apart the matching logit difference is an inner product (SPEC part 6), so a batch's
        pairs cost one product of the pooled vectors. It teaches the matching head to match before the joint pass can:
        from random negatives alone that head stays at its chance value for thousands of steps.

        Args:
            same: bool [B,B], True where two pairs share picture or text and are no negatives.
        """
        losses: list[tuple[float, Tensor]] = []
        if self.config.contrastive_size is not None:
            cosines = self.contrastive_head.text(text_pooled) @ self.contrastive_head.image(image_pooled).T
            losses.append((1.0, contrastive_loss_from_scores(cosines * self.contrastive_head.scale, same)))
        if self.config.fusion == "mul":
            match = self.matching_head.weight[0] - self.matching_head.weight[1]
            by_head = contrastive_loss_from_scores((text_pooled * match) @ image_pooled.T, same)
            losses.append((_HEAD_SHARE if losses else 1.0, by_head))
        assert losses, "neither a contrastive head nor a product to contrast"
        return torch.stack([weight * loss for weight, loss in losses]).sum() / sum(weight for weight, _ in losses)

    def _contrastive_loss(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        region_features: Tensor,
        region_locations: Tensor | None,
        region_mask: Tensor | None,
        same: Tensor | None,
    ) -> Tensor:
        """Encode a batch's sides apart and contrast them."""
        assert region_locations is not None
        text_pooled = self._pool_text(input_ids, attention_mask)
        image_pooled = self.pool_image(region_features, region_locations, region_mask)
        return self.contrast(text_pooled, image_pooled, same)


class InterBertForPreTraining(_Matcher):
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
                :class:`InterBertModel`.
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
        output = self.interbert(
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask
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


class InterBertForImageTextRetrieval(_Matcher):
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
                :class:`InterBertModel`.
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

    @torch.inference_mode()
    def score(self, **inputs: Tensor) -> Tensor:
        """Match probabilities [B] of pairs: softmax(matching logits)[0] (SPEC part 4)."""
        return self(**inputs).logits.float().softmax(dim=-1)[:, 0]  # type: ignore[no-any-return]
