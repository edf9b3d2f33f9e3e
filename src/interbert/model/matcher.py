"""The trunk with a matching head, and the dual-encoder mode of the same weights (SPEC part 6).

Shapes: B batch, R image tokens (global token first), T text tokens, H hidden size, P pooled size, D contrastive size.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from interbert.errors import ConfigError
from interbert.model.configuration import InterBertConfig
from interbert.model.dropout import Dropout
from interbert.model.heads import ContrastiveHead, Fusion
from interbert.model.outputs import InterBertModelOutput
from interbert.model.trunk import InterBertModel, InterBertPreTrainedModel


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

    def matching_logits(self, output: InterBertModelOutput) -> Tensor:
        """Logits [B,2] of pairs as the trunk gives them; class 0 means match."""
        logits: Tensor = self.matching_head(self.dropout(self.fusion(output.text_pooled, output.image_pooled)))
        return logits

    def total_loss(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Sum of losses by the configuration's weights of these names."""
        return torch.stack([getattr(self.config, f"{name}_weight") * loss for name, loss in losses.items()]).sum()

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

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Vectors of texts, run alone through the interaction and the text extraction module.

        With ``contrastive_size`` unit vectors [B,D], and one number more, 1, beside a query bank; else the pooled
        vectors [B,P] as they are, of which :meth:`head_text` makes a score.
        """
        return self.project_text(self.pool_text(input_ids, attention_mask), input_ids, attention_mask)

    def project_text(self, pooled: Tensor, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Pooled vectors [B,P] of texts encoded alone as :meth:`encode_text` gives them."""
        if not self.config.contrastive_size:
            return pooled
        vectors: Tensor = self.contrastive_head.text(pooled, self.words(input_ids, attention_mask))
        if self.config.query_bank_size is None:
            return vectors
        return torch.cat([vectors, torch.ones_like(vectors[:, :1])], dim=1)

    def encode_image(
        self, region_features: Tensor, region_locations: Tensor, region_mask: Tensor | None = None
    ) -> Tensor:
        """Vectors of images, run alone through the interaction and the image extraction module.

        With ``contrastive_size`` unit vectors [B,D], and one number more, the hub correction, beside a query bank; else
        pooled [B,P].
        """
        return self.project_image(self.pool_image(region_features, region_locations, region_mask))

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
        pooled = self.pool_text(input_ids, attention_mask)
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

    def pool_text(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, real_tokens: Tensor | None = None
    ) -> Tensor:
        """Pooled vectors [B,P] of texts encoded alone; ``real_tokens`` as in the trunk's ``encode``."""
        output = self.interbert.encode(input_ids, attention_mask, pooled_only=True, real_tokens=real_tokens)
        assert output.text_pooled is not None
        return output.text_pooled

    def pool_image(
        self,
        region_features: Tensor,
        region_locations: Tensor,
        region_mask: Tensor | None = None,
        real_regions: Tensor | None = None,
    ) -> Tensor:
        """Pooled vectors [B,P] of images encoded alone; ``real_regions`` as in the trunk's ``encode``."""
        output = self.interbert.encode(
            region_features=region_features,
            region_locations=region_locations,
            region_mask=region_mask,
            pooled_only=True,
            real_regions=real_regions,
        )
        assert output.image_pooled is not None
        return output.image_pooled

    def words(self, input_ids: Tensor, attention_mask: Tensor | None, dropout: float | None = None) -> Tensor | None:
        """What the contrastive head's table says of the words of texts [B,D]; None without one."""
        table = self.contrastive_head.lexical if self.config.contrastive_lexical else None
        return None if table is None else table(input_ids, attention_mask, dropout)
