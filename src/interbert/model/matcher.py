"""The trunk with a matching head, and the dual-encoder mode of the same weights (SPEC part 6).

Shapes: B batch, R image tokens (global token first), T text tokens, H hidden size, P pooled size, D contrastive size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from interbert.errors import ConfigError
from interbert.model.configuration import InterBertConfig
from interbert.model.dropout import Dropout
from interbert.model.heads import ContrastiveHead, Fusion
from interbert.model.outputs import InterBertModelOutput
from interbert.model.trunk import InterBertModel, InterBertPreTrainedModel
from interbert.objectives.contrastive import contrastive_loss_from_scores
from interbert.objectives.gathering import gather_rows

_HEAD_SHARE = 0.3
"""Weight of the matching head's contrast beside the cosines': at 1 it costs the dual encoder a sixth of its recall."""


def prior_logits(difference: Tensor) -> Tensor:
    """A logit difference [B] as logits [B,2] of match and mismatch."""
    return torch.stack([difference, -difference], dim=-1) / 2


class Matcher(InterBertPreTrainedModel):
    """Trunk + fusion + matching head, and the dual-encoder mode of the same weights (SPEC part 6)."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.interbert = InterBertModel(config)
        self.fusion = Fusion(config)
        self.dropout = Dropout(config.fusion_dropout_prob)
        self.matching_head = nn.Linear(config.pooler_size, 2)
        if config.contrastive_size is not None:
            self.contrastive_head = ContrastiveHead(config)

    def _matching_logits(self, output: InterBertModelOutput) -> Tensor:
        logits: Tensor = self.matching_head(self.dropout(self.fusion(output.text_pooled, output.image_pooled)))
        return logits

    def match_embedded(self, text: Tensor, image: Tensor, region_mask: Tensor | None = None) -> Tensor:
        """Matching logits float32 [B,2] of embedded texts [B,T,H] without padding and embedded images [B,R,H].

        The dual prior is not in them: it is a product of separately encoded sides, which pair scoring computes once
        for all pairs. The head computes in float32 in any case: in bf16 its offset would leave a calibrated model a
        dozen different scores, and ties everywhere.
        """
        output = self.interbert.encode_embedded(text, image, None, region_mask, pooled_only=True, skip_padding=True)
        fused: Tensor = self.dropout(self.fusion(output.text_pooled, output.image_pooled))
        with torch.autocast(fused.device.type, enabled=False):
            logits: Tensor = self.matching_head(fused.to(self.matching_head.weight.dtype))
        return logits

    def encode_text(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, real_tokens: Tensor | None = None
    ) -> Tensor:
        """Vectors of texts, run alone through the interaction and the text extraction module.

        With ``contrastive_size`` unit vectors [B,D], and one number more, 1, beside a query bank; else the pooled
        vectors [B,P] as they are, of which :meth:`head_text` makes a score.
        """
        return self.project_text(self._pool_text(input_ids, attention_mask, real_tokens), input_ids, attention_mask)

    def project_text(self, pooled: Tensor, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Pooled vectors [B,P] of texts encoded alone as :meth:`encode_text` gives them."""
        if not self.config.contrastive_size:
            return pooled
        vectors: Tensor = self.contrastive_head.text(pooled, self.words(input_ids, attention_mask))
        if self.config.query_bank_size is None:
            return vectors
        return torch.cat([vectors, torch.ones_like(vectors[:, :1])], dim=1)

    def encode_image(
        self,
        region_features: Tensor,
        region_locations: Tensor,
        region_mask: Tensor | None = None,
        real_regions: Tensor | None = None,
    ) -> Tensor:
        """Vectors of images, run alone through the interaction and the image extraction module.

        With ``contrastive_size`` unit vectors [B,D], and one number more, the hub correction, beside a query bank; else
        pooled [B,P].
        """
        return self.project_image(self.pool_image(region_features, region_locations, region_mask, real_regions))

    def project_image(self, pooled: Tensor) -> Tensor:
        """Pooled vectors [B,P] of images encoded alone as :meth:`encode_image` gives them."""
        if not self.config.contrastive_size:
            return pooled
        return self.correct_hubs(self.contrastive_head.image(pooled))

    def correct_hubs(self, vectors: Tensor) -> Tensor:
        """Unit vectors [B,D] of images with the hub correction beside them, where there is a query bank."""
        if self.config.query_bank_size is None:
            return vectors
        correction = -self.config.hub_correction * self.contrastive_head.hubness(vectors)
        return torch.cat([vectors, correction.unsqueeze(1).to(vectors.dtype)], dim=1)

    def head_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Vectors [B,P+1] of texts whose products with :meth:`head_image`'s are matching logit differences.

        With the sides encoded apart the difference is ``(w0 - w1) . (text * image) + (b0 - b1)`` (SPEC part 6): an
        inner product of ``[(w0 - w1) * text, b0 - b1]`` and ``[image, 1]``, exactly. The dual prior is not in it.

        Raises:
            ConfigError: the fusion is ``sum``, which makes no inner product.
        """
        self._require_product()
        pooled = self._pool_text(input_ids, attention_mask)
        weight, bias = (one[0] - one[1] for one in (self.matching_head.weight, self.matching_head.bias))
        return torch.cat([pooled * weight, bias.expand(len(pooled), 1)], dim=1)

    def head_image(
        self, region_features: Tensor, region_locations: Tensor, region_mask: Tensor | None = None
    ) -> Tensor:
        """Vectors [B,P+1] of images for products with :meth:`head_text`'s.

        Raises:
            ConfigError: the fusion is ``sum``.
        """
        self._require_product()
        pooled = self.pool_image(region_features, region_locations, region_mask)
        return torch.cat([pooled, torch.ones_like(pooled[:, :1])], dim=1)

    def _require_product(self) -> None:
        if self.config.fusion != "mul":
            raise ConfigError(
                "the matching head gives a recall score with fusion 'mul' only: with 'sum' its logit difference is a "
                "number of the text plus a number of the image, so every text would rank the images alike. Use "
                "the projections (contrastive_size) instead."
            )

    def keep_query_bank(self, vectors: Tensor, correction: float) -> None:
        """Keep texts' vectors [K,D] and correct the scores of images that are near all of them.

        Args:
            vectors: of :meth:`encode_text`, by this model without a query bank.
            correction: share of the nearness that is taken off.
        """
        self.config.query_bank_size = len(vectors)
        self.config.hub_correction = correction
        self.contrastive_head.query_bank = vectors.detach().to(self.device)

    def _pool_text(self, input_ids: Tensor, attention_mask: Tensor | None, real_tokens: Tensor | None = None) -> Tensor:
        output = self.interbert(input_ids, attention_mask, pooled_only=True, real_tokens=real_tokens)
        pooled: Tensor = output.text_pooled
        return pooled

    def pool_image(
        self,
        region_features: Tensor,
        region_locations: Tensor,
        region_mask: Tensor | None = None,
        real_regions: Tensor | None = None,
    ) -> Tensor:
        """Pooled vectors [B,P] of images encoded alone."""
        pooled: Tensor = self.interbert(
            region_features=region_features,
            region_locations=region_locations,
            region_mask=region_mask,
            pooled_only=True,
            real_regions=real_regions,
        ).image_pooled
        return pooled

    def words(self, input_ids: Tensor, attention_mask: Tensor | None, dropout: float | None = None) -> Tensor | None:
        """What the contrastive head's table says of the words of texts [B,D]; None without one."""
        table = self.contrastive_head.lexical if self.config.contrastive_lexical else None
        return None if table is None else table(input_ids, attention_mask, dropout)

    def contrast(
        self,
        text_pooled: Tensor,
        image_pooled: Tensor,
        same: Tensor | None = None,
        words: Tensor | None = None,
    ) -> Tensor:
        """Contrast of pooled vectors [B,P] of separately encoded sides: by the dual encoder's cosines and by the head.

        With the sides encoded apart the matching logit difference is an inner product (SPEC part 6), so a batch's
        pairs cost one product of the pooled vectors. It teaches the matching head to match before the joint pass can:
        from random negatives alone that head stays at its chance value for thousands of steps.

        Args:
            same: bool [B,B], True where two pairs share image or text and are no negatives.
            words: of :meth:`words` [B,D], for the cosines.
        """
        losses: list[tuple[float, Tensor]] = []
        if self.config.contrastive_size is not None:
            cosines = self.contrastive_head.text(text_pooled, words) @ self.contrastive_head.image(image_pooled).T
            losses.append((1.0, contrastive_loss_from_scores(cosines * self.contrastive_head.scale, same)))
        if self.config.fusion == "mul":
            match = self.matching_head.weight[0] - self.matching_head.weight[1]
            by_head = contrastive_loss_from_scores((text_pooled * match) @ image_pooled.T, same)
            losses.append((_HEAD_SHARE if losses else 1.0, by_head))
        assert len(losses) > 0, "neither a contrastive head nor a product to contrast"
        return torch.stack([weight * loss for weight, loss in losses]).sum() / sum(weight for weight, _ in losses)

    def _contrastive_loss(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None,
        region_features: Tensor,
        region_locations: Tensor | None,
        region_mask: Tensor | None,
        same: Tensor | None,
        real_tokens: Tensor | None = None,
        real_regions: Tensor | None = None,
    ) -> Tensor:
        """Encode a batch's sides apart and contrast them; with other processes' where ``same`` counts more pairs."""
        assert region_locations is not None
        text_pooled = self._pool_text(input_ids, attention_mask, real_tokens)
        image_pooled = self.pool_image(region_features, region_locations, region_mask, real_regions)
        return self._contrast_pooled(text_pooled, image_pooled, same, self.words(input_ids, attention_mask))

    def _contrast_pooled(
        self, text_pooled: Tensor, image_pooled: Tensor, same: Tensor | None, words: Tensor | None
    ) -> Tensor:
        """Contrast pooled vectors [B,P]; with other processes' where ``same`` [K,K] counts more pairs than B."""
        total = len(text_pooled) if same is None else len(same)
        words = None if words is None else gather_rows(words, total)
        return self.contrast(gather_rows(text_pooled, total), gather_rows(image_pooled, total), same, words)
