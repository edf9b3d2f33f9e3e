"""KDD Cup 2020 Multimodalities Recall: the submission file and its score.

A submission is ``query-id,product1,...,product5``, a row per query with its five best products, best first; also as a
.zip that holds one ``submission.csv``. Its score is nDCG@5, each right product with gain 1: the ideal ranking has
min(5, right products) of them in front, and the mean is over every query of the answers, of which one without a right
product gives 0. Cells are split at commas alone, and rows of queries that the answers lack are passed over.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import numpy as np

from interbert.data.file_lines import UNREADABLE
from interbert.data.row_files import BadRows
from interbert.errors import SourceError, first_line
from interbert.regions.importers.kdd_files import read_answers
from interbert.tasks.scoring import Scorer, Scores, require_all
from interbert.utils.bounded_files import MAX_FILE, read_small_text

K = 5
HEADER = ",".join(["query-id", *(f"product{place + 1}" for place in range(K))])
_MEMBER = "submission.csv"
_DIGITS = frozenset("0123456789")


def ndcg_at_5(ranked: Sequence[str], relevant: Set[str]) -> float:
    """nDCG of the first five products, from 0 to 1; 0 where nothing is right.

    ``DCG = sum of 1 / log2(rank + 1)`` over right products (Järvelin and Kekäläinen, 2002), divided by the largest
    that so many right products can have.
    """
    gained = sum(_discount(rank) for rank, product in enumerate(ranked[:K], 1) if product in relevant)
    best = sum(_discount(rank) for rank in range(1, min(K, len(relevant)) + 1))
    return gained / best if relevant else 0.0


def _discount(rank: int) -> float:
    return 1.0 / float(np.log2(rank + 1))


def score_submission(predictions: Path, truth: Path) -> Scores:
    """Score a submission, as the organisers do.

    Args:
        predictions: submission.csv, or a .zip with it.
        truth: ``valid_answer.json`` or another file of answers.

    Raises:
        SourceError: a file is missing or cannot be read.
        DataError: a row is bad, or a query has none; the message names it.
    """
    answers = read_answers(truth)
    submission, ignored = read_submission(predictions, answers.keys())
    require_all(predictions, [query for query in answers if query not in submission], "query", truth)
    return score_rankings(submission, answers, ignored)


def score_rankings(
    ranked: Mapping[str, Sequence[str]], answers: Mapping[str, Sequence[str]], ignored: int = 0
) -> Scores:
    """Scores of rankings that have every query of the answers."""
    values = [ndcg_at_5(ranked[query], frozenset(products)) for query, products in answers.items()]
    return Scores({"ndcg@5": np.array(values, dtype=np.float64)}, ignored)


SCORER = Scorer("KDD Cup 2020 Multimodalities Recall", "queries", score_submission)


def read_submission(path: Path, queries: Set[str]) -> tuple[dict[str, tuple[str, ...]], int]:
    """The five products of each of these queries, and how many rows are of others (the header is none).

    Raises:
        SourceError: the file is missing or cannot be read.
        DataError: a row has not exactly five different product ids of digits, or a query has two rows.
    """
    found: dict[str, tuple[str, ...]] = {}
    bad, ignored = BadRows(str(path)), 0
    for number, line in enumerate(_text(path).split("\n"), 1):
        query, *products = (cell.strip() for cell in line.split(",", K + 1))
        if query not in queries:
            ignored += bool(line.strip()) and ",".join([query, *products]).lower() != HEADER
            continue
        problem = _problem(query, products, line.count(","))
        if query in found:
            problem = f"query {query[:40]} has a row before"
        if problem is not None:
            bad.add(number, problem)
        found[query] = tuple(products)
    bad.refuse()
    return found, ignored


def _problem(query: str, products: Sequence[str], count: int) -> str | None:
    where = f"query {query[:40]}"
    if count != K:
        return f"{where} has {count} products; exactly {K} different ones are needed, best first"
    wrong = next(
        (rank for rank, product in enumerate(products, 1) if not product or not _DIGITS.issuperset(product)), 0
    )
    if wrong:
        shown = repr(products[wrong - 1][:40]) if products[wrong - 1] else "empty"
        return f"{where}: its product{wrong} is {shown}, and a product's id has digits alone"
    if len(set(products)) != K:
        twice = next(product for product in products if products.count(product) > 1)
        return f"{where} has product {twice[:40]} twice; exactly {K} different ones are needed"
    return None


def _text(path: Path) -> str:
    what = "a submission (submission.csv, or a .zip that holds one)"
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file; {what} is needed.")
    try:
        return _unpacked(path) if zipfile.is_zipfile(path) else read_small_text(path)
    except (*UNREADABLE, ValueError, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{path}: cannot be read as {what}: {first_line(error)}. Write it anew.") from error


def _unpacked(path: Path) -> str:
    """The text of the one submission.csv in a .zip, which is read without being written anywhere."""
    with zipfile.ZipFile(path) as packed:
        members = [one for one in packed.infolist() if Path(one.filename).name == _MEMBER and not one.is_dir()]
        if len(members) != 1:
            raise SourceError(f"{path}: holds {len(members)} files named {_MEMBER}, and one is needed. Pack it anew.")
        with packed.open(members[0]) as member:
            raw = member.read(MAX_FILE + 1)
    if len(raw) > MAX_FILE:
        raise SourceError(f"{path}: its {_MEMBER} has more than {MAX_FILE:,} bytes, which are not read.")
    return io.TextIOWrapper(io.BytesIO(raw), encoding="utf-8-sig").read()


def submission_text(ranked: Mapping[str, Sequence[str]]) -> str:
    """The submission file of rankings: a row per query with its first five products."""
    rows = [",".join([query, *products[:K]]) for query, products in ranked.items()]
    return "\n".join([HEADER, *rows]) + "\n"
