"""Post-LayerNorm BERT layers and the interaction -> extraction chain (paper section 3.1, SPEC part 1).

Shapes: B batch, L sequence length, Q query positions, R image tokens, T text tokens, H hidden size, A heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from interbert.errors import ConfigError
from interbert.model.configuration import InterBertConfig


@dataclass(frozen=True)
class LayerSizes:
    """Sizes of one kind of layer; image layers have their own (the reference's ``v_*`` fields)."""

    heads: int
    intermediate: int
    hidden_dropout: float
    attention_dropout: float

    @classmethod
    def text(cls, config: InterBertConfig) -> LayerSizes:
        """Sizes of interaction and text layers."""
        return cls(
            config.num_attention_heads,
            config.intermediate_size,
            config.hidden_dropout_prob,
            config.attention_probs_dropout_prob,
        )

    @classmethod
    def image(cls, config: InterBertConfig) -> LayerSizes:
        """Sizes of image layers."""
        return cls(
            config.image_num_attention_heads,
            config.image_intermediate_size,
            config.image_hidden_dropout_prob,
            config.image_attention_probs_dropout_prob,
        )


def eager_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **_: Any,
) -> tuple[Tensor, Tensor]:
    """Softmax attention that returns its weights; query, key, value [B,A,L,H/A], additive mask [B,1,Q,L]."""
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = nn.functional.softmax(scores, dim=-1)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class SelfAttention(nn.Module):
    """Multi-head self-attention with scale 1/sqrt(head size) and dropout on the weights."""

    is_causal = False

    def __init__(self, config: InterBertConfig, sizes: LayerSizes) -> None:
        super().__init__()
        self.config = config
        self.head_size = config.hidden_size // sizes.heads
        self.attention_dropout = sizes.attention_dropout
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key = nn.Linear(config.hidden_size, config.hidden_size)
        self.value = nn.Linear(config.hidden_size, config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, queries: Tensor, hidden_state: Tensor, attention_mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from ``queries`` [B,Q,H] to ``hidden_state`` [B,L,H]; returns [B,Q,H] and the weights, if any."""
        attend: Callable[..., tuple[Tensor, Tensor | None]] = eager_attention
        if self.config._attn_implementation != "eager":
            attend = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
        context, weights = attend(
            self,
            self._split(self.query(queries)),
            self._split(self.key(hidden_state)),
            self._split(self.value(hidden_state)),
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.head_size**-0.5,
        )
        return self.output(context.reshape(queries.shape)), weights

    def _split(self, projected: Tensor) -> Tensor:
        return projected.view(*projected.shape[:2], -1, self.head_size).transpose(1, 2)


class BertLayer(GradientCheckpointingLayer):  # type: ignore[misc]
    """One post-LayerNorm transformer layer."""

    def __init__(self, config: InterBertConfig, sizes: LayerSizes) -> None:
        super().__init__()
        self.attention = SelfAttention(config, sizes)
        self.attention_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.intermediate = nn.Linear(config.hidden_size, sizes.intermediate)
        self.activation = ACT2FN[config.hidden_act]
        self.output = nn.Linear(sizes.intermediate, config.hidden_size)
        self.output_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(sizes.hidden_dropout)

    def forward(
        self, hidden_state: Tensor, attention_mask: Tensor | None = None, num_queries: int | None = None
    ) -> Tensor:
        """Transform a sequence.

        Args:
            hidden_state: [B,L,H].
            attention_mask: mask in the form of the attention implementation, [B,1,1,L] or [B,1,L,L].
            num_queries: compute only the first so many positions (all positions are still attended to).

        Returns:
            [B,L,H], or [B,num_queries,H].
        """
        queries = hidden_state
        if num_queries is not None:
            queries = hidden_state[:, :num_queries]
            if attention_mask is not None and attention_mask.shape[-2] > 1:
                attention_mask = attention_mask[..., :num_queries, :]
        attended, _ = self.attention(queries, hidden_state, attention_mask)
        attended = self.attention_layer_norm(self.dropout(attended) + queries)
        transformed = self.output(self.activation(self.intermediate(attended)))
        return self.output_layer_norm(self.dropout(transformed) + attended)  # type: ignore[no-any-return]


class LayerStack(nn.ModuleList):
    """Layers applied in order."""

    def __init__(self, config: InterBertConfig, sizes: LayerSizes, num_layers: int) -> None:
        super().__init__([BertLayer(config, sizes) for _ in range(num_layers)])

    def forward(self, hidden_state: Tensor, attention_mask: Tensor | None, num_outputs: int | None = None) -> Tensor:
        """Run all layers; with ``num_outputs`` the last layer computes only the first so many positions."""
        last = len(self) - 1
        for index, layer in enumerate(self):
            num_queries = num_outputs if index == last else None
            hidden_state = layer(hidden_state, attention_mask, num_queries=num_queries)
        return hidden_state


class InterBertEncoder(nn.Module):
    """Interaction over the joint sequence, then extraction of each modality on its own.

    Image tokens come first in the joint sequence. With one modality absent, the other runs alone through the same
    layers.
    """

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.config = config
        text_sizes, image_sizes = LayerSizes.text(config), LayerSizes.image(config)
        self.interaction_layers = LayerStack(config, text_sizes, config.num_interaction_layers)
        self.text_layers = LayerStack(config, text_sizes, config.num_text_layers)
        self.image_layers = LayerStack(config, image_sizes, config.num_image_layers)

    def forward(
        self,
        text: Tensor | None,
        image: Tensor | None,
        text_mask: Tensor | None,
        image_mask: Tensor | None,
        pooled_only: bool = False,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Encode embedded tokens.

        Args:
            text: [B,T,H] or None.
            image: [B,R,H] or None; not both None.
            text_mask: [B,T], 1 at real tokens, or None when all are.
            image_mask: [B,R], likewise.
            pooled_only: compute only the first position of each output (what the poolers read).

        Returns:
            text hidden state [B,T,H] and image hidden state [B,R,H] (length 1 each with ``pooled_only``), None for
            an absent side.
        """
        if text is not None and image is not None and text.shape[0] != image.shape[0]:
            raise ConfigError(
                f"{text.shape[0]} texts and {image.shape[0]} pictures make no pairs. Give as many of each, or one side."
            )
        parts = [part for part in (image, text) if part is not None]
        joint = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        joint_mask = _join_masks(text, image, text_mask, image_mask)
        joint = self.interaction_layers(joint, self._mask(joint, joint_mask))
        num_image = image.shape[1] if image is not None else 0
        num_outputs = 1 if pooled_only else None
        if image is not None:
            image = self.image_layers(joint[:, :num_image], self._mask(image, image_mask), num_outputs)
        if text is not None:
            text = self.text_layers(joint[:, num_image:], self._mask(text, text_mask), num_outputs)
        if num_outputs is not None:
            text, image = (side[:, :1] if side is not None else None for side in (text, image))
        return text, image

    def _mask(self, hidden_state: Tensor, mask: Tensor | None) -> Tensor | None:
        """Turn [B,L] ones and zeros into the form the attention implementation wants."""
        if mask is None:
            return None
        full: Tensor | None = create_bidirectional_mask(
            config=self.config, inputs_embeds=hidden_state, attention_mask=mask
        )
        return full


def _join_masks(
    text: Tensor | None, image: Tensor | None, text_mask: Tensor | None, image_mask: Tensor | None
) -> Tensor | None:
    if text is None:
        return image_mask
    if image is None:
        return text_mask
    if text_mask is None and image_mask is None:
        return None
    ones = [
        torch.ones(side.shape[:2], dtype=torch.long, device=side.device) if mask is None else mask.long()
        for side, mask in ((image, image_mask), (text, text_mask))
    ]
    return torch.cat(ones, dim=1)
