"""Logs to charts, and charts to SVG."""

from __future__ import annotations

import re

import pytest

from interbert.report.charts import Chart, Curve, LoggedRun, objective_charts, progress_charts, validation_charts
from interbert.report.svg import HEIGHT, WIDTH, drawings, smooth, thinned, ticks, value_at
from interbert.utils.templating import colour_classes, render

LOG = [
    {"step": 0.0, "epoch": 0.0, "eval_r@1": 10.0, "eval_dual_r@1": 9.0, "seconds": 30.0},
    {"step": 20.0, "epoch": 0.5, "loss": 1.0, "matching_loss": 0.7, "matching_loss_chance": 0.56, "seconds": 60.0},
    {"step": 40.0, "epoch": 1.0, "loss": 0.9, "matching_loss": 0.5, "matching_loss_chance": 0.56, "grad_norm": 2.0},
    {"step": 40.0, "epoch": 1.0, "eval_r@1": 12.0, "eval_dual_r@1": 14.0},
]
CLASSIFIER = [{"step": 5.0, "loss": 0.6, "loss_chance": 0.69}, {"step": 5.0, "eval_accuracy": 70.0}]


def chart_figure(chart: Chart) -> str:
    return "".join(render("chart.html", drawing=drawing) for drawing in drawings([chart]))


def points_in(svg: str) -> list[tuple[float, float]]:
    lines = [part.split('"')[0].split() for part in svg.split('points="')[1:]]
    return [tuple(map(float, point.split(","))) for line in lines for point in line]


def test_each_objective_has_its_chance_value_and_the_whole_loss_only_where_it_has_no_parts() -> None:
    runs = [LoggedRun(LOG, "a"), LoggedRun(CLASSIFIER, "b")]
    charts = {chart.title: chart for chart in objective_charts(runs)}
    assert list(charts) == ["Text/image matching", "Loss"]
    matching, loss = charts["Text/image matching"].curves[0], charts["Loss"].curves[0]
    assert matching.points == ((20.0, 0.7), (40.0, 0.5))
    assert (matching.chance, matching.name, matching.slot) == (0.56, "a", 0)
    assert (loss.chance, loss.name, loss.slot) == (0.69, "b", 1)  # its colour is that of its run, not of its place


def test_validation_begins_with_what_the_model_is_chosen_by_and_marks_what_was_kept() -> None:
    charts = validation_charts([LoggedRun(LOG, "a", kept_step=0.0)])
    assert [chart.title for chart in charts] == ["Right image first (R@1)", "R@1 of the dual encoder"]
    assert [chart.curves[0].kept for chart in charts] == [(0.0, 10.0), (0.0, 9.0)]
    assert validation_charts([LoggedRun(CLASSIFIER)])[0].title == "Accuracy"
    assert [chart.title for chart in progress_charts([LoggedRun(LOG)])] == ["Gradient norm before clipping"]


def test_curves_run_over_steps_epochs_or_minutes() -> None:
    def places(axis: str) -> list[float]:
        return [x for x, _ in objective_charts([LoggedRun(LOG)], axis)[0].curves[0].points]

    assert places("epoch") == [0.5, 1.0]
    assert places("minutes") == [1.0]  # the other line has no time


def test_a_chart_draws_chance_and_stays_inside_its_box() -> None:
    falling = tuple((float(x), 1.0 / x) for x in range(1, 50))
    svg = chart_figure(Chart("t", (Curve(falling, chance=1.5),), smooth=True))
    assert '<line class="chance"' in svg
    for x, y in points_in(svg):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    assert chart_figure(Chart("empty", (Curve(()),))) == ""


def test_a_chance_value_far_away_is_named_and_does_not_flatten_the_curve() -> None:
    svg = chart_figure(Chart("t", (Curve(((1.0, 0.2), (2.0, 0.3)), chance=5.0),)))
    assert "chance 5 ↑" in svg
    assert '<line class="chance"' not in svg
    heights = [y for _, y in points_in(svg)]
    assert max(heights) - min(heights) > HEIGHT / 2


def test_one_point_and_constant_curves_are_drawn() -> None:
    assert "<circle" in chart_figure(Chart("one", (Curve(((0.0, 0.0),)),)))
    assert "nan" not in chart_figure(Chart("flat", (Curve(((1.0, 2.0), (2.0, 2.0))),)))


def test_a_long_log_makes_a_chart_of_bounded_size_that_ends_where_the_log_ends() -> None:
    long = tuple((float(x), float(x % 7)) for x in range(20_000))
    svg = chart_figure(Chart("long", (Curve(long),)))
    assert len(points_in(svg)) <= 400
    assert len(svg) < 40_000
    assert "<tr><td>19,999</td><td>0</td></tr>" in svg
    assert thinned(long, 3) == (long[0], long[10_000], long[-1])


def test_values_of_several_runs_are_shown_together_and_named() -> None:
    curves = (Curve(((0.0, 1.0), (10.0, 2.0)), name="a<b", slot=0), Curve(((5.0, 7.0),), name="c", slot=9))
    svg = chart_figure(Chart("t", curves))
    assert "a&lt;b" in svg
    assert "a<b" not in svg
    assert colour_classes(9) == "s1 dotted"
    assert 'class="line s1 dotted"' in svg
    assert [value_at(curves[0], x) for x in (-1.0, 5.0, 10.0, 11.0)] == [None, 1.0, 2.0, None]
    assert "<tr><td>5</td><td>1</td><td>7</td></tr>" in svg
    hovered = re.findall(r'<g class="at">(.*?)</g>', svg)
    assert len(hovered) == 3
    assert "c 7" in hovered[1]


def test_percentages_that_hardly_move_are_no_cliffs() -> None:
    svg = chart_figure(Chart("t", (Curve(((0.0, 45.0), (10.0, 45.4)), kept=(10.0, 45.4)),), percent=True))
    heights = [y for _, y in points_in(svg)]
    assert max(heights) - min(heights) < HEIGHT / 20
    assert "kept 45.4%" in svg


def test_smoothing_keeps_a_constant_and_few_points_and_ticks_are_round() -> None:
    assert [value for _, value in smooth([(1, 2.0), (2, 2.0), (3, 2.0)])] == pytest.approx([2.0, 2.0, 2.0])
    assert smooth([(1, 9.0), (2, 1.0)])[-1] == (2, 1.0)
    assert smooth([(float(x), float(x % 2)) for x in range(300)])[-1][1] == pytest.approx(0.5, abs=0.05)
    assert ticks(0, 1000) == [0, 250, 500, 750, 1000]
    assert ticks(0.48, 0.71) == [0.5, 0.6, 0.7]
    assert ticks(0, 1.5e-5) == [0, 5e-6, 1e-5, 1.5e-5]
