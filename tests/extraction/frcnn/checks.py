"""Every stage of the detector against a computation that shares nothing with it; used by tests and by their mutations.

Each function raises AssertionError when its stage computes something else.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from interbert.extraction.frcnn import extractor, model, proposals, resnet
from interbert.extraction.frcnn.config import CAFFE, DETECTRON2, FrcnnConfig
from interbert.extraction.settings import FrcnnSettings

TINY = replace(
    DETECTRON2,
    blocks=(1, 1, 1),
    stem_channels=8,
    res2_channels=16,
    proposal_channels=12,
    num_objects=9,
    num_attributes=5,
    short_side=96,
    long_side=160,
    anchor_sizes=(16.0, 32.0),
    proposals=40,
    pooled_side=4,
)
TINY_CAFFE = replace(
    TINY, convention="caffe", box_weights=(1.0, 1.0, 1.0, 1.0), min_proposal_side=4.0, anchor_sizes=(16.0, 32.0)
)


def random_frcnn(config: FrcnnConfig, seed: int = 0) -> model.Frcnn:
    """A detector with weights of which every one matters."""
    torch.manual_seed(seed)
    made = model.Frcnn(config)
    with torch.no_grad():
        for name, value in made.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif name.endswith(("norm.bias", "running_mean")):
                value.uniform_(-0.2, 0.2)
            elif name.endswith("norm.weight"):
                value.uniform_(0.8, 1.2)
    return made


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_boxes(count: int, width: float, height: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    corners = random.uniform((0, 0), (width, height), (2, count, 2))
    return np.concatenate((corners.min(0), corners.max(0) + 1), axis=1).astype(np.float32)


def same(found: torch.Tensor, wanted: object, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(found.numpy(), np.asarray(wanted), rtol=tolerance, atol=tolerance)


# pixels


def check_scaled_size() -> None:
    sizes = {(640, 480): (800, 600), (480, 640): (600, 800), (100, 100): (600, 600), (1000, 400): (1000, 400)}
    sizes |= {(2000, 500): (1000, 250), (500, 333): (901, 600), (5, 4000): (16, 1000), (600, 1000): (600, 1000)}
    assert {size: extractor.scaled_size(*size, DETECTRON2) for size in sizes} == sizes


def check_caffe_pixels() -> None:
    """Four neighbours of each new pixel's centre, in numbers that are not rounded; blue first."""
    values = np.random.default_rng(0).integers(0, 256, (23, 17, 3), np.uint8)
    config = replace(CAFFE, short_side=40, long_side=60, pixel_std=(2.0, 3.0, 4.0))
    found = extractor.detector_pixels(Image.fromarray(values), config).numpy()
    assert found.shape == (3, 54, 40)
    blue_first = (values[:, :, [2, 1, 0]] - np.array(config.pixel_mean)) / np.array((2.0, 3.0, 4.0))
    for y, x in ((0, 0), (53, 39), (10, 31), (27, 20), (1, 38)):
        down, right = (y + 0.5) * 23 / 54 - 0.5, (x + 0.5) * 17 / 40 - 0.5
        wanted = np.zeros(3)
        for row, row_share in _neighbours(down, 23):
            for column, column_share in _neighbours(right, 17):
                wanted += row_share * column_share * blue_first[row, column]
        np.testing.assert_allclose(found[:, y, x], wanted, atol=1e-3)


def _neighbours(place: float, count: int) -> list[tuple[int, float]]:
    place = max(place, 0.0)
    low = min(int(place), count - 1)
    return [(low, 1 - (place - low)), (min(low + 1, count - 1), place - low)]


def check_detectron2_pixels() -> None:
    """An image made smaller by a whole number: triangles of that width, whole numbers; blue first."""
    values = np.random.default_rng(0).integers(0, 256, (48, 72, 3), np.uint8)
    config = replace(DETECTRON2, short_side=24, long_side=60)
    found = extractor.detector_pixels(Image.fromarray(values), config).numpy()
    assert found.shape == (3, 24, 36)
    triangle = np.array([0.25, 0.75, 0.75, 0.25]) / 2
    patch = values[2 * 5 - 1 : 2 * 5 + 3, 2 * 7 - 1 : 2 * 7 + 3].astype(float)
    wanted = np.einsum("y,x,yxc->c", triangle, triangle, patch)[[2, 1, 0]] - np.array(DETECTRON2.pixel_mean)
    np.testing.assert_allclose(found[:, 5, 7], wanted, atol=1.1)


# trunk and head


def torchvision_resnet(trunk: nn.Module, blocks: list[int]) -> ResNet:
    """torchvision's ResNet with strides where Caffe's weights have them."""
    theirs = ResNet(Bottleneck, blocks).eval()
    theirs.maxpool = nn.MaxPool2d(3, 2, 0, ceil_mode=True)
    for layer in (theirs.layer2, theirs.layer3, theirs.layer4):
        layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)
    renamed = {}
    for name, value in trunk.state_dict().items():
        for ours, other in (("stem.conv", "conv1"), ("stem.norm", "bn1"), ("shortcut.conv", "downsample.0")):
            name = name.replace(ours, other)
        name = name.replace("shortcut.norm", "downsample.1")
        for number, ours in enumerate(("first", "second", "third"), 1):
            name = name.replace(f"{ours}.conv", f"conv{number}").replace(f"{ours}.norm", f"bn{number}")
        for number in (2, 3, 4, 5):
            name = name.replace(f"res{number}", f"layer{number - 1}")
        renamed[name] = value
    missing, unexpected = theirs.load_state_dict(renamed, strict=False)
    assert not unexpected
    assert all("num_batches" in name or name.startswith(("fc.", "layer4.")) for name in missing) or not renamed
    return theirs


def check_trunk(fused: bool = False) -> None:
    config = replace(DETECTRON2, blocks=(2, 1, 2))
    ours = random_frcnn(replace(config, num_objects=2, num_attributes=0)).trunk
    theirs = torchvision_resnet(ours, [2, 1, 2, 1])
    image = torch.randn(1, 3, 75, 107, generator=generator())
    with torch.no_grad():
        hidden = theirs.maxpool(torch.relu(theirs.bn1(theirs.conv1(image))))
        wanted = theirs.layer3(theirs.layer2(theirs.layer1(hidden)))
        if fused:
            resnet.fuse_norms(ours)
            assert not [name for name, _ in ours.named_parameters() if "norm" in name]
        found = ours(image)
    assert wanted.std() > 0.05
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def check_fused_trunk() -> None:
    check_trunk(fused=True)


def check_res5() -> None:
    """res5 keeps its cells and looks twice as far, then the mean over the cells."""
    made = random_frcnn(replace(DETECTRON2, num_objects=2, num_attributes=0, blocks=(1, 1, 1)))
    theirs = torchvision_resnet(nn.Module(), [1, 1, 1, 3]).layer4
    wanted_names = {name.replace("res5.", ""): value for name, value in made.head.res5.state_dict().items()}
    renamed = {}
    for name, value in wanted_names.items():
        name = name.replace("shortcut.conv", "downsample.0").replace("shortcut.norm", "downsample.1")
        for number, ours in enumerate(("first", "second", "third"), 1):
            name = name.replace(f"{ours}.conv", f"conv{number}").replace(f"{ours}.norm", f"bn{number}")
        renamed[name] = value
    theirs.load_state_dict(renamed, strict=False)
    theirs[0].conv1.stride = theirs[0].downsample[0].stride = (1, 1)
    for block in theirs:
        block.conv2.dilation = block.conv2.padding = (2, 2)
    feature_map = torch.randn(1, 1024, 9, 11, generator=generator())
    given = torch.tensor([[8.0, 16.0, 100.0, 120.0], [0.0, 0.0, 170.0, 140.0]])
    with torch.no_grad():
        found = made.head.describe(feature_map, [given])
        pooled = torch.from_numpy(
            np.stack([pooled_by_hand(feature_map[0].numpy(), box, 14) for box in given.numpy()])
        ).float()
        wanted = theirs(pooled).mean((2, 3))
    assert wanted.std() > 0.01
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def check_roi_pooling() -> None:
    feature_map = torch.randn(2, 3, 7, 9, generator=generator())
    odd = [[0, 0, 0, 0], [143, 111, 143, 111], [-40, -40, 20, 20], [130, 100, 400, 300], [500, 500, 600, 600]]
    odd += [[23.9, 8.1, 24.1, 55.9], [8, 8, 8, 40], [0, 0, 144, 112]]
    given = np.concatenate((random_boxes(12, 144, 112), np.array(odd, np.float32)))
    rois = model.pooling_boxes([torch.from_numpy(given), torch.from_numpy(given[::-1].copy())])
    assert rois.shape == (40, 5)
    found = model.pool_regions(feature_map, rois, 4)
    wanted = [pooled_by_hand(feature_map[0].numpy(), box, 4) for box in given]
    wanted += [pooled_by_hand(feature_map[1].numpy(), box, 4) for box in given[::-1]]
    same(found, np.stack(wanted), 1e-6)


def pooled_by_hand(feature_map: np.ndarray, box: np.ndarray, side: int) -> np.ndarray:
    """Fast R-CNN's RoI pooling: whole cells, at least one; parts that lie outside the map are zero."""
    channels, height, width = feature_map.shape
    # half a cell is rounded away from zero, as C does
    left, top, right, bottom = (int(math.copysign(math.floor(abs(float(v)) / 16 + 0.5), v)) for v in box)
    part_width, part_height = max(right - left + 1, 1) / side, max(bottom - top + 1, 1) / side
    result = np.zeros((channels, side, side), np.float32)
    for row in range(side):
        for column in range(side):
            y0, y1 = math.floor(row * part_height) + top, math.ceil((row + 1) * part_height) + top
            x0, x1 = math.floor(column * part_width) + left, math.ceil((column + 1) * part_width) + left
            y0, y1 = min(max(y0, 0), height), min(max(y1, 0), height)
            x0, x1 = min(max(x0, 0), width), min(max(x1, 0), width)
            if y1 > y0 and x1 > x0:
                result[:, row, column] = feature_map[:, y0:y1, x0:x1].max(axis=(1, 2))
    return result


# anchors and boxes


def check_caffe_anchors() -> None:
    """The nine anchors that py-faster-rcnn's source prints (counted from one there), and the four sizes of this one."""
    printed = [[-83, -39, 100, 56], [-175, -87, 192, 104], [-359, -183, 376, 200], [-55, -55, 72, 72]]
    printed += [[-119, -119, 136, 136], [-247, -247, 264, 264], [-35, -79, 52, 96], [-79, -167, 96, 184]]
    printed += [[-167, -343, 184, 360]]
    nine = replace(CAFFE, anchor_sizes=(128.0, 256.0, 512.0))
    same(proposals.cell_anchors(nine), np.array(printed) - 1, 0)
    assert proposals.cell_anchors(CAFFE).shape == (12, 4)
    same(proposals.cell_anchors(CAFFE)[[0, 4, 8]], [[-38, -16, 53, 31], [-24, -24, 39, 39], [-14, -36, 29, 51]], 0)


def check_detectron2_anchors() -> None:
    """Centred, of the area of their size, with the ratio of height to width; sizes vary slowest."""
    config = replace(DETECTRON2, anchor_offset=0.5)
    found = proposals.cell_anchors(config).numpy().astype(float)
    widths, heights = found[:, 2] - found[:, 0], found[:, 3] - found[:, 1]
    np.testing.assert_allclose(widths * heights, np.repeat(np.square([64.0, 128, 256, 512]), 3), rtol=1e-5)
    np.testing.assert_allclose(heights / widths, np.tile([0.5, 1.0, 2.0], 4), rtol=1e-5)
    np.testing.assert_allclose(found[:, :2] + found[:, 2:], 16.0, atol=1e-3)
    same(proposals.cell_anchors(DETECTRON2)[4], [-64, -64, 64, 64], 1e-6)


def check_anchor_grid() -> None:
    cell = torch.tensor([[0.0, 1, 2, 3], [-8, -4, 8, 4]])
    found = proposals.grid_anchors(cell, 3, 5).reshape(3, 5, 2, 4)
    for row in range(3):
        for column in range(5):
            shift = np.array([column, row, column, row]) * 16
            same(found[row, column], cell.numpy() + shift, 0)


def check_decoding() -> None:
    given = random_boxes(50, 300, 200)
    deltas = np.random.default_rng(1).normal(0, 1.5, (50, 3, 4)).astype(np.float32)
    deltas[0, 0, 2:] = 1000.0  # would overflow
    for weights, pixel in (((1.0, 1.0, 1.0, 1.0), 1.0), ((10.0, 20.0, 5.0, 4.0), 0.0)):
        found = proposals.decode_boxes(torch.from_numpy(given), torch.from_numpy(deltas), weights, pixel).numpy()
        assert np.isfinite(found).all()
        for row in range(50):
            x1, y1, x2, y2 = (float(v) for v in given[row])
            for k in range(3):
                dx, dy, dw, dh = (float(d) / w for d, w in zip(deltas[row, k], weights, strict=True))
                width = (x2 - x1 + pixel) * math.exp(min(dw, math.log(62.5)))
                height = (y2 - y1 + pixel) * math.exp(min(dh, math.log(62.5)))
                x = x1 + (x2 - x1 + pixel) * (dx + 0.5)
                y = y1 + (y2 - y1 + pixel) * (dy + 0.5)
                wanted = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
                np.testing.assert_allclose(found[row, k], wanted, rtol=1e-3, atol=1e-2)


def check_clipping() -> None:
    given = torch.tensor([[-5.0, -6, 50, 70], [10, 11, 12, 13], [98, 49, 200, 300], [-9, -9, -1, -1]])
    same(
        proposals.clip_boxes(given, 100, 50, 1.0), [[0, 0, 50, 49], [10, 11, 12, 13], [98, 49, 99, 49], [0, 0, 0, 0]], 0
    )
    same(
        proposals.clip_boxes(given, 100, 50, 0.0),
        [[0, 0, 50, 50], [10, 11, 12, 13], [98, 49, 100, 50], [0, 0, 0, 0]],
        0,
    )


def check_sizes() -> None:
    given = torch.tensor([[0.0, 0, 0, 9], [0, 0, 9, 0], [0, 0, 3, 9], [0, 0, 9, 3], [0, 0, 4, 4], [5, 5, 3, 9]])
    assert proposals.large_enough(given, 4.0, 1.0).tolist() == [False, False, False, False, True, False]
    assert proposals.large_enough(given, 0.0, 0.0).tolist() == [False, False, True, True, True, False]
    assert proposals.large_enough(given, 3.0, 1.0).tolist() == [False, False, True, True, True, False]


# proposals


def check_proposal_layout() -> None:
    """The score and the box of one anchor, from the weights of its own channels alone."""
    for config in (TINY, TINY_CAFFE):
        made = random_frcnn(config).proposals
        count = len(config.anchor_sizes) * 3
        feature_map = torch.randn(2, 64, 3, 4, generator=generator())
        with torch.no_grad():
            scores, found = made.scored_boxes(feature_map)
            hidden = torch.relu(made.hidden(feature_map)).numpy().astype(float)
        weight, bias = (getattr(made.objectness, one).detach().numpy() for one in ("weight", "bias"))
        moves, move_bias = (getattr(made.deltas, one).detach().numpy() for one in ("weight", "bias"))
        assert scores.shape == (2, 3 * 4 * count)
        for image, row, column, anchor in ((0, 0, 0, 0), (1, 2, 3, count - 1), (1, 1, 2, 3), (0, 2, 0, 1)):
            cell = hidden[image, :, row, column]
            place = (row * 4 + column) * count + anchor
            if config is TINY:
                wanted = weight[anchor, :, 0, 0] @ cell + bias[anchor]
            else:
                two = [weight[i, :, 0, 0] @ cell + bias[i] for i in (anchor, count + anchor)]
                wanted = math.exp(two[1]) / (math.exp(two[0]) + math.exp(two[1]))
            assert abs(float(scores[image, place]) - wanted) < 1e-4
            delta = moves[4 * anchor : 4 * anchor + 4, :, 0, 0] @ cell + move_bias[4 * anchor : 4 * anchor + 4]
            x1, y1, x2, y2 = proposals.cell_anchors(config)[anchor].tolist()
            width, height = x2 - x1 + config.pixel, y2 - y1 + config.pixel
            x = x1 + 16 * column + width * (0.5 + delta[0])
            y = y1 + 16 * row + height * (0.5 + delta[1])
            half = np.array([width * math.exp(delta[2]) / 2, height * math.exp(delta[3]) / 2])
            same(found[image, place], [x - half[0], y - half[1], x + half[0], y + half[1]], 1e-3)


def check_proposal_selection() -> None:
    for config, scale in ((replace(TINY, candidates=150), 1.0), (replace(TINY_CAFFE, candidates=150), 2.5)):
        given = random_boxes(200, 130, 90) - 10
        given[::17] = [5, 5, 5, 30]
        scores = np.random.default_rng(3).permutation(200).astype(np.float32)
        scores[7] = np.nan
        found = proposals.select_proposals(torch.from_numpy(given), torch.from_numpy(scores), (100, 60), scale, config)
        same(found, proposals_by_hand(given, scores, 100, 60, scale, config), 0)


def proposals_by_hand(
    given: np.ndarray, scores: np.ndarray, width: int, height: int, scale: float, config: FrcnnConfig
) -> np.ndarray:
    more = 1 if config.convention == "caffe" else 0
    ranked = sorted((i for i in range(len(scores)) if np.isfinite(scores[i])), key=lambda i: -scores[i])
    if not more:
        ranked = ranked[: config.candidates - 1]  # the score that is no number is among the candidates
    cut = []
    for index in ranked:
        x1, x2 = np.clip(given[index][[0, 2]], 0, width - more)
        y1, y2 = np.clip(given[index][[1, 3]], 0, height - more)
        least = config.min_proposal_side * scale
        if x2 > x1 and y2 > y1 and x2 - x1 + more > least and y2 - y1 + more > least:
            cut.append(np.array([x1, y1, x2, y2], np.float32))
    kept: list[np.ndarray] = []
    for box in cut[: config.candidates]:
        if all(iou_by_hand(box, other, more) <= config.proposal_nms for other in kept):
            kept.append(box)
    return np.stack(kept[: config.proposals])


def iou_by_hand(one: np.ndarray, other: np.ndarray, more: float) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0]) + more
    height = min(one[3], other[3]) - max(one[1], other[1]) + more
    both = max(width, 0.0) * max(height, 0.0)
    areas = [(b[2] - b[0] + more) * (b[3] - b[1] + more) for b in (one, other)]
    return float(both / (areas[0] + areas[1] - both))


# classes, attributes, selection


def check_predictor() -> None:
    for config in (TINY, TINY_CAFFE):
        made = random_frcnn(config).head.predictor
        features = torch.randn(6, config.feature_size, generator=generator()) * 3
        with torch.no_grad():
            found = made(features)
        state = {name: value.numpy().astype(float) for name, value in made.state_dict().items()}
        x = features.numpy().astype(float)
        logits = x @ state["classes.weight"].T + state["classes.bias"]
        background = 0 if config is TINY_CAFFE else 9
        objects = [i for i in range(10) if i != background]
        odds = np.exp(logits)
        wanted = (odds / odds.sum(1, keepdims=True))[:, [background, *objects]]
        same(found.class_probs, wanted)
        moves = x @ state["boxes.weight"].T + state["boxes.bias"]
        for k, name in enumerate(objects):
            same(found.deltas[:, k], moves[:, 4 * name : 4 * name + 4])
        both = np.concatenate((x, state["class_vectors.weight"][logits.argmax(1)]), axis=1)
        hidden = np.maximum(both @ state["attribute_hidden.weight"].T + state["attribute_hidden.bias"], 0)
        odds = np.exp(hidden @ state["attributes.weight"].T + state["attributes.bias"])
        wanted = (
            odds[:, 1:] / odds.sum(1, keepdims=True)
            if config is TINY_CAFFE
            else odds[:, :-1] / odds[:, :-1].sum(1, keepdims=True)
        )
        assert found.attribute_probs is not None
        same(found.attribute_probs, wanted)


def random_probabilities(count: int, classes: int, sharpness: float, seed: int = 0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, sharpness, (count, classes))
    odds = np.exp(logits)
    return (odds / odds.sum(1, keepdims=True)).astype(np.float32)


def check_selection() -> None:
    for sharpness in (0.3, 2.0, 5.0):
        for least, most in ((10, 100), (36, 36), (1, 12), (5, 30)):
            given = random_boxes(60, 100, 100, seed=2)
            probabilities = random_probabilities(60, 12, sharpness)
            found = model.select_regions(
                torch.from_numpy(given), torch.from_numpy(probabilities), 0.2, least, most, 0.3
            )
            confidence = confidence_by_hand(given, probabilities, 0.3)
            count = min(max(int((confidence >= 0.2).sum()), least), most)
            assert len(found) == count
            ranked = confidence[found.numpy()]
            np.testing.assert_allclose(ranked, np.sort(confidence)[::-1][:count], atol=1e-7)


def confidence_by_hand(given: np.ndarray, probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """The published loop: every object class by itself, background left out."""
    best = np.zeros(len(given), np.float32)
    for name in range(1, probabilities.shape[1]):
        kept: list[int] = []
        for index in np.argsort(-probabilities[:, name], kind="stable"):
            if all(iou_by_hand(given[index], given[other], 0) <= threshold for other in kept):
                kept.append(index)
                best[index] = max(best[index], probabilities[index, name])
    return best


def check_best_boxes() -> None:
    given = torch.from_numpy(random_boxes(4, 50, 50))
    refined = torch.from_numpy(random_boxes(12, 50, 50, seed=5).reshape(4, 3, 4))
    refined[2, 1] = torch.tensor([9.0, 9, 9, 20])
    probabilities = torch.tensor([[0.9, 0.1, 0, 0], [0, 0, 0, 1.0], [0.3, 0.1, 0.5, 0.1], [0.6, 0, 0.4, 0]])
    wanted = torch.stack((refined[0, 0], refined[1, 2], given[2], refined[3, 1]))
    same(model.best_boxes(given, refined, probabilities), wanted.numpy(), 0)


def check_choice() -> None:
    """Chosen regions keep their own features, classes and boxes; refined boxes are moved, weighted and cut."""
    for config in (TINY, TINY_CAFFE):
        given = torch.from_numpy(random_boxes(30, 90, 70, seed=4))
        answers = model.RegionAnswers(
            features=torch.arange(30.0)[:, None].expand(30, 4),
            class_probs=torch.from_numpy(random_probabilities(30, 10, 4.0)),
            deltas=torch.randn(30, 9, 4, generator=generator()),
            attribute_probs=None,
        )
        confidence = confidence_by_hand(
            given.numpy() + np.array([0, 0, config.pixel, config.pixel]), answers.class_probs.numpy(), 0.3
        )
        found = model.choose(given, answers, (90, 70), FrcnnSettings(min_boxes=3, max_boxes=9), config)
        rows = found.features[:, 0].long()
        assert rows.tolist() == np.argsort(-confidence, kind="stable")[: len(rows)].tolist()
        same(found.boxes, given[rows].numpy(), 0)
        same(found.class_probs, answers.class_probs[rows].numpy(), 0)
        moved = model.choose(given, answers, (90, 70), FrcnnSettings(min_boxes=30, boxes="refined"), config)
        for box, row in zip(moved.boxes.numpy(), moved.features[:, 0].long().tolist(), strict=True):
            best = int(answers.class_probs[row, 1:].argmax())
            d = answers.deltas[row, best].numpy() / np.array(config.box_weights)
            x1, y1, x2, y2 = given[row].tolist()
            width, height = x2 - x1 + config.pixel, y2 - y1 + config.pixel
            x, y = x1 + width / 2 + d[0] * width, y1 + height / 2 + d[1] * height
            half = width * math.exp(d[2]) / 2, height * math.exp(d[3]) / 2
            wanted = np.array([x - half[0], y - half[1], x + half[0], y + half[1]])
            edge = np.array([90, 70, 90, 70]) - config.pixel
            wanted = np.clip(wanted, 0, edge)
            if wanted[2] <= wanted[0] or wanted[3] <= wanted[1]:
                wanted = np.array([x1, y1, x2, y2])
            np.testing.assert_allclose(box, wanted, rtol=1e-4, atol=1e-3)


CHECKS = {name.removeprefix("check_"): one for name, one in list(globals().items()) if name.startswith("check_")}
