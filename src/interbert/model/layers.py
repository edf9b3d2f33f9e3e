"""Post-LayerNorm BERT layers over padded or packed tokens (paper section 3.1, SPEC part 1).

Shapes: B batch, L sequence length, Q query positions, N real tokens of the batch, H hidden size, A heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from interbert.model.configuration import InterBertConfig
from interbert.model.dropout import Dropout
from interbert.model.packing import Packing
from interbert.model.varlen import Sequences, ShortSequences


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


class LayerNorm(nn.LayerNorm):
    """LayerNorm that stays in autocast's type on a GPU, where torch would go on in float32.

    Its statistics are float32 all the same, and what follows casts to autocast's type: only the sums of the residual
    path lose digits, as they do on a CPU. Half the memory traffic of what is bound by it.
    """

    def forward(self, hidden_state: Tensor) -> Tensor:
        """[...,H] -> [...,H]."""
        if hidden_state.device.type != "cuda" or not torch.is_autocast_enabled("cuda"):
            return super().forward(hidden_state)
        dtype = torch.get_autocast_dtype("cuda")
        with torch.autocast("cuda", enabled=False):
            return nn.functional.layer_norm(
                hidden_state.to(dtype), self.normalized_shape, self.weight.to(dtype), self.bias.to(dtype), self.eps
            )


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
        self,
        queries: Tensor,
        hidden_state: Tensor,
        attention_mask: Tensor | ShortSequences | None,
        packing: Packing | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from ``queries`` to ``hidden_state``.

        Args:
            queries: [B,Q,H]; packed: ``hidden_state`` itself, or one token of each sequence [B,H].
            hidden_state: [B,L,H]; packed [N,H].
            attention_mask: as in :class:`BertLayer`.
            packing: of packed tokens; None when they are padded.

        Returns:
            a tensor like ``queries`` and the weights, if any.
        """
        dropout = self.attention_dropout if self.training else 0.0
        short = attention_mask if packing is None else packing.sequences
        if isinstance(short, ShortSequences):
            return self._attend_short(queries, hidden_state, short, dropout), None
        assert not isinstance(attention_mask, ShortSequences)
        attend: Callable[..., tuple[Tensor, Tensor | None]] = eager_attention
        if self.config._attn_implementation != "eager":
            attend = ALL_ATTENTION_FUNCTIONS[self.config._attn_implementation]
        query, key, value = self.query(queries), self.key(hidden_state), self.value(hidden_state)
        if packing is not None and isinstance(packing.sequences, Sequences):
            query, key, value = (one.unflatten(-1, (-1, self.head_size)) for one in (query, key, value))
            first_only = queries is not hidden_state
            found = packing.sequences.attend(query, key, value, first_only, dropout)
            return self.output(found.flatten(1)), None
        if packing is not None:
            query = packing.unpack(query, zeros=False) if queries is hidden_state else query.unsqueeze(1)
            key, value = packing.unpack(key, zeros=False), packing.unpack(value, zeros=False)
        context, weights = attend(
            self,
            self._split(query),
            self._split(key),
            self._split(value),
            attention_mask,
            dropout=dropout,
            scaling=self.head_size**-0.5,
        )
        if packing is not None and queries is hidden_state:
            context = packing.pack(context.flatten(2))
        return self.output(context.reshape(queries.shape)), weights

    def _attend_short(self, queries: Tensor, hidden_state: Tensor, sequences: ShortSequences, dropout: float) -> Tensor:
        """The same by the kernels for short sequences; one product of matrices gives what several would."""
        if queries is hidden_state:
            found = sequences.within(
                _projected(hidden_state, self.head_size, self.query, self.key, self.value), dropout
            )
        else:
            query = _projected(queries, self.head_size, self.query)[:, 0]
            found = sequences.from_first(query, _projected(hidden_state, self.head_size, self.key, self.value), dropout)
        return self.output(found.view(queries.shape))  # type: ignore[no-any-return]

    def _split(self, projected: Tensor) -> Tensor:
        return projected.view(*projected.shape[:2], -1, self.head_size).transpose(1, 2)


def _projected(rows: Tensor, head_size: int, *maps: nn.Module) -> Tensor:
    """What linear maps give of rows [...,H], side by side: [N,maps,A,D]; plain ones in one product."""
    plain = [one for one in maps if type(one) is nn.Linear]  # not what an adapter or a quantiser put in its place
    if len(plain) < len(maps):
        found = torch.cat([one(rows) for one in maps], dim=-1)
    elif len(maps) == 1:
        found = plain[0](rows)
    else:
        weight, bias = (torch.cat([getattr(one, name) for one in plain]) for name in ("weight", "bias"))
        found = nn.functional.linear(rows, weight, bias)
    return found.view(-1, len(maps), rows.shape[-1] // head_size, head_size)


class BertLayer(GradientCheckpointingLayer):  # type: ignore[misc]
    """One post-LayerNorm transformer layer."""

    def __init__(self, config: InterBertConfig, sizes: LayerSizes) -> None:
        super().__init__()
        self.attention = SelfAttention(config, sizes)
        self.attention_layer_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.intermediate = nn.Linear(config.hidden_size, sizes.intermediate)
        self.activation = ACT2FN[config.hidden_act]
        self.output = nn.Linear(sizes.intermediate, config.hidden_size)
        self.output_layer_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(sizes.hidden_dropout)

    def forward(
        self,
        hidden_state: Tensor,
        attention_mask: Tensor | ShortSequences | None = None,
        first_only: bool = False,
        packing: Packing | None = None,
    ) -> Tensor:
        """Transform sequences.

        Args:
            hidden_state: [B,L,H]; packed [N,H].
            attention_mask: mask in the form of the attention implementation, [B,1,1,L] or [B,1,L,L]; what the kernels
                for short sequences need to know of padded ones.
            first_only: compute only the first token of each sequence (all tokens are still attended to).
            packing: of packed tokens; None when they are padded.

        Returns:
            a tensor like ``hidden_state``; with ``first_only`` [B,1,H], packed [B,H].
        """
        queries = hidden_state
        if first_only:
            queries = first_tokens(hidden_state, packing)
            if isinstance(attention_mask, Tensor) and attention_mask.shape[-2] > 1:
                attention_mask = attention_mask[..., :1, :]
        attended, _ = self.attention(queries, hidden_state, attention_mask, packing)
        attended = self.attention_layer_norm(self.dropout(attended) + queries)
        transformed = self.output(self.activation(self.intermediate(attended)))
        return self.output_layer_norm(self.dropout(transformed) + attended)  # type: ignore[no-any-return]


def first_tokens(hidden_state: Tensor, packing: Packing | None) -> Tensor:
    """First token of each sequence: [B,L,H] -> [B,1,H], packed [N,H] -> [B,H]."""
    return hidden_state[:, :1] if packing is None else hidden_state.index_select(0, packing.first)


class LayerStack(nn.ModuleList):
    """Layers applied in order."""

    def __init__(self, config: InterBertConfig, sizes: LayerSizes, num_layers: int) -> None:
        super().__init__([BertLayer(config, sizes) for _ in range(num_layers)])

    def forward(
        self,
        hidden_state: Tensor,
        attention_mask: Tensor | ShortSequences | None,
        first_only: bool = False,
        packing: Packing | None = None,
    ) -> Tensor:
        """Run all layers; with ``first_only`` the last one computes the first token of each sequence alone."""
        if first_only and not len(self):
            return first_tokens(hidden_state, packing)
        for index, layer in enumerate(self):
            last = index == len(self) - 1
            hidden_state = layer(hidden_state, attention_mask, first_only=first_only and last, packing=packing)
        return hidden_state
