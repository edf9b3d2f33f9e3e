"""What shoppers try first, measured: wrong letters, synonyms, plurals, parts of Chinese words; on two catalogues.

    python benchmarks/shopper_queries.py chinese-names DATA/grocery/train.parquet runs/shoppers/grocery.parquet
    interbert index build MODELS/fashion DATA/fashion/train.parquet runs/shoppers/fashion \
        --text-columns productDisplayName,title_zh --regions REGIONS/fashion/train
    interbert index build MODELS/grocery runs/shoppers/grocery.parquet runs/shoppers/grocery \
        --text-columns title,title_zh --regions REGIONS/grocery/train
    python benchmarks/shopper_queries.py measure fashion runs/shoppers/fashion DATA/fashion
    python benchmarks/shopper_queries.py measure grocery runs/shoppers/grocery DATA/grocery

A result is right when the catalogue's own column says it is of the kind that was meant (and its title has the brand,
where the query has one). Reported is the right share of the first page, of ten or of as many as there are, and the
share of pages with at least one right, with 95% bootstrap intervals over queries; differences are paired.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lancedb.query
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from grocery_words import FOODS
from shopper_words import COLUMN, PARTS, PLURALS, SYNONYMS, Cases

from interbert import SearchEngine
from interbert.errors import UsageError
from interbert.search.full_text import Words
from interbert.search.rewriting import QueryRewriter
from interbert.search.spelling import can_be_corrected
from interbert.search.synonyms import Synonyms
from interbert.search.words import normal_text, words_of
from interbert.tasks.metrics import estimates
from interbert.training.model_card import versions

Pages = Sequence[Sequence[str]]
"""Product ids of a page for each query."""

_PAGE = 10
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_GENDERS = ("Men", "Women", "Boys", "Girls", "Unisex", "Kids", "Men's", "Women's")


@dataclass(frozen=True)
class Wanted:
    """A query that is spelt right, and what it means."""

    text: str
    right: frozenset[str]
    """Product ids."""


class Catalogue:
    """An index with what its products are.

    Args:
        name: fashion or grocery.
        index: its path.
        data: folder of the catalogue.
    """

    def __init__(self, name: str, index: str, data: Path) -> None:
        self.name, self.data = name, data
        self.engine = SearchEngine.open(index, bf16=False)
        self.rows = pq.read_table(data / "train.parquet").drop_columns(["image"]).to_pylist()
        self.title = "productDisplayName" if name == "fashion" else "title"

    def of_kind(self, kinds: Sequence[str], words: str = "", column: str | None = None) -> frozenset[str]:
        """Ids of products of a kind whose title has these words."""
        field = column or COLUMN[self.name]
        lower = words.lower()
        return frozenset(
            str(row["id"]) for row in self.rows if row[field] in kinds and lower in str(row[self.title]).lower()
        )

    def page(self, text: str, synonyms: Sequence[str] = ()) -> list[str]:
        """Product ids of the first page of a search; none where the model knows no word of the text."""
        try:
            hits = self.engine.search(text, top_k=_PAGE, duplicates=None, synonyms=synonyms)
        except UsageError:
            return []
        return [hit.product_id for hit in hits]

    def titles(self, text: str) -> list[str]:
        """Product ids of the first page of full text alone."""
        return [hit.product_id for hit in self.engine.index.full_text_search(Words(text), _PAGE)]


def brand_and_kind(catalogue: Catalogue, count: int, seed: int) -> list[Wanted]:
    """Queries as shoppers write them: brand and kind of products; of groceries, whole names and kinds."""
    chosen = random.Random(seed)
    texts: dict[str, frozenset[str]] = {}
    if catalogue.name == "grocery":
        for column in ("fine_class", "coarse_class"):
            for kind in sorted({row[column] for row in catalogue.rows}):
                texts.setdefault(kind.lower(), catalogue.of_kind([kind], column=column))
    else:
        unseen = pq.read_table(catalogue.data / "test.parquet").drop_columns(["image"]).to_pylist()
        for row in chosen.sample(unseen, len(unseen)):
            words = row[catalogue.title].split()
            place = next((place for place, word in enumerate(words) if word in _GENDERS), 0)
            if 1 <= place <= 2:
                brand = " ".join(words[:place])
                right = catalogue.of_kind([row["articleType"]], brand + " ")
                if len(right) >= 3:
                    texts.setdefault(f"{brand} {row['articleType']}".lower(), right)
    found = [Wanted(text, right) for text, right in texts.items() if misspelt(text, chosen) is not None]
    return found[:count]


def misspelt(text: str, chosen: random.Random) -> str | None:
    """A text with one random edit in one of its words of four letters or more."""
    words = [word for word in words_of(text) if can_be_corrected(word.text)]
    if not words:
        return None
    word = chosen.choice(words)
    edited = word.text
    while edited == word.text:
        edited = edit(word.text, chosen)
    return text[: word.start] + edited + text[word.end :]


def edit(word: str, chosen: random.Random) -> str:
    """A word with a letter more, less, other, or two neighbours changed over."""
    kind, place = chosen.randrange(4), chosen.randrange(len(word) - 1)
    letter = chosen.choice(_LETTERS)
    place += kind < 3 and chosen.random() < 1 / len(word)  # the last letter, too
    return (
        word[:place] + letter + word[place:],
        word[:place] + word[place + 1 :],
        word[:place] + letter + word[place + 1 :],
        word[:place] + word[place : place + 2][::-1] + word[place + 2 :],
    )[kind]


@contextmanager
def lancedb_fuzziness() -> Iterator[None]:
    """Full text with LanceDB's own tolerance of one edit in every term."""
    exact = lancedb.query.MatchQuery
    lancedb.query.MatchQuery = functools.partial(exact, fuzziness=1)
    try:
        yield
    finally:
        lancedb.query.MatchQuery = exact


def compare(name: str, queries: Sequence[Wanted], ways: Mapping[str, Pages], base: str) -> None:
    """Print each way's quality and its difference to the base.

    Args:
        name: of what is compared.
        queries: each with what is right.
        ways: by name, a page for each query.
        base: the way that others are compared with.
    """
    share: dict[str, list[float]] = {}
    hit: dict[str, list[float]] = {}
    for way, pages in ways.items():
        right = [
            (len(set(page) & one.right), min(_PAGE, len(one.right))) for page, one in zip(pages, queries, strict=True)
        ]
        share[way] = [100 * found / most for found, most in right]
        hit[way] = [100.0 * (found > 0) for found, _ in right]
    values = {f"{way}: right": np.array(share[way]) for way in ways}
    values |= {f"{way}: hit": np.array(hit[way]) for way in ways}
    values |= {f"{way} - {base}": np.array(share[way]) - np.array(share[base]) for way in ways if way != base}
    found = estimates(values, 2000, 0)
    print(f"\n{name}, {len(queries)} queries\n")
    print(f"| | right of the first page, % | pages with one right, % | against {base} |")
    print("| --- | --- | --- | --- |")
    for way in ways:
        shown, hits = found[f"{way}: right"], found[f"{way}: hit"]
        change = found.get(f"{way} - {base}")
        against = "" if change is None else f"{change.value:+.1f} [{change.low:+.1f}, {change.high:+.1f}]"
        bounds = f"{shown.value:.1f} [{shown.low:.1f}, {shown.high:.1f}]"
        print(f"| {way} | {bounds} | {hits.value:.1f} [{hits.low:.1f}, {hits.high:.1f}] | {against} |", flush=True)


def spelling(catalogue: Catalogue, count: int) -> None:
    """One wrong letter, with and without correction."""
    queries = brand_and_kind(catalogue, count, seed=0)
    chosen = random.Random(1)
    typed = [misspelt(one.text, chosen) or one.text for one in queries]
    rewriter = QueryRewriter(catalogue.engine)
    corrected = [rewriter.rewrite(text).text for text in typed]
    exact = sum(one.text == text for one, text in zip(queries, corrected, strict=True))
    left = sum(one == text for one, text in zip(typed, corrected, strict=True))
    print(f"\nof {len(queries)} misspelt queries {exact} became what was meant, {left} stayed as typed")

    right = [one.text for one in queries]
    for name, search in (("search", catalogue.page), ("full text alone", catalogue.titles)):
        ways = {"one wrong letter": [search(text) for text in typed]}
        with lancedb_fuzziness():
            ways["LanceDB fuzziness=1"] = [search(text) for text in typed]
            if name != "search":
                ways["right spelling, fuzziness=1"] = [search(text) for text in right]
        ways["corrected"] = [search(text) for text in corrected]
        ways["right spelling"] = [search(text) for text in right]
        compare(f"{catalogue.name}, {name}", queries, ways, "one wrong letter")
    unchanged(catalogue, rewriter, queries)


def unchanged(catalogue: Catalogue, rewriter: QueryRewriter, queries: Sequence[Wanted]) -> None:
    """How often right words are changed: of the catalogue, of products that it has not seen, of prose."""
    grocery = catalogue.data.parent / "grocery" / "train.parquet"
    own = {row[catalogue.title] for row in catalogue.rows}
    new = set(pq.read_table(catalogue.data / "test.parquet", columns=[catalogue.title])[0].to_pylist())
    prose = set(pq.read_table(grocery, columns=["description"])["description"].to_pylist())
    sets = {"queries": {one.text for one in queries}, "its titles": own, "titles of new products": new, "prose": prose}
    for name, texts in sets.items():
        words = {word.text for text in texts for word in words_of(normal_text(text)) if can_be_corrected(word.text)}
        changed = {word: rewriter.rewrite(word).text for word in sorted(words)}
        wrong = [f"{word}>{other}" for word, other in changed.items() if word != other]
        print(f"words of {name}: {len(wrong)} of {len(words)} changed: {', '.join(wrong[:50])}", flush=True)


def wordings(catalogue: Catalogue, name: str, cases: Cases, labels: tuple[str, str]) -> None:
    """One wording against the other."""
    queries = [Wanted(first, catalogue.of_kind(kinds)) for first, _, kinds in cases]
    ways: dict[str, Pages] = {}
    for place, label in enumerate(labels):
        ways[label] = [catalogue.page(str(case[place])) for case in cases]
        ways[f"{label}, full text alone"] = [catalogue.titles(str(case[place])) for case in cases]
    compare(f"{catalogue.name}, {name}", queries, ways, labels[0])


def synonyms(catalogue: Catalogue) -> None:
    """A shopper's words that the catalogue does not use, with the merchant's file and without."""
    cases = SYNONYMS[catalogue.name]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("".join(f"{own}, {other}\n" for own, other, _ in cases))
        file.flush()
        rewriter = QueryRewriter(catalogue.engine, Synonyms.read(file.name), spelling=False)

    rewritten = [rewriter.rewrite(typed) for _, typed, _ in cases]
    ways: dict[str, Pages] = {
        "synonym, no file": [catalogue.page(typed) for _, typed, _ in cases],
        "synonym in full text alone": [catalogue.page(typed, [own]) for own, typed, _ in cases],
        "synonym, with the file": [catalogue.page(one.text, one.synonyms) for one in rewritten],
        "the catalogue's word": [catalogue.page(own) for own, _, _ in cases],
    }
    queries = [Wanted(own, catalogue.of_kind(kinds)) for own, _, kinds in cases]
    compare(f"{catalogue.name}, synonyms", queries, ways, "synonym, no file")


def chinese_names(source: Path, target: Path) -> None:
    """Write the groceries with a column of their kinds' Chinese names."""
    table = pq.read_table(source)
    names = {kind: zh.split("|")[0] for kinds, (_, zh) in FOODS.items() for kind in kinds}
    pq.write_table(
        table.append_column("title_zh", pa.array([names.get(one) for one in table["coarse_class"].to_pylist()])), target
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("chinese-names")
    one.add_argument("source", type=Path)
    one.add_argument("target", type=Path)
    one = verbs.add_parser("measure")
    one.add_argument("catalogue", choices=["fashion", "grocery"])
    one.add_argument("index")
    one.add_argument("data", type=Path)
    one.add_argument("--count", type=int, default=120)
    one.add_argument("--parts", nargs="+", default=["plurals", "chinese", "synonyms", "spelling"])
    options = parser.parse_args()
    if options.verb == "chinese-names":
        chinese_names(options.source, options.target)
    else:
        catalogue = Catalogue(options.catalogue, options.index, options.data)
        if "plurals" in options.parts:
            wordings(catalogue, "plurals", PLURALS[catalogue.name], ("singular", "plural"))
        if "chinese" in options.parts:
            wordings(catalogue, "parts of Chinese words", PARTS[catalogue.name], ("whole", "part"))
        if "synonyms" in options.parts:
            synonyms(catalogue)
        if "spelling" in options.parts:
            spelling(catalogue, options.count)
    print(json.dumps(versions()))


if __name__ == "__main__":
    main()
