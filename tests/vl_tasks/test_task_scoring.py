"""`interbert score` over the tasks: which there are, how many files of answers each reads, one line for bad files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from interbert.cli.main import main
from interbert.cli.verbs import verb_module
from interbert.tasks.scoring import BENCHMARKS, find_scorer

TASKS = [name for name, module in BENCHMARKS.items() if module.startswith("interbert.vl_tasks.")]
GARBAGE = {
    "empty": b"",
    "null": b"null",
    "number": b"3",
    "list": b"[]",
    "list of lists": b"[[1, 2], [3]]",
    "list of nothing": b"[null]",
    "object": b"{}",
    "object of numbers": b'{"1": 2, "questions": 3, "annotations": "x", "images": null}',
    "object of lists": b'{"1": [], "annotations": [1], "questions": [{}], "images": [{"id": []}]}',
    "ids that are none": b'[{"question_id": [1], "questionId": {}, "sent_id": null, "answer": 1}]',
    "deep": b"[" * 5000,
    "deep object": b'{"a":' * 5000,
    "no text": b"\xff\xfe\x00\x01",
    "csv": b"annot_id,answer_0\nval-0,1\n",
    "lines": b'{"identifier": 3, "pairID": 4, "annot_id": 5, "id": 6, "sentence": []}\n{"identifier": "dev-1-1-1"}\n',
}


def test_every_task_has_a_scorer_and_a_line_in_the_help() -> None:
    assert {"vcr", "vqa", "gqa", "nlvr2", "nlvr", "snli-ve", "refcoco", "flickr-entities"} <= set(TASKS)
    text = verb_module("score").__doc__ or ""
    for name in TASKS:
        scorer = find_scorer(name)
        assert scorer.queries
        assert 1 <= len(scorer.truths) <= 2
        assert name in text


def test_a_file_of_answers_too_many_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "snli-ve", "a.jsonl", "b.jsonl", "c.jsonl"]) == 2
    message = "score: c.jsonl is one file too many. SNLI-VE reads, in this order: JSON lines of pairs."
    assert message in capsys.readouterr().err
    assert main(["score", "kdd", "a.csv", "b.json", "c.json", "--json"]) == 2
    assert "c.json is one file too many" in capsys.readouterr().err


def test_an_unknown_task_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", "refcoc", "a", "b"]) == 2
    assert "Did you mean 'refcoco'?" in capsys.readouterr().err


@pytest.mark.parametrize("task", TASKS)
def test_whatever_the_files_hold_one_line_says_what_is_wrong(
    task: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in GARBAGE.items():
        predictions = tmp_path / ("out.csv" if task == "vcr" else "out.json")
        predictions.write_bytes(content)
        truth = tmp_path / "dev.json"
        truth.write_bytes(content)
        folder = tmp_path / "folder"
        folder.mkdir(exist_ok=True)
        for file in ("refs(unc).p", "instances.json", "test.txt"):
            (folder / file).write_bytes(content)
        for one in (truth, folder, tmp_path / "absent"):
            assert main(["score", task, str(predictions), str(one), "--json"]) == 2, (name, one)
            error = capsys.readouterr().err
            assert len(error.strip().splitlines()) == 1, (name, error)
            assert str(tmp_path) in error, (name, error)


def test_scoring_loads_neither_torch_nor_a_store() -> None:
    script = (
        "import sys, importlib\n"
        f"for module in {sorted(set(BENCHMARKS.values()))}: importlib.import_module(module)\n"
        "heavy = {'torch', 'transformers', 'lance', 'datasets', 'pyarrow', 'scipy'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-600:]
