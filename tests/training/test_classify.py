"""Classification through the command line: texts alone, images alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import draw, file_bytes

from interbert import InterBertForSequenceClassification, InterBertProcessor
from interbert.cli.main import main
from interbert.errors import ConfigError
from interbert.tasks.classification import macro_f1
from interbert.training.classify import Labelled, _split

GOOD = ["a fine film", "truly great", "lovely and warm", "a joy to see", "great fun", "fine and lovely"]
BAD = ["a dull film", "truly awful", "boring and cold", "a pain to see", "awful noise", "dull and boring"]
SMALL = ["--training.batch-size", "8", "--training.learning-rate", "3e-3", "--training.epochs", "12"]


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reviews")
    lines = [f"{text},good" for text in GOOD * 4] + [f"{text},bad" for text in BAD * 4]
    (folder / "train.csv").write_text("sentence,label\n" + "\n".join(lines) + "\n")
    held = ["great and fine,good", "warm and lovely,good", "cold and dull,bad", "awful and boring,bad"]
    (folder / "dev.csv").write_text("sentence,label\n" + "\n".join(held) + "\n")
    return folder


def log_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log_history.jsonl").read_text().splitlines()]


def test_texts_alone_from_a_bert(
    reviews: Path, tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["finetune", "classification", tiny_bert, str(reviews / "train.csv"), str(tmp_path / "m")]
    words += ["--text", "sentence", "--validation", str(reviews / "dev.csv"), "--max-text-tokens", "32", *SMALL]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "of 100, accuracy 100.0 [100.0, 100.0] (4 validation texts)" in shown
    assert "loss " in shown
    assert {one["loss_chance"] for one in log_of(tmp_path / "m") if "loss" in one} == {0.6931}
    model = InterBertForSequenceClassification.from_pretrained(tmp_path / "m").eval()
    processor = InterBertProcessor.from_pretrained(tmp_path / "m")
    assert processor.max_text_tokens == 32
    places = model(**processor(text=["truly lovely", "cold and awful"])).logits.argmax(dim=1).tolist()
    assert [model.config.id2label[place] for place in places] == ["good", "bad"]
    assert main(words) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_images_alone_from_an_interbert(shop_store: Path, tiny_bert: str, tmp_path: Path) -> None:
    pretrained = tmp_path / "pretrained"
    brief = ["--training.max-steps", "1", "--warm-start.epochs", "0", "--warm-start.head-epochs", "0"]
    words = ["pretrain", str(shop_store), str(pretrained), "--init-from", tiny_bert, "--model.pooler-size", "16"]
    assert main([*words, "--model.contrastive-size", "16", "--training.batch-size", "8", *brief]) == 0
    rows = [
        {"photo": {"bytes": file_bytes(draw(colour, shape, (60 + size, 80))), "path": None}, "colour": colour}
        for colour in ("red", "blue")
        for shape in ("circle", "square", "triangle")
        for size in range(6)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "shapes.parquet")
    words = ["finetune", "classification", str(pretrained), str(tmp_path / "shapes.parquet"), str(tmp_path / "m")]
    assert main([*words, "--image-column", "photo", "--label", "colour", "--validation-share", "0.25", *SMALL]) == 0
    assert max(one["eval_accuracy"] for one in log_of(tmp_path / "m") if "eval_accuracy" in one) == 100.0


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        ("sentence,label\n,good\nb,\n", [], "none of its 2 rows can be used; row 0: 'sentence' is empty"),
        ("sentence,label\na,good\nb,good\n", [], "has 1 label in 'label'; a classifier needs two"),
        ("sentence,tone\na,good\nb,bad\n", [], "there is no column 'label'"),
        ("sentence,label\na,good\nb,bad\n", ["--max-text-tokens", "600"], "is more than the 64 positions"),
    ],
)
def test_what_cannot_be_learnt_is_named(
    tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, more: list[str], message: str
) -> None:
    (tmp_path / "train.csv").write_text(change)
    words = ["finetune", "classification", tiny_bert, str(tmp_path / "train.csv"), str(tmp_path / "m")]
    given = ["--text", "sentence", "--validation", str(tmp_path / "train.csv"), "--max-text-tokens", "32", *more]
    assert main([*words, *given]) == 2
    assert message in capsys.readouterr().err


def test_a_bert_cannot_look_at_images(tiny_bert: str, shop: Path, tmp_path: Path, capsys) -> None:
    words = ["finetune", "classification", tiny_bert, str(shop), str(tmp_path / "m")]
    assert main([*words, "--image-column", "image", "--label", "id"]) == 2
    assert "images need one: pretrain first" in capsys.readouterr().err
    assert main(words) == 2
    assert "name the column with the text" in capsys.readouterr().err


def test_macro_f1_counts_every_label_alike() -> None:
    labels = np.array([0, 0, 0, 1])
    assert macro_f1(np.array([0, 0, 0, 0]), labels) == pytest.approx((6 / 7 + 0) / 2)
    assert macro_f1(labels, labels) == 1.0


def test_empty_rows_are_left_out_and_listed_and_the_report_shows_what_is_confused(
    tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        "sentence,label",
        ",good",
        "no label,",
        *[f"{text},good" for text in GOOD],
        *[f"{text},bad" for text in BAD],
    ]
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    words = ["finetune", "classification", tiny_bert, str(tmp_path / "train.csv"), str(tmp_path / "m")]
    words += ["--text", "sentence", "--validation-share", "0.5", "--max-text-tokens", "32", *SMALL]
    assert main([*words, "--training.min-steps", "0", "--training.max-steps", "2"]) == 0
    shown = capsys.readouterr().out
    assert f"2 rows without a label or text are left out: {tmp_path / 'm' / 'left_out.csv'}" in shown
    listed = (tmp_path / "m" / "left_out.csv").read_text().splitlines()[1:]
    assert [line.split(",", 1)[1] for line in listed] == ["0,'sentence' is empty", "1,'label' is empty"]
    assert "few steps: 2, and" in shown
    assert "of 6 held-out items are answered rightly; the most frequent label alone" in shown
    card = (tmp_path / "m" / "README.md").read_text()
    assert "A classifier: it reads a text and answers with one of 2 labels" in card
    assert "`bad`, `good`" in card
    answers = json.loads((tmp_path / "m" / "validation_answers.json").read_text())
    assert sum(count for *_, count in answers["confusion"]) == 6
    assert all(lines[1 + one["row"]].startswith(one["text"]) for one in answers["wrong"] + answers["right_examples"])
    assert main(["report", str(tmp_path / "m"), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "Confusion matrix" in page
    assert (answers["wrong"] + answers["right_examples"])[0]["text"] in page
    (tmp_path / "m" / "validation_answers.json").write_text("[]")
    assert main(["report", str(tmp_path / "m"), "--out", str(tmp_path / "page.html")]) == 2
    assert "validation_answers.json: is damaged" in capsys.readouterr().err


def test_a_label_that_is_there_once_stays_to_be_learnt() -> None:
    labels = ("once", "twice", "twice", *["often"] * 9)
    for seed in range(20):
        train, held = _split(Labelled(labels), 0.5, seed)
        assert set(train.labels) == set(labels)
        assert "once" not in held.labels
        assert sorted((*train.rows, *held.rows)) == list(range(12))
    assert len(held.labels) in (4, 5, 6)
    with pytest.raises(ConfigError, match="too many labels to hold some out"):
        _split(Labelled(("a", "b", "c")), 0.3, 0)
