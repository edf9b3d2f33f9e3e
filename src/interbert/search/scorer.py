"""Score texts against images with the method names and return shapes of a cross-encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interbert.checkpoints.directory import load_model, load_processor
from interbert.errors import UsageError
from interbert.extraction.extractor import RegionExtractor, build_extractor
from interbert.extraction.images import as_image, in_chunks
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor
from interbert.model.scoring import score_listed_pairs
from interbert.regions.schema import Regions
from interbert.utils.terminal import progress_bar

ImageLike = Any
"""A PIL image, a path, a file's bytes, or stored :class:`~interbert.regions.schema.Regions`."""


_EXTRACT_BATCH = 64


class InterBertScorer:
    """A fine-tuned model directory as a reranker: ``predict`` and ``rank`` as sentence-transformers' CrossEncoder has.

    Scores are match probabilities, or what ``activation_fn`` makes of the logit differences. An image that occurs in
    many pairs is described once; pairs are scored in order of text length.

    Args:
        directory: of a model with a matching head, or its Hub id.
        device: where to compute; a GPU when there is one.
        bf16: compute in bf16, which is faster but leaves scores about two digits; None does where the device has it.
            In float32 they are those of ``model.score`` and of ``CrossEncoder``, to 1e-4.

    Raises:
        CheckpointError: there is no such model, or it is damaged.
    """

    def __init__(
        self, directory: str | Path, device: str | torch.device | None = None, bf16: bool | None = False
    ) -> None:
        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model: InterBertForImageTextRetrieval = load_model(directory).to(chosen)
        self.processor: InterBertProcessor = load_processor(directory)
        self._bf16 = bf16
        self._extractor: RegionExtractor | None = None

    def predict(
        self,
        pairs: Sequence[tuple[str, ImageLike]] | tuple[str, ImageLike],
        batch_size: int = 32,
        show_progress_bar: bool = False,
        activation_fn: Callable[[Tensor], Tensor] | None = None,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
    ) -> NDArray[np.float32] | Tensor | list[Tensor] | np.float32:
        """Score pairs of a text and an image.

        Args:
            pairs: (text, image) or ``{"text": ..., "image": ...}`` each; or one of them.
            batch_size: pairs per forward pass.
            show_progress_bar: show rate and remaining time.
            activation_fn: applied to the float32 logit differences; sigmoid when not given.
            convert_to_numpy: return an array; False returns a list of tensors.
            convert_to_tensor: return one tensor; goes before ``convert_to_numpy``.

        Returns:
            float32 [pairs], in the order given; a single score for a single pair.

        Raises:
            UsageError: a pair is not a text and an image; it is named.
            ImageError: an image cannot be read; it is named.
        """
        single = _is_pair(pairs)
        listed = [pairs] if single else list(pairs)
        texts, images = [], []
        for place, pair in enumerate(listed):
            text, image = _parts(pair, place)
            texts.append(text)
            images.append(image)
        scores = _activated(self._differences(texts, images, batch_size, show_progress_bar), activation_fn)
        if convert_to_tensor:
            return scores[0] if single else scores
        if convert_to_numpy:
            array: NDArray[np.float32] = scores.numpy()
            return array[0] if single else array
        return scores[0] if single else list(scores)

    def rank(
        self,
        query: str | ImageLike,
        documents: Sequence[ImageLike | str],
        top_k: int | None = None,
        return_documents: bool = False,
        batch_size: int = 32,
        show_progress_bar: bool = False,
        activation_fn: Callable[[Tensor], Tensor] | None = None,
    ) -> list[dict[str, Any]]:
        """Order images for a text, or texts for an image, best first.

        Args:
            query: a text; or an image (not as a ``str`` path: that is a text), and then the documents are texts.
            documents: images, or texts.
            top_k: so many results; all when not given.
            return_documents: put each document beside its score, as ``"text"`` or ``"image"``.
            batch_size: pairs per forward pass.
            show_progress_bar: show rate and remaining time.
            activation_fn: as in :meth:`predict`.

        Returns:
            Dictionaries with ``corpus_id`` (place in ``documents``) and ``score``.

        Raises:
            UsageError, ImageError: as :meth:`predict`.
        """
        if isinstance(query, str):
            kind, pairs = "image", [(query, document) for document in documents]
        else:
            kind, pairs = "text", [(document, query) for document in documents]
        scores = self.predict(pairs, batch_size, show_progress_bar, activation_fn)
        assert isinstance(scores, np.ndarray)
        results: list[dict[str, Any]] = []
        for place in np.argsort(-scores, kind="stable")[:top_k].tolist():
            result = {"corpus_id": place, "score": float(scores[place])}
            results.append(result | {kind: documents[place]} if return_documents else result)
        return results

    def _differences(self, texts: list[str], images: list[ImageLike], batch_size: int, show: bool) -> Tensor:
        """Logit differences float32 [pairs]."""
        if not texts:
            return torch.zeros(0)
        unique: dict[Any, tuple[int, ImageLike]] = {}
        image_of = [unique.setdefault(_key(one), (len(unique), one))[0] for one in images]
        inputs = self._inputs([one for _, one in unique.values()])
        known = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        with progress_bar("scoring", len(texts), "pairs", shown=show) as advance:
            scores = score_listed_pairs(
                self.model,
                self.processor.texts_to_ids(list(known)),
                inputs,
                np.array([known[text] for text in texts], dtype=np.int64),
                np.array(image_of, dtype=np.int64),
                advance,
                batch_size,
                self._bf16,
            )
        return torch.from_numpy(scores)

    def _inputs(self, images: list[ImageLike]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Model inputs of images; what is not described yet is described here."""
        raw = [place for place, one in enumerate(images) if not isinstance(one, Regions)]
        if raw and self._extractor is None:
            self._extractor = build_extractor(self.processor.extractor_info, self.processor.extractor_folder)
        regions = dict(enumerate(images))
        opened = ((place, as_image(images[place], f"image {place}")) for place in raw)
        for chunk in in_chunks(opened, _EXTRACT_BATCH, lambda one: one[1]):
            assert self._extractor is not None
            found = self._extractor.detect([image for _, image in chunk])
            regions |= dict(zip((place for place, _ in chunk), found, strict=True))
        return [self.processor.image_inputs(one, where=f"image {place}") for place, one in regions.items()]


def _is_pair(pairs: Any) -> bool:
    """Whether this is one pair and not a list of pairs."""
    return isinstance(pairs, dict) or (isinstance(pairs, tuple) and len(pairs) == 2 and isinstance(pairs[0], str))


def _parts(pair: Any, place: int) -> tuple[str, ImageLike]:
    """Text and image of a pair."""
    text, image = (pair.get("text"), pair.get("image")) if isinstance(pair, dict) else _two(pair, place)
    if not isinstance(text, str) or image is None:
        raise UsageError(f"pair {place}: must be a text and an image, in this order, or {{'text': ..., 'image': ...}}.")
    return text, image


def _two(pair: Any, place: int) -> tuple[Any, Any]:
    if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
        raise UsageError(f"pair {place}: must be a text and an image.")
    return pair[0], pair[1]


def _key(image: ImageLike) -> Any:
    """What makes two mentions of an image the same: the path or the bytes, or the object."""
    return image if isinstance(image, str | bytes | Path) else id(image)


def _activated(differences: Tensor, activation_fn: Callable[[Tensor], Tensor] | None) -> Tensor:
    return differences.sigmoid() if activation_fn is None else activation_fn(differences)
