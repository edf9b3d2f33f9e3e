"""Let an image side that has learnt nothing start where the text side is.

A BERT fills the text side alone (SPEC part 1); from random, the image side has to learn in the same few thousand pairs
both what a picture shows and how to say it. Here it starts as a reader of pseudo-words instead: a ridge regression from
region features to the word embeddings of the captions fills the feature projection, and the image layers, pooler and
contrastive projection start as the text side's, which know what to do with words.

Shapes: n pictures, F region feature size, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from interbert.model.modeling import InterBertForPreTraining

_RIDGE = 5000.0
"""On standardised features: chosen on OpenMoji's validation pictures."""


@torch.no_grad()
def start_image_side(model: InterBertForPreTraining, features: Tensor, ids: Sequence[Sequence[int]]) -> bool:
    """Fill the image side in place.

    Args:
        model: initialised from a BERT.
        features: f32 [n,F], the standardised global feature of each text's picture.
        ids: n texts' token ids, with [CLS] and [SEP].

    Returns:
        False when the image layers are not made like the text layers: then only the embedding is filled.
    """
    trunk = model.interbert
    words = trunk.text_embeddings.word_embeddings.weight
    spoken = torch.stack([words[torch.tensor(text[1:-1] or text)].mean(dim=0) for text in ids])
    mean = spoken.mean(dim=0)
    inner = features.T @ features + _RIDGE * torch.eye(features.shape[1])
    weight = torch.linalg.solve(inner, features.T @ (spoken - mean))
    # predictions of a ridge are timid: a pseudo-word should stand out from the mean as much as a word does
    spread = (words - words.mean(dim=0)).norm(dim=1).mean() / (features @ weight).norm(dim=1).mean()
    images = trunk.image_embeddings
    images.feature_projection.weight.copy_((weight * spread).T)
    positions = trunk.text_embeddings.position_embeddings.weight[1:9].mean(dim=0)
    images.feature_projection.bias.copy_(mean + positions + trunk.text_embeddings.token_type_embeddings.weight[0])
    images.location_projection.weight.mul_(0.1)
    _copy(trunk.text_embeddings.layer_norm, images.layer_norm)
    _copy(trunk.text_pooler, trunk.image_pooler)
    if model.config.contrastive_size is not None:
        _copy(model.contrastive_head.text_projection, model.contrastive_head.image_projection)
    config = model.config
    alike = (
        config.num_image_layers == config.num_text_layers
        and config.image_intermediate_size == config.intermediate_size
        and config.image_num_attention_heads == config.num_attention_heads
    )
    if alike:
        _copy(trunk.encoder.text_layers, trunk.encoder.image_layers)
    return alike


def _copy(source: nn.Module, target: nn.Module) -> None:
    target.load_state_dict(source.state_dict())
