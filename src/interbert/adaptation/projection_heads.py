"""The two small heads that an image's and a text's vector meet in while the backbone learns; thrown away afterwards.

Shapes: B batch, F pooled features, H hidden size of the BERT, P pooled size, D contrastive size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from interbert.model.configuration import InterBertConfig
from interbert.model.heads import ContrastiveHead, Pooler


class ProjectionHeads(nn.Module):
    """The model's own contrastive head, on one vector an image and one a text.

    Args:
        config: sizes; ``contrastive_size`` is set.
        mean: [F] of the pooled features.
        std: [F].
        dropout: share of features, text vectors and words left out in training.
    """

    def __init__(self, config: InterBertConfig, mean: Tensor, std: Tensor, dropout: float) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.dropout = nn.Dropout(dropout)
        self.image = nn.Sequential(
            nn.Linear(config.region_feature_size, config.hidden_size),
            nn.LayerNorm(config.hidden_size),
            nn.Dropout(dropout),
            nn.Linear(config.hidden_size, config.pooler_size),
            nn.ReLU(),
        )
        self.text_pooler = Pooler(config)
        self.head = ContrastiveHead(config)
        nn.init.orthogonal_(self.head.text_projection.weight)
        with torch.no_grad():
            self.head.image_projection.weight.copy_(self.head.text_projection.weight)

    @property
    def scale(self) -> Tensor:
        """What multiplies the cosines."""
        return self.head.scale

    def standardised(self, features: Tensor) -> Tensor:
        """Pooled features [B,F] on the scale of the network as it was; in training a share is left out."""
        left: Tensor = self.dropout((features - self.mean) / self.std)
        return left

    def images(self, features: Tensor) -> Tensor:
        """Pooled features [B,F] -> unit vectors [B,D]."""
        return self.head.image(self.image(self.standardised(features)))

    def texts(self, vectors: Tensor, input_ids: Tensor, mask: Tensor) -> Tensor:
        """The BERT's vectors [B,H] and the tokens [B,T] -> unit vectors [B,D]."""
        assert self.head.lexical is not None
        words = self.head.lexical(input_ids, mask, self.dropout.p)
        return self.head.text(self.text_pooler(self.dropout(vectors).unsqueeze(1)), words)
