"""Relevance of every token of a pair to its matching logit difference, by gradient x attention.

The rule is that of Chefer et al. 2021 ("Generic Attention-model Explainability", section 3.2) for self-attention: with
A the mean over heads of the positive part of gradient * attention, relevance passes on as R <- R + A R, from the
identity. The model (SPEC part 1) is two such chains that begin as one:

- interaction layers attend over the joint sequence, image tokens first: R is [L,L] of it, L = R + T;
- extraction layers of a modality attend within it, so they change the rows of their own modality alone:
  R[image] <- R[image] + A_image R[image], likewise of the text. A row stays one over the joint sequence, so what a
  modality's first token holds of the other one flows back through the interaction layers;
- the last extraction layer matters by its first token alone (that is what the poolers read), so A has one row there;
- the matching head reads both first tokens, and the gradient is that of the logit after their fusion: what each of them
  weighs is in the gradients already, and their two rows are added. Their own identity is taken off: it says that a
  token is itself.

Shapes: B pairs, R image tokens (global token first), T text tokens, L = R + T, H hidden size, A heads.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from interbert.model.modeling import BertLayer, InterBertForImageTextRetrieval, SelfAttention


@dataclass(frozen=True)
class Attentions:
    """Attention weights of a pass, or their gradients: a tensor [B,A,queries,keys] a layer, the first layer first."""

    interaction: list[Tensor] = field(default_factory=list)
    image: list[Tensor] = field(default_factory=list)
    text: list[Tensor] = field(default_factory=list)


@dataclass(frozen=True)
class Pass:
    """A batch of pairs that went through the model with gradients."""

    differences: Tensor
    """[B] matching logit differences, without the dual score."""
    weights: Attentions
    gradients: Attentions
    """Of the sum of ``differences``, so each pair's own."""
    image_tokens: int
    """R."""
    text_tokens: int
    """T."""


def explainable(model: InterBertForImageTextRetrieval) -> InterBertForImageTextRetrieval:
    """A model that gives its attention weights: eager attention, float32, eval mode, the same numbers without gradients
    of their own.

    Returns:
        one that shares the weights but nothing that changes, so that the model may work on in other threads.
    """
    shared: dict[int, object] = {
        id(one): nn.Parameter(one.detach().float(), requires_grad=False) for one in model.parameters()
    }
    shared |= {id(one): one for one in model.buffers()}
    twin: InterBertForImageTextRetrieval = copy.deepcopy(model, shared)
    twin.config._attn_implementation = "eager"  # its setter is for models whose attention is a global function
    twin.eval()
    return twin


def attended(
    model: InterBertForImageTextRetrieval,
    input_ids: Tensor,
    attention_mask: Tensor,
    image: Tensor,
    region_mask: Tensor,
) -> Pass:
    """Score pairs, and keep attention weights and gradients.

    Args:
        model: of :func:`explainable`.
        input_ids: int64 [B,T].
        attention_mask: [B,T], 1 at real tokens.
        image: [B,R,H] embedded image tokens.
        region_mask: [B,R], 1 at real tokens.
    """
    trunk = model.interbert
    with torch.enable_grad(), torch.autocast(image.device.type, enabled=False), _recorded(model) as weights:
        text = trunk.text_embeddings(input_ids).detach().requires_grad_()  # where gradients end: weights need none
        output = trunk.encode_embedded(text, image.detach().float(), attention_mask, region_mask, pooled_only=True)
        logits = model.matching_logits(output)
        differences = logits[:, 0] - logits[:, 1]
        groups = (weights.interaction, weights.image, weights.text)
        flat = [one for group in groups for one in group]
        # with no layer of one kind, or a ReLU that lets nothing through, a weight may have no part in the logits
        found = iter(torch.autograd.grad(differences.sum(), flat, allow_unused=True, materialize_grads=True))
    gradients = Attentions(*([next(found) for _ in group] for group in groups))
    plain = Attentions(*([one.detach() for one in group] for group in groups))
    return Pass(differences.detach(), plain, gradients, image.shape[1], text.shape[1])


@contextmanager
def _recorded(model: InterBertForImageTextRetrieval) -> Iterator[Attentions]:
    """The attention weights of what is computed meanwhile, with their graph."""
    encoder = model.interbert.encoder
    found = Attentions()
    handles = []
    for name, stack in (
        ("interaction", encoder.interaction_layers),
        ("image", encoder.image_layers),
        ("text", encoder.text_layers),
    ):
        for layer in stack:
            assert isinstance(layer, BertLayer)
            handles.append(layer.attention.register_forward_hook(_keep_in(getattr(found, name))))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _keep_in(kept: list[Tensor]) -> Callable[..., None]:
    def hook(_: SelfAttention, __: object, output: tuple[Tensor, Tensor | None]) -> None:
        assert output[1] is not None, "only eager attention gives its weights"
        kept.append(output[1])

    return hook


PassedOn = Callable[[Tensor, Tensor], Tensor]
"""What each head passes on, of gradient and weight [B,A,queries,keys]."""


def positive(gradient: Tensor, weight: Tensor) -> Tensor:
    """The positive part of gradient * attention, as the paper has it."""
    return (gradient * weight).clamp(min=0)


def token_relevance(passed: Pass, passed_on: PassedOn = positive) -> Tensor:
    """Relevance [B,L] of each token of the joint sequence, image tokens first; no unit, not negative, 0 at padding.

    Args:
        passed: a batch of pairs.
        passed_on: by each head; another rule than the paper's may give negative relevance.
    """
    count = passed.image_tokens
    joint = joint_relevance(passed, passed_on)
    image = _first_row(joint[:, :count], _rule(passed.gradients.image, passed.weights.image, passed_on))
    text = _first_row(joint[:, count:], _rule(passed.gradients.text, passed.weights.text, passed_on))
    identity = torch.eye(joint.shape[-1], device=joint.device)
    return image + text - identity[0] - identity[count]


def joint_relevance(passed: Pass, passed_on: PassedOn = positive) -> Tensor:
    """Relevance [B,L,L] of each token (columns) to each token (rows) after the interaction layers."""
    joint = torch.eye(passed.image_tokens + passed.text_tokens, device=passed.differences.device)
    joint = joint.expand(len(passed.differences), -1, -1)
    for layer in _rule(passed.gradients.interaction, passed.weights.interaction, passed_on):
        joint = joint + layer @ joint
    return joint


def _rule(gradients: list[Tensor], weights: list[Tensor], passed_on: PassedOn) -> list[Tensor]:
    """A of each layer."""
    return [passed_on(one, other).mean(dim=1) for one, other in zip(gradients, weights, strict=True)]


def _first_row(rows: Tensor, layers: list[Tensor]) -> Tensor:
    """Relevance [B,L] to a modality's first token, of its rows [B,n,L] after the interaction.

    Args:
        rows: of the modality.
        layers: A of each of its extraction layers [B,n,n]; [B,1,n] of the last one.
    """
    for layer in layers:
        rows = rows[:, : layer.shape[1]] + layer @ rows
    return rows[:, 0]
