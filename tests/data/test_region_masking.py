from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interbert.data.masking import RegionMasking, hide_regions, region_iou
from interbert.errors import ConfigError
from interbert.losses.pretraining import region_loss
from interbert.model.region_inputs import InterBertRegionFeatureExtractor

laws = settings(deadline=None, max_examples=100)


@st.composite
def images(draw):
    width, height = draw(st.integers(2, 60)), draw(st.integers(2, 60))
    xs, ys = st.floats(0, width, width=32), st.floats(0, height, width=32)
    corners = draw(st.lists(st.tuples(xs, ys, xs, ys), min_size=1, max_size=10))
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]
    return np.array(boxes, dtype=np.float32), width, height


def iou_by_hand(a, b, width, height):
    ax1, ay1, ax2, ay2 = (float(v) for v in a)
    bx1, by1, bx2, by2 = (float(v) for v in b)

    def area(x1, y1, x2, y2):
        return max(0.0, x2 / width - x1 / width + 1 / width) * max(0.0, y2 / height - y1 / height + 1 / height)

    both = area(max(ax1, bx1), max(ay1, by1), min(ax2, bx2), min(ay2, by2))
    return both / (area(ax1, ay1, ax2, ay2) + area(bx1, by1, bx2, by2) - both)


def with_anchors(anchors):
    """A generator whose only draw makes exactly these anchors."""
    return SimpleNamespace(random=lambda count: np.where(np.asarray(anchors)[:count], 0.0, 1.0))


def apart(count):
    return np.array([(20 * i, 0, 20 * i + 10, 10) for i in range(count)], dtype=np.float32), 20 * count, 20


@laws
@given(images())
def test_iou_follows_the_plus_one_pixel_convention(image):
    boxes, width, height = image
    ours = region_iou(boxes, width, height)
    for i, a in enumerate(boxes):
        for j, b in enumerate(boxes):
            assert ours[i, j] == pytest.approx(iou_by_hand(a, b, width, height), abs=1e-9)


def test_iou_of_two_boxes_worked_by_hand():
    # 10 x 10 pixels and 10 x 10 pixels counting both ends, 5 x 10 of them shared
    boxes = np.array([(0, 0, 9, 9), (5, 0, 14, 9)])
    assert region_iou(boxes, 40, 20)[0, 1] == pytest.approx(50 / 150)


@laws
@given(images(), st.data())
def test_what_overlaps_an_anchor_is_hidden_and_nothing_else(image, data):
    boxes, width, height = image
    anchors = np.array(data.draw(st.lists(st.booleans(), min_size=len(boxes), max_size=len(boxes))))
    masked = RegionMasking()(boxes, width, height, with_anchors(anchors))
    assert (masked.predicted == masked.zeroed).all()
    for index, box in enumerate(boxes):
        overlaps = [iou_by_hand(box, boxes[anchor], width, height) for anchor in np.flatnonzero(anchors)]
        highest = max(overlaps, default=0.0)
        if anchors[index] or highest > 0.4 + 1e-9:
            assert masked.zeroed[index]
        elif highest < 0.4 - 1e-9:
            assert not masked.zeroed[index]


def test_hiding_does_not_pass_from_region_to_region():
    boxes = np.array([(0, 0, 20, 20), (6, 0, 26, 20), (12, 0, 32, 20)], dtype=np.float32)
    first, second, skip = (iou_by_hand(boxes[i], boxes[j], 40, 40) for i, j in ((0, 1), (1, 2), (0, 2)))
    assert min(first, second) > 0.4 > skip
    masked = RegionMasking()(boxes, 40, 40, with_anchors([True, False, False]))
    assert masked.zeroed.tolist() == [True, True, False]


def test_one_in_ten_regions_is_an_anchor():
    boxes, width, height = apart(50)
    generator = np.random.default_rng(0)
    rate = np.mean([RegionMasking()(boxes, width, height, generator).zeroed.mean() for _ in range(400)])
    assert rate == pytest.approx(0.1, abs=0.01)


def test_plain_mode_predicts_fifteen_in_a_hundred_and_hides_nine_in_ten_of_them():
    generator = np.random.default_rng(0)
    boxes = np.tile(np.array([(0, 0, 5, 5)], dtype=np.float32), (50, 1))
    draws = [RegionMasking("plain")(boxes, 10, 10, generator) for _ in range(600)]
    predicted = np.concatenate([one.predicted for one in draws])
    zeroed = np.concatenate([one.zeroed for one in draws])
    assert not (zeroed & ~predicted).any()
    assert predicted.mean() == pytest.approx(0.15, abs=0.01)
    assert zeroed.sum() / predicted.sum() == pytest.approx(0.9, abs=0.015)


@laws
@given(images(), st.integers(0, 2**32 - 1), st.sampled_from(["iou", "plain"]))
def test_a_hidden_region_changes_nothing_the_model_sees(image, seed, mode):
    boxes, width, height = image
    generator = np.random.default_rng(seed)
    masking = RegionMasking(mode, anchor_probability=0.4, plain_probability=0.5)
    masked = masking(boxes, width, height, generator)
    features = generator.standard_normal((len(boxes), 6)).astype(np.float32)
    others = np.where(masked.zeroed[:, None], features + 100, features).astype(np.float32)
    seen, seen_of_others = (
        hide_regions(
            InterBertRegionFeatureExtractor().image(
                SimpleNamespace(boxes=boxes, features=one, width=width, height=height)
            ),
            masked.zeroed,
        )[0]
        for one in (features, others)
    )
    assert np.array_equal(seen, seen_of_others)
    assert (seen[1:][masked.zeroed] == 0).all()
    visible = features[~masked.zeroed].sum(axis=0)
    np.testing.assert_allclose(seen[0], visible / len(boxes), atol=1e-5)


def test_kl_divergence_is_torchs_and_is_averaged_over_regions():
    torch.manual_seed(0)
    logits, target = torch.randn(4, 7), torch.randn(4, 7).softmax(-1)
    by_hand = (target * (target.log() - logits.softmax(-1).log())).sum(-1).mean()
    torch.testing.assert_close(region_loss(logits, target, "classify"), by_hand)
    torch_form = torch.nn.functional.kl_div(logits.log_softmax(-1), target, reduction="batchmean")
    torch.testing.assert_close(region_loss(logits, target, "classify"), torch_form)


def test_kl_divergence_of_one_hot_and_of_equal_distributions():
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0]])
    one_hot = torch.tensor([[0.0, 1.0, 0.0, 0.0]])
    assert region_loss(logits, one_hot, "classify").item() == pytest.approx(np.log(4))
    assert region_loss(logits, torch.full((1, 4), 0.25), "classify").item() == pytest.approx(0.0, abs=1e-7)


def test_regression_sums_over_features_and_averages_over_regions():
    predicted = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    target = torch.tensor([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]])
    assert region_loss(predicted, target, "regress").item() == pytest.approx((14 + 4) / 2)


@pytest.mark.parametrize("objective", ["classify", "regress"])
def test_no_hidden_region_is_a_loss_of_zero(objective):
    predicted = torch.randn(0, 5, requires_grad=True)
    loss = region_loss(predicted, torch.zeros(0, 5), objective)
    loss.backward()
    assert loss.item() == 0.0


@pytest.mark.parametrize(
    ("name", "value"),
    [("mode", "chain"), ("anchor_probability", -0.1), ("iou_threshold", 1.1), ("plain_zeroed", float("nan"))],
)
def test_impossible_settings(name, value):
    with pytest.raises(ConfigError, match=name):
        RegionMasking(**{name: value})
