"""What each device of topic pages gives: precision@10 with it left out, over the topics of two catalogues.

    python benchmarks/topic_devices.py fashion=MODEL grocery=MODEL --data DATA --regions REGIONS --out devices.json

DATA/NAME/{train,validation,test}.parquet are the catalogues, DATA/NAME/topics.jsonl their topics and
DATA/NAME/made.jsonl topics by made_topics.py; REGIONS/NAME/{train,validation,test} the stores extracted from them. Of
fashion, pages hold the test and the validation products, of others the test products. Every product is scored, so that
nothing depends on an index. Examples are 5,000 training products. A topic's gain is the mean over its languages, of the
ranking and of the page as shown; the interval is of the paired bootstrap over all topics of a catalogue. What was
encoded is kept beside --out, and what was measured in it, so the same command goes on where it was stopped.
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

from interbert.extraction.attributes import facet_columns_of
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.joining import CatalogueColumns
from interbert.extraction.sources import open_source
from interbert.search.hits import deduplicated
from interbert.search.query_encoder import ProductEncoder
from interbert.topics.calibration import Calibration, diversified, fit_calibration, likely_count
from interbert.topics.encoding import directions, encode_wordings
from interbert.topics.evaluation import precision_at
from interbert.topics.examples import Examples, Neighbours, TopicText
from interbert.topics.facets import Facets
from interbert.topics.fit import Titled, _examples, _spread, _titled
from interbert.topics.phrases import Phrase, common_phrases

Float32 = NDArray[np.float32]

DEVICES = frozenset({"facets", "visual neighbours", "TF-IDF", "glosses"})
TITLES = {"fashion": ("productDisplayName", "title_zh"), "grocery": ("title", "description")}
LANGUAGES = {"text": "en", "text_zh": "zh"}


@dataclass
class Judged:
    """A topic with what is relevant to it."""

    name: str
    given: bool
    wordings: dict[str, list[TopicText]]
    """By language, of the text as it is (none where the model knows no word of it)."""
    glosses: list[TopicText]
    relevant: set[str]


@dataclass
class Shop:
    """Everything that was encoded of a catalogue."""

    examples: Examples
    validation: Titled
    vectors: Float32
    pooled: Float32
    products: list[str]
    topics: list[Judged]
    phrases: list[tuple[Phrase, TopicText]]
    """Made topics of the validation titles."""


def prepare(name: str, model: str, data: Path, regions: Path, phrases: int) -> Shop:
    """Encode a catalogue and its topics."""
    encoder = ProductEncoder.load(model)
    random = np.random.default_rng(0)

    def titled(split: str, catalogue: CatalogueColumns | None = None) -> Titled:
        return _titled(encoder, str(regions / name / split), catalogue, TITLES[name], 5000, random, True)

    source = open_source(str(data / name / "train.parquet"), ColumnMapping(), need_texts=False)
    examples = _examples(
        encoder, titled("train", CatalogueColumns(source, facet_columns_of(source, TITLES[name]).taken))
    )
    validation = titled("validation")
    splits = ["test", "validation"] if name == "fashion" else ["test"]
    shown = [titled(split) for split in splits]
    rows = [row for split in splits for row in _rows(data / name / f"{split}.parquet")]
    made = []
    for field in examples.fields:
        made += common_phrases([one.get(field, "") for one in validation.titles], phrases, 3, 0)
    return Shop(
        examples,
        validation,
        directions(encoder, np.concatenate([one.vectors for one in shown])),
        np.concatenate([one.pooled for one in shown]),
        [str(row["id"]) for row in rows],
        [one for given in (True, False) for one in _topics(data / name, given, encoder, examples, rows)],
        list(zip(made, encode_wordings(encoder, [one.text for one in made])[1], strict=True)),
    )


def _rows(path: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return list(table.drop_columns(["image"]).to_pylist())


def _topics(
    folder: Path, given: bool, encoder: ProductEncoder, examples: Examples, rows: Sequence[Any]
) -> list[Judged]:
    def encoded(texts: Sequence[str]) -> list[TopicText]:
        known = bool(texts) and any(map(encoder.knows, encoder.processor.texts_to_ids(texts)))
        return encode_wordings(encoder, texts)[1] if known else []

    found = []
    for line in (folder / ("topics.jsonl" if given else "made.jsonl")).read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        rule = one["relevant"].items()
        relevant = {str(row["id"]) for row in rows if all(str(row[name]) in values for name, values in rule)}
        wordings = {language: encoded([one[field]]) for field, language in LANGUAGES.items()}
        if relevant:
            glosses = encoded(examples.glosses([one["text_zh"]]))
            found.append(Judged(one["topic_id"], given, wordings, glosses, relevant))
    return found


class Variant:
    """A shop's pages with some devices only."""

    def __init__(self, shop: Shop, devices: set[str]) -> None:
        self.shop, self.devices = shop, devices
        self.examples = shop.examples
        if "facets" not in devices:
            self.examples = replace(self.examples, facets=Facets.none(*self.examples.images.shape))
        if "TF-IDF" not in devices:
            self.examples = replace(self.examples, texts=("x",) * len(self.examples))  # all alike
        size = self.examples.images.shape[1]
        self.calibration = self._calibrate(self._neighbours(shop.validation.vectors[:, :size], shop.validation.pooled))
        self.images = self._neighbours(shop.vectors, shop.pooled)

    def _neighbours(self, vectors: Float32, pooled: Float32) -> Neighbours:
        found = self.examples.neighbours(vectors, pooled)
        if "visual neighbours" in self.devices:
            return found
        count = found.places.shape[1] // 2
        return Neighbours(found.places[:, :count], 2 * found.weights[:, :count])

    def _calibrate(self, images: Neighbours) -> Calibration:
        random = np.random.default_rng(0)
        transfers, relevant = [], []
        for phrase, text in self.shop.phrases:
            transfer = self.examples.transfer(images, self.examples.labels([text]))
            chosen = _spread(transfer, random)
            transfers.append(transfer[chosen])
            relevant.append(np.isin(chosen, phrase.members))
        return fit_calibration(np.concatenate(transfers), np.concatenate(relevant), len(transfers))

    def precisions(self, topic: Judged, language: str) -> tuple[float, float]:
        """Precision@10 of the ranking and of the page as shown."""
        glosses = topic.glosses if language == "zh" and "glosses" in self.devices else []
        wordings = [*topic.wordings[language], *glosses]
        if not wordings:  # the model knows no word of it
            return 0.0, 0.0
        names, vectors = self.shop.products, self.shop.vectors
        logits = self.calibration.logit(self.examples.transfer(self.images, self.examples.labels(wordings)))
        order = sorted(range(len(logits)), key=lambda place: (-float(logits[place]), names[place]))
        likely = self.calibration.probability(logits[order])
        groups = deduplicated([vectors[place] for place in order[:200]], vectors.shape[1], 0.995)
        shown = [group[0] for group in groups if group[0] < likely_count(likely, None)]
        heads = np.array(order)[shown]
        page = heads[diversified(likely[shown], vectors[heads], [], 0.05, 20)]
        ranked = [names[order[group[0]]] for group in groups]
        return precision_at(ranked, topic.relevant), precision_at([names[one] for one in page], topic.relevant)

    def table(self) -> NDArray[np.float64]:
        """[topics, languages, 2]: precision of ranking and page."""
        return np.array([[self.precisions(topic, one) for one in LANGUAGES.values()] for topic in self.shop.topics])


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
    variants = {"all": set(DEVICES), "core": set[str]()}
    return variants | {f"all without {one}": set(DEVICES) - {one} for one in sorted(DEVICES)}


def _print(name: str, what: str, measured: dict[str, Any]) -> None:
    """Means over given and made topics, of each language's ranking and page, and what the devices left out give."""
    table, given = np.array(measured[what]), np.array(measured["given"])
    means = [table[which].mean(axis=0).round(3).ravel().tolist() for which in (given, ~given)]
    line = f"{name} | {what} | {means[0]} | {means[1]}"
    if what != "all":
        gains = (np.array(measured["all"]) - table).mean(axis=(1, 2))
        line += " | {:+.3f} ({:+.3f} to {:+.3f})".format(*interval(gains))
    print(line, flush=True)


if __name__ == "__main__":
    main()
