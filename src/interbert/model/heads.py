"""Poolers, fusion and prediction heads (SPEC part 1).

Shapes: B batch, R image tokens, T text tokens, H hidden size, P pooled size, V vocabulary, C region classes,
D contrastive size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN

from interbert.model.configuration import InterBertConfig
from interbert.model.layers import LayerNorm

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


class LexicalTable(nn.Module):
    """A vector for each token, summed over a text: what its words say one by one (ours; the paper has none).

    A catalogue's titles tell products apart by brands and model names, which a BERT's sentence vector blurs. All
    vectors start at zero, so that tokens which training never shows say nothing.
    """

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        assert config.contrastive_size is not None
        self.weight = nn.Parameter(torch.zeros(config.vocab_size, config.contrastive_size))
        self.dropout = config.hidden_dropout_prob

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
        summed = (left.unsqueeze(-1) * nn.functional.embedding(input_ids, self.weight)).sum(dim=1)
        return summed / number.sqrt()


class ContrastiveHead(nn.Module):
    """Projections of the pooled vectors into one space, and the learned temperature (SPEC part 6)."""

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__()
        assert config.contrastive_size is not None
        self.text_projection = nn.Linear(config.pooler_size, config.contrastive_size, bias=False)
        self.image_projection = nn.Linear(config.pooler_size, config.contrastive_size, bias=False)
        # exp(logit_scale) multiplies the cosines; 1/0.07 is where CLIP starts (Radford et al. 2021, section 2.5)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.lexical = LexicalTable(config) if config.contrastive_lexical else None
        size = config.query_bank_size
        self.register_buffer("query_bank", None if size is None else torch.zeros(size, config.contrastive_size))

    @property
    def scale(self) -> Tensor:
        """What multiplies the cosines: above 100 the softmax is a hard maximum and gradients vanish."""
        return self.logit_scale.exp().clamp(max=100.0)

    def text(self, text_pooled: Tensor, words: Tensor | None = None) -> Tensor:
        """[B,P], and what :class:`LexicalTable` says of the words [B,D] -> unit vectors [B,D]."""
        projected = self.text_projection(text_pooled)
        return nn.functional.normalize(projected if words is None else projected + words, dim=-1)

    def image(self, image_pooled: Tensor) -> Tensor:
        """[B,P] -> unit vectors [B,D]."""
        return nn.functional.normalize(self.image_projection(image_pooled), dim=-1)

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
