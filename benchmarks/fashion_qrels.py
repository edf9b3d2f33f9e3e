"""Many right products per query: judgements made from a fashion catalogue's attributes, and a model ranked by them.

    python benchmarks/fashion_qrels.py train.parquet runs/qrels-train.tsv --from-grade 3
    python benchmarks/fashion_qrels.py test.parquet runs/qrels-test.tsv --model runs/fashion/retrieval-en \\
        --regions runs/fashion/regions/test --cascade 50 --queries 200 --out runs/qrels.json

The file has the columns of the public data set ashraq/fashion-product-images-small (id, gender, articleType,
subCategory, baseColour). A query is a colour, an article and for whom it is, such as "black handbags for women", once
for each combination that some product has. Grades: 3 for a product with all three; 2 for the article with one of the
other two; 1 for the article alone, or for another article of its subcategory with both others; 0 for all else, which is
not written. With --model it is evaluated as `interbert evaluate retrieval --qrels` does, and further words go there.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

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
    def query(self) -> str:
        """What somebody would type who wants just this kind of product."""
        people = _FOR.get(self.gender.lower())
        return f"{self.colour} {self.article}".lower() + (f" for {people}" if people else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="parquet file")
    parser.add_argument("qrels", help="tab-separated file to write")
    parser.add_argument("--min-probability", type=int, default=2, help="products that a query must have with grade 3")
    parser.add_argument(
        "--from-grade", type=int, default=1, help="3 to train on: what is less right is then a negative"
    )
    parser.add_argument("--model", help="model directory to measure")
    parser.add_argument("--regions", help="its region store of the same products")
    arguments, more = parser.parse_known_args()
    if arguments.model and not arguments.regions:
        parser.error("--model needs --regions")
    products = read_products(arguments.source)
    count = write_qrels(products, Path(arguments.qrels), arguments.least, arguments.from_grade)
    print(f"{arguments.qrels}: {count} judgements of {len(products)} products")
    if arguments.model:
        words = ["evaluate", "retrieval", arguments.model, arguments.regions, "--qrels", arguments.qrels, *more]
        sys.exit(interbert(words))


def read_products(source: str) -> list[Product]:
    columns = pq.read_table(source, columns=list(_COLUMNS)).to_pydict()
    rows = zip(*(columns[name] for name in _COLUMNS), strict=True)
    return [Product(*(str(value or "") for value in row)) for row in rows]


def write_qrels(products: Sequence[Product], out: Path, least: int, from_grade: int) -> int:
    """Write all judgements from a grade on of queries that have enough products; returns how many."""
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, lineterminator="\n")
        writer.writerow(["query", "product_id", "grade"])
        count = 0
        for one in judged(products, least):
            if one[2] >= from_grade:
                writer.writerow(one)
                count += 1
    return count


def judged(products: Sequence[Product], least: int) -> Iterator[tuple[str, str, int]]:
    asked = {one.query: one for one in reversed(products) if one.colour and one.article}
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
