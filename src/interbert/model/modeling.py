"""The model (SPEC part 1): embeddings, post-LayerNorm BERT layers, the interaction -> extraction chain (paper section
3.1), heads, and the models that users open.

Shapes: B batch, R image tokens (global token first), T text tokens, H hidden size, F region feature size, C region
classes, P pooled size, V vocabulary.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import ModelOutput
from transformers.utils.output_capturing import capture_outputs

from interbert.errors import ConfigError
from interbert.losses.pretraining import IGNORE_LABEL, flat_positions, masked_lm_loss, matching_loss, region_loss
from interbert.model.configuration import InterBertConfig
from interbert.model.dropout import Dropout
from interbert.model.dropout import dropout as drop
from interbert.model.packing import PADDED, Packing, Packings
from interbert.model.short_attention import short_attention_fits
from interbert.model.varlen import Sequences, ShortSequences, compute_dtype, varlen_kernel
from interbert.utils.bounded_files import read_json, reading
from interbert.utils.files import atomic_write


@dataclass
class InterBertModelOutput(ModelOutput):  # type: ignore[misc]
    """Hidden states and pooled vectors of both sides; None for an absent side."""

    text_hidden_state: Tensor | None = None
    """[B,T,H]"""
    image_hidden_state: Tensor | None = None
    """[B,R,H]"""
    text_pooled: Tensor | None = None
    """[B,P]"""
    image_pooled: Tensor | None = None
    """[B,P]"""
    hidden_states: tuple[Tensor, ...] | None = None
    """when asked for: input and output of every layer, interaction [B,R+T,H], then image [B,R,H], then text [B,T,H]"""
    attentions: tuple[Tensor, ...] | None = None
    """when asked for: weights [B,heads,queries,keys] of every layer in the same order (eager attention)"""


@dataclass
class InterBertForPreTrainingOutput(ModelOutput):  # type: ignore[misc]
    """Losses and logits of the pretraining tasks.

    With labels, ``lm_logits`` and ``region_logits`` hold the predicted positions only ([M,V] and [M,C], in the order
    of the flattened labels), and hidden states may be zero at padding; without, every position ([B,T,V] and [B,R,C]).
    """

    loss: Tensor | None = None
    lm_loss: Tensor | None = None
    region_loss: Tensor | None = None
    matching_loss: Tensor | None = None
    lm_logits: Tensor | None = None
    region_logits: Tensor | None = None
    matching_logits: Tensor | None = None
    """[B,2]; class 0 means match"""
    text_hidden_state: Tensor | None = None
    image_hidden_state: Tensor | None = None
    text_pooled: Tensor | None = None
    image_pooled: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


@dataclass
class InterBertForVLTasksOutput(ModelOutput):  # type: ignore[misc]
    """Every head of the reference's task model."""

    prediction: Tensor | None = None
    """[B,num_labels] on the fused vector"""
    logit: Tensor | None = None
    """[B,1] on the fused vector"""
    matching_logits: Tensor | None = None
    """[B,2]"""
    image_logits: Tensor | None = None
    """[B,R,1], -10000 added at padding"""
    text_logits: Tensor | None = None
    """[B,T,1]"""
    lm_logits: Tensor | None = None
    """[B,T,V]"""
    region_logits: Tensor | None = None
    """[B,R,C]"""


@dataclass
class InterBertTaskOutput(ModelOutput):  # type: ignore[misc]
    """Loss and logits of a fine-tuned task."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    matching_loss: Tensor | None = None


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
    weights = drop(weights, dropout, module.training)
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
        # transformers looks for this call in the text of this file, and sets no other attention without it
        attend: Callable[..., tuple[Tensor, Tensor | None]] = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention
        )
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


class TextEmbeddings(nn.Module):
    """Word + learned position + segment embedding, then LayerNorm, then dropout."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.layer_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Embed tokens.

        Args:
            input_ids: int64 [B,T].
            token_type_ids: int64 [B,T]; None means segment 0 everywhere.

        Returns:
            [B,T,H].
        """
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(input_ids)
        summed = (
            self.word_embeddings(input_ids)
            + self.position_embeddings(positions)
            + self.token_type_embeddings(token_type_ids)
        )
        return self.dropout(self.layer_norm(summed))  # type: ignore[no-any-return]


class ImageEmbeddings(nn.Module):
    """Projected region feature + projected location, then LayerNorm, then the text dropout rate."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.feature_projection = nn.Linear(config.region_feature_size, config.hidden_size)
        self.location_projection = nn.Linear(5, config.hidden_size)
        self.layer_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.feature_dropout = Dropout(config.region_feature_dropout_prob)
        self.dropout = Dropout(config.hidden_dropout_prob)

    def forward(self, region_features: Tensor, region_locations: Tensor) -> Tensor:
        """Embed regions.

        Args:
            region_features: [B,R,F], global token first.
            region_locations: [B,R,5] as x1/w, y1/h, x2/w, y2/h, area share.

        Returns:
            [B,R,H].
        """
        features = self.feature_dropout(region_features)
        summed = self.feature_projection(features) + self.location_projection(region_locations)
        return self.dropout(self.layer_norm(summed))  # type: ignore[no-any-return]


class InterBertEncoder(nn.Module):
    """Interaction over the joint sequence, then extraction of each modality on its own.

    Image tokens come first in the joint sequence. With one modality absent, the other runs alone through the same
    layers.
    """

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.config = config
        text_sizes, image_sizes = self._sizes = LayerSizes.text(config), LayerSizes.image(config)
        self._head_sizes = [config.hidden_size // sizes.heads for sizes in self._sizes]
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
        skip_padding: bool = False,
        real_tokens: Tensor | None = None,
        real_regions: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor | None]:
        """Encode embedded tokens.

        Args:
            text: [B,T,H] or None.
            image: [B,R,H] or None; not both None.
            text_mask: [B,T], 1 at real tokens, or None when all are.
            image_mask: [B,R], likewise.
            pooled_only: compute only the first position of each output (what the poolers read).
            skip_padding: compute real tokens alone where that saves time; the outputs are then zero at padding.
            real_tokens: int64 [N], where ``text_mask`` is 1 in its flat order, the first token of every text among
                them. A GPU skips padding only when given this; on a CPU the masks say it.
            real_regions: int64 [N'], likewise of ``image_mask``.

        Returns:
            text hidden state [B,T,H] and image hidden state [B,R,H] (length 1 each with ``pooled_only``), None for
            an absent side.
        """
        if text is not None and image is not None and text.shape[0] != image.shape[0]:
            raise ConfigError(
                f"{text.shape[0]} texts and {image.shape[0]} images make no pairs. Give as many of each, or one side."
            )
        if text_mask is not None or image_mask is not None:
            text_mask, real_tokens = _whole(text, text_mask, real_tokens)
            image_mask, real_regions = _whole(image, image_mask, real_regions)
        short = self._short(text, image)
        packings = PADDED
        if skip_padding and (short or not torch.compiler.is_compiling()):
            packings = self._packings(
                text if image is None else image, text_mask, image_mask, real_tokens, real_regions, short
            )
        if packings.by_kernel:
            text_mask = image_mask = None  # making them for the attention implementation would let a GPU wait
        text, image = packings.pack(text, image)
        sides = [side for side in (image, text) if side is not None]
        axis = 1 if packings is PADDED else 0
        joint = packings.interleave(torch.cat(sides, dim=axis))
        joint_mask = _side_by_side(image_mask, text_mask)
        short = short and packings is PADDED
        joint = self.interaction_layers(joint, self._mask(joint, joint_mask, short), packing=packings.joint)
        parts = iter(torch.split(packings.part(joint), [side.shape[axis] for side in sides], dim=axis))
        if image is not None:
            image = next(parts)
            image = self.image_layers(image, self._mask(image, image_mask, short), pooled_only, packings.image)
        if text is not None:
            text = next(parts)
            text = self.text_layers(text, self._mask(text, text_mask, short), pooled_only, packings.text)
        return packings.unpack(text, image, pooled_only)

    def _packings(
        self,
        like: Tensor | None,
        text_mask: Tensor | None,
        image_mask: Tensor | None,
        real_tokens: Tensor | None,
        real_regions: Tensor | None,
        short: bool,
    ) -> Packings:
        """Packings for a kernel where one takes tokens ``like`` these; else for the attention implementation."""
        if short:
            return Packings.for_kernel(text_mask, image_mask, real_tokens, real_regions, ShortSequences.packed)
        kernel = None
        if like is not None and self.config._attn_implementation != "eager":
            dropout = max(sizes.attention_dropout for sizes in self._sizes) if self.training else 0.0
            kernel = varlen_kernel(like.device, compute_dtype(like), dropout, self._head_sizes)
        if kernel is None:
            return Packings.of(text_mask, image_mask)
        sequences_of = partial(Sequences.of, kernel=kernel)
        return Packings.for_kernel(text_mask, image_mask, real_tokens, real_regions, sequences_of)

    def _short(self, text: Tensor | None, image: Tensor | None) -> bool:
        """Whether the kernels for short sequences attend."""
        sides = [side for side in (image, text) if side is not None]
        longest = sum(side.shape[1] for side in sides)
        asked = self.config._attn_implementation == "sdpa"
        return asked and short_attention_fits(sides[0].device, compute_dtype(sides[0]), longest, self._head_sizes)

    def _mask(self, like: Tensor, mask: Tensor | None, short: bool) -> Tensor | ShortSequences | None:
        """Turn [B,L] ones and zeros into the form that attention to tokens ``like`` these wants."""
        if short:
            return ShortSequences.padded(like.shape[0], like.shape[1], mask, like.device)
        if mask is None:
            return None
        full: Tensor | None = create_bidirectional_mask(
            config=self.config, inputs_embeds=like.new_empty((*mask.shape, 1)), attention_mask=mask
        )
        return full


def _whole(side: Tensor | None, mask: Tensor | None, real: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """The mask int64 [B,L] of a side that is there and its real tokens' places: ones, and all, when it had no mask."""
    if side is None:
        return None, None
    if mask is not None:
        return mask.long(), real
    batch, length = side.shape[:2]
    everywhere = torch.ones((batch, length), dtype=torch.long, device=side.device)
    return everywhere, torch.arange(batch * length, device=side.device)


def _side_by_side(image_mask: Tensor | None, text_mask: Tensor | None) -> Tensor | None:
    masks = [mask for mask in (image_mask, text_mask) if mask is not None]
    return torch.cat(masks, dim=1) if masks else None


_POSITIONS = 32
"""Heads compute a multiple of so many positions on a CPU."""


class Pooler(nn.Module):
    """Linear(H->P) + ReLU on the first token."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.pooler_size)

    def forward(self, hidden_state: Tensor) -> Tensor:
        """[B,L,H] -> [B,P]."""
        return torch.relu(self.dense(hidden_state[:, 0]))


class Fusion(nn.Module):
    """Joins the two pooled vectors; with one side absent the other's vector passes as it is."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.method = config.fusion

    def forward(self, text_pooled: Tensor | None, image_pooled: Tensor | None) -> Tensor:
        """Two [B,P] (either may be None) -> [B,P]."""
        if text_pooled is None or image_pooled is None:
            alone = image_pooled if text_pooled is None else text_pooled
            assert alone is not None, "the model was given neither text nor image"
            return alone
        return text_pooled * image_pooled if self.method == "mul" else text_pooled + image_pooled


class PredictionTransform(nn.Module):
    """dense + gelu + LayerNorm, shared in form by the LM head and the region head."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN[config.hidden_act]
        self.layer_norm = LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden_state: Tensor) -> Tensor:
        """[...,H] -> [...,H]."""
        return self.layer_norm(self.activation(self.dense(hidden_state)))  # type: ignore[no-any-return]


def predict_at(head: nn.Module, hidden: Tensor, positions: Tensor) -> Tensor:
    """What a head says at some positions alone: hidden states [B,L,H] -> [M,...].

    Args:
        head: of hidden states [...,H].
        hidden: of a padded batch.
        positions: int64 [M], flat.
    """
    count = len(positions)
    if hidden.device.type == "cpu":  # oneDNN makes kernels for each M, and keeps them with their memory
        positions = nn.functional.pad(positions, (0, -count % _POSITIONS))
    predicted: Tensor = head(hidden.flatten(0, 1)[positions])
    return predicted[:count]


class LMHead(nn.Module):
    """Transform, then the word embedding (tied) and a bias: [...,H] -> [...,V]."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.transform = PredictionTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, hidden_state: Tensor) -> Tensor:
        """[...,H] -> [...,V]."""
        return self.decoder(self.transform(hidden_state))  # type: ignore[no-any-return]


class RegionHead(nn.Module):
    """Transform, then Linear(H->C), or Linear(H->F) when the objective regresses features."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        self.transform = PredictionTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.region_target_size)

    def forward(self, hidden_state: Tensor) -> Tensor:
        """[...,H] -> [...,C]."""
        return self.decoder(self.transform(hidden_state))  # type: ignore[no-any-return]


_SKIP_START = 1e-3
_SHORT = 0.1
"""A text's skipping part that is not longer says little, and is not made longer: its words are new."""


class LexicalTable(nn.Module):
    """A vector for each token, summed over a text: what its words say one by one (ours; the paper has none).

    A catalogue's titles tell products apart by brands and model names, which a BERT's sentence vector blurs. All
    vectors start at zero, so that tokens which training never shows say nothing; those of the part that skips the
    layers start next to it, since nothing is added to them.
    """

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        assert config.contrastive_size is not None
        skip_size = config.contrastive_skip_size or 0
        self.weight = nn.Parameter(torch.zeros(config.vocab_size, config.contrastive_size))
        self.dropout = config.hidden_dropout_prob
        if skip_size:
            with torch.no_grad():
                self.weight[:, -skip_size:].normal_(std=_SKIP_START)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, dropout: float | None = None) -> Tensor:
        """Sum over each text's tokens, divided by the root of their number.

        Args:
            input_ids: int64 [B,T].
            attention_mask: [B,T], 1 at real tokens; None when all are.
            dropout: share of tokens that training leaves out; the configuration's hidden dropout when not given.

        Returns:
            [B,D].
        """
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        number = real.sum(dim=1, keepdim=True).clamp(min=1)
        left = real.to(self.weight.dtype)
        if self.training:
            kept = 1.0 - (self.dropout if dropout is None else dropout)
            left = left * torch.empty_like(left).bernoulli_(kept)
            # as below, without the vectors of all tokens at once; an exported model has no such operator
            summed = nn.functional.embedding_bag(input_ids, self.weight, per_sample_weights=left, mode="sum")
        else:
            summed = (left.unsqueeze(-1) * nn.functional.embedding(input_ids, self.weight)).sum(dim=1)
        return summed / number.sqrt()


class ContrastiveHead(nn.Module):
    """Projections of the pooled vectors into one space, and the learned temperature (SPEC part 6).

    With ``contrastive_skip_size`` a vector has a second part that no layer stands before: of a text what the table says
    of its words, of an image a small network's view of its embedded global token. Each part is contrasted alone, so the
    two err differently, and their sum ranks better than either (ours; the paper has no dual encoder).

    Shapes: B batch, P pooled size, H hidden size, D vectors, S of them the skipping part.
    """

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        assert config.contrastive_size is not None
        self.skip_size = config.contrastive_skip_size or 0
        width = config.contrastive_size - self.skip_size
        self.text_projection = nn.Linear(config.pooler_size, width, bias=False)
        self.image_projection = nn.Linear(config.pooler_size, width, bias=False)
        self.image_skip: nn.Sequential | None = None
        if self.skip_size:
            self.image_skip = nn.Sequential(
                Dropout(config.image_hidden_dropout_prob),
                nn.Linear(config.hidden_size, 4 * self.skip_size),
                nn.GELU(),
                nn.Linear(4 * self.skip_size, self.skip_size),
            )
            self.skip_logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        # exp(logit_scale) multiplies the cosines; 1/0.07 is where CLIP starts (Radford et al. 2021, section 2.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.lexical = LexicalTable(config) if config.contrastive_lexical else None
        size = config.query_bank_size
        self.register_buffer("query_bank", None if size is None else torch.zeros(size, config.contrastive_size))

    @property
    def scale(self) -> Tensor:
        """What multiplies the cosines."""
        return _scale_of(self.logit_scale)

    def text(self, text_pooled: Tensor, words: Tensor | None = None) -> Tensor:
        """[B,P], and what :class:`LexicalTable` says of the words [B,D] -> unit vectors [B,D].

        With a skipping part they are shorter where that part knows hardly a word.
        """
        projected = self.text_projection(text_pooled)
        if words is None:
            return nn.functional.normalize(projected, dim=-1)
        width = projected.shape[1]
        deep = nn.functional.normalize(projected + words[:, :width], dim=-1)
        if not self.skip_size:
            return deep
        skip = words[:, width:].float()
        return _joined(deep, skip * (skip.square().sum(dim=-1, keepdim=True) + _SHORT**2).rsqrt())

    def image(self, image_pooled: Tensor, global_token: Tensor | None = None) -> Tensor:
        """[B,P], and with a skipping part the embedded global token [B,H] -> unit vectors [B,D]."""
        deep = nn.functional.normalize(self.image_projection(image_pooled), dim=-1)
        if self.image_skip is None:
            return deep
        return _joined(deep, nn.functional.normalize(self.image_skip(global_token), dim=-1))

    def logits(self, texts: Tensor, images: Tensor) -> list[Tensor]:
        """Cosines [B,B'] of each part of vectors [B,D] and [B',D], by its temperature; the skipping part's last."""
        width = texts.shape[1] - self.skip_size
        deep = texts[:, :width] @ images[:, :width].T
        if not self.skip_size:
            return [deep * self.scale]
        skip = texts[:, width:] @ images[:, width:].T
        return [
            deep * (2 * self.scale),
            skip * (2 * _scale_of(self.skip_logit_scale)),
        ]  # each counts half of the whole's cosine

    def hubness(self, images: Tensor) -> Tensor:
        """How near images are to just any text: a soft mean of their cosines with the query bank's texts.

        Some images are near to many texts that are not theirs, and come first for all of them. With
        ``log(mean(exp(scale * cosine))) / scale`` taken off its score, an image is judged by how much nearer this text
        is than others are (querybank normalisation, Bogolin et al. 2022; ours takes off a share of it).

        Args:
            images: unit vectors [B,D].

        Returns:
            [B], in cosines.
        """
        assert isinstance(self.query_bank, Tensor)
        scaled = self.scale * (images @ self.query_bank.T)
        return (scaled.float().logsumexp(dim=-1) - math.log(len(self.query_bank))) / self.scale


class Likeness(nn.Module):
    """How alike two images are by what the extractor saw, before anything was trained: principal components.

    Training teaches vectors what titles tell apart; of a small catalogue they then know less of what images look like
    than the features they are made from. So both are compared, at the share that validation images ask for
    (:mod:`interbert.tasks.likeness`).
    """

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.components: Tensor
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("components", torch.zeros(features, size))

    def forward(self, region_features: Tensor) -> Tensor:
        """Features [B,R,F], the global token's first -> unit vectors [B,L]."""
        return nn.functional.normalize((region_features[:, 0] - self.mean) @ self.components, dim=-1)


def _scale_of(logit_scale: Tensor) -> Tensor:
    """What multiplies cosines: above 100 the softmax is a hard maximum and gradients vanish."""
    return logit_scale.exp().clamp(max=100.0)


def _joined(deep: Tensor, skip: Tensor) -> Tensor:
    """Vectors whose inner product is the mean of the parts': other shares rank no better (results/skip_part.md)."""
    return torch.cat([deep, skip.to(deep.dtype)], dim=-1) * math.sqrt(0.5)


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
    _can_set_attn_implementation_cached_value = True  # of every class: all attention is this module's
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

    @capture_outputs  # type: ignore[untyped-decorator]  # output_attentions, output_hidden_states
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        pooled_only: bool = False,
        skip_padding: bool = False,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
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
            skip_padding: compute real tokens alone where that saves time; hidden states are then zero at padding.
            output_attentions: return the attention weights of every layer; the configuration's when not given.
            output_hidden_states: return the hidden states around every layer; the configuration's when not given.

        Raises:
            ConfigError: neither side is given, or features come without locations.
        """
        recorded = output_attentions or output_hidden_states
        recorded = recorded or self.config.output_attentions or self.config.output_hidden_states
        return self.encode(
            input_ids,
            attention_mask,
            token_type_ids,
            region_features,
            region_locations,
            region_mask,
            pooled_only,
            skip_padding=(skip_padding or pooled_only) and not recorded,
        )

    def encode(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        pooled_only: bool = False,
        skip_padding: bool = True,
        real_tokens: Tensor | None = None,
        real_regions: Tensor | None = None,
    ) -> InterBertModelOutput:
        """:meth:`forward` for training: told where padding is, a GPU skips it too.

        Args:
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask: as there.
            pooled_only, skip_padding: as there.
            real_tokens: int64 [N], flat positions of [B,T] where ``attention_mask`` is 1, the first token of every text
                among them; a GPU skips padding only when told where it is, because looking would make it wait.
            real_regions: int64 [N'], flat positions of [B,R] where ``region_mask`` is 1, likewise.

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
        return self.encode_embedded(
            text, image, attention_mask, region_mask, pooled_only, skip_padding, real_tokens, real_regions
        )

    def encode_embedded(
        self,
        text: Tensor | None,
        image: Tensor | None,
        attention_mask: Tensor | None = None,
        region_mask: Tensor | None = None,
        pooled_only: bool = False,
        skip_padding: bool = False,
        real_tokens: Tensor | None = None,
        real_regions: Tensor | None = None,
    ) -> InterBertModelOutput:
        """Encode tokens that are embedded already ([B,T,H], [B,R,H]): what pair scoring reuses for each image."""
        text, image = self.encoder(
            text, image, attention_mask, region_mask, pooled_only, skip_padding, real_tokens, real_regions
        )
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
        self.likeness = (
            None if config.likeness_size is None else Likeness(config.region_feature_size, config.likeness_size)
        )

    def keep_likeness(self, mean: Tensor, components: Tensor, share: float) -> None:
        """Compare images with images by these components [F,L] of features less their mean [F], too, at a share."""
        self.config.likeness_size, self.config.likeness_share = components.shape[1], share
        self.likeness = Likeness(*components.shape).to(self.device)
        self.likeness.load_state_dict({"mean": mean, "components": components})

    def matching_logits(self, output: InterBertModelOutput) -> Tensor:
        """Logits [B,2] of pairs as the trunk gives them; class 0 means match."""
        logits: Tensor = self.matching_head(self.dropout(self.fusion(output.text_pooled, output.image_pooled)))
        return logits

    def total_loss(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Sum of losses by the configuration's weights of these names."""
        return torch.stack([getattr(self.config, f"{name}_weight") * loss for name, loss in losses.items()]).sum()

    def match_embedded(self, text: Tensor, image: Tensor, region_mask: Tensor | None = None) -> Tensor:
        """Matching logits float32 [B,2] of embedded texts [B,T,H] without padding and embedded images [B,R,H].

        The dual score is not in them: it is a product of separately encoded sides, which pair scoring computes once
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
        pooled = self.pool_image(region_features, region_locations, region_mask)
        return self.project_image(pooled, self.global_token(region_features, region_locations))

    def project_image(self, pooled: Tensor, global_token: Tensor | None) -> Tensor:
        """Pooled vectors [B,P] of images encoded alone as :meth:`encode_image` gives them.

        Args:
            pooled: of :meth:`pool_image`.
            global_token: of :meth:`global_token`, or the first of the embedded tokens [B,H].
        """
        if not self.config.contrastive_size:
            return pooled
        return self.correct_hubs(self.contrastive_head.image(pooled, global_token))

    def correct_hubs(self, vectors: Tensor) -> Tensor:
        """Unit vectors [B,D] of images with the hub correction beside them, where there is a query bank."""
        if self.config.query_bank_size is None:
            return vectors
        correction = -self.config.hub_correction * self.contrastive_head.hubness(vectors)
        return torch.cat([vectors, correction.unsqueeze(1).to(vectors.dtype)], dim=1)

    def head_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Vectors [B,P+1] of texts whose products with :meth:`head_image`'s are matching logit differences.

        With the sides encoded apart the difference is ``(w0 - w1) . (text * image) + (b0 - b1)`` (SPEC part 6): an
        inner product of ``[(w0 - w1) * text, b0 - b1]`` and ``[image, 1]``, exactly. The dual score is not in it.

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

    def global_token(self, region_features: Tensor, region_locations: Tensor) -> Tensor | None:
        """The embedded global token [B,H] of images, for the part of their vectors that skips the layers.

        None where the model has no such part.
        """
        if not self.config.contrastive_skip_size:
            return None
        embedded: Tensor = self.interbert.image_embeddings(region_features[:, :1], region_locations[:, :1])
        return embedded[:, 0]

    def words(self, input_ids: Tensor, attention_mask: Tensor | None, dropout: float | None = None) -> Tensor | None:
        """What the contrastive head's table says of the words of texts [B,D]; None without one."""
        table = self.contrastive_head.lexical if self.config.contrastive_lexical else None
        return None if table is None else table(input_ids, attention_mask, dropout)


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
                :class:`~interbert.model.modeling.InterBertModel`.
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


_FORWARD = {"method": "forward", "method_output_name": "logits"}

_FILES: dict[str, Any] = {
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}
    ],
    "config_sentence_transformers.json": {"model_type": "CrossEncoder", "prompts": {}, "default_prompt_name": None},
    "sentence_bert_config.json": {
        "transformer_task": "sequence-classification",
        # a dict {"text", "image"} in either order; pairs come as messages
        "modality_config": {
            "text": _FORWARD,
            "image": _FORWARD,
            "text+image": _FORWARD,
            "image+text": _FORWARD,
            "message": _FORWARD | {"format": "structured"},
        },
        "module_output_name": "scores",
    },
}

PAIR_SCORER = "InterBertForPairScoring"
"""The class that gives one logit a pair."""


def write_cross_encoder_files(folder: Path) -> None:
    """Describe a saved retrieval model as a cross-encoder, in the library's own files and in ``config.json``."""
    for name, content in _FILES.items():
        atomic_write(folder / name, json.dumps(content, indent=2) + "\n")
    file = folder / "config.json"
    with reading(file, "Save the model again."):
        config = read_json(file)
        described = PAIR_SCORER in config["architectures"]
    if not described:
        config["architectures"].append(PAIR_SCORER)
        atomic_write(file, json.dumps(config, indent=2, sort_keys=True) + "\n")


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
    ) -> InterBertTaskOutput:
        """Matching logits [B,2] (class 0 means match) and, with labels, the loss.

        Args:
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask: as in
                :class:`~interbert.model.modeling.InterBertModel`.
            matching_labels: int64 [B], 0 match, 1 mismatch.
        """
        logits = self.pair_logits(
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask
        )
        result = InterBertTaskOutput(logits=logits)
        if matching_labels is not None:
            result.matching_loss = matching_loss(logits, matching_labels)
            result.loss = self.total_loss({"matching_loss": result.matching_loss})
        return result

    def pair_logits(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        real_tokens: Tensor | None = None,
        real_regions: Tensor | None = None,
    ) -> Tensor:
        """Matching logits [B,2]; ``real_tokens`` and ``real_regions`` as in the trunk's ``encode``.

        Of a model that does not read jointly they are the dual encoder's.
        """
        weight, offset = self.config.dual_score_weight, self.config.dual_score_offset
        if offset is None:
            output = self.interbert.encode(
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
            logits = self.matching_logits(output)
        else:
            logits = prior_logits(torch.full(input_ids.shape[:1], offset, device=self.device))
        if weight is None:
            return logits
        assert region_features is not None
        assert region_locations is not None
        with torch.no_grad():  # the contrastive objective is what trains the dual encoder
            text_pooled = self.pool_text(input_ids, attention_mask, real_tokens)
            texts = self.project_text(text_pooled, input_ids, attention_mask)
            image_pooled = self.pool_image(region_features, region_locations, region_mask, real_regions)
            global_token = self.global_token(region_features, region_locations)
            cosines = (texts * self.project_image(image_pooled, global_token)).sum(dim=-1)
        return logits + prior_logits(cosines * weight)

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


class InterBertForVLTasks(InterBertPreTrainedModel):
    """Every head of the reference's task model, on one trunk."""

    _tied_weights_keys = {  # noqa: RUF012
        "lm_head.decoder.weight": "interbert.text_embeddings.word_embeddings.weight"
    }

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.interbert = InterBertModel(config)
        self.fusion = Fusion(config)
        self.dropout = Dropout(config.fusion_dropout_prob)
        self.lm_head = LMHead(config)
        self.region_head = RegionHead(config)
        self.matching_head = nn.Linear(config.pooler_size, 2)
        self.prediction_head = nn.Linear(config.pooler_size, config.num_labels)
        self.logit_head = nn.Linear(config.pooler_size, 1)
        self.image_token_head = nn.Linear(config.hidden_size, 1)
        self.text_token_head = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def get_output_embeddings(self) -> nn.Linear:
        """Return the LM decoder, tied to the word embedding."""
        return self.lm_head.decoder

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
    ) -> InterBertForVLTasksOutput:
        """Outputs of all heads; those of an absent side are None. Inputs as in :class:`InterBertModel`."""
        output = self.interbert(
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask
        )
        text, image = output.text_hidden_state, output.image_hidden_state
        fused = self.fusion(output.text_pooled, output.image_pooled)
        task_fused = self.dropout(fused)
        result = InterBertForVLTasksOutput(
            prediction=self.prediction_head(task_fused),
            logit=self.logit_head(task_fused),
            matching_logits=self.matching_head(self.dropout(fused)),
        )
        if image is not None:
            result.image_logits = self.image_token_head(self.dropout(image))
            if region_mask is not None:
                penalty = (1.0 - region_mask.to(image.dtype)) * -10000.0
                result.image_logits = result.image_logits + penalty.unsqueeze(2)
            result.region_logits = self.region_head(image)
        if text is not None:
            result.text_logits = self.text_token_head(self.dropout(text))
            result.lm_logits = self.lm_head(text)
        return result


class InterBertForMultipleChoice(InterBertPreTrainedModel):
    """A 1-logit head on the fused vector, softmax over choices (VCR, SPEC part 4)."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.interbert = InterBertModel(config)
        self.fusion = Fusion(config)
        self.dropout = Dropout(config.fusion_dropout_prob)
        self.logit_head = nn.Linear(config.pooler_size, 1)
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
        """Logits [B,N] over choices.

        Args:
            input_ids, attention_mask, token_type_ids: [B,N,T], one text per choice.
            region_features, region_locations, region_mask: [B,R,...], one image per item.
            labels: int64 [B], the right choice.
        """
        batch, choices = input_ids.shape[:2]

        def flat(side: Tensor) -> Tensor:
            return side.flatten(0, 1)

        def repeat(side: Tensor) -> Tensor:
            return side.repeat_interleave(choices, dim=0)

        output = self.interbert(
            flat(input_ids),
            apply_to(attention_mask, flat),
            apply_to(token_type_ids, flat),
            apply_to(region_features, repeat),
            apply_to(region_locations, repeat),
            apply_to(region_mask, repeat),
            pooled_only=True,
        )
        logits = self.choice_logits(output).view(batch, choices)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return InterBertTaskOutput(loss=loss, logits=logits)

    def choice_logits(self, output: InterBertModelOutput) -> Tensor:
        """Logits [B*N] of what the trunk gives for every choice."""
        fused = self.dropout(self.fusion(output.text_pooled, output.image_pooled))
        logits: Tensor = self.logit_head(fused).squeeze(-1)
        return logits


class InterBertForSequenceClassification(InterBertPreTrainedModel):
    """Linear(P->num_labels) on the fused vector: of a text, of an image, or of a pair."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        self.interbert = InterBertModel(config)
        self.fusion = Fusion(config)
        self.dropout = Dropout(config.fusion_dropout_prob)
        self.prediction_head = nn.Linear(config.pooler_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> InterBertTaskOutput:
        """Logits [B,num_labels]; ``labels`` int64 [B]. Inputs as in :class:`InterBertModel`."""
        output = self.interbert(
            input_ids,
            attention_mask,
            token_type_ids,
            region_features,
            region_locations,
            region_mask,
            pooled_only=True,
        )
        logits = self.label_logits(output)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return InterBertTaskOutput(loss=loss, logits=logits)

    def label_logits(self, output: InterBertModelOutput) -> Tensor:
        """Logits [B,num_labels] of what the trunk gives."""
        logits: Tensor = self.prediction_head(self.dropout(self.fusion(output.text_pooled, output.image_pooled)))
        return logits


class InterBertForPairScoring(InterBertForImageTextRetrieval):
    """Logit difference of match and mismatch as the only logit; its sigmoid is the match probability."""

    def __init__(self, config: InterBertConfig) -> None:
        config = copy.deepcopy(config)  # the caller's stays as it is
        config.num_labels = 1
        super().__init__(config)

    def forward(  # type: ignore[override]  # another task's labels
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        region_features: Tensor | None = None,
        region_locations: Tensor | None = None,
        region_mask: Tensor | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> SequenceClassifierOutput:
        """Logits [B,1].

        Args:
            input_ids, attention_mask, token_type_ids, region_features, region_locations, region_mask: as in
                :class:`~interbert.model.modeling.InterBertModel`.
            labels: [B], 1 where text and image match, 0 where not.

        Raises:
            ConfigError: text or image is missing.
        """
        require_pairs(input_ids, region_features)
        assert input_ids is not None
        result = super().forward(
            input_ids,
            attention_mask,
            token_type_ids,
            region_features,
            region_locations,
            region_mask,
            matching_labels=None if labels is None else 1 - labels.long(),
        )
        assert result.logits is not None
        difference = result.logits[:, :1] - result.logits[:, 1:]
        return SequenceClassifierOutput(loss=result.loss, logits=difference)
