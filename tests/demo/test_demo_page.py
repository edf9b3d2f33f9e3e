"""The demo page: curves against chance, right images framed, everything escaped, nothing from outside."""

from __future__ import annotations

from dataclasses import replace

from interbert.demo.page import DemoPage, Interval, LanguageResult, render_demo
from interbert.report.charts import Chart, Curve
from interbert.report.predictions import QueryResult

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
    chart = Chart("Matching", (Curve(((1, 0.7), (2, 0.5)), chance=0.693),))
    return DemoPage(
        subject="OpenMoji",
        lead="A lead.",
        results=[english],
        queries={"English": queries},
        queries_note="Drawn by hash.",
        images={"a": PIXEL, "b": PIXEL + "BB"},
        charts=[("Pretraining", [chart])],
        steps=[("Extract regions", 60.0), ("Pretrain", 300.0)],
        facts=[("machine", "2 cores")],
        commands=["interbert search demo/model 'a & b' --source x"],
        credit="CC",
        names={"a": "alt dog"},
    )


def test_page_shows_numbers_ranks_and_frames_the_right_image() -> None:
    page = render_demo(make_page())
    assert "learnt in 6 minutes" in page
    assert "40 times chance" in page
    assert "25.0 <small>[20.0, 30.0]</small>" in page
    assert "found first" in page
    assert "right image at rank 23" in page
    assert page.count('class="pick right"') == 1
    assert page.count("images shuffled") >= 1
    assert "chance 0.693" in page


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
