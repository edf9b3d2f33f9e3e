"""The demo page: curves against chance, right pictures framed, everything escaped, nothing from outside."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from interbert.demo.charts import Chart, chart_svg, charts_from_log, read_log, smooth, ticks
from interbert.demo.page import DemoPage, Interval, LanguageResult, QueryResult, render_demo

EVIL = '<img src=x onerror="alert(1)">'
PIXEL = "data:image/png;base64,AAAA"


def make_page(text: str = "dog") -> DemoPage:
    english = LanguageResult(
        name="English",
        recalls={"r@1": Interval(0.25, 0.2, 0.3), "r@5": Interval(0.5, 0.4, 0.6)},
        median_rank=5,
        chance={"r@1": 0.00625, "r@5": 0.03},
        shuffled={"r@1": 0.00625, "r@5": 0.025},
        queries=160,
        candidates=160,
    )
    queries = [
        QueryResult(text, frozenset({"a"}), 1, (("a", 0.98), ("b", 0.2))),
        QueryResult("cat", frozenset({"z"}), 23, (("b", 0.4), ("a", 0.1))),
    ]
    chart = Chart("Matching", ((1, 0.7), (2, 0.5)), ((2, 0.55),), chance=0.693)
    return DemoPage(
        subject="OpenMoji",
        lead="A lead.",
        results=[english],
        queries={"English": queries},
        queries_note="Drawn by hash.",
        pictures={"a": PIXEL, "b": PIXEL + "BB"},
        charts=[("Pretraining", [chart])],
        steps=[("Extract regions", 60.0), ("Pretrain", 300.0)],
        facts=[("machine", "2 cores")],
        commands=["interbert search demo/model 'a & b' --source x"],
        credit="CC",
        names={"a": "alt dog"},
    )


def test_page_shows_numbers_ranks_and_frames_the_right_picture() -> None:
    page = render_demo(make_page())
    assert "learnt in 6 minutes" in page
    assert "40 times chance" in page
    assert "25.0 <small>[20.0, 30.0]</small>" in page
    assert "found first" in page
    assert "right picture at rank 23" in page
    assert page.count('class="pick right"') == 1
    assert page.count("pictures shuffled") >= 1


def test_everything_a_user_can_write_is_escaped() -> None:
    page = replace(
        make_page(EVIL),
        subject=EVIL,
        lead=EVIL,
        credit=EVIL,
        queries_note=EVIL,
        names={"a": EVIL},
        facts=[(EVIL, EVIL)],
    )
    text = render_demo(page)
    assert "<img" not in text
    assert "&lt;img" in text


def test_page_asks_for_nothing_from_outside() -> None:
    page = render_demo(make_page())
    for external in ("http:", "https:", "<link", "@import", "<script"):
        assert external not in page


def test_log_becomes_a_chart_per_objective_with_its_chance(tmp_path: Path) -> None:
    log = tmp_path / "log_history.jsonl"
    entries = [
        {"step": 1, "matching_loss": 0.7, "lm_loss": 9.0, "learning_rate": 0.1},
        {"step": 2, "matching_loss": 0.6, "lm_loss": float("nan")},
        {"step": 2, "eval_matching_loss": 0.65, "eval_r@1": 0.1, "note": "text"},
    ]
    log.write_text("\n".join(map(json.dumps, entries)) + "\n")
    charts = {chart.title: chart for chart in charts_from_log(read_log(log), {"matching_loss": 0.693})}
    assert set(charts) == {
        "Masked words",
        "Text/picture matching",
        "Right picture first (R@1)",
    }
    matching = charts["Text/picture matching"]
    assert matching.chance == 0.693
    assert matching.train == ((1.0, 0.7), (2.0, 0.6))
    assert matching.held_out == ((2.0, 0.65),)
    assert charts["Masked words"].train == ((1.0, 9.0),)
    assert read_log(tmp_path / "absent.jsonl") == []


def test_chart_draws_chance_and_stays_inside_its_box() -> None:
    svg = chart_svg(Chart("t", tuple((float(i), 1.0 / i) for i in range(1, 50)), ((49.0, 0.02),), chance=1.5))
    assert svg.count("chance") >= 2
    points = [part.split('"')[0].split() for part in svg.split('points="')[1:]]
    for x, y in (tuple(map(float, point.split(","))) for line in points for point in line):
        assert 0 <= x <= 340
        assert 0 <= y <= 200
    assert chart_svg(Chart("empty", (), ())) == ""


def test_one_point_and_constant_curves_are_drawn() -> None:
    assert "<polyline" in chart_svg(Chart("one", (), ((0.0, 0.0),)))
    assert "nan" not in chart_svg(Chart("flat", ((1.0, 2.0), (2.0, 2.0)), ()))


def test_smoothing_keeps_a_constant_and_ticks_are_round() -> None:
    assert [value for _, value in smooth([(1, 2.0), (2, 2.0), (3, 2.0)])] == pytest.approx([2.0, 2.0, 2.0])
    assert ticks(0, 1000) == [0, 250, 500, 750, 1000]
    assert ticks(0.48, 0.71) == [0.5, 0.6, 0.7]
