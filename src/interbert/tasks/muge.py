"""MUGE's retrieval by text, and every data set in the layout of Chinese-CLIP: texts, predictions and their score.

``{split}_texts.jsonl`` has a line ``{"text_id": 8428, "text": "...", "image_ids": [1076345, 517602]}`` per text (MUGE's
own files call them ``query_id, query_text, item_ids``), or an LMDB ``pairs`` has the same. Predictions are lines
``{"text_id": 8428, "image_ids": [ten integers, best first]}``. R@1, R@5 and R@10 say for how many of all texts *any*
right image is among the first k; mean recall is their mean. From image to text the same with ``image_id, text_ids``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from interbert.data.row_files import BadRows, Row, read_json_lines
from interbert.errors import DataError, SourceError
from interbert.tasks.metrics import RECALL_AT
from interbert.tasks.scoring import Scorer, Scores, require_all
from interbert.utils.texts import clean_text, too_long

K = 10
_TEXT_TO_IMAGE = (("text_id", "image_ids"), ("query_id", "item_ids"))
_IMAGE_TO_TEXT = ("image_id", "text_ids")
_LAYOUTS = (*_TEXT_TO_IMAGE, _IMAGE_TO_TEXT)
_TEXTS = ("text", "query_text")


@dataclass(frozen=True)
class Answers:
    """A file of answers or predictions: integers by integer."""

    layout: tuple[str, str]
    """What the file calls a query and its answers."""
    ids: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True)
class Texts:
    """The texts of a split, in the file's order."""

    ids: tuple[int, ...]
    texts: tuple[str, ...]
    image_ids: tuple[tuple[int, ...], ...]
    """Right images of each; empty where they are held back."""

    @property
    def answers(self) -> dict[int, tuple[int, ...]]:
        """Right images by text id."""
        return dict(zip(self.ids, self.image_ids, strict=True))


def score_predictions(predictions: Path, truth: Path) -> Scores:
    """Score predictions, as the organisers do.

    Args:
        predictions: a line per query with exactly ten different integers.
        truth: ``{split}_texts.jsonl`` with its image_ids, an LMDB ``pairs``, or for images ``{split}_texts.tr.jsonl``.

    Raises:
        SourceError: a file is missing or cannot be read.
        DataError: a line is bad, a query has no prediction, or the answers are held back.
    """
    predicted = read_predictions(predictions)
    answers = _directed(_read_truth(truth), predicted.layout, truth)
    name = predicted.layout[0].removesuffix("_id")
    require_all(predictions, [str(one) for one in answers if one not in predicted.ids], name, truth)
    return score_rankings(predicted.ids, answers)


def score_rankings(ranked: Mapping[int, Sequence[int]], answers: Mapping[int, Sequence[int]]) -> Scores:
    """Scores of rankings that have every query of the answers; a query without answers is missed."""
    first = [_first_right(ranked[query], frozenset(right)) for query, right in answers.items()]
    places = np.array(first, dtype=np.float64)
    hits = {f"r@{k}": (places < k).astype(np.float64) for k in RECALL_AT}
    hits["mean_recall"] = np.mean(list(hits.values()), axis=0)
    return Scores(hits, sum(query not in answers for query in ranked))


def _first_right(ranked: Sequence[int], right: frozenset[int]) -> float:
    return next((place for place, one in enumerate(ranked) if one in right), np.inf)


SCORER = Scorer("MUGE and the layout of Chinese-CLIP", "texts", score_predictions)


def _directed(truth: Answers, layout: tuple[str, str], path: Path) -> Mapping[int, tuple[int, ...]]:
    """The answers by what the predictions are of: texts' images are images' texts, the other way round."""
    if not any(truth.ids.values()):
        raise DataError(
            f"{path}: has no {truth.layout[1]} for any {truth.layout[0]}: the answers of this split are held back. "
            "Score another split, or send the predictions to the organisers."
        )
    if (truth.layout == _IMAGE_TO_TEXT) == (layout == _IMAGE_TO_TEXT):
        return truth.ids
    if truth.layout == _IMAGE_TO_TEXT:
        raise DataError(f"{path}: has texts by image, the predictions images by text. Give the file of texts.")
    turned: dict[int, list[int]] = {}
    for text, images in truth.ids.items():
        for image in images:
            turned.setdefault(image, []).append(text)
    return {image: tuple(texts) for image, texts in turned.items()}


def read_predictions(path: Path) -> Answers:
    """Ten different integers of every query.

    Raises:
        SourceError: the file is missing, empty or cannot be read.
        DataError: lines are bad; the first is named.
    """
    return _read(path, "predictions", exact=True)


def _read_truth(path: Path) -> Answers:
    if path.is_dir():
        return Answers(_TEXT_TO_IMAGE[0], read_texts(path).answers)
    return _read(path, "answers", exact=False)


def _read(path: Path, what: str, exact: bool) -> Answers:
    layout: tuple[str, str] | None = None
    found: dict[int, tuple[int, ...]] = {}
    bad = BadRows(str(path))
    for number, row in read_json_lines(path, what):
        if isinstance(row, str):
            bad.add(number, row)
            continue
        row = row if exact else _with_answers(row)
        layout = layout or _layout(row, number, path)
        problem = _problem(row, layout, exact)
        if problem is None and row[layout[0]] in found:
            problem = f"{layout[0]} {row[layout[0]]} stands in a line before"
        if problem is not None:
            bad.add(number, problem)
        else:
            found[row[layout[0]]] = tuple(row[layout[1]])
    bad.refuse()
    if layout is None:
        raise SourceError(f"{path}: holds no {what}.")
    return Answers(layout, found)


def _layout(row: Row, number: int, path: Path) -> tuple[str, str]:
    named = [layout for layout in _LAYOUTS if all(name in row for name in layout)]
    if len(named) != 1:
        known = "; ".join(", ".join(layout) for layout in _LAYOUTS)
        raise DataError(
            f"{path}, row {number}: names {'two queries' if named else 'no query'} and its ids ({known}). It has: "
            f"{', '.join(str(name)[:40] for name in list(row)[:8])}. Write them as one of these."
        )
    return named[0]


def _with_answers(row: Row) -> Row:
    """MUGE's test queries, whose answers are held back, have no field of them."""
    asks = any(name in row for name in _TEXTS) and not any(answers in row for _, answers in _LAYOUTS)
    return {_text_layout(row)[1]: [], **row} if asks else row


def _problem(row: Row, layout: tuple[str, str], exact: bool) -> str | None:
    """What is wrong with a line; whole numbers are integers of JSON, and true is none."""
    query, ids = row.get(layout[0]), row.get(layout[1])
    if not _is_whole(query):
        return f"its {layout[0]} is {_shown(query)}, and has to be a whole number"
    where = f"{layout[0]} {_shown(query)}"
    if not isinstance(ids, list):
        return f"{where}: its {layout[1]} are {_shown(ids)}, and have to be a list of whole numbers"
    wrong = next((one for one in ids if not _is_whole(one)), None)
    if wrong is not None or None in ids:
        return f"{where}: of its {layout[1]} one is {_shown(wrong)}, and has to be a whole number"
    if exact and (len(ids) != K or len(set(ids)) != K):
        counted = f"{len(ids)} {layout[1]}, {len(set(ids))} of them different"
        return f"{where} has {counted}; exactly {K} different ones are needed"
    return None


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    return "missing" if value is None else json.dumps(value, ensure_ascii=False)[:40]


def read_texts(path: str | Path) -> Texts:
    """The texts of a split: ``{split}_texts.jsonl``, MUGE's ``{split}_queries.jsonl``, or an LMDB ``pairs``.

    Raises:
        SourceError: the file is missing, empty or cannot be read.
        DataError: lines are bad; the first is named.
        MissingExtraError: it is an LMDB, and lmdb is not installed.
    """
    file = Path(path).expanduser()
    bad = BadRows(str(path))
    ids: dict[int, tuple[str, list[int]]] = {}
    for number, row in _pairs(file) if file.is_dir() else read_json_lines(file, "texts"):
        problem = row if isinstance(row, str) else _text_problem(row, ids, file.is_dir())
        if problem is not None:
            bad.add(number, problem)
        elif not isinstance(row, str):
            layout = _text_layout(row)
            _, images = ids.setdefault(row[layout[0]], (_text(row), []))
            images += row.get(layout[1], [])
    bad.refuse()
    if not ids:
        raise SourceError(f"{path}: holds no texts.")
    texts = tuple(text for text, _ in ids.values())
    return Texts(tuple(ids), texts, tuple(tuple(dict.fromkeys(images)) for _, images in ids.values()))


def _pairs(folder: Path) -> Iterator[tuple[int, Row | str]]:
    """An LMDB's pairs as lines with one image each."""
    from interbert.regions.importers.clip_lmdb import read_pairs

    for number, pair in enumerate(read_pairs(folder), 1):
        if isinstance(pair, str):
            yield number, pair
        else:
            yield number, {"text_id": pair.text_id, "text": pair.text, "image_ids": [pair.image_id]}


def _text_layout(row: Row) -> tuple[str, str]:
    return next((layout for layout in _TEXT_TO_IMAGE if layout[0] in row), _TEXT_TO_IMAGE[0])


def _text(row: Row) -> str:
    found = next((row[name] for name in _TEXTS if isinstance(row.get(name), str)), "")
    return clean_text(found)


def _text_problem(row: Row, known: Mapping[int, tuple[str, list[int]]], repeats: bool) -> str | None:
    layout = _text_layout(row)
    filled: Row = {layout[1]: [], **row}  # MUGE's test queries have no such field
    problem = _problem(filled, layout, exact=False) or (None if _text(row) else f"has no {' or '.join(_TEXTS)}")
    if problem is None and row[layout[0]] in known:
        where, other = f"{layout[0]} {row[layout[0]]}", known[row[layout[0]]][0] != _text(row)
        if not repeats:
            problem = f"{where} stands in a line before"
        elif other:
            problem = f"{where} has another text than before"
    return problem or too_long(_text(row))


def predictions_text(ranked: Mapping[int, Sequence[int]]) -> str:
    """The file of predictions: a line per text with its first ten images."""
    lines = ({"text_id": text, "image_ids": list(images[:K])} for text, images in ranked.items())
    return "".join(json.dumps(line) + "\n" for line in lines)


def texts_text(texts: Texts) -> str:
    """``{split}_texts.jsonl`` of texts, as Chinese-CLIP's tools read it."""
    rows = zip(texts.ids, texts.texts, texts.image_ids, strict=True)
    lines = ({"text_id": text_id, "text": text, "image_ids": list(images)} for text_id, text, images in rows)
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
