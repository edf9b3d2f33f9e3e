"""The way of a benchmark's files through the command line: import or extract, rank, write, score."""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import COLOURS, SHAPES, draw, file_bytes, tiny_config
from tests.documented import commands

from interbert.checkpoints.bert import bert_tokenizer
from interbert.cli.main import main
from interbert.cli.parser import parse_options
from interbert.cli.verbs import find_verb, verb_module
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor
from interbert.regions.store import RegionStore
from interbert.tasks import kdd_ranking

HEADER = "product_id\timage_h\timage_w\tnum_boxes\tboxes\tfeatures\tclass_labels\tquery\tquery_id\n"
QUERIES = {"3": 'leopard-print "women\'s" shoes', "11": "five-pointed star's 20\" poster"}
FEATURES = 8
KDD = ("evaluate", "kdd")


@pytest.fixture(scope="module")
def model_of(tiny_bert: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Makes a random retrieval model of a store's regions."""

    def make(regions: Path) -> Path:
        info = RegionStore.open(regions).info
        tokenizer = bert_tokenizer(tiny_bert)
        torch.manual_seed(0)
        sizes = {"vocab_size": len(tokenizer), "region_feature_size": info.feature_size, "contrastive_size": 8}
        config = tiny_config(**sizes, num_region_classes=info.num_classes, dual_score_weight=2.0)
        folder = tmp_path_factory.mktemp("model")
        InterBertForImageTextRetrieval(config).save_pretrained(folder)
        InterBertProcessor(InterBertRegionFeatureExtractor(info.to_dict()), tokenizer).save_pretrained(folder)
        return folder

    return make


def kdd_line(product: int, query: str, boxes: int = 2) -> str:
    """A line as the organisers describe it: boxes as top, left, bottom, right; labels of 64 bits; no quoting."""
    rng = np.random.default_rng(product)
    corners = np.tile(np.array([10, 20, 90, 180], dtype="<f4"), (boxes, 1))
    arrays = (corners, rng.random((boxes, FEATURES)).astype("<f4"), np.arange(boxes, dtype="<i8"))
    cells = [str(product), "100", "200", str(boxes), *(base64.b64encode(one.tobytes()).decode() for one in arrays)]
    return "\t".join([*cells, QUERIES[query], query]) + "\n"


def kdd_files(folder: Path) -> tuple[Path, Path]:
    """Two queries of 6 and 7 candidates, of which they share one; and the answers."""
    pools = {"3": [*range(103, 109)], "11": [*range(114, 107, -1)]}
    lines = [kdd_line(product, query) for query, products in pools.items() for product in products]
    (folder / "valid.tsv").write_text(HEADER + "".join(lines), encoding="utf-8")
    (folder / "valid_answer.json").write_text('{"3": [105, 999], "11": [114, 110]}')
    return folder / "valid.tsv", folder / "valid_answer.json"


@pytest.mark.usefixtures("float32")
def test_kdd_cup_from_its_files_to_a_score(
    tmp_path: Path,
    model_of: Callable[[Path], Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    candidates, answers = kdd_files(tmp_path)
    regions, out, metrics = tmp_path / "regions", tmp_path / "submission.csv", tmp_path / "metrics.json"
    assert main(["import", "kdd-tsv", str(candidates), str(regions), "--feature-size", str(FEATURES)]) == 0
    assert RegionStore.open(regions).info.num_classes == 33
    stored = {one.image_id: one.texts for one in RegionStore.open(regions).captions()}
    assert stored["108"] == tuple(QUERIES.values())  # quotes are part of a query
    words = [str(model_of(regions)), str(regions), str(candidates), "--bootstrap", "50"]
    words += ["--answers", str(answers), "--predictions", str(out), "--out", str(metrics)]
    assert main([*KDD, *words]) == 0
    rows = [line.split(",") for line in out.read_text().splitlines()]
    assert rows[0] == ["query-id", "product1", "product2", "product3", "product4", "product5"]
    assert [row[0] for row in rows[1:]] == ["3", "11"]
    assert set(rows[1][1:]) < set(map(str, range(103, 109)))
    found = json.loads(metrics.read_text())
    assert (found["n"], found["candidates"], found["without_regions"]) == (2, 13, [])
    assert 0 < found["chance"]["ndcg@5"] < 1
    capsys.readouterr()
    assert main(["score", "kdd", str(out), str(answers), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ndcg@5"] == pytest.approx(found["ndcg@5"])
    assert main([*KDD, *words]) == 0  # its own files are replaced, with the same bytes
    assert [line.split(",") for line in out.read_text().splitlines()] == rows
    monkeypatch.setattr(kdd_ranking, "score_listed_pairs", lambda *given, **_: np.zeros(len(given[3])))
    assert main([*KDD, *words]) == 0  # the file's order gives nothing away
    assert out.read_text().splitlines()[2] == "11,108,109,110,111,112"


@pytest.mark.usefixtures("float32")
def test_what_lacks_regions_ranks_last_and_is_named(
    tmp_path: Path, model_of: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    candidates, answers = kdd_files(tmp_path)
    whole = candidates.read_text(encoding="utf-8")
    part = tmp_path / "part.tsv"
    part.write_text("".join(line for line in whole.splitlines(True) if not line.startswith(("103", "104"))))
    regions, out, metrics = tmp_path / "regions", tmp_path / "submission.csv", tmp_path / "metrics.json"
    assert main(["import", "kdd-tsv", str(part), str(regions), "--feature-size", str(FEATURES)]) == 0
    words = [str(model_of(regions)), str(regions), str(candidates)]
    capsys.readouterr()
    assert main([*KDD, *words, "--predictions", str(out), "--out", str(metrics)]) == 0
    assert "2 of 13 candidates have no regions" in capsys.readouterr().out
    found = json.loads(metrics.read_text())
    assert found["without_regions"] == [{"query": "3", "product": one} for one in ("103", "104")]
    assert "ndcg@5" not in found
    assert out.read_text().splitlines()[1].endswith(",103")  # the fifth of six, behind all that were seen

    def mistake(*more: str) -> str:
        assert main([*KDD, *words[:2], *more]) == 2
        return capsys.readouterr().err

    candidates.write_text(whole.replace(QUERIES["3"], "other words", 1), encoding="utf-8")
    assert "valid.tsv, row 3: query 3 has another text than before" in mistake(*words[2:], "--predictions", str(out))
    candidates.write_text("".join(whole.splitlines(True)[:8]), encoding="utf-8")
    assert "query 11 has 1 candidates, and a submission names 5" in mistake(*words[2:], "--predictions", str(out))
    candidates.write_text("".join(whole.splitlines(True)[:7]), encoding="utf-8")
    assert "no candidates of 1 queries of" in mistake(*words[2:], "--answers", str(answers))
    assert "give --answers FILE to score, --predictions FILE to write" in mistake(*words[2:])
    assert "is not a submission of KDD Cup" in mistake(*words[2:], "--predictions", str(answers))


def muge_files(folder: Path) -> tuple[Path, Path]:
    """24 images with integer ids, and three texts, of which one has two images and one an image that is not there."""
    images = (file_bytes(draw(colour, shape)) for shape in SHAPES for colour in COLOURS)
    lines = (f"{1000 + number}\t{base64.b64encode(image).decode()}\n" for number, image in enumerate(images))
    (folder / "valid_imgs.tsv").write_text("".join(lines))
    texts = ((8428, "红色圆形", [1000, 1008]), (8429, "蓝色方形", [1010]), (8430, "黑色", [5]))
    rows = ({"text_id": text_id, "text": text, "image_ids": ids} for text_id, text, ids in texts)
    path = folder / "valid_texts.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return folder / "valid_imgs.tsv", path


@pytest.mark.usefixtures("float32")
def test_muge_from_its_files_to_a_score(
    tmp_path: Path, model_of: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    images, texts = muge_files(tmp_path)
    regions, out, metrics = tmp_path / "regions", tmp_path / "predictions.jsonl", tmp_path / "metrics.json"
    small = ["--input-size", "64", "--scales", "1", "--features", "colour"]
    words = ["extract", str(images), str(regions), "--captions", str(texts), "--allow-no-text", *small]
    assert main(words) == 0
    words = ["evaluate", "muge", str(model_of(regions)), str(regions), str(texts), "--bootstrap", "50"]
    capsys.readouterr()
    assert main([*words, "--predictions", str(out), "--out", str(metrics)]) == 0
    shown = capsys.readouterr().out
    assert "3 texts ranked 24 images each" in shown
    assert "1 right images are not in" in shown
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["text_id"] for row in rows] == [8428, 8429, 8430]
    assert all(len(set(row["image_ids"])) == 10 for row in rows)
    found = json.loads(metrics.read_text())
    assert (found["gallery"], found["n"], found["absent"]) == (24, 3, 1)
    assert found["chance"]["r@10"] == pytest.approx((1 - 14 * 13 / (24 * 23) + 10 / 24) / 3)
    assert main(["score", "muge", str(out), str(texts), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mean_recall"] == pytest.approx(found["mean_recall"])
    assert main([*words, "--rerank", "24", "--predictions", str(out)]) == 0
    whole = [json.loads(line) for line in out.read_text().splitlines()]
    assert whole == rows  # the default reranks more than there are
    assert main([*words, "--rerank", "0", "--predictions", str(out)]) == 0
    assert out.read_text().splitlines() != [json.dumps(row) for row in rows]
    assert main([*words, "--predictions", str(texts)]) == 2
    assert "is not predictions of images for texts" in capsys.readouterr().err
    assert "红色圆形" in texts.read_text(encoding="utf-8")


def test_ids_that_are_no_integers_are_refused(
    shop_store: Path, tmp_path: Path, model_of: Callable[[Path], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, texts = muge_files(tmp_path)
    assert main(["evaluate", "muge", str(model_of(shop_store)), str(shop_store), str(texts)]) == 2
    assert "row 0: image id 'red-circle' is no whole number" in capsys.readouterr().err


def test_the_commands_of_the_document_are_understood() -> None:
    text = (Path(__file__).parents[2] / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    found = set()
    for command in commands(text):
        verb, words = find_verb(shlex.split(command)[1:])
        assert parse_options(verb, "", verb_module(verb).Options, words)
        found.add(verb)
    assert found >= {"score", "evaluate kdd", "evaluate muge", "import", "extract", "finetune retrieval"}
