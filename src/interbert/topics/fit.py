"""Read a model's training products as examples for topics, and calibrate on validation pairs; kept beside the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interbert.errors import SourceError
from interbert.extraction.joining import CatalogueColumns
from interbert.regions.schema import CaptionRow, ExtractorInfo
from interbert.regions.store import RegionStore
from interbert.search.query_encoder import ProductEncoder
from interbert.topics.calibration import Calibration, fit_calibration
from interbert.topics.encoding import directions, encode_titles, encode_wordings, require_contrast
from interbert.topics.examples import Examples, pooled_visual_features
from interbert.topics.facets import Facets, facets_among
from interbert.topics.phrases import Phrase, common_phrases
from interbert.topics.topic_memory import LeftOut, TopicMemory, list_left_out, save_memory
from interbert.utils.terminal import progress_bar

Float32 = NDArray[np.float32]

_BLOCK = 512
_LEAST_MEMBERS = 3
_BEST, _OTHERS = 32, 16
"""Images of each made topic that calibrate: the likeliest, and some of the rest."""


@dataclass(frozen=True)
class Titled:
    """Encoded products of a region store with their titles."""

    vectors: Float32
    """[n,D+1] of the images, hub correction included where the model has one."""
    pooled: Float32
    """[n,2H], pooled tokens."""
    titles: list[dict[str, str]]
    """First text of each field, by field."""
    values: list[tuple[str, ...]]
    """Of each product's columns; empty where they were not read."""
    left_out: list[LeftOut]
    """What of the store was not used, or without its columns."""


def fit_topics(
    model: str | Path,
    regions: str,
    validation: str | None = None,
    *,
    catalogue: CatalogueColumns | None = None,
    fields: Sequence[str] = (),
    limit: int = 20_000,
    phrases: int = 200,
    seed: int = 0,
    progress: bool = False,
) -> TopicMemory:
    """Keep titled images beside a model as examples, with a calibration; replaces what was there.

    Args:
        model: directory of a model with a contrastive head; gets ``topics.safetensors``.
        regions: store of titled images, those that the model was trained on.
        validation: store of others; without, a twentieth of the examples serves, and probabilities come out too sure.
        catalogue: that ``regions`` was extracted from, with the columns that facets are made of. Images are joined by
            id (:class:`~interbert.extraction.joining.CatalogueColumns`); those that are not in it are examples by
            their titles alone.
        fields: source columns whose texts to read; all when empty.
        limit: no more examples than so many, drawn at random.
        phrases: made topics per field to calibrate on.
        seed: of all draws.
        progress: show bars.

    Returns:
        what was kept, and in ``left_out`` what of the stores was not read, which ``topics_left_out.jsonl`` lists.

    Raises:
        CheckpointError: the model is missing or has no contrastive head.
        StoreError: a store is missing, or another extractor made it.
        SourceError: a store has no titles, or too few to calibrate on, or none of its images is in its catalogue.
        StorageError: the model directory cannot be written.
    """
    encoder = ProductEncoder.load(model)
    require_contrast(encoder, str(model))
    generator = np.random.default_rng(seed)
    known = _titled(encoder, regions, catalogue, fields, limit, generator, progress)
    examples = _examples(encoder, known)
    if validation is None:
        held = np.zeros(len(examples), dtype=np.bool_)
        held[generator.permutation(len(examples))[: _held_out(len(examples))]] = True
        titles = [known.titles[place] for place in np.flatnonzero(held)]
        judged = Titled(known.vectors[held], known.pooled[held], titles, [], [])
        calibration = calibrate(encoder, examples.select(~held), judged, phrases, seed, regions, progress)
    else:
        judged = _titled(encoder, validation, None, fields, limit, generator, progress)
        calibration = calibrate(encoder, examples, judged, phrases, seed, validation, progress)
    left_out = (*known.left_out, *judged.left_out)
    memory = save_memory(TopicMemory(examples, calibration, left_out=left_out), model)
    list_left_out(left_out, model)
    return memory


def calibrate(
    encoder: ProductEncoder, examples: Examples, judged: Titled, count: int, seed: int, where: str, progress: bool
) -> Calibration:
    """Fit probabilities on topics made of titles: how sure are the scores of images whose titles have all of it?

    Raises:
        SourceError: the titles have too little in common to make topics of.
    """
    names = sorted({name for one in judged.titles for name in one})
    made: list[Phrase] = []
    for name in names:
        made += common_phrases([one.get(name, "") for one in judged.titles], count, _LEAST_MEMBERS, seed)
    if not made:
        raise SourceError(
            f"{where}: its titles have too little in common to calibrate topics on. Give more validation products."
        )
    images = examples.neighbours(directions(encoder, judged.vectors), judged.pooled)
    _, wordings = encode_wordings(encoder, [one.text for one in made])
    generator = np.random.default_rng(seed)
    transfers, relevants = [], []
    with progress_bar("calibrating", len(made), "topics", progress) as advance:
        for phrase, wording in zip(made, wordings, strict=True):
            transfer = examples.transfer(images, examples.labels([wording]))
            chosen = _spread(transfer, generator)
            transfers.append(transfer[chosen])
            relevants.append(np.isin(chosen, phrase.members))
            advance(1)
    relevant = np.concatenate(relevants)
    if relevant.all() or not relevant.any():
        raise SourceError(f"{where}: has too few products to calibrate topics on. Give more validation products.")
    return fit_calibration(np.concatenate(transfers), relevant, len(made))


def _held_out(count: int) -> int:
    """How many examples calibrate: a twentieth, or as many of few as make topics."""
    return max(count // 20, min(count // 2, 200))


def _spread(scores: Float32, generator: np.random.Generator) -> NDArray[np.int64]:
    """The best of all images, and some of the others."""
    order = np.argsort(-scores, kind="stable")
    return np.concatenate([order[:_BEST], generator.permutation(order[_BEST:])[:_OTHERS]]).astype(np.int64)


def _titled(
    encoder: ProductEncoder,
    path: str,
    catalogue: CatalogueColumns | None,
    fields: Sequence[str],
    limit: int,
    generator: np.random.Generator,
    progress: bool,
) -> Titled:
    store = RegionStore.open(path)
    store.require(ExtractorInfo.from_dict(encoder.processor.extractor_info))
    captions = list(store.captions())
    mirrors = {one.image_id: (one.row,) for one in captions if one.view == 1}
    titled = [one for one in captions if one.view == 0 and _titles(one, fields)]
    wanted = f" in columns {', '.join(fields)}" if fields else ""
    if len(titled) < 2:
        raise SourceError(f"{path}: holds too few titles{wanted}. Give a store whose images have texts.")
    if len(titled) > limit:
        titled = [titled[place] for place in sorted(generator.permutation(len(titled))[:limit])]
    values, left_out = _valued(titled, catalogue, path)
    nothing = [one for one in captions if one.view == 0 and not _titles(one, fields)]
    left_out += [LeftOut.of(path, one, f"has no text{wanted}") for one in nothing]
    rows = [(one.row, *mirrors.get(one.image_id, ())) for one in titled]
    vectors, pooled = _encoded(encoder, store, rows, progress)
    return Titled(vectors, pooled, [_titles(one, fields) for one in titled], values, left_out)


def _encoded(
    encoder: ProductEncoder, store: RegionStore, rows: Sequence[tuple[int, ...]], progress: bool
) -> tuple[Float32, Float32]:
    """Of images by the store's rows of their views: vectors and pooled tokens."""
    vectors, pooled = [], []
    with progress_bar("encoding images", len(rows), "images", progress) as advance:
        for start in range(0, len(rows), _BLOCK):
            part = rows[start : start + _BLOCK]
            taken = iter(store.take([row for places in part for row in places]))
            views = [tuple(next(taken) for _ in places) for places in part]
            found, embedded = encoder.views(views, [f"{store.path}, row {places[0]}" for places in part])
            vectors.append(found)
            pooled.append(pooled_visual_features(embedded))
            advance(len(part))
    return np.concatenate(vectors), np.concatenate(pooled)


def _valued(
    captions: Sequence[CaptionRow], catalogue: CatalogueColumns | None, path: str
) -> tuple[list[tuple[str, ...]], list[LeftOut]]:
    """Of each image, the values of its columns in the catalogue, and the images that are not in it.

    Raises:
        SourceError: none is in it.
    """
    if catalogue is None:
        return [()] * len(captions), []
    found = catalogue.join(captions)
    if captions and len(found.problems) == len(captions):
        raise SourceError(
            f"{path}: none of its {len(captions):,} images is in {catalogue.name}: {found.problems[0][1]}. Give the "
            "catalogue that the store was extracted from, and name its ids with --product-id-column or "
            "--image-id-column."
        )
    return found.values, [LeftOut.of(path, captions[place], reason) for place, reason in found.problems]


def _titles(row: CaptionRow, fields: Sequence[str]) -> dict[str, str]:
    """First text of each field."""
    titles: dict[str, str] = {}
    for text, name in zip(row.texts, row.text_fields, strict=True):
        if not fields or name in fields:
            titles.setdefault(name, text)
    return titles


def _examples(encoder: ProductEncoder, known: Titled) -> Examples:
    """Titles encoded, field by field, and the facets that the columns make."""
    names = sorted({name for one in known.titles for name in one})
    images = directions(encoder, known.vectors)
    vectors = np.zeros((len(names), *images.shape), dtype=np.float32)
    for field, name in enumerate(names):
        places = [place for place, titles in enumerate(known.titles) if name in titles]
        vectors[field, places] = encode_titles(encoder, [known.titles[place][name] for place in places])
    facets = Facets.none(*images.shape)
    texts, members = facets_among(known.values)
    if texts:
        facets = Facets(tuple(texts), encode_titles(encoder, texts), members)
    titles = tuple(" ".join(one.values()) for one in known.titles)
    return Examples(images, known.pooled, tuple(names), vectors, titles, facets)
