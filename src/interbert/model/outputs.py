"""What the models return.

Shapes: B batch, R image tokens, T text tokens, H hidden, P pooled, V vocabulary, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


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
