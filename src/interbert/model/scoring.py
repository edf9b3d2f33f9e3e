"""Joint scores of every text with every image, the exact ranking the paper reports.

The score is the matching logit difference (match minus mismatch) in float32: softmax saturates and would make ties
(SPEC part 4). Computed in float32 it is what ``model(...)`` gives, to 1e-4. In bf16, which is the default where the
device has it, it has about two digits, and the last of them depends on what is scored beside it: bf16 rounds after
every layer, and the products before it add up in another order for another batch.

Each image is embedded once. Pairs are sorted by text length and number of regions, so batches hold hardly any
padding, and the last layers compute the first token alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import pad_texts
from interbert.model.region_inputs import pad_images
from interbert.utils.finite import require_finite
from interbert.utils.stored_names import RegionArrays

Float32 = NDArray[np.float32]
RecallBy = Literal["projections", "head"]
"""Which inner product of separately encoded sides ranks: the contrastive projections', or the matching head's."""

_PAIRS_PER_BATCH = 256
_CPU_TOKENS = 2048
"""Tokens of a batch on a CPU: more of them leave its caches."""
_EMBED_BATCH = 128


def score_matrix(
    model: InterBertForImageTextRetrieval,
    texts: Sequence[Sequence[int]],
    images: Sequence[RegionArrays],
    progress: Callable[[int], None] | None = None,
    pairs_per_batch: int = _PAIRS_PER_BATCH,
    bf16: bool | None = None,
) -> Float32:
    """Score every text with every image.

    Args:
        model: on its device, in any mode (it is put into eval mode for the call).
        texts: token ids of each text.
        images: region_features [R,F] and region_locations [R,5] of each image.
        progress: told after each batch how many pairs it had.
        pairs_per_batch: pairs per forward pass, at most.
        bf16: compute in bf16; None does where the device has it.

    Returns:
        float32 [texts, images], higher is better.
    """
    texts_of, images_of = np.divmod(np.arange(len(texts) * len(images)), len(images))
    scores = _score(model, texts, images, texts_of, images_of, progress, pairs_per_batch, bf16)
    scores = scores.reshape(len(texts), len(images))
    if model.config.dual_score_weight is not None:
        scores = scores + dual_matrix(model, texts, images, bf16) * np.float32(model.config.dual_score_weight)
    return require_finite(scores)


def score_pairs(
    model: InterBertForImageTextRetrieval,
    texts: Sequence[Sequence[int]],
    images: Sequence[RegionArrays],
    candidates: NDArray[np.int64],
    bf16: bool | None = None,
) -> Float32:
    """Joint scores of each text with its own candidates [texts, k] (indices of images); float32 [texts, k]."""
    owners = np.repeat(np.arange(len(texts)), candidates.shape[1])
    scores = score_listed_pairs(model, texts, images, owners, candidates.reshape(-1), bf16=bf16)
    return scores.reshape(candidates.shape)


def score_listed_pairs(
    model: InterBertForImageTextRetrieval,
    texts: Sequence[Sequence[int]],
    images: Sequence[RegionArrays],
    text_of: NDArray[np.int64],
    image_of: NDArray[np.int64],
    progress: Callable[[int], None] | None = None,
    pairs_per_batch: int = _PAIRS_PER_BATCH,
    bf16: bool | None = None,
) -> Float32:
    """Joint scores of listed pairs.

    Args:
        texts, images, progress, pairs_per_batch, bf16: as in :func:`score_matrix`.
        text_of: int64 [pairs], index of each pair's text.
        image_of: int64 [pairs], index of each pair's image.

    Returns:
        float32 [pairs], higher is better.
    """
    if not len(text_of):
        return np.zeros(0, dtype=np.float32)
    scores = _score(model, texts, images, text_of, image_of, progress, pairs_per_batch, bf16)
    if model.config.dual_score_weight is not None:
        text_vectors, image_vectors = encode_all(model, texts, images, bf16)
        cosines = np.einsum("pd,pd->p", text_vectors[text_of], image_vectors[image_of])
        scores += cosines * np.float32(model.config.dual_score_weight)
    return require_finite(scores)


def dual_matrix(
    model: InterBertForImageTextRetrieval,
    texts: Sequence[Sequence[int]],
    images: Sequence[RegionArrays],
    bf16: bool | None = None,
    by: RecallBy = "projections",
) -> Float32:
    """Scores [texts, images] of separately encoded sides (SPEC part 6).

    By ``projections`` cosines, hubs corrected, of a model with ``contrastive_size``; by the matching ``head`` its logit
    differences without the dual score, of a model with fusion ``mul``. ``bf16`` as in :func:`score_matrix`.
    """
    text_vectors, image_vectors = encode_all(model, texts, images, bf16, by)
    scores: Float32 = text_vectors @ image_vectors.T
    return scores


def encode_all(
    model: InterBertForImageTextRetrieval,
    texts: Sequence[Sequence[int]],
    images: Sequence[RegionArrays],
    bf16: bool | None = None,
    by: RecallBy = "projections",
) -> tuple[Float32, Float32]:
    """Dual-encoder vectors of texts [n,D] and images [m,D]; ``bf16`` and ``by`` as in :func:`dual_matrix`."""
    return encode_texts(model, texts, bf16, by), encode_images(model, images, bf16, by)


def encode_images(
    model: InterBertForImageTextRetrieval,
    images: Sequence[RegionArrays],
    bf16: bool | None = None,
    by: RecallBy = "projections",
) -> Float32:
    """Dual-encoder vectors [m,D] of images; ``bf16`` and ``by`` as in :func:`dual_matrix`."""
    encode = model.encode_image if by == "projections" else model.head_image
    vectors: list[Tensor] = []
    with inference(model, bf16):
        for start in range(0, len(images), _EMBED_BATCH):
            batch = pad_images(images[start : start + _EMBED_BATCH])
            vectors.append(encode(**on_device(batch, model.device)).float().cpu())
    return torch.cat(vectors).numpy()


def encode_texts(
    model: InterBertForImageTextRetrieval,
    texts: Sequence[Sequence[int]],
    bf16: bool | None = None,
    by: RecallBy = "projections",
) -> Float32:
    """Dual-encoder vectors [n,D] of texts; ``bf16`` and ``by`` as in :func:`dual_matrix`."""
    encode = model.encode_text if by == "projections" else model.head_text
    order = np.argsort([len(ids) for ids in texts], kind="stable")
    vectors: list[Tensor] = []
    with inference(model, bf16):
        for start in range(0, len(order), _EMBED_BATCH):
            batch = pad_texts([texts[index] for index in order[start : start + _EMBED_BATCH]])
            vectors.append(encode(**on_device(batch, model.device)).float().cpu())
    by_length = torch.cat(vectors).numpy()
    unsorted = np.empty_like(by_length)
    unsorted[order] = by_length
    return unsorted


@contextlib.contextmanager
def inference(model: torch.nn.Module, bf16: bool | None = None) -> Iterator[None]:
    """Eval mode without gradients, in bf16 as in :func:`autocast`; each module's own mode comes back."""
    training = [one for one in model.modules() if one.training]
    for one in training:  # a served model has none: setting the mode of all took a third of encoding a text
        one.training = False
    try:
        with torch.inference_mode(), autocast(model, bf16):
            yield
    finally:
        for one in training:
            one.training = True


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; without it bfloat16 is many times slower than float32."""
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return any(bool(one()) for one in (check, amx) if one is not None)


def autocast(model: torch.nn.Module, bf16: bool | None = None) -> contextlib.AbstractContextManager[object]:
    """Compute in bf16 (None: where the device has it); logits are read in float32."""
    device = next(model.parameters()).device.type
    if bf16 is None:
        bf16 = torch.cuda.is_bf16_supported() if device == "cuda" else device == "cpu" and cpu_has_bf16()
    return torch.autocast(device, dtype=torch.bfloat16) if bf16 else contextlib.nullcontext()


def _score(
    model: InterBertForImageTextRetrieval,
    texts: Sequence[Sequence[int]],
    images: Sequence[RegionArrays],
    text_of: NDArray[np.int64],
    image_of: NDArray[np.int64],
    progress: Callable[[int], None] | None,
    pairs_per_batch: int,
    bf16: bool | None = None,
) -> Float32:
    """Logit differences of pairs, float32 [pairs], without the dual score."""
    with inference(model, bf16):
        embedded = embed_images(model, images)
    counts = np.array([len(features) for features, _ in images])
    return score_embedded(model, texts, embedded, counts, text_of, image_of, progress, pairs_per_batch, bf16)


def score_embedded(
    model: InterBertForImageTextRetrieval,
    texts: Sequence[Sequence[int]],
    embedded: Tensor,
    counts: NDArray[np.int64],
    text_of: NDArray[np.int64],
    image_of: NDArray[np.int64],
    progress: Callable[[int], None] | None = None,
    pairs_per_batch: int = _PAIRS_PER_BATCH,
    bf16: bool | None = None,
) -> Float32:
    """Logit differences of listed pairs of images that are embedded already, without the dual score.

    Of a model that does not read jointly they are all the same.

    Args:
        texts, text_of, image_of, progress, pairs_per_batch: as in :func:`score_listed_pairs`.
        embedded: [n,R,H] of :func:`embed_images`, on the model's device.
        counts: int64 [n], image tokens of each image.
        bf16: as in :func:`score_matrix`.

    Returns:
        float32 [pairs].
    """
    unread = unread_scores(model, len(text_of), progress)
    if unread is not None:
        return unread
    device = model.device
    scores = np.empty(len(text_of), dtype=np.float32)
    lengths = np.array([len(ids) for ids in texts])[text_of]
    most_tokens = _CPU_TOKENS if device.type == "cpu" else None
    with inference(model, bf16):
        for batch in _even_batches(lengths, counts[image_of], pairs_per_batch, most_tokens):
            ids = torch.tensor([texts[index] for index in text_of[batch]], device=device)
            chosen = image_of[batch]
            regions = torch.from_numpy(counts[chosen]).to(device)
            widest = int(counts[chosen].max())
            chosen_images = embedded[torch.from_numpy(chosen).to(device), :widest]
            even = bool((counts[chosen] == widest).all())
            mask = None if even else torch.arange(widest, device=device) < regions[:, None]
            logits = model.match_embedded(model.interbert.text_embeddings(ids), chosen_images, mask)
            scores[batch] = (logits[:, 0].float() - logits[:, 1].float()).cpu().numpy()
            if progress is not None:
                progress(len(batch))
    return scores


def unread_scores(
    model: InterBertForImageTextRetrieval, pairs: int, progress: Callable[[int], None] | None = None
) -> Float32 | None:
    """What stands in place of the logit differences [pairs] of a model that does not read jointly; None of others."""
    offset = model.config.dual_score_offset
    if offset is None:
        return None
    if progress is not None:
        progress(pairs)
    return np.full(pairs, offset, dtype=np.float32)


def _even_batches(
    lengths: NDArray[np.int64], counts: NDArray[np.int64], most_pairs: int, most_tokens: int | None
) -> Iterator[NDArray[np.int64]]:
    """Pairs whose texts have one length and whose images have about as many regions.

    Args:
        lengths: [n] text tokens of each pair.
        counts: [n] image tokens of each pair.
        most_pairs: of a batch.
        most_tokens: of a batch that has more than one pair; None for any number.
    """
    order = np.lexsort((counts, lengths))
    for run in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        start = 0
        while start < len(run):
            stop = start + most_pairs
            if most_tokens is not None:
                tokens = np.cumsum(lengths[run[start:stop]] + counts[run[start:stop]])
                stop = start + max(1, int(np.searchsorted(tokens, most_tokens, side="right")))
            yield run[start:stop]
            start = stop


def embed_images(model: InterBertForImageTextRetrieval, images: Sequence[RegionArrays]) -> Tensor:
    """Embeddings [n,R,H], padded to the largest image: all that the joint pass reads of them."""
    most = max(len(features) for features, _ in images)
    embedded = []
    for start in range(0, len(images), _EMBED_BATCH):
        batch = on_device(pad_images(images[start : start + _EMBED_BATCH]), model.device)
        hidden = model.interbert.image_embeddings(batch["region_features"], batch["region_locations"])
        embedded.append(torch.nn.functional.pad(hidden, (0, 0, 0, most - hidden.shape[1])))
    return torch.cat(embedded)


def on_device(batch: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    """A batch's tensors on a device."""
    return {name: tensor.to(device) for name, tensor in batch.items()}
