import xml.etree.ElementTree as ET

import pytest

from interbert.report.tradeoff import Panel, Point, tradeoff_svg

SVG = "{http://www.w3.org/2000/svg}"
POINTS = (
    Point("recall", 4.0, (39.0, 76.0)),
    Point("K=50", 70.0, (40.0, 77.0)),
    Point("joint <all>", 1300.0, (40.0, 76.5)),
)


def circles(svg):
    found = ET.fromstring(svg).iter(f"{SVG}circle")
    return [(float(one.get("cx")), float(one.get("cy")), one.find(f"{SVG}title").text) for one in found]


def test_every_stage_is_a_point_of_every_metric_in_every_panel():
    svg = tradeoff_svg("recall & time", ["R@1", "R@5"], [Panel("alone", POINTS), Panel("batched", POINTS[:2])])
    found = circles(svg)
    assert len(found) == 2 * 3 + 2 * 2
    assert found[0][2] == "recall: R@1 39.0%, 4 ms"
    assert "joint <all>: R@5 76.5%, 1.3 s" in [said for _, _, said in found]
    assert "recall & time" in [one.text for one in ET.fromstring(svg).iter(f"{SVG}text")]


def test_time_runs_to_the_right_by_factors_and_recall_upwards():
    found = circles(tradeoff_svg("t", ["R@1", "R@5"], [Panel("alone", POINTS)]))
    (left, low, _), (middle, higher, _), (right, _, _) = found[:3]
    assert left < middle < right
    # 4 to 70 ms and 70 to 1,300 ms are nearly the same factor
    assert middle - left == pytest.approx(right - middle, rel=0.05)
    assert higher < low
    assert all(y < low for _, y, _ in found[3:])


def test_one_stage_alone_can_be_drawn():
    assert len(circles(tradeoff_svg("t", ["R@1"], [Panel("alone", (Point("recall", 10.0, (0.0,)),))]))) == 1
