"""The explanation of a pair: relevance by word and region, and the score without the most relevant ones.

What is explained is the matching logit difference of the joint pass. Where a model mixes in the dual score, a product
of separately encoded sides (SPEC part 6), that is no part of it, and stands beside it; or in its place, in a model that
does not read jointly.

Shapes: R image tokens (global token first), T text tokens, N = R - 1 regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import expit

from interbert.explain.images import ImageLike, ImageTokens, image_tokens, on_model
from interbert.explain.occlusion import Removal, scores_without
from interbert.explain.relevance import Pass, attended, explainable, joint_relevance, token_relevance
from interbert.explain.words import TokenizedText, Word, tokenized
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor
from interbert.model.scoring import inference
from interbert.utils.finite import require_finite

Float32 = NDArray[np.float32]

OCCLUDED = 3
"""The most relevant words, and regions, without which a pair is scored."""


@dataclass(frozen=True)
class ExplainedWord:
    """A word of the text."""

    text: str
    """As typed."""
    start: int
    """Of its first character in the text."""
    end: int
    """Behind its last character."""
    relevance: float
    """Of its word pieces together, as a share of the relevance of all tokens."""
    score_without: float | None = None
    """Logit difference of the pair without this word; None where it was not computed."""


@dataclass(frozen=True)
class ExplainedRegion:
    """A region of the image."""

    box: tuple[float, float, float, float]
    """x1, y1, x2, y2 as shares of the image's width and height."""
    relevance: float
    """As a share of the relevance of all tokens."""
    score_without: float | None = None
    """Logit difference of the pair without this region; None where it was not computed."""


@dataclass(frozen=True)
class Explanation:
    """Why a text and an image match. All relevance together is 1, or 0 where no attention raises the score."""

    text: str
    words: tuple[ExplainedWord, ...]
    """In the order of the text."""
    special: tuple[tuple[str, float], ...]
    """Special tokens such as [CLS], and their relevance."""
    unread: str
    """The end of the text that the model does not read, since it is too long."""
    regions: tuple[ExplainedRegion, ...]
    """In the order of the extractor."""
    global_relevance: float
    """Of the global token, the mean of all regions."""
    logit_difference: float
    """What is explained: logit of a match minus logit of a mismatch, by the joint pass."""
    dual_score: float | None
    """What the model adds to it from separately encoded sides; None where it adds nothing."""
    counts: bool
    """Whether what is explained counts in the model's score. A model that does not read jointly is scored by
    ``dual_score`` alone; the explanation then shows what the joint pass would look at."""
    probability: float
    """Of a match, by the model's whole score."""
    links: tuple[tuple[float, ...], ...]
    """Of each word with each region: what they pass on to one another in the interaction layers; no unit."""

    def top_words(self, count: int = OCCLUDED) -> list[int]:
        """Places of the most relevant words, the first of equals first."""
        return _highest([one.relevance for one in self.words], count)

    def top_regions(self, count: int = OCCLUDED) -> list[int]:
        """Places of the most relevant regions, the first of equals first."""
        return _highest([one.relevance for one in self.regions], count)


@dataclass(frozen=True)
class Occlusion:
    """Logit differences of a pair, whole and without one thing at a time."""

    score: float
    words: dict[int, float]
    """By the place of the word that is removed."""
    regions: dict[int, float]
    """By the place of the region that is removed."""


def explain(
    model: InterBertForImageTextRetrieval,
    processor: InterBertProcessor,
    text: str,
    image: ImageLike,
    occluded: int = OCCLUDED,
) -> Explanation:
    """Explain the matching logit difference of a text and an image, in float32.

    Args:
        model: in any mode, with any attention; it stays as it is, and other threads may use it meanwhile.
        processor: of the model.
        text: longer ones are cut as the model's texts are.
        image: a PIL image, a file or its bytes; regions of the model's extractor; region features [R,F] and locations
            [R,5]; or embedded tokens.
        occluded: the pair is scored without each of so many of the most relevant words, and regions.

    Returns:
        relevance by gradient x attention (:mod:`interbert.explain.relevance`).

    Raises:
        UsageError: the text is empty, or holds no word that the model knows.
        ImageError: the image is missing or unreadable.
        RegionError: regions are not this model's.
        DataError: the score is NaN or infinite.
    """
    read = tokenized(processor, text)
    twin = explainable(model)
    tokens = image_tokens(twin, processor, image)
    plain = _relevance(twin, processor, read, tokens)
    removed = _occlusion(twin, read, tokens, plain.top_words(occluded), plain.top_regions(occluded))
    words = [replace(word, score_without=removed.words.get(place)) for place, word in enumerate(plain.words)]
    regions = [replace(one, score_without=removed.regions.get(place)) for place, one in enumerate(plain.regions)]
    return replace(plain, words=tuple(words), regions=tuple(regions))


def occlusion(
    model: InterBertForImageTextRetrieval,
    processor: InterBertProcessor,
    text: str,
    image: ImageLike,
    words: Sequence[int] | None = None,
    regions: Sequence[int] | None = None,
) -> Occlusion:
    """Score a pair without each of some words and regions, one at a time (:mod:`interbert.explain.occlusion`).

    Args:
        model, processor, text, image: as in :func:`explain`, and so are the errors.
        words: places of words, as :attr:`Explanation.words` has them; all when not given.
        regions: places of regions; all when not given.
    """
    read = tokenized(processor, text)
    twin = explainable(model)
    tokens = image_tokens(twin, processor, image)
    all_words = range(len(read.words)) if words is None else words
    return _occlusion(twin, read, tokens, all_words, range(len(tokens.boxes)) if regions is None else regions)


def _occlusion(
    model: InterBertForImageTextRetrieval,
    text: TokenizedText,
    image: ImageTokens,
    words: Sequence[int],
    regions: Sequence[int],
) -> Occlusion:
    removals = [Removal(), *(Removal(words=(place,)) for place in words)]
    removals += [Removal(regions=(place,)) for place in regions]
    whole, *scores = scores_without(model, text, image.embedded, removals).tolist()
    count = len(words)
    return Occlusion(
        whole, dict(zip(words, scores[:count], strict=True)), dict(zip(regions, scores[count:], strict=True))
    )


def _relevance(
    model: InterBertForImageTextRetrieval, processor: InterBertProcessor, text: TokenizedText, image: ImageTokens
) -> Explanation:
    """The explanation without occlusion."""
    ids = torch.tensor([text.ids], device=model.device)
    embedded = on_model(model, image)
    passed = attended(model, ids, torch.ones_like(ids), embedded, ids.new_ones(embedded.shape[:2]))
    found: Float32 = require_finite(token_relevance(passed)[0].cpu().numpy())
    difference = float(require_finite(passed.differences.cpu().numpy())[0])
    total = float(found.sum())
    found = found / np.float32(total if total > 0 else 1.0)
    of_image, of_text = found[: passed.image_tokens], found[passed.image_tokens :]
    dual = _dual_score(model, ids, embedded)
    pieces = {piece for word in text.words for piece in word.pieces}
    special = [place for place in range(len(text.ids)) if place not in pieces]
    names = processor.tokenizer.convert_ids_to_tokens([text.ids[place] for place in special])
    return Explanation(
        text=text.text,
        words=tuple(_explained(word, of_text) for word in text.words),
        special=tuple((name, float(of_text[place])) for name, place in zip(names, special, strict=True)),
        unread=text.unread,
        regions=tuple(
            ExplainedRegion(_box(box), float(share)) for box, share in zip(image.boxes, of_image[1:], strict=True)
        ),
        global_relevance=float(of_image[0]),
        logit_difference=difference,
        dual_score=dual,
        counts=model.config.reads_jointly,
        probability=float(expit(difference * model.config.reads_jointly + (dual or 0.0))),
        links=_links(passed, text.words),
    )


def _links(passed: Pass, words: Sequence[Word]) -> tuple[tuple[float, ...], ...]:
    count = passed.image_tokens
    joint = joint_relevance(passed)[0].cpu().numpy()
    both = joint[count:, 1:count] + joint[1:count, count:].T
    return tuple(tuple(both[list(word.pieces)].sum(axis=0).tolist()) for word in words)


def _explained(word: Word, relevance: Float32) -> ExplainedWord:
    return ExplainedWord(word.text, word.start, word.end, float(relevance[list(word.pieces)].sum()))


def _box(box: Float32) -> tuple[float, float, float, float]:
    left, top, right, bottom = np.clip(box, 0.0, 1.0).tolist()
    return left, top, right, bottom


def _dual_score(model: InterBertForImageTextRetrieval, ids: torch.Tensor, embedded: torch.Tensor) -> float | None:
    """What a model adds to the joint logit difference, or has in its place; None when it adds nothing."""
    weight = model.config.dual_score_weight
    if weight is None:
        return None
    with inference(model, bf16=False):
        pooled = model.interbert.encode_embedded(None, embedded, pooled_only=True).image_pooled
        assert pooled is not None
        cosine = (model.encode_text(ids) * model.project_image(pooled, embedded[:, 0])).sum(dim=-1)
    return float(cosine[0]) * weight + (model.config.dual_score_offset or 0.0)


def _highest(values: Sequence[float], count: int) -> list[int]:
    return sorted(range(len(values)), key=lambda place: (-values[place], place))[:count]
