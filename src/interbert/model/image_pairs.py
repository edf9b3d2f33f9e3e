"""Classification of a sentence about two images (NLVR2).

Shapes: B items, T text tokens, R image tokens (global token first), L = R + T, H hidden size, P pooled size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from interbert.model.configuration import InterBertConfig
from interbert.model.dropout import Dropout
from interbert.model.modeling import (
    Fusion,
    InterBertModel,
    InterBertModelOutput,
    InterBertPreTrainedModel,
    InterBertTaskOutput,
    LayerNorm,
)

PAIR, PAIR_ATTENTION = "pair", "pair_attention"
"""Input arrangements: the sentence is read with each image; what is compared is the two fused vectors, or all tokens of
the two readings, which attend to each other."""


class PairHead(nn.Module):
    """Logits of the two fused vectors side by side (LXMERT, arXiv 1908.07490; UNITER's "pair", arXiv 1909.11740)."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(2 * config.pooler_size, config.pooler_size)
        self.LayerNorm = LayerNorm(config.pooler_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.fusion_dropout_prob)
        self.decoder = nn.Linear(config.pooler_size, config.num_labels)

    def forward(self, fused: Tensor) -> Tensor:
        """[2B,P], the two readings of an item one after the other, to [B,num_labels]."""
        both = fused.view(len(fused) // 2, -1)
        hidden: Tensor = self.LayerNorm(nn.functional.gelu(self.dense(both)))
        logits: Tensor = self.decoder(self.dropout(hidden))
        return logits


class CrossAttention(nn.Module):
    """Multi-head attention of one reading's tokens over the other's."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, own: Tensor, other: Tensor, mask: Tensor) -> Tensor:
        """``own`` [B,L,H] over ``other`` [B,L,H], where ``mask`` bool [B,L] is True."""
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(own), self.key(other), self.value(other))
        )
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None])
        found: Tensor = self.output(mixed.transpose(1, 2).flatten(2))
        return found


class PairAttentionHead(nn.Module):
    """Each reading attends to the other, then is pooled by attention (UNITER's "pair-biattn")."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.attention = CrossAttention(config)
        self.dense = nn.Linear(2 * hidden, hidden)
        self.weight = nn.Linear(hidden, 1)
        self.dropout = Dropout(config.fusion_dropout_prob)
        self.decoder = nn.Linear(2 * hidden, config.num_labels)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """[2B,L,H] and bool [2B,L] to [B,num_labels]."""
        other = torch.arange(len(tokens), device=tokens.device) ^ 1  # of each reading, the other of its item
        seen = self.attention(tokens, tokens[other], mask[other])
        joined = self.dropout(nn.functional.relu(self.dense(torch.cat([tokens, seen], dim=-1))))
        weight = self.weight(joined).squeeze(-1).masked_fill(~mask, -10000.0).softmax(dim=-1)
        pooled = torch.einsum("bl,blh->bh", weight, joined)
        logits: Tensor = self.decoder(pooled.reshape(len(tokens) // 2, -1))
        return logits


class InterBertForImagePairClassification(InterBertPreTrainedModel):
    """A label for a sentence about two images, by the configuration's ``image_arrangement``."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.interbert = InterBertModel(config)
        self.by_attention = config.image_arrangement == PAIR_ATTENTION
        if self.by_attention:
            self.attention_head = PairAttentionHead(config)
        else:
            self.fusion = Fusion(config)
            self.dropout = Dropout(config.fusion_dropout_prob)
            self.pair_head = PairHead(config)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> InterBertTaskOutput:
        """Logits [B,num_labels].

        Args:
            input_ids, attention_mask, token_type_ids: [B,T], one sentence an item.
            region_features, region_locations, region_mask: [B,2,R,...], two images an item.
            labels: int64 [B].
        """
        sides: dict[str, Any] = {
            name: None if side is None else side.repeat_interleave(2, dim=0)
            for name, side in (
                ("input_ids", input_ids),
                ("attention_mask", attention_mask),
                ("token_type_ids", token_type_ids),
            )
        } | {
            name: None if side is None else side.flatten(0, 1)
            for name, side in (
                ("region_features", region_features),
                ("region_locations", region_locations),
                ("region_mask", region_mask),
            )
        }
        logits = self.pair_logits(**sides)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return InterBertTaskOutput(loss=loss, logits=logits)

    def pair_logits(self, **readings: Any) -> Tensor:
        """Logits [B,num_labels] of 2B readings: the sentence with the first image, then with the second.

        Args:
            readings: inputs of the trunk's ``encode``, each [2B,...].
        """
        output = self.interbert.encode(**readings, pooled_only=not self.by_attention)
        if not self.by_attention:
            logits: Tensor = self.pair_head(self.dropout(self.fusion(output.text_pooled, output.image_pooled)))
            return logits
        found: Tensor = self.attention_head(*_tokens(output, readings))
        return found


def _tokens(output: InterBertModelOutput, readings: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """All tokens of the readings [2B,L,H], and bool [2B,L], True at real ones."""
    sides = (
        (output.image_hidden_state, readings.get("region_mask")),
        (output.text_hidden_state, readings.get("attention_mask")),
    )
    states = [(state, mask) for state, mask in sides if state is not None]
    masks = [state.new_ones(state.shape[:2]) if mask is None else mask for state, mask in states]
    return torch.cat([state for state, _ in states], dim=1), torch.cat([mask.bool() for mask in masks], dim=1)
