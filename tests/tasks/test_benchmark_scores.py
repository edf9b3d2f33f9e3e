"""Scores of benchmark files against computations that share nothing with them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from interbert.cli.main import main
from interbert.tasks.scoring import BENCHMARKS, find_scorer

KDD_ANSWERS = {"0": [103059361, 103020398], "7": ["103017048"], "12": []}
KDD_SUBMISSION = """query-id,product1,product2,product3,product4,product5
7,103000001,103000002,103017048,103000004,103000005
0,103059361,103000002,103000003,103020398,103000005
12,103000001,103000002,103000003,103000004,103000005
99,not,checked
"""
MUGE_TEXTS = (
    '{"text_id": 8428, "text": "高级感托特包斜挎", "image_ids": [1076345, 517602]}\n'
    '{"text_id": 8429, "text": "纯棉碎花吊带裙", "image_ids": [5]}\n'
    '{"text_id": 8430, "text": "女童毛衣", "image_ids": []}\n'
)
MUGE_PREDICTIONS = (
    '{"text_id": 8429, "image_ids": [1, 2, 3, 4, 6, 7, 8, 9, 10, 5]}\n'
    '{"text_id": 8428, "image_ids": [517602, 2, 3, 4, 6, 7, 8, 9, 10, 5]}\n'
    '{"text_id": 8430, "image_ids": [1, 2, 3, 4, 6, 7, 8, 9, 10, 5]}\n'
)


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def scored(benchmark: str, predictions: Path, truth: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    assert main(["score", benchmark, str(predictions), str(truth), "--json"]) == 0
    shown: dict[str, float] = json.loads(capsys.readouterr().out)
    return shown


def test_a_submission_worked_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = written(tmp_path, "valid_answer.json", json.dumps(KDD_ANSWERS))
    found = scored("kdd", written(tmp_path, "submission.csv", KDD_SUBMISSION), truth, capsys)
    first = (1 + 1 / np.log2(5)) / (1 + 1 / np.log2(3))
    assert found == {"ndcg@5": pytest.approx((first + 0.5 + 0) / 3), "n": 3, "ignored": 1}


def test_predictions_worked_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = written(tmp_path, "valid_texts.jsonl", MUGE_TEXTS)
    predictions = written(tmp_path, "predictions.jsonl", MUGE_PREDICTIONS)
    found = scored("muge", predictions, truth, capsys)
    third = pytest.approx(1 / 3)
    expected = {"r@1": third, "r@5": third, "r@10": pytest.approx(2 / 3), "mean_recall": pytest.approx(4 / 9)}
    assert found == expected | {"n": 3, "ignored": 0}
    assert main(["score", "muge", str(predictions), str(truth), "--bootstrap", "20"]) == 0
    assert "0.4444" in capsys.readouterr().out


def test_ndcg_is_what_sklearn_gives(tmp_path: Path) -> None:
    """Pools of 5 to 30 candidates, rankings by scores with ties; 0 where nothing is right."""
    rng = np.random.default_rng(5)
    answers, rows, expected = {}, ["query-id,product1,product2,product3,product4,product5"], []
    for query in range(1000):
        count = int(rng.integers(5, 31))
        pool = rng.choice(10**6, count, replace=False) + 103_000_000
        right = rng.random(count) < rng.choice([0.0, 0.1, 0.3, 1.0])
        order = np.argsort(-rng.integers(0, 6, count), kind="stable")
        answers[str(query)] = [int(one) for one in rng.permutation(pool[right])]
        rows.append(",".join([str(query), *map(str, pool[order[:5]])]))
        place = np.empty(count)
        place[order] = -np.arange(count)
        expected.append(ndcg_score(right[None].astype(float), place[None], k=5) if right.any() else 0.0)
    truth = written(tmp_path, "answers.json", json.dumps(answers))
    found = find_scorer("kdd").score(written(tmp_path, "submission.csv", "\n".join(rows)), truth)
    np.testing.assert_allclose(found.of_queries["ndcg@5"], expected, atol=1e-12)


@pytest.mark.parametrize("names", [("text_id", "image_ids"), ("query_id", "item_ids"), ("image_id", "text_ids")])
def test_recall_is_what_counting_gives(tmp_path: Path, names: tuple[str, str]) -> None:
    draw = random.Random(7)
    truth, predicted = {}, {}
    for query in draw.sample(range(10**6), 2000):
        truth[query] = draw.sample(range(60), draw.choice([0, 1, 1, 2, 5]))
        predicted[query] = draw.sample(range(60), 10)
    counts = {k: sum(any(one in truth[query] for one in predicted[query][:k]) for query in truth) for k in (1, 5, 10)}

    def lines(found: dict[int, list[int]]) -> str:
        return "".join(json.dumps({names[0]: query, names[1]: ids}) + "\n" for query, ids in found.items())

    predictions = written(tmp_path, "predictions.jsonl", lines(dict(draw.sample(list(predicted.items()), 2000))))
    found = find_scorer("muge").score(predictions, written(tmp_path, "t.jsonl", lines(truth))).to_dict()
    assert [found[f"r@{k}"] for k in (1, 5, 10)] == pytest.approx([counts[k] / 2000 for k in (1, 5, 10)])
    assert found["mean_recall"] == pytest.approx(sum(counts.values()) / 6000)


def test_images_are_scored_against_a_file_of_texts(tmp_path: Path) -> None:
    truth = written(tmp_path, "valid_texts.jsonl", MUGE_TEXTS)
    ten = [1, 2, 3, 4, 5, 6, 7, 8, 9]
    rows = [{"image_id": 5, "text_ids": [*ten, 8429]}, {"image_id": 1076345, "text_ids": [8428, *ten]}]
    rows.append({"image_id": 517602, "text_ids": [*ten, 10]})
    predictions = written(tmp_path, "p.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    found = find_scorer("muge").score(predictions, truth).to_dict()
    assert (found["r@1"], found["r@10"], found["n"]) == (pytest.approx(1 / 3), pytest.approx(2 / 3), 3)


def test_every_benchmark_has_a_scorer_and_an_unknown_one_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert all(find_scorer(name).queries for name in BENCHMARKS)
    assert main(["score", "mugee", "p", "t"]) == 2
    assert "Did you mean 'muge'?" in capsys.readouterr().err
