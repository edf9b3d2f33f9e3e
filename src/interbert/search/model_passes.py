"""What a model makes of images for an index, in batches by torch.

Shapes: n images, R image tokens (global token first), H hidden size, D vector size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.region_inputs import pad_images
from interbert.model.scoring import inference, on_device
from interbert.search.joint import padded
from interbert.utils.stored_names import RegionArrays

Float32 = NDArray[np.float32]

_BATCH = 64


def images(
    model: InterBertForImageTextRetrieval, inputs: Sequence[RegionArrays], can_recall: bool, likeness_scale: float
) -> tuple[Float32, list[Float32]]:
    """Vectors [n,D] and embedded tokens [R,H] of images by features and locations."""
    vectors: list[Float32] = []
    tokens: list[Float32] = []
    for start in range(0, len(inputs), _BATCH):
        chosen = inputs[start : start + _BATCH]
        batch = on_device(pad_images(chosen), model.device)
        with inference(model, bf16=False):  # once per image, and kept: exactness is worth its time
            encoded = model.encode_image(**batch) if can_recall else torch.empty(len(chosen), 0)
            if model.likeness is not None:
                seen = model.likeness(batch["region_features"]) * likeness_scale
                encoded = torch.cat([encoded, seen], dim=1)
            embedded = model.interbert.image_embeddings(batch["region_features"], batch["region_locations"])
        vectors.append(encoded.float().cpu().numpy())
        whole = embedded.float().cpu().numpy()
        tokens += [whole[place, : len(features)] for place, (features, _) in enumerate(chosen)]
    return np.concatenate(vectors), tokens


def mean_directions(model: InterBertForImageTextRetrieval, sums: Float32) -> Float32:
    """Sums of unit vectors [n,D] with a length of one, and the hub correction of that."""
    mean = torch.from_numpy(sums).to(model.device)
    with inference(model, bf16=False):
        found: Float32 = model.correct_hubs(torch.nn.functional.normalize(mean, dim=-1)).cpu().numpy()
    return found


def vectors_of_tokens(model: InterBertForImageTextRetrieval, tokens: Sequence[Float32]) -> Float32:
    """Vectors [n,<=D] of images by embedded tokens [R,H]."""
    vectors: list[Float32] = []
    for start in range(0, len(tokens), _BATCH):
        whole, counts = padded(tokens[start : start + _BATCH], model.device)
        mask = (torch.arange(whole.shape[1]) < torch.from_numpy(counts)[:, None]).long().to(model.device)
        with inference(model, bf16=False):
            pooled = model.interbert.encode_embedded(None, whole, None, mask, pooled_only=True).image_pooled
            assert pooled is not None
            vectors.append(model.project_image(pooled, whole[:, 0]).float().cpu().numpy())
    return np.concatenate(vectors)
