"""Pretraining on texts alone through the command line, at tiny size."""

from __future__ import annotations

import csv
import gzip
import json
import re
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests.forked import COMMAND, Fork, together
from tests.training.test_training import wait_for
from transformers import AutoModelForMaskedLM

from interbert.checkpoints.bert import bert_tokenizer, config_for_bert, initialise_from_bert
from interbert.checkpoints.vocabulary import unknown_share
from interbert.cli.main import main
from interbert.data.text_sources import read_texts
from interbert.errors import InterBertError
from interbert.model.modeling import InterBertForPreTraining

BRANDS, PEOPLE = ["Nike", "Adidas", "Puma"], ["男士", "女士", "儿童"]
COLOURS = ["红色", "蓝色", "黑色", "白色", "绿色", "紫色"]
THINGS = ["连衣裙", "运动鞋", "手提包", "牛仔裤", "衬衫", "手表", "太阳镜", "帽子"]
TITLES = [
    " ".join((brand, who + colour + thing)) for brand, who, colour, thing in product(BRANDS, PEOPLE, COLOURS, THINGS)
]
SIZES = ["--model.hidden-size", "32", "--model.num-layers", "2", "--model.num-attention-heads", "4"]
SMALL = [*SIZES, "--model.intermediate-size", "64", "--model.dropout", "0", "--training.batch-size", "32"]
LEARN = ["--training.learning-rate", "5e-3", "--validation-share", "0.1", "--training.epochs", "6"]


@pytest.fixture(scope="module")
def titles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "titles.txt"
    path.write_text("\n".join([*TITLES, TITLES[0], "", f"  {TITLES[1]}  "]) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(titles: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "text"
    assert main(["pretrain", "text", str(titles), str(out), *SMALL, *LEARN]) == 0
    return out


def log_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log_history.jsonl").read_text().splitlines()]


def test_it_learns_to_fill_segments_of_titles_that_it_never_saw(trained: Path) -> None:
    log = log_of(trained)
    losses = [one["lm_loss"] for one in log if "lm_loss" in one]
    (chance,) = {one["lm_loss_chance"] for one in log if "lm_loss" in one}
    assert losses[0] > chance > 3.0 > 2.4 > losses[-1]
    judged = [one["eval_lm_loss"] for one in log if "eval_lm_loss" in one]
    assert judged[-1] < 2.4 < judged[0]
    assert json.loads((trained / "texts.json").read_text()) | {"fingerprint": ""} == {
        "fingerprint": "",
        "texts": len(TITLES),
        "repeated": 2,
        "left out": 1,
    }
    assert list(csv.reader((trained / "left_out.csv").read_text().splitlines()))[1][1:] == ["434", "has no text"]


def test_the_directory_is_a_bert_that_interbert_starts_from_as_it_is(trained: Path) -> None:
    theirs = AutoModelForMaskedLM.from_pretrained(trained).eval()
    config = config_for_bert(str(trained), region_feature_size=4, num_region_classes=3)
    assert (config.num_interaction_layers, config.num_text_layers) == (1, 1)
    ours = InterBertForPreTraining(config).eval()
    report = initialise_from_bert(ours, str(trained))
    assert {"lm_head.decoder.bias", "interbert.encoder.text_layers.0.output.weight"} < set(report.filled)
    tokenizer = bert_tokenizer(str(trained))
    assert unknown_share(tokenizer, TITLES) == 0
    assert tokenizer.tokenize("ＮＩＫＥ　红色①") == [*tokenizer.tokenize("nike"), "红", "色", *tokenizer.tokenize("1")]
    batch = tokenizer(TITLES[:3], return_tensors="pt", padding=True)
    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        expected, found = theirs(**inputs).logits, ours(**inputs).lm_logits
    torch.testing.assert_close(found[:, :5], expected[:, :5], atol=1e-4, rtol=1e-4)


def test_card_and_page_speak_of_texts(trained: Path) -> None:
    card = (trained / "README.md").read_text(encoding="utf-8")
    assert "pretrained on texts alone" in card
    assert "Started from `random weights`" in card
    assert "| accuracy |" in card
    assert main(["report", str(trained)]) == 0
    page = (trained / "report.html").read_text(encoding="utf-8")
    assert "Pretraining on texts, finished" in page
    assert "texts a second" in page or "texts per second" in page or "texts/s" in page


def test_the_same_command_again_does_nothing(trained: Path, titles: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "text", str(titles), str(trained), *SMALL, *LEARN]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["pretrain", "text", str(titles), str(trained), *SMALL]) == 2
    assert "holds a run with other settings" in capsys.readouterr().err


def test_a_killed_run_goes_on_with_its_own_vocabulary_and_refuses_other_texts(
    titles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "titles.txt"
    own.write_bytes(titles.read_bytes())
    out = tmp_path / "m"
    held = tmp_path / "held.txt"
    held.write_bytes(titles.read_bytes())
    words = ["pretrain", "text", str(own), str(out), *SMALL, *LEARN[:-1], "12", "--training.seed", "3"]
    words += ["--validation", str(held), "--validation-limit", "43"]
    process = Fork(COMMAND, *words)
    wait_for(lambda: list(out.glob("checkpoints/*/training.json")), process)
    process.kill()
    process.communicate()
    before = (out / "vocabulary" / "tokenizer.json").read_bytes()
    for file, message in ((own, "the run began with other texts"), (held, "began with other validation texts")):
        file.write_text(file.read_text(encoding="utf-8") + "新的标题\n", encoding="utf-8")
        assert main(words) == 2
        assert message in capsys.readouterr().err
        file.write_bytes(titles.read_bytes())
    (out / "texts.json").rename(tmp_path / "texts.json")
    assert main(words) == 2
    assert "texts.json: cannot be read" in capsys.readouterr().err
    (tmp_path / "texts.json").rename(out / "texts.json")
    assert main(words) == 0
    told = capsys.readouterr()
    assert "continuing from" in told.out
    assert "missing keys" not in told.err
    assert (out / "vocabulary" / "tokenizer.json").read_bytes() == before
    assert bert_tokenizer(str(out)).get_vocab() == json.loads(before)["model"]["vocab"]
    steps = [one["step"] for one in log_of(out) if "eval_accuracy" in one]
    assert steps == sorted(set(steps))


SECOND_LEARNS_NOT = """
import os
from interbert.cli.main import console
from interbert.training import pretrain_text
if os.environ["RANK"] == "1":
    pretrain_text.learn_word_pieces = None
console()
"""


def test_of_several_processes_one_learns_the_vocabulary(titles: Path, tmp_path: Path) -> None:
    words = ["pretrain", "text", str(titles), str(tmp_path / "m"), *SMALL, "--training.max-steps", "1"]
    for code, _, errors in together(SECOND_LEARNS_NOT, words, 2):
        assert code == 0, errors


def test_steps_that_the_passes_allow_are_not_said_to_be_cut(
    titles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pretrain", "text", str(titles), str(tmp_path / "m"), *SMALL, "--training.epochs", "1"]
    assert main([*words, "--training.max-steps", "2"]) == 0
    assert "training.max_steps is" not in capsys.readouterr().out


def test_texts_too_short_for_a_segment_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("\n".join([*TITLES[:20], "红鞋", "蓝鞋", "帽"]), encoding="utf-8")
    words = [str(tmp_path / "a.txt"), str(tmp_path / "out"), *SMALL, "--training.max-steps", "1"]
    assert main(["pretrain", "text", *words, "--validation", str(tmp_path / "a.txt")]) == 0
    assert "3 of 23 texts have fewer than 4 tokens" in capsys.readouterr().out


def test_texts_come_from_every_kind_of_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("红鞋\n蓝鞋\n", encoding="utf-8")
    with gzip.open(tmp_path / "b.jsonl.gz", "wt", encoding="utf-8") as file:
        file.write('{"query": "绿鞋"}\n{"query": 3}\n{"query": null}\nnonsense\n')
    (tmp_path / "c.csv").write_text('title,price\n"黑鞋, 大",3\n', encoding="utf-8")
    for number, words in enumerate((["白鞋", None], ["红鞋", "紫鞋"])):
        pq.write_table(pa.table({"title": words, "other": ["x", "y"]}), tmp_path / f"d-{number}.parquet")
    found = read_texts([str(tmp_path / name) for name in ("a.txt", "b.jsonl.gz", "c.csv", "d-*.parquet")])
    assert list(found.texts) == ["红鞋", "蓝鞋", "绿鞋", "3", "黑鞋, 大", "白鞋", "紫鞋"]
    assert found.repeated == 1
    assert [(Path(file).name, row, reason) for file, row, reason in found.left_out.rows] == [
        ("b.jsonl.gz", 3, "has no text"),
        ("b.jsonl.gz", 4, "is no JSON"),
        ("d-0.parquet", 2, "has no text"),
    ]
    pq.write_table(pa.table({"title": [["红帽", "蓝帽"], []]}), tmp_path / "e.parquet")
    (tmp_path / "f.jsonl").write_text('{"id": 1}\n{"title": ["绿帽"]}\n{"text": "白帽\\ud83d"}\n', encoding="utf-8")
    with gzip.open(tmp_path / "g.txt.GZ", "wt", encoding="utf-8") as file:
        file.write("黑帽\n")
    more = read_texts([str(tmp_path / name) for name in ("e.parquet", "f.jsonl", "g.txt.GZ")])
    assert list(more.texts) == ["红帽", "蓝帽", "绿帽", "白帽?", "黑帽"]
    assert [row for _, row, _ in more.left_out.rows] == [2, 1]
    again = read_texts([str(tmp_path / "d-1.parquet")], ["other"])
    assert list(again.texts) == ["x", "y"]
    assert again.fingerprint != found.fingerprint


def parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    content: bytes = sink.getvalue().to_pybytes()
    return content


NOT_UTF_8 = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))


@pytest.mark.parametrize(
    ("name", "content", "more", "message"),
    [
        ("a.csv", b"title,title\nx,y\n", [], "its first row names 'title' twice. Rename or remove one column"),
        ("a.parquet", parquet(pa.table([["x"], ["y"]], ["title"] * 2)), [], "has two columns 'title'"),
        ("a.parquet", parquet(pa.table({"title": NOT_UTF_8})), [], "a text after row 0 is not in UTF-8"),
        ("a.txt.gz", gzip.compress(b"text " * 99, mtime=0)[:10] + b"\xff" * 30, [], "cannot be read"),
        ("a.csv.gz", gzip.compress(b"text " * 99, mtime=0)[:10] + b"\xff" * 30, [], "cannot be read"),
        ("a.csv", b"label\nx\n", [], "has none of the usual columns of texts. Columns: label. Name them with --text"),
        ("a.csv", b"title\nx\n", ["name"], "has no column 'name'"),
        ("a.txt", b"\n\n", [], "no texts (2 rows, the first: has no text)"),
        ("a.parquet", b"PAR1 cut off", [], "cannot be read"),
        ("a.txt", b"\xff\xfe\n", [], "It should be text in UTF-8"),
        ("a.png", b"x", [], "come as .tsv, .csv or .jsonl"),
        ("folder/a.txt", b"x", [], "is a folder. Name its files"),
    ],
)
def test_files_without_texts_are_named(
    tmp_path: Path, name: str, content: bytes, more: list[str], message: str
) -> None:
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    with pytest.raises(InterBertError) as raised:
        read_texts([str(tmp_path / name.split("/")[0])], more)
    assert message in str(raised.value)
    assert str(tmp_path / name.split("/")[0]) in str(raised.value)


def test_a_given_vocabulary_is_fitted_and_a_damaged_one_refused(
    titles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    han = sorted({one for title in TITLES for one in title if one > "一"})
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{one}" for one in letters), *han]
    tokens += [*(f"[unused{number}]" for number in range(50)), "\u2028"]  # as in the published Chinese one
    file = tmp_path / "vocab.txt"
    file.write_bytes(("\ufeff" + "\r\n".join(tokens) + "\r\n").encode())
    words = ["pretrain", "text", str(titles), str(tmp_path / "m"), *SMALL, "--vocabulary", str(file)]
    for mistyped in (["--vocabulary", "nowhere/vocab.txt"], ["--validation", "nowhere.txt"]):
        assert main([*words, *mistyped]) == 2
        assert "nowhere" in capsys.readouterr().err
    assert main([*words, "--training.max-steps", "1"]) == 0  # in the same folder
    assert "it has no capitals, texts are read in small letters" in capsys.readouterr().out
    assert bert_tokenizer(str(tmp_path / "m")).get_vocab() == {token: place for place, token in enumerate(tokens)}
    rows = list(csv.DictReader((tmp_path / "m" / "unknown_words.csv").read_text(encoding="utf-8").splitlines()))
    assert {row["word"]: row["now"] for row in rows} == dict.fromkeys(BRANDS, "0")
    assert main(["report", str(tmp_path / "m")]) == 0
    page = (tmp_path / "m" / "report.html").read_text(encoding="utf-8")
    assert re.search(r"<td>Nike</td><td>\d+</td><td>0</td><td>Nike ", page)
    (tmp_path / "m" / "unknown_words.csv").write_text("word,before,now\nNike,many,0\n", encoding="utf-8")
    assert main(["report", str(tmp_path / "m")]) == 2
    assert "Remove it to see the page without it" in capsys.readouterr().err
    words[3] = str(tmp_path / "other")
    for content, message in ((tokens[1:], "lacks [PAD]"), ([*tokens, "a"], "has 'a' twice"), (tokens[:60], "has only")):
        file.write_text("\n".join(content) + "\n", encoding="utf-8")
        assert main(words) == 2
        assert message in capsys.readouterr().err
