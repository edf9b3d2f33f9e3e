"""The model as the index and the search use it: dual-encoder vectors, and joint scores of stored tokens.

Shapes: n images or texts, R image tokens (global token first), H hidden size, D vector size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from interbert.errors import CheckpointError, RegionError, UsageError
from interbert.search.vectors import unit_rows
from interbert.utils.finite import require_finite

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from interbert.extraction.extractor import RegionExtractor
    from interbert.model.modeling import InterBertForImageTextRetrieval
    from interbert.model.processing import InterBertProcessor
    from interbert.regions.schema import Regions
    from interbert.search.joint import JointRuntime, PairScorer

Float32 = NDArray[np.float32]

Views: TypeAlias = "tuple[Regions, ...]"
"""Regions of an image; then of its mirror image, where that counts too."""

LIKENESS_SCALE = 0.25
"""Length of the likeness beside a direction of length one: a large index looks into the nearest of the parts that its
vectors are divided into, and texts' queries know nothing of likeness."""


def sound_views(views: Sequence[Regions | RegionError], where: str) -> Views | RegionError:
    """An image's regions in all its views, or what is wrong with them."""
    from interbert.extraction.views import require_regions

    try:
        return tuple(require_regions(view, where).validate(where) for view in views)
    except RegionError as error:
        return error


class ProductEncoder:
    """A model directory's two speeds: vectors that recall, and the joint pass that reranks.

    Vectors are made so that a text's and an image's inner product is the score that ranks: ``encode_text`` and
    ``encode_image`` where the model has a contrastive head (hub correction included), else the matching head's own
    inner product (SPEC part 6).

    Args:
        model: with a matching head.
        processor: of the same model directory.
        bf16: score jointly in bf16; None does where the device has it. Vectors of texts and images are float32 in any
            case.
        joint_runtime: who computes the joint pass, torch or OpenVINO (:mod:`interbert.search.openvino_joint`); "auto"
            is OpenVINO for a model on the CPU where it is installed.

    Attributes:
        config: the model's sizes and settings.
        scorer: the joint pass over listed pairs, by ``joint_runtime``.
        can_recall: False for a model with neither a contrastive head nor fusion ``mul``: its vectors have no numbers.
    """

    def __init__(
        self,
        model: InterBertForImageTextRetrieval,
        processor: InterBertProcessor,
        bf16: bool | None = None,
        joint_runtime: JointRuntime = "torch",
    ) -> None:
        from interbert.search.joint import joint_scorer

        self._model = model
        self._processor = processor
        self._begin(model.config, joint_scorer(model, bf16, joint_runtime), bf16, joint_runtime)

    def _begin(self, config: Any, scorer: PairScorer, bf16: bool | None, joint_runtime: JointRuntime | None) -> None:
        self.config = config
        self.can_recall = config.contrastive_size is not None or config.fusion == "mul"
        self.bf16 = bf16
        self.joint_runtime = joint_runtime
        self.scorer = scorer
        self._extractor: RegionExtractor | None = None

    @property
    def model(self) -> InterBertForImageTextRetrieval:
        """The model itself."""
        return self._model

    @property
    def processor(self) -> InterBertProcessor:
        """The model's tokenizer and region scaling."""
        return self._processor

    @classmethod
    def load(
        cls,
        directory: str | Path,
        device: str | torch.device | None = None,
        bf16: bool | None = None,
        joint_runtime: JointRuntime = "torch",
    ) -> ProductEncoder:
        """Open a model directory; ``device`` is a GPU when there is one, ``bf16``, ``joint_runtime`` as of the class.

        Raises:
            CheckpointError: it is missing, damaged or no retrieval model.
            MissingExtraError: OpenVINO is not installed.
            UsageError: OpenVINO is to score what is on a GPU.
        """
        import torch

        from interbert.checkpoints.directory import load_model, load_processor

        chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
        return cls(load_model(directory).to(chosen), load_processor(directory), bf16, joint_runtime)

    @property
    def device_type(self) -> str:
        """cpu or cuda."""
        return str(self.model.device.type)

    def require_recall(self) -> None:
        """Check that the model has vectors.

        Raises:
            CheckpointError: it has neither a contrastive head nor fusion ``mul``.
        """
        if not self.can_recall:
            raise CheckpointError(
                "the model cannot recall: with fusion 'sum' its score is no product of text and image. Train it "
                "with contrastive_size, or with fusion 'mul'."
            )

    @property
    def hidden_size(self) -> int:
        """H."""
        return int(self.config.hidden_size)

    @property
    def vector_size(self) -> int:
        """D."""
        config = self.config
        corrected = config.contrastive_size is not None and config.query_bank_size is not None
        return self.direction_size + corrected + (config.likeness_size or 0)

    @property
    def matching_size(self) -> int:
        """The first numbers of a vector, of which a text's and an image's inner product is made: all but likeness."""
        return self.vector_size - (self.config.likeness_size or 0)

    @property
    def direction_size(self) -> int:
        """Numbers of a vector that say what an image shows, the first: behind them come hub correction and likeness."""
        config = self.config
        if not self.can_recall:
            return 0
        return int(config.pooler_size if config.contrastive_size is None else config.contrastive_size)

    @property
    def largest_norm(self) -> float | None:
        """No image's vector is longer; None when that is not known before they are encoded."""
        config = self.config
        if config.contrastive_size is None:
            return None
        correction = config.hub_correction if config.query_bank_size is not None else 0.0
        likeness = LIKENESS_SCALE if config.likeness_size is not None else 0.0
        return float(np.sqrt(1.0 + correction**2 + likeness**2))

    @property
    def extractor(self) -> RegionExtractor:
        """Who finds and describes this model's regions; built on first use."""
        from interbert.extraction.extractor import build_extractor

        if self._extractor is None:
            self._extractor = build_extractor(self.processor.extractor_info, self.processor.extractor_folder)
        return self._extractor

    def images(self, regions: Sequence[Regions], where: Sequence[str]) -> tuple[Float32, list[Float32]]:
        """Vectors [n,D] and embedded tokens [R,H] of images, in batches.

        Args:
            regions: of each image.
            where: what to call each in messages.

        Raises:
            RegionError: regions are not this model's.
        """
        from interbert.search import model_passes

        inputs = [self.processor.image_inputs(one, where=name) for one, name in zip(regions, where, strict=True)]
        return model_passes.images(self.model, inputs, self.can_recall, LIKENESS_SCALE)

    def views(self, views: Sequence[Views], where: Sequence[str]) -> tuple[Float32, list[Float32]]:
        """Vectors [n,D], means over each image's views, and embedded tokens [R,H] of the images as they are.

        Where vectors have a length of one a mean is given it, and the hub correction is that of the mean.

        Args:
            views: of each image.
            where: what to call each image in messages.

        Raises:
            RegionError: regions are not this model's.
        """
        vectors, tokens = self.images([one[0] for one in views], where)
        twice = [place for place, one in enumerate(views) if len(one) > 1]
        if twice:
            mirrored, _ = self.images([views[place][1] for place in twice], [where[place] for place in twice])
            vectors[twice] = self._mean(vectors[twice], mirrored)
        return vectors, tokens

    def _mean(self, vectors: Float32, mirrored: Float32) -> Float32:
        if self.config.contrastive_size is None:
            return (vectors + mirrored) * np.float32(0.5)
        from interbert.search.model_passes import mean_directions

        size = self.direction_size
        found = mean_directions(self.model, vectors[:, :size] + mirrored[:, :size])
        seen = unit_rows(self._likeness(vectors) + self._likeness(mirrored))
        return np.concatenate([found, seen * np.float32(LIKENESS_SCALE)], axis=1)

    def _likeness(self, vectors: Float32) -> Float32:
        """[n,L], the last numbers of vectors [n,D]."""
        return vectors[:, vectors.shape[1] - (self.config.likeness_size or 0) :]

    def vectors_of_tokens(self, tokens: Sequence[Float32]) -> Float32:
        """Vectors [n,<=D] of images whose embedded tokens [R,H] are stored, without likeness: no features are."""
        from interbert.search.model_passes import vectors_of_tokens

        return vectors_of_tokens(self.model, tokens)

    def texts(self, texts: Sequence[str]) -> tuple[list[list[int]], Float32]:
        """Token ids and vectors [n,D] of texts; what is longer than the model reads is cut.

        Raises:
            UsageError: a text is empty, or holds no token that the model knows.
        """
        ids = self.token_ids(texts)
        return ids, self.text_vectors(ids)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts; errors as of :meth:`texts`."""
        for text in texts:
            if not text.strip():
                raise UsageError("the text to search for is empty. Say what the image should show.")
        ids = self.texts_to_ids(texts) if texts else []
        for text, tokens in zip(texts, ids, strict=True):
            if not self.knows(tokens):
                raise UsageError(
                    f"the text {text[:40]!r} holds no word that the model knows. Say in words what the image should "
                    "show."
                )
        return ids

    def texts_to_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of any texts, cut at what the model reads."""
        return self.processor.texts_to_ids(texts)

    def is_whole_word(self, word: str) -> bool:
        """Whether the tokenizer has an entry for the whole word, which the model then has read in many texts."""
        tokenizer = self.processor.tokenizer
        pieces = tokenizer.tokenize(word)
        return len(pieces) == 1 and pieces[0] != tokenizer.unk_token

    def text_vectors(self, ids: Sequence[Sequence[int]]) -> Float32:
        """Vectors [n,D] of texts by token ids, float32 as those of images are: a text has the same in every batch."""
        if not self.can_recall or not ids:
            return np.empty((len(ids), self.vector_size), np.float32)
        vectors = self._text_directions(ids)
        return np.concatenate([vectors, np.zeros((len(ids), self.vector_size - vectors.shape[1]), np.float32)], axis=1)

    def _text_directions(self, ids: Sequence[Sequence[int]]) -> Float32:
        """The first numbers [n,<=D] of texts' vectors, of which those behind are 0."""
        from interbert.model.scoring import encode_texts

        vectors = encode_texts(self.model, ids, bf16=False)
        if self.config.contrastive_size is None:
            head = self.model.matching_head.weight.detach().float().cpu().numpy()
            vectors = vectors * (head[0] - head[1])
        return vectors

    def knows(self, tokens: Sequence[int]) -> bool:
        """Whether a text's token ids hold a token that the model knows."""
        return bool(set(tokens) - set(self.processor.tokenizer.all_special_ids))  # [UNK] among them

    def image_query(self, vectors: Float32) -> Float32:
        """Images' vectors [n,D], or means of some, as queries for other images.

        The hub correction, a matter of texts, is left out; direction and likeness count by their shares.
        """
        config, size = self.config, self.direction_size
        query, seen = np.zeros_like(vectors), self._likeness(vectors)
        direction = vectors[:, :size]
        if config.contrastive_size is not None:  # images' vectors have a length of one, and means are given it
            direction, seen = unit_rows(direction), unit_rows(seen)
        share = np.float32(config.likeness_share if seen.shape[1] else 0.0)
        query[:, :size] = direction * (1 - share)
        query[:, vectors.shape[1] - seen.shape[1] :] = seen * np.float32(share / LIKENESS_SCALE)
        return query

    def image_vector(self, image: Image.Image | bytes | str | Path, mirrored: bool = False) -> Float32:
        """An image's vector [D] as a query for images like it; ``mirrored`` as the index's images are.

        Raises:
            ImageError: it is missing or unreadable.
            RegionError: the extractor finds no sound regions in it.
        """
        vectors, _ = self.described(image, "the image to search for", mirrored)
        query: Float32 = self.image_query(vectors)[0]
        return query

    def described(
        self, image: Image.Image | bytes | str | Path, where: str, mirrored: bool = False
    ) -> tuple[Float32, list[Float32]]:
        """Vector [1,D] and embedded tokens [R,H] of one image, as an index would keep them.

        Raises:
            ImageError: it is missing or unreadable.
            RegionError: the extractor finds no sound regions in it.
        """
        from interbert.extraction.images import as_image
        from interbert.extraction.views import extract_view, views_of

        decoded = as_image(image, where)
        regions = [extract_view(self.extractor, [decoded], [], view)[0] for view in views_of(mirrored)]
        found = sound_views(regions, where)
        if isinstance(found, RegionError):
            raise found
        return self.views([found], [where])

    def joint(
        self,
        texts: Sequence[Sequence[int]],
        tokens: Sequence[Float32],
        recalled: Float32,
        progress: Callable[[int], None] | None = None,
    ) -> Float32:
        """Log-odds of a match of every text and image [texts, n]: joint pass and recall, as the model mixes them.

        Args:
            texts: token ids.
            tokens: [R,H] of each image, from :meth:`images` or an index.
            recalled: [texts, n] inner products of vectors; the model's ``dual_score_weight`` says what they are worth.
            progress: told how many pairs were scored.

        Raises:
            DataError: a score is not finite.
        """
        if not recalled.size:
            return np.zeros(recalled.shape, dtype=np.float32)
        text_of, image_of = np.divmod(np.arange(recalled.size), recalled.shape[1])
        scores = self.scorer.pairs(texts, tokens, text_of, image_of, progress)
        return require_finite(scores.reshape(recalled.shape) + recalled * np.float32(self.recall_weight))

    @property
    def unread_score(self) -> float:
        """What a candidate that is not read jointly has in place of a joint score."""
        return self.config.dual_score_offset or self.config.unread_score or 0.0

    @property
    def recall_weight(self) -> float:
        """What the inner product of vectors counts in a score beside the joint pass."""
        return self.config.dual_score_weight or 0.0
