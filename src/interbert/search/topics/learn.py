"""Read a model's training products as examples for topics, and calibrate on validation pairs; kept beside the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from interbert.errors import SourceError
from interbert.extraction.attributes import ATTRIBUTES, as_text
from interbert.progress import progress_bar
from interbert.regions.schema import CaptionRow, ExtractorInfo
from interbert.regions.store import RegionStore
from interbert.search.encoder import ProductEncoder
from interbert.search.topics.calibration import Calibration, fit_calibration
from interbert.search.topics.encoding import directions, encode_titles, encode_wordings, require_contrast
from interbert.search.topics.examples import Examples
from interbert.search.topics.kinds import Kinds, kinds_among
from interbert.search.topics.looks import pooled_look
from interbert.search.topics.nearest_words import KnownWords
from interbert.search.topics.phrases import Phrase, common_phrases
from interbert.search.topics.topic_memory import TopicMemory, save_memory

Float32 = NDArray[np.float32]

_BLOCK = 512
_LEAST_MEMBERS = 3
_BEST, _OTHERS = 32, 16
"""Pictures of each made topic that the joint model scores: the likeliest, and some of the rest."""


@dataclass(frozen=True)
class Titled:
    """Encoded products of a region store with their titles."""

    vectors: Float32
    """[n,D+1] of the pictures, hub correction included where the model has one."""
    pooled: Float32
    """[n,2H], pooled tokens."""
    tokens: list[Float32]
    """[R,H] of each picture; empty where they were not asked for."""
    titles: list[dict[str, str]]
    """First text of each field, by field."""
    values: list[Sequence[str]]
    """Of each product's columns; empty where they were not read."""


def learn_topics(
    model: str | Path,
    regions: str,
    validation: str | None = None,
    *,
    attributes: Sequence[Sequence[str]] | None = None,
    validation_attributes: Sequence[Sequence[str]] | None = None,
    fields: Sequence[str] = (),
    limit: int = 20_000,
    phrases: int = 200,
    seed: int = 0,
    progress: bool = False,
) -> TopicMemory:
    """Keep titled pictures beside a model as examples, with a calibration; replaces what was there.

    Args:
        model: directory of a model with a contrastive head; gets ``topics.safetensors``.
        regions: store of titled pictures, those that the model was trained on.
        validation: store of others; without, a twentieth of the examples serves, and probabilities come out too sure.
        attributes: of every row of the catalogue that ``regions`` was extracted from, the values of its columns
            (:func:`~interbert.extraction.attributes.attribute_values`); read as one more title, and as kinds.
        validation_attributes: likewise of ``validation``.
        fields: source columns whose texts to read; all when empty.
        limit: no more examples than so many, drawn at random.
        phrases: made topics per field to calibrate on.
        seed: of all draws.
        progress: show bars.

    Raises:
        CheckpointError: the model is missing or has no contrastive head.
        StoreError: a store is missing, or another extractor made it.
        SourceError: a store has no titles, or too few to calibrate on.
        StorageError: the model directory cannot be written.
    """
    encoder = ProductEncoder.load(model)
    require_contrast(encoder, str(model))
    generator = np.random.default_rng(seed)
    known = _titled(encoder, regions, attributes, fields, limit, generator, progress, tokens=validation is None)
    names = sorted({name for one in known.titles for name in one})
    examples = _examples(encoder, known, names, progress)
    if validation is None:
        held = np.zeros(len(examples), dtype=np.bool_)
        held[generator.permutation(len(examples))[: _held_out(len(examples))]] = True
        judged = Titled(
            known.vectors[held],
            known.pooled[held],
            [known.tokens[place] for place in np.flatnonzero(held)],
            [known.titles[place] for place in np.flatnonzero(held)],
            [],
        )
        calibration = calibrate(encoder, examples.select(~held), judged, phrases, seed, regions, progress)
    else:
        judged = _titled(encoder, validation, validation_attributes, fields, limit, generator, progress, tokens=True)
        calibration = calibrate(encoder, examples, judged, phrases, seed, validation, progress)
    return save_memory(TopicMemory(examples, calibration, KnownWords.of(examples.texts)), model)


def calibrate(
    encoder: ProductEncoder, examples: Examples, judged: Titled, count: int, seed: int, where: str, progress: bool
) -> Calibration:
    """Fit probabilities on topics made of titles: how sure are the scores of pictures whose titles have all of it?

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
    likeness = examples.likeness(directions(encoder, judged.vectors), judged.pooled)
    ids, vectors, wordings = encode_wordings(encoder, [one.text for one in made])
    generator = np.random.default_rng(seed)
    transfers, joints, rights = [], [], []
    with progress_bar("calibrating", len(made), "topics", progress) as advance:
        for place, phrase in enumerate(made):
            transfer = examples.transfer(likeness, examples.fit([wordings[place]]))
            chosen = _spread(transfer, generator)
            recalled = judged.vectors[chosen] @ vectors[place]
            joints.append(encoder.joint([ids[place]], [judged.tokens[one] for one in chosen], recalled[None])[0])
            transfers.append(transfer[chosen])
            rights.append(np.isin(chosen, phrase.members))
            advance(1)
    right = np.concatenate(rights)
    if right.all() or not right.any():
        raise SourceError(f"{where}: has too few products to calibrate topics on. Give more validation products.")
    return fit_calibration(np.concatenate(transfers), np.concatenate(joints), right, len(made))


def _held_out(count: int) -> int:
    """How many examples calibrate: a twentieth, or as many of few as make topics."""
    return max(count // 20, min(count // 2, 200))


def _spread(scores: Float32, generator: np.random.Generator) -> NDArray[np.int64]:
    """The best of all pictures, and some of the others."""
    order = np.argsort(-scores, kind="stable")
    return np.concatenate([order[:_BEST], generator.permutation(order[_BEST:])[:_OTHERS]]).astype(np.int64)


def _titled(
    encoder: ProductEncoder,
    path: str,
    attributes: Sequence[Sequence[str]] | None,
    fields: Sequence[str],
    limit: int,
    generator: np.random.Generator,
    progress: bool,
    tokens: bool,
) -> Titled:
    store = RegionStore.open(path)
    store.require(ExtractorInfo.from_dict(encoder.processor.extractor_info))
    captions = list(store.captions())
    mirrors = {one.picture_id: (one.row,) for one in captions if one.view == 1}
    listed = [(one, _titles(one, fields, attributes, path)) for one in captions if one.view == 0]
    rows = [
        (
            (one.row, *mirrors.get(one.picture_id, ())),
            titles,
            () if attributes is None else attributes[one.source_row],
        )
        for one, titles in listed
        if titles
    ]
    if len(rows) < 2:
        wanted = f" in columns {', '.join(fields)}" if fields else ""
        raise SourceError(f"{path}: holds too few titles{wanted}. Give a store whose pictures have texts.")
    if len(rows) > limit:
        rows = [rows[place] for place in sorted(generator.permutation(len(rows))[:limit])]
    vectors, pooled, kept = [], [], []
    with progress_bar("encoding pictures", len(rows), "pictures", progress) as advance:
        for start in range(0, len(rows), _BLOCK):
            part = [places for places, _, _ in rows[start : start + _BLOCK]]
            taken = iter(store.take([row for places in part for row in places]))
            views = [tuple(next(taken) for _ in places) for places in part]
            found, embedded = encoder.views(views, [f"{path}, row {places[0]}" for places in part])
            vectors.append(found)
            pooled.append(pooled_look(embedded))
            kept += embedded if tokens else []
            advance(len(part))
    titled, valued = [titles for _, titles, _ in rows], [values for _, _, values in rows]
    return Titled(np.concatenate(vectors), np.concatenate(pooled), kept, titled, valued)


def _titles(
    row: CaptionRow, fields: Sequence[str], attributes: Sequence[Sequence[str]] | None, path: str
) -> dict[str, str]:
    titles: dict[str, str] = {}
    for text, name in zip(row.texts, row.text_fields, strict=True):
        if not fields or name in fields:
            titles.setdefault(name, text)
    if attributes is not None:
        if row.source_row >= len(attributes):
            raise SourceError(
                f"{path}: was extracted from a catalogue with more than the {len(attributes):,} rows of the one whose "
                "columns were given. Give the same file."
            )
        if said := as_text(attributes[row.source_row]):
            titles[ATTRIBUTES] = said
    return titles


def _examples(encoder: ProductEncoder, known: Titled, names: Sequence[str], progress: bool) -> Examples:
    """Titles encoded, field by field, and the kinds that the columns make."""
    pictures = directions(encoder, known.vectors)
    vectors = np.zeros((len(names), *pictures.shape), dtype=np.float32)
    sentences = np.zeros((len(names), len(pictures), encoder.hidden_size), dtype=np.float32)
    for field, name in enumerate(names):
        places = [place for place, titles in enumerate(known.titles) if name in titles]
        ids = encoder.processor.texts_to_ids([known.titles[place][name] for place in places])
        vectors[field, places], sentences[field, places] = encode_titles(
            encoder, ids, f"encoding {name}" if progress else None
        )
    kinds = Kinds.none(len(pictures), pictures.shape[1], encoder.hidden_size)
    texts, members = kinds_among(known.values)
    if texts:
        ids = encoder.processor.texts_to_ids(texts)
        encoded = encode_titles(encoder, ids, "encoding kinds" if progress else None)
        kinds = Kinds(tuple(texts), *encoded, members)
    titles = [" ".join(one.values()) for one in known.titles]
    return Examples.of(pictures, known.pooled, names, vectors, sentences, titles, kinds)
