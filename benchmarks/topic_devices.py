"""What each device of topic pages gives: precision@10 with it left out, over the topics of two catalogues.

    python benchmarks/topic_devices.py fashion=MODEL grocery=MODEL --data DATA --regions REGIONS --out devices.json

DATA/NAME/{train,validation,test}.parquet are the catalogues, DATA/NAME/topics.jsonl their topics and
DATA/NAME/made.jsonl topics by made_topics.py; REGIONS/NAME/{train,validation,test} the stores extracted from them. Of
fashion, pages hold the test and the validation products, of others the test products. Every product is scored, so that
nothing depends on an index. Examples are 5,000 training products. A page as shown has the items with the largest
expected F1. A topic's gain is the mean over its languages, of the ranking and of the page; the interval is of the
paired bootstrap over all topics of a catalogue. What was encoded is kept beside --out, and what was measured in it, so the
same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap
from sklearn.feature_extraction.text import TfidfVectorizer

from interbert.data.words import mostly_cjk
from interbert.extraction.attributes import ATTRIBUTES, facet_columns_of
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.joining import CatalogueColumns
from interbert.extraction.sources import open_source
from interbert.search.query_encoder import ProductEncoder
from interbert.search.rank_fusion import deduplicated, standardised
from interbert.search.topics import examples as parts
from interbert.search.topics.calibration import Calibration, fit_calibration
from interbert.search.topics.char_ngrams import char_ngrams
from interbert.search.topics.diversity import diversified
from interbert.search.topics.encoding import directions, encode_wordings
from interbert.search.topics.evaluation import precision_at
from interbert.search.topics.examples import Examples, TopicText
from interbert.search.topics.fit import Titled, _examples, _spread, _titled
from interbert.search.topics.nearest_words import KnownWords
from interbert.search.topics.phrases import Phrase, common_phrases

Float32 = NDArray[np.float32]

DEVICES = (
    *("coordination", "nearest words", "dictionary", "facets", "columns as a title", "kernel regression"),
    *("visual neighbours", "char n-grams", "expansion", "sentence states"),
)
KEPT = frozenset({"facets", "visual neighbours", "TF-IDF"})
"""TF-IDF is in place of the weights that char n-grams have."""
TITLES = {"fashion": ("productDisplayName", "title_zh"), "grocery": ("title", "description")}
LANGUAGES = {"text": "en", "text_zh": "zh"}


@dataclass
class Judged:
    """A topic with what is relevant to it."""

    name: str
    given: bool
    wordings: dict[str, list[TopicText]]
    """By language, of the text as it is and rewritten with nearest words."""
    relevant: set[str]


@dataclass
class Shop:
    """Everything that was encoded of a catalogue."""

    examples: Examples
    titles: list[dict[str, str]]
    """Of the examples."""
    validation: Titled
    vectors: Float32
    pooled: Float32
    products: list[str]
    topics: list[Judged]
    phrases: dict[str, list[tuple[Phrase, TopicText]]]
    """Made topics of the validation titles, by field."""


def prepare(name: str, model: str, data: Path, regions: Path, phrases: int) -> Shop:
    """Encode a catalogue and its topics."""
    encoder = ProductEncoder.load(model)
    random = np.random.default_rng(0)
    columns: list[str] = []

    def titled(split: str, columned: bool) -> Titled:
        catalogue = None
        if columned:
            source = open_source(str(data / name / f"{split}.parquet"), ColumnMapping(), need_texts=False)
            columns.extend([] if columns else facet_columns_of(source, TITLES[name]).taken)
            catalogue = CatalogueColumns(source, columns)
        store = str(regions / name / split)
        return _titled(encoder, store, catalogue, TITLES[name], 5000, random, True, tokens=False)

    known, validation = titled("train", True), titled("validation", True)
    examples = _examples(encoder, known, sorted({field for one in known.titles for field in one}), True)
    words = KnownWords.of(examples.texts)
    splits = ["test", "validation"] if name == "fashion" else ["test"]
    shown = [titled(split, False) for split in splits]
    rows = [row for split in splits for row in _rows(data / name / f"{split}.parquet")]
    made = {
        field: common_phrases([one.get(field, "") for one in validation.titles], phrases, 3, 0)
        for field in sorted({field for one in validation.titles for field in one})
    }
    encoded = {
        field: list(zip(found, encode_wordings(encoder, [one.text for one in found], examples)[2], strict=True))
        for field, found in made.items()
        if found
    }
    return Shop(
        examples,
        known.titles,
        validation,
        directions(encoder, np.concatenate([one.vectors for one in shown])),
        np.concatenate([one.pooled for one in shown]),
        [str(row["id"]) for row in rows],
        [one for given in (True, False) for one in _topics(data / name, given, encoder, examples, words, rows)],
        encoded,
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return list(table.drop_columns(["image"]).to_pylist())


def _topics(
    folder: Path, given: bool, encoder: ProductEncoder, examples: Examples, words: KnownWords, rows: Sequence[Any]
) -> list[Judged]:
    found = []
    for line in (folder / ("topics.jsonl" if given else "made.jsonl")).read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        rule = one["relevant"].items()
        relevant = {str(row["id"]) for row in rows if all(str(row[name]) in values for name, values in rule)}
        wordings = {}
        for field, language in LANGUAGES.items():
            texts = [one[field], *words.rewritten([one[field]])]
            knows = [encoder.knows(ids) for ids in encoder.processor.texts_to_ids(texts)]
            kept = [text for text, known in zip(texts, knows, strict=True) if known]
            own = encode_wordings(encoder, kept, examples)[2] if kept else []
            wordings[language] = own if knows[0] else [TopicText("", np.zeros(0), np.zeros(0)), *own]
        if relevant:
            found.append(Judged(one["topic_id"], given, wordings, relevant))
    return found


class Variant:
    """A shop's pages with some devices only."""

    def __init__(self, shop: Shop, devices: set[str]) -> None:
        self.shop, self.devices = shop, devices
        examples = shop.examples
        if "columns as a title" not in devices:
            keep = [place for place, name in enumerate(examples.fields) if name != ATTRIBUTES]
            texts = [" ".join(v for k, v in one.items() if k != ATTRIBUTES) for one in shop.titles]
            fields = tuple(examples.fields[place] for place in keep)
            vectors, sentences = examples.vectors[keep], examples.sentences[keep]
            examples = replace(examples, fields=fields, vectors=vectors, sentences=sentences, texts=tuple(texts))
        self.examples = examples
        self.vectorizer = TfidfVectorizer(analyzer=char_ngrams, min_df=5, binary=True, dtype=np.float32)
        self.matrix = self.vectorizer.fit_transform(examples.texts)
        judged = examples.likeness(_short(shop.validation.vectors, examples), shop.validation.pooled)
        self.calibration = self._calibrate(judged)
        self.images = examples.likeness(shop.vectors, shop.pooled)

    def _calibrate(self, images: parts.Likeness) -> Calibration:
        random = np.random.default_rng(0)
        transfers, relevant, count = [], [], 0
        for field, made in self.shop.phrases.items():
            if field == ATTRIBUTES and "columns as a title" not in self.devices:
                continue
            for phrase, text in made:
                transfer = self.transfer(images, self.fit([text]))
                chosen = _spread(transfer, random)
                transfers.append(transfer[chosen])
                relevant.append(np.isin(chosen, phrase.members))
                count += 1
        values = np.concatenate(transfers)
        return fit_calibration(values, np.zeros_like(values), np.concatenate(relevant), count)

    def fit(self, wordings: Sequence[TopicText]) -> Float32:
        """Labels [n] of the examples, as :meth:`Examples.fit` without what is left out."""
        levels = standardised(np.mean([self._scores(one) for one in wordings], axis=0))
        fitting = parts._fitting(levels)
        if "expansion" not in self.devices:
            return fitting
        best = np.argsort(-fitting, kind="stable")[: parts._BEST]
        shared = self.examples.ngrams.typical(best, fitting[best])
        return parts._fitting(standardised(levels + parts._EXPANSION * standardised(shared)))

    def _scores(self, topic: TopicText) -> Float32:
        whole = self._compared(topic)
        if not topic.things or "coordination" not in self.devices:
            return whole
        if mostly_cjk(topic.text) and "dictionary" not in self.devices:
            return whole
        apart = [self._compared(thing) for thing in topic.things]
        either = np.max([one / max(parts._best_level(one), parts._FLOOR) for one in apart], axis=0)
        return standardised((1 - parts._THINGS) * whole + parts._THINGS * standardised(either))

    def _compared(self, topic: TopicText) -> Float32:
        examples = self.examples
        compared = [standardised(field @ topic.vector) for field in examples.vectors]
        if "sentence states" in self.devices:
            states = max((field @ topic.sentence for field in examples.sentences), key=lambda one: float(one.max()))
            compared.append(standardised(states))
        scores = np.mean(compared, axis=0)
        if "TF-IDF" in self.devices:
            shared = (self.matrix @ self.vectorizer.transform([topic.text]).T).toarray().ravel()
            scores = scores + standardised(shared) / len(compared)
        if "char n-grams" in self.devices:
            weight = parts._SPELLING_CHINESE if mostly_cjk(topic.text) else parts._SPELLING
            scores = scores + weight / len(compared) * standardised(examples.ngrams.shared(topic.text))
        scores = standardised(scores)
        facets = examples.facets.fit(topic.text, topic.vector, topic.sentence) if "facets" in self.devices else None
        return scores if facets is None else standardised(scores + facets)

    def transfer(self, images: parts.Likeness, fit: Float32) -> Float32:
        """Log of how well images fit, as :meth:`Examples.transfer` without what is left out."""
        count = images.places.shape[1] // 2
        votes = (images.weights * fit[images.places])[:, : None if "visual neighbours" in self.devices else count]
        share = votes.sum(axis=1) * (1 if "visual neighbours" in self.devices else 2)
        if "kernel regression" in self.devices:
            share = (share + self.examples.regression.predict(images.visual_features, fit).clip(0, 1)) / 2
        return np.log(share.clip(max=1.0) + parts._FLOOR).clip(max=0.0)

    def precisions(self, topic: Judged, language: str) -> tuple[float, float]:
        """Precision@10 of the ranking and of the page as shown."""
        rewriting = "nearest words" if language == "en" else "dictionary"
        wordings = topic.wordings[language][: None if rewriting in self.devices else 1]
        wordings = [one for one in wordings if one.text]
        if not wordings:  # the model knows no word of it
            return 0.0, 0.0
        zeros = np.zeros(len(self.shop.products))
        logits = self.calibration.logit(self.transfer(self.images, self.fit(wordings)), zeros)
        order = sorted(range(len(logits)), key=lambda place: (-float(logits[place]), self.shop.products[place]))[:200]
        groups = deduplicated([self.shop.vectors[place] for place in order], self.shop.vectors.shape[1], 0.995)
        heads = [order[group[0]] for group in groups]
        likely = self.calibration.probability(logits[heads])
        page = self.page(heads, likely)
        return tuple(  # type: ignore[return-value]
            precision_at([self.shop.products[place] for place in listed], topic.relevant) for listed in (heads, page)
        )

    def page(self, heads: Sequence[int], likely: Float32) -> list[int]:
        """Places of the products that are shown: those with the largest expected F1, diversified."""
        count = int(np.argmax(2 * likely.cumsum() / (np.arange(1, len(likely) + 1) + likely.sum()))) + 1
        return [heads[place] for place in diversified(likely[:count], self.shop.vectors[heads[:count]], [], 0.05, 20)]

    def table(self) -> NDArray[np.float64]:
        """[topics, languages, 2]: precision of ranking and page."""
        return np.array([[self.precisions(topic, one) for one in LANGUAGES.values()] for topic in self.shop.topics])


def _short(vectors: Float32, examples: Examples) -> Float32:
    return vectors[:, : examples.images.shape[1]]


def interval(gains: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean and 95% of the paired bootstrap over topics [t]."""
    if not gains.any():
        return 0.0, 0.0, 0.0
    found = bootstrap((gains,), np.mean, n_resamples=9999, method="percentile", rng=0).confidence_interval
    return float(gains.mean()), float(found.low), float(found.high)


def main() -> None:
    """Read the command line, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="NAME=MODEL of each catalogue")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--regions", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--phrases", type=int, default=40, help="made topics per field to calibrate on")
    given = parser.parse_args()
    results: dict[str, Any] = json.loads(given.out.read_text()) if given.out.exists() else {}
    for name, model in (one.split("=", 1) for one in given.models):
        cache = given.out.with_name(f"{given.out.stem}-{name}.pickle")
        if not cache.exists():
            cache.write_bytes(pickle.dumps(prepare(name, model, given.data, given.regions, given.phrases)))
        shop: Shop = pickle.loads(cache.read_bytes())
        measured = results.setdefault(name, {"given": [one.given for one in shop.topics]})
        for what, devices in _variants().items():
            if what not in measured:
                measured[what] = Variant(shop, devices).table().tolist()
                given.out.write_text(json.dumps(results))
            _print(name, what, measured)


def _variants() -> dict[str, set[str]]:
    every = set(DEVICES)
    variants = {"core": set[str](), "all": every, "kept": set(KEPT)}
    variants |= {f"all without {one}": every - {one} for one in DEVICES}
    variants |= {f"kept without {one}": KEPT - {one} for one in sorted(KEPT)}
    return variants | {f"kept and {one}": {*KEPT, one} for one in DEVICES if one not in {*KEPT, "char n-grams"}}


def _print(name: str, what: str, measured: dict[str, Any]) -> None:
    """Means over given and made topics, and what is lost or gained against the set that a variant changes."""
    table, given = np.array(measured[what]), np.array(measured["given"])
    means = [table[which].mean(axis=0).round(3).ravel().tolist() for which in (given, ~given)]
    line = f"{name} | {what} | {means[0]} | {means[1]}"
    base = what.split(" ")[0]
    if what != base:
        gains = (table - np.array(measured[base])).mean(axis=(1, 2))
        line += " | {:+.3f} ({:+.3f} to {:+.3f})".format(*interval(gains))
    print(line, flush=True)


if __name__ == "__main__":
    main()
