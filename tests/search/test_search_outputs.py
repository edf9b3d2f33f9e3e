"""What a search shows and writes: scores, columns, files of queries and of results, products of a source."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from interbert.cli.main import main
from interbert.cli.search_output import estimates_note, order_note, print_results
from interbert.cli.search_queries import TextQuery, queries_of, read_queries
from interbert.errors import SourceError, UsageError
from interbert.search.hits import Hit, joined_by_product
from interbert.search.page import render_results
from interbert.search.results import Results, format_results

CUP = Hit(1, "7#2", 0.25, ("red cup", "杯子"), "7", 0.5, {"price": 4.5, "tags": ["new", "a,b"]}, ("9",))
POT = Hit(2, "8", 0.75, ("=pot",), "8", 0.25, {"price": float("nan"), "tags": None})


def test_a_score_is_shown_where_the_order_is_not_that_of_matches() -> None:
    assert Results("a cup", [CUP, POT]).scored
    assert not Results("a cup", [POT, CUP]).scored
    assert Results("a cup", [Hit(1, "a", None, score=0.4)]).scored
    assert order_note(True, False, True, True).startswith("ordered by the score: 1 / (60 + rank by the match), and")
    assert order_note(False, True, True, False) == "ordered by the score: likeness of vectors"


def test_results_as_json_and_csv() -> None:
    one = Results("a cup + x.jpg", [CUP, POT], "a cup", "q1", ("price", "tags"), ("a note",))
    (query,) = json.loads(format_results([one], "r.json"))
    assert query["query_id"] == "q1" and query["query"] == "a cup" and query["notes"] == ["a note"]  # noqa: PT018
    first, second = query["results"]
    assert first == {
        "rank": 1,
        "product_id": "7",
        "image_id": "7#2",
        "match": 0.25,
        "score": 0.5,
        "texts": ["red cup", "杯子"],
        "similar": ["9"],
        "estimated": False,
        "columns": {"price": 4.5, "tags": ["new", "a,b"]},
    }
    assert second["columns"] == {"price": None, "tags": None}
    assert [json.loads(line)["query_id"] for line in format_results([one, one], "r.jsonl").splitlines()] == ["q1", "q1"]
    rows = list(csv.DictReader(format_results([one], "r.csv").splitlines()))
    assert [row["product_id"] for row in rows] == ["7", "8"]
    assert (rows[0]["texts"], rows[0]["price"], rows[0]["tags"]) == ("red cup / 杯子", "4.5", "new, a,b")
    assert rows[1]["price"] == ""
    assert rows[0]["estimated"] == "false"


def test_estimated_matches_are_counted_and_marked(capsys: pytest.CaptureFixture[str]) -> None:
    guessed = replace(POT, estimated=True)
    assert estimates_note([CUP, POT]) == ()
    assert estimates_note([CUP, guessed])[0].startswith("the match of 1 result is an estimate (~): ")
    assert "the matches of 2 results are estimates (~): " in estimates_note([guessed, CUP, guessed])[0]
    assert "--read-all" in estimates_note([guessed])[0]
    one = Results("a cup", [CUP, guessed], "a cup", "q1")
    assert [hit["estimated"] for hit in json.loads(format_results([one], "r.jsonl"))["results"]] == [False, True]
    assert [row["estimated"] for row in csv.DictReader(format_results([one], "r.csv").splitlines())] == [
        "false",
        "true",
    ]
    print_results(one, "product", "")
    printed = capsys.readouterr().out.split()
    assert "25%" in printed and "~75%" in printed  # noqa: PT018
    page = render_results([one], {}, "")
    assert page.count("an estimate: not read by the joint model") == page.count(">~75%<") == page.count(">25%<") == 1


def test_queries_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("red cup\n\n 茶壶 \n", encoding="utf-8")
    assert read_queries(str(tmp_path / "q.txt")) == [TextQuery("1", "red cup"), TextQuery("3", "茶壶")]
    (tmp_path / "q.csv").write_text('id,query\nq7,"red, blue"\n,pot\n')
    assert read_queries(str(tmp_path / "q.csv")) == [TextQuery("q7", "red, blue"), TextQuery("3", "pot")]
    (tmp_path / "bad.csv").write_text("id,words\n1,pot\n")
    with pytest.raises(SourceError, match=r"bad.csv, line 2: has no text in a column text"):
        read_queries(str(tmp_path / "bad.csv"))
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(SourceError, match="holds 0 queries"):
        read_queries(str(tmp_path / "none.txt"))
    assert queries_of("a|b", None, None) == [TextQuery("1", "a"), TextQuery("2", "b")]
    with pytest.raises(UsageError, match="both given"):
        queries_of("a", "q.txt", None)


def test_images_of_one_product_are_one_result() -> None:
    assert joined_by_product([[0], [1, 2], [3]], ["a", "b", "c", "a"]) == [[0, 3], [1, 2]]
    same = Hit.of(1, [Hit(0, "a", product_id="p"), Hit(0, "b", product_id="p"), Hit(0, "c", product_id="q")], 1.0, None)
    assert same.similar == ("c",)


def test_an_index_writes_what_it_shows(built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "q.txt").write_text("a red circle\nblue\n")
    page, results = tmp_path / "p.html", tmp_path / "r.csv"
    words = ["search", str(built), "", "--queries", str(tmp_path / "q.txt"), "--results", str(results)]
    words += ["--page", str(page), "--top-k", "3", "--duplicates", "2", "--show-columns", "price,colour"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "colour" in out and "reciprocal rank fusion" in out and f"results: {results}" in out  # noqa: PT018
    rows = list(csv.DictReader(results.read_text().splitlines()))
    assert [row["rank"] for row in rows] == ["1", "2", "3"] * 2
    assert {row["query_id"] for row in rows} == {"1", "2"}
    for query in ("1", "2"):
        scores = [float(row["score"]) for row in rows if row["query_id"] == query]
        assert scores == sorted(scores, reverse=True)
    assert f"<span>price</span> {rows[0]['price']}" in page.read_text()
    assert main([*words[:-1], "colou"]) == 2
    assert "colour" in capsys.readouterr().err
    assert main(["search", str(built), "red", "--results", str(tmp_path / "r.xlsx")]) == 2
    assert main(["search", str(built), "red", "--results", str(tmp_path / "q.txt")]) == 2


def test_a_source_has_products(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, colour in (("a", "red"), ("b", "darkred"), ("c", "blue")):
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"{name}.png")
    (tmp_path / "shop.csv").write_text("sku,title,image,price\nK1,a red circle,a.png;b.png,5\nK2,blue,c.png,7\n")
    results = tmp_path / "r.json"
    words = ["search", str(model), "a red circle", "--source", str(tmp_path / "shop.csv"), "--results", str(results)]
    assert main([*words, "--page", "none"]) == 0
    out = capsys.readouterr().out
    assert "best 2 of 3 images" in out and "K1" in out  # noqa: PT018
    (query,) = json.loads(results.read_text())
    assert {one["product_id"]: one["columns"] for one in query["results"]} == {
        "K1": {"price": "5"},
        "K2": {"price": "7"},
    }
    assert main([*words, "--page", "none", "--product-id-column", "title"]) == 0
