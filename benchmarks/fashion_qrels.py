"""Many right products per query: judgements made from a fashion catalogue's attributes, and a model ranked by them.

    python benchmarks/fashion_qrels.py train.parquet runs/qrels-train.tsv --from-grade 3
    python benchmarks/fashion_qrels.py test.parquet runs/qrels-test.tsv --model runs/fashion/retrieval-en \\
        --regions runs/fashion/regions/test --cascade 50 --queries 200 --out runs/qrels.json
    python benchmarks/fashion_qrels.py test.parquet runs/qrels-zh.tsv --language zh --model runs/fashion/retrieval-zh \\
        --regions runs/fashion/regions/test --out runs/qrels-zh.json

The file has the columns of the public data set ashraq/fashion-product-images-small (id, gender, articleType,
subCategory, baseColour). A query is a colour, an article and for whom it is, such as "black handbags for women", once
for each combination that some product has; with --language zh in the words of fashion_words.py and the order in which
shoppers type them, such as "黑色手提包女", of 3 to 12 characters. Grades: 3 for a product with all three; 2 for the
article with one of the other two; 1 for the article alone, or for another article of its subcategory with both others;
0 for all else, which is not written. With --model it is evaluated as `interbert evaluate retrieval --qrels` does
(nDCG@10 among others), and further words go there.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from fashion_words import ARTICLES, COLOURS, PEOPLE

from interbert.cli.main import main as interbert

_COLUMNS = ("id", "gender", "articleType", "subCategory", "baseColour")
_FOR = {"men": "men", "women": "women", "boys": "boys", "girls": "girls"}


@dataclass(frozen=True)
class Product:
    name: str
    gender: str
    article: str
    category: str
    colour: str

    @property
    def english(self) -> str:
        """What somebody would type who wants just this kind of product; empty when its columns are."""
        people = _FOR.get(self.gender.lower())
        words = f"{self.colour} {self.article}".lower() + (f" for {people}" if people else "")
        return words if self.colour and self.article else ""

    @property
    def chinese(self) -> str:
        """The same in Chinese; empty where a word is missing, or the query is no shopper's of 3 to 12 characters."""
        words = COLOURS.get(self.colour), ARTICLES.get(self.article)
        query = "".join(word or "" for word in words) + PEOPLE.get(self.gender.lower(), "")
        return query if all(words) and 3 <= len(query) <= 12 else ""

    def query(self, language: str) -> str:
        """In that language, ``en`` or ``zh``."""
        return self.chinese if language == "zh" else self.english


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="parquet file")
    parser.add_argument("qrels", help="tab-separated file to write")
    parser.add_argument("--min-products", type=int, default=2, help="products that a query must have with grade 3")
    parser.add_argument("--language", choices=("en", "zh"), default="en", help="of the queries")
    parser.add_argument(
        "--from-grade", type=int, default=1, help="3 to train on: what is less right is then a negative"
    )
    parser.add_argument("--model", help="model directory to measure")
    parser.add_argument("--regions", help="its region store of the same products")
    arguments, more = parser.parse_known_args()
    if arguments.model and not arguments.regions:
        parser.error("--model needs --regions")
    products = read_products(arguments.source)
    queries = {one.name: one.query(arguments.language) for one in products}
    rows = [row for row in judged(products, queries, arguments.min_products) if row[2] >= arguments.from_grade]
    write_qrels(rows, Path(arguments.qrels))
    left_out = sum(not query for query in queries.values())
    asked = len({query for query, _, _ in rows})
    print(f"{arguments.qrels}: {len(rows)} judgements of {len(products)} products, {asked} queries")
    print(f"{left_out} products give no query: a word or a column is missing, or it is too long")
    if arguments.model:
        words = ["evaluate", "retrieval", arguments.model, arguments.regions, "--qrels", arguments.qrels, *more]
        sys.exit(interbert(words))


def read_products(source: str) -> list[Product]:
    columns = pq.read_table(source, columns=list(_COLUMNS)).to_pydict()
    rows = zip(*(columns[name] for name in _COLUMNS), strict=True)
    return [Product(*(str(value or "") for value in row)) for row in rows]


def write_qrels(rows: Sequence[tuple[str, str, int]], out: Path) -> None:
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
        writer.writerow(["query", "product_id", "grade"])
        writer.writerows(rows)


def judged(products: Sequence[Product], queries: Mapping[str, str], least: int) -> Iterator[tuple[str, str, int]]:
    """All judgements of the queries that have enough products of grade 3: query, product and grade."""
    asked = {queries[one.name]: one for one in reversed(products) if queries[one.name]}
    for query, wanted in sorted(asked.items()):
        grades = [(one.name, grade(wanted, one)) for one in products]
        if sum(value == 3 for _, value in grades) >= least:
            yield from ((query, name, value) for name, value in grades if value)


def grade(wanted: Product, product: Product) -> int:
    """How right ``product`` is where ``wanted`` is described."""
    others = (product.gender == wanted.gender) + (product.colour == wanted.colour)
    if product.article == wanted.article:
        return 1 + others
    return 1 if product.category == wanted.category and others == 2 else 0


if __name__ == "__main__":
    main()
