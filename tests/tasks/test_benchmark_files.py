"""Files of benchmarks that are refused: one line with the file, the row and what to do."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path

import pytest
from tests.tasks.test_benchmark_scores import KDD_ANSWERS, KDD_SUBMISSION, MUGE_PREDICTIONS, MUGE_TEXTS, written

from interbert.cli.main import main
from interbert.errors import InterBertError
from interbert.tasks.kdd import submission_text
from interbert.tasks.muge import predictions_text, read_predictions, read_texts, texts_text
from interbert.tasks.scoring import find_scorer

SUBMISSIONS = {
    "four": ("7,1,2,3,4", r"row 2: query 7 has 4 products; exactly 5"),
    "six": ("7,1,2,3,4,5,6", r"row 2: query 7 has 6 products"),
    "twice": ("7,1,2,3,4,4", r"row 2: query 7 has product 4 twice"),
    "a name": ("7,1,2,x3,4,5", r"row 2: query 7: its product3 is 'x3', and a product's id has digits alone"),
    "other digits": ("7,1,2,٣,4,5", r"its product3 is '٣'"),
    "quoted": ('7,"1","2","3","4","5"', r"row 2: query 7: its product1 is '\"1\"'"),
    "an empty cell": ("7,1,2,,4,5", r"row 2: query 7: its product3 is empty"),
    "a query twice": ("7,1,2,3,4,5\n7,1,2,3,4,5", r"row 3: query 7 has a row before"),
    "a query missing": ("", r"has no prediction for query 7 of .*valid_answer.json. Every query counts"),
}
PREDICTIONS = {
    "nine": ('{"text_id": 8428, "image_ids": [1,2,3,4,5,6,7,8,9]}', r"row 1: text_id 8428 has 9 image_ids"),
    "equal ones": ('{"text_id": 8428, "image_ids": [1,1,3,4,5,6,7,8,9,10]}', r"9 of them different; exactly 10"),
    "texts": ('{"text_id": 8428, "image_ids": ["1",2,3,4,5,6,7,8,9,10]}', r'one is "1", and has to be a whole number'),
    "true": ('{"text_id": 8428, "image_ids": [true,2,3,4,5,6,7,8,9,10]}', r"one is true"),
    "null": ('{"text_id": 8428, "image_ids": [null,2,3,4,5,6,7,8,9,10]}', r"one is missing"),
    "an id as text": ('{"text_id": "8428", "image_ids": []}', r'row 1: its text_id is "8428"'),
    "no list": ('{"text_id": 8428, "image_ids": 5}', r"its image_ids are 5, and have to be a list"),
    "no JSON": ("8428,1,2", r"row 1: is no JSON"),
    "other names": ('{"text": 1}', r"row 1: names no query and its ids"),
    "twice": (MUGE_PREDICTIONS.splitlines()[0] + "\n" + MUGE_PREDICTIONS, r"row 2: text_id 8429 stands in a line"),
    "missing": (MUGE_PREDICTIONS.splitlines()[0], r"has no prediction for text 8428 and 1 more of .*valid_texts.jsonl"),
    "empty": ("", r"holds no predictions"),
}
TRUTHS = {
    "held back": ('{"text_id": 8428, "text": "a", "image_ids": []}', r"the answers of this split are held back"),
    "ids as texts": ('{"text_id": 8428, "text": "a", "image_ids": ["5"]}', r'one is "5"'),
    "cut off": (MUGE_TEXTS[:-20], r"row 3: is no JSON"),
}


def refused(benchmark: str, predictions: Path, truth: Path, reason: str) -> None:
    with pytest.raises(InterBertError, match=reason) as caught:
        find_scorer(benchmark).score(predictions, truth)
    assert caught.value.exit_code == 2
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("case", SUBMISSIONS)
def test_a_bad_submission(tmp_path: Path, case: str) -> None:
    content, reason = SUBMISSIONS[case]
    rows = KDD_SUBMISSION.splitlines()
    rows[1] = content
    submission = written(tmp_path, "submission.csv", "\n".join(rows))
    refused("kdd", submission, written(tmp_path, "valid_answer.json", json.dumps(KDD_ANSWERS)), reason)


@pytest.mark.parametrize("answers", ["[]", "{}", '{"1": 5}', '{"1": "103"}', '{"1": [true]}', '{"1": [1.5]}', "{"])
def test_bad_answers(tmp_path: Path, answers: str) -> None:
    submission = written(tmp_path, "submission.csv", KDD_SUBMISSION)
    refused("kdd", submission, written(tmp_path, "a.json", answers), "a.json: is no JSON of query ids with lists")


@pytest.mark.parametrize("case", PREDICTIONS)
def test_bad_predictions(tmp_path: Path, case: str) -> None:
    content, reason = PREDICTIONS[case]
    truth = written(tmp_path, "valid_texts.jsonl", MUGE_TEXTS)
    refused("muge", written(tmp_path, "predictions.jsonl", content), truth, reason)


@pytest.mark.parametrize("case", TRUTHS)
def test_bad_truth(tmp_path: Path, case: str) -> None:
    content, reason = TRUTHS[case]
    predictions = written(tmp_path, "predictions.jsonl", MUGE_PREDICTIONS)
    refused("muge", predictions, written(tmp_path, "valid_texts.jsonl", content), reason)


def test_a_packed_submission_is_read_where_it_lies(tmp_path: Path) -> None:
    truth = written(tmp_path, "valid_answer.json", json.dumps(KDD_ANSWERS))
    plain = find_scorer("kdd").score(written(tmp_path, "submission.csv", "\ufeff" + KDD_SUBMISSION), truth)
    packed = tmp_path / "submission.zip"
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("../submission.csv", KDD_SUBMISSION.replace("\n", "\r\n"))
    assert find_scorer("kdd").score(packed, truth).to_dict() == plain.to_dict()
    with zipfile.ZipFile(packed, "a") as file:
        file.writestr("other/submission.csv", "")
    refused("kdd", packed, truth, "holds 2 files named submission.csv, and one is needed")
    cut = written(tmp_path, "cut.zip", "")
    cut.write_bytes(packed.read_bytes()[:-10])
    refused("kdd", cut, truth, "cut.zip: cannot be read as a submission|has no prediction")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    texts = read_texts(written(tmp_path, "valid_texts.jsonl", MUGE_TEXTS))
    assert texts_text(texts) == MUGE_TEXTS
    ranked = {8428: tuple(range(12)), 8429: tuple(range(20, 30))}
    found = read_predictions(written(tmp_path, "p.jsonl", predictions_text(ranked)))
    assert dict(found.ids) == {8428: tuple(range(10)), 8429: ranked[8429]}
    rows = {
        "0": ["5", "4", "3", "2", "1", "9"],
        "7": ["1", "2", "3", "4", "103017048"],
        "12": ["1", "2", "3", "4", "5"],
    }
    submission = written(tmp_path, "submission.csv", submission_text(rows))
    assert submission.read_text().splitlines()[1] == "0,5,4,3,2,1"
    truth = written(tmp_path, "valid_answer.json", json.dumps(KDD_ANSWERS))
    assert find_scorer("kdd").score(submission, truth).to_dict()["n"] == 3


def test_muges_own_names_and_texts_without_images(tmp_path: Path) -> None:
    lines = '{"query_id": 1, "query_text": "红色 连衣裙", "item_ids": [4]}\n{"query_id": 2, "query_text": "鞋"}\n'
    texts = read_texts(written(tmp_path, "valid_queries.jsonl", lines))
    assert (texts.ids, texts.texts, texts.image_ids) == ((1, 2), ("红色 连衣裙", "鞋"), ((4,), ()))


def test_a_refused_file_is_one_line_of_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = written(tmp_path, "t.jsonl", MUGE_TEXTS)
    assert main(["score", "muge", str(tmp_path / "none.jsonl"), str(truth)]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert "none.jsonl: there is no such file of predictions" in shown.err


@pytest.mark.parametrize("benchmark", ["kdd", "muge"])
def test_a_damaged_file_is_scored_or_refused(tmp_path: Path, benchmark: str) -> None:
    """Cut off, bytes exchanged, pieces repeated: never another error than the user's."""
    draw = random.Random(1)
    sound = (KDD_SUBMISSION, json.dumps(KDD_ANSWERS)) if benchmark == "kdd" else (MUGE_PREDICTIONS, MUGE_TEXTS)
    refusals = []
    for turn in range(100):
        paths = []
        for place, text in enumerate(sound):
            raw = bytearray(text.encode())
            for _ in range(draw.randrange(4) if place == turn % 2 else 0):
                start, length = draw.randrange(len(raw)), draw.randrange(30)
                kept = (raw[:start], raw[start:] * 2, raw[:start] + raw[start + length :])
                raw = draw.choice((*kept, raw[:start] + bytes([draw.randrange(256)]) + raw[start + 1 :])) or raw
            paths.append(tmp_path / f"{place}.jsonl")
            paths[-1].write_bytes(raw)
        try:
            assert all(value >= 0 for value in find_scorer(benchmark).score(*paths).to_dict().values())
        except InterBertError as error:
            refusals.append(str(error))
    assert 15 < len(refusals) < 100
    assert all(str(tmp_path) in one for one in refusals)
