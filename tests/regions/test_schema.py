from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from interbert.errors import RegionError
from interbert.regions.schema import ExtractorInfo, Regions


def regions(count: int = 3) -> Regions:
    return Regions(
        boxes=np.tile(np.array([0, 0, 10, 20], dtype=np.float32), (count, 1)),
        features=np.ones((count, 5), dtype=np.float16),
        class_probs=np.full((count, 4), 0.25, dtype=np.float16),
        width=10,
        height=20,
    )


def info(**settings: object) -> ExtractorInfo:
    return ExtractorInfo("grid", {"input_size": 64, "scales": [1, 2]} | settings, feature_size=5, num_classes=4)


def test_good_regions_are_returned_as_they_are() -> None:
    good = regions()
    assert good.validate("row 0") is good
    assert replace(good, class_probs=None).validate("row 0").class_probs is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"boxes": np.zeros((3, 5), np.float32)},
        {"boxes": np.zeros((0, 4), np.float32), "features": np.zeros((0, 5)), "class_probs": None},
        {"features": np.ones((2, 5))},
        {"features": np.ones(3)},
        {"class_probs": np.ones((2, 4))},
        {"width": 0},
        {"height": -1},
    ],
    ids=["box of five", "no region", "too few features", "flat features", "too few classes", "no width", "no height"],
)
def test_shapes_that_disagree_are_an_error_that_names_the_row(wrong: dict) -> None:
    with pytest.raises(RegionError, match="store, row 7"):
        replace(regions(), **wrong).validate("store, row 7")


@pytest.mark.parametrize("name", ["boxes", "features", "class_probs"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_an_error_that_names_the_array(name: str, value: float) -> None:
    wrong = regions()
    getattr(wrong, name)[1, 2] = value
    with pytest.raises(RegionError, match=f"store, row 7: {name} hold NaN or infinite"):
        wrong.validate("store, row 7")


def test_an_info_survives_json_and_plain_fields() -> None:
    before = ExtractorInfo("网格", {"backbone": "x", "scales": [1, 2]}, 5, None)
    assert ExtractorInfo.from_json(before.to_json()) == before
    assert ExtractorInfo.from_dict(json.loads(json.dumps(before.to_dict()))) == before
    assert ExtractorInfo.from_json(before.to_json()).fingerprint == before.fingerprint


def test_the_fingerprint_depends_on_every_field_and_not_on_their_order() -> None:
    base = info()
    turned = ExtractorInfo("grid", dict(reversed(base.settings.items())), 5, 4)
    assert turned.fingerprint == base.fingerprint
    others = [
        info(input_size=96),
        info(extra=1),
        replace(base, name="detector"),
        replace(base, feature_size=6),
        replace(base, num_classes=None),
    ]
    assert len({one.fingerprint for one in [base, *others]}) == 6


def test_differences_name_only_what_differs_with_both_values() -> None:
    text = info().differences(replace(info(input_size=96), feature_size=7))
    assert text == "feature_size 5, asked for 7; input_size 64, asked for 96"
    assert info().differences(info()) == ""


def test_a_probability_below_zero_is_an_error() -> None:
    wrong = regions()
    wrong.class_probs[1, 1] = -0.1
    with pytest.raises(RegionError, match="row 7: a class has a probability below 0"):
        wrong.validate("row 7")


def test_the_first_version_keeps_the_fingerprint_that_stores_and_models_have() -> None:
    """What was written before there were versions is equal to version 1."""
    before = {"name": "grid", "settings": {"input_size": 64, "scales": [1, 2]}, "feature_size": 5, "num_classes": 4}
    assert info().to_dict() == before
    assert info().fingerprint == "033738854a0eb453"
    second = replace(info(), version=2)
    assert second.fingerprint != info().fingerprint
    assert ExtractorInfo.from_json(second.to_json()) == second
    assert info().differences(second) == "version 1, asked for 2"
