"""Metrics of thousands of made predictions against computations that share nothing with them."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.metrics import accuracy_score, confusion_matrix

from interbert.vl_tasks import flickr_entities, gqa, nlvr, refcoco, snli_ve, vcr, vqa
from interbert.vl_tasks.example import Box, Example
from interbert.vl_tasks.scores import TaskScores

N = 2500


def same(found: TaskScores, expected: dict[str, float | None]) -> None:
    shown = found.to_dict()
    assert shown == {**shown, **{name: pytest.approx(value, abs=1e-12) for name, value in expected.items()}}


# VQA: every one of the ten sets of nine people, and a normalisation sign by sign

PIECES = (
    *("dog", "Dog", "the dog", "a  dog", "DOG.", "dog!", "2", "two", "2.", "2.5", "1,000", "1000", "none", "0"),
    *("red-blue", "red blue", "redblue", "red - blue", "dont", "don't", "yes/no", "1,0 a-b", "U.S.", "us", "", "!"),
)
SHORT = {"dont": "don't"}
DIGITS = {"none": "0", "two": "2"}


def naive_normalised(answer: str) -> str:
    touching = {answer[at] for at in range(len(answer)) if " " in answer[max(at - 1, 0) : at] + answer[at + 1 : at + 2]}
    joins = any(
        one.isdigit() and comma == "," and two.isdigit()
        for one, comma, two in zip(answer, answer[1:], answer[2:], strict=False)
    )
    signs = set(';/[]"{}()=+\\_-><@`,?!')
    kept = "".join(("" if joins or one in touching else " ") if one in signs else one for one in answer)
    out, periods = "", 0
    for at, one in enumerate(kept):
        if one == "." and periods < 32 and not kept[at + 1 : at + 2].isdigit():
            periods += 1
        else:
            out += one
    words = [DIGITS.get(word, word) for word in out.lower().split() if word not in ("a", "an", "the")]
    return " ".join(SHORT.get(word, word) for word in words)


def naive_vqa(predicted: str, people: list[str]) -> float:
    people, predicted = [one.strip() for one in people], predicted.strip()
    if any(one != people[0] for one in people):
        people, predicted = [naive_normalised(one) for one in people], naive_normalised(predicted)
    subsets = list(itertools.combinations(people, len(people) - 1))
    return sum(min(1.0, sum(one == predicted for one in subset) / 3) for subset in subsets) / len(subsets)


def test_vqa() -> None:
    drawn = random.Random(1)
    examples, predictions = [], {}
    for number in range(N):
        several = drawn.sample(PIECES, drawn.choice((1, 2, 4, 8)))
        people = [drawn.choice(several) for _ in range(10)]
        kind = drawn.choice(("yes/no", "number", "other"))
        details = {"answers": people, "answer_type": kind}
        examples.append(Example(str(number), ("1",), ("?",), target={}, details=details))
        predictions[str(number)] = drawn.choice((*several, *PIECES))
    each = [naive_vqa(predictions[one.id], one.details["answers"]) for one in examples]
    expected: dict[str, float | None] = {"accuracy": sum(each) / N}
    for kind in ("yes/no", "number", "other"):
        of_kind = [value for value, one in zip(each, examples, strict=True) if one.details["answer_type"] == kind]
        expected[f"accuracy_{kind}"] = sum(of_kind) / len(of_kind)
    assert {0.0, 0.3, 0.6, 0.9, 1.0} == {round(value, 9) for value in each}
    same(vqa.metrics(predictions, examples), expected)


# GQA: matrices of questions by questions


def test_gqa() -> None:
    drawn = np.random.default_rng(2)
    words = np.array(["red", "blue", "yes", "no", "color"])
    right, said = words[drawn.integers(0, 5, N)], words[drawn.integers(0, 5, N)]
    said = np.where(drawn.random(N) < 0.5, right, said)
    balanced, query = drawn.random(N) < 0.6, drawn.random(N) < 0.5
    common, group = drawn.random(N) < 0.1, drawn.integers(-1, 6, N)
    entails = (drawn.random((N, N)) < 2 / N) | (np.eye(N, dtype=bool) & (drawn.random((N, 1)) < 0.5))
    allowed = drawn.random((2, N, 5)) < 0.5
    examples = [
        Example(
            str(at),
            ("1",),
            ("?",),
            target={str(right[at]): 1.0},
            details={
                "balanced": bool(balanced[at]),
                "entailed": tuple(map(str, np.flatnonzero(entails[at]))),
                "group": None if group[at] < 0 else f"group {group[at]}",
                "structural": "query" if query[at] else "choose",
                "detailed": "verifyCommonTwo" if common[at] else "relS",
            },
        )
        for at in range(N)
    ]
    choices = {str(at): tuple(frozenset(words[allowed[kind, at]]) for kind in (0, 1)) for at in range(N)}
    found = gqa.metrics({str(at): str(said[at]) for at in range(N)}, examples, choices)  # type: ignore[arg-type]

    hit = right == said
    others = entails & ~np.eye(N, dtype=bool)
    counts = others.sum(axis=1)
    asked = balanced & hit & (counts > 0)
    consistency = ((others & hit).sum(axis=1)[asked] / counts[asked]).mean()
    place = np.array([list(words).index(word) for word in said])
    usual = np.where(common, said == "color", allowed[0, np.arange(N), place])
    likely = np.where(common, said == "color", allowed[1, np.arange(N), place])
    chi, sizes = [], []
    for one in range(6):
        inside = balanced & (group == one)
        gold = np.array([(right[inside] == word).sum() for word in words])
        told = np.array([(said[inside] == word).sum() for word in words])
        chi.append((((told - gold) ** 2)[gold > 0] / gold[gold > 0]).sum())
        sizes.append(inside.sum())
    same(
        found,
        {
            "accuracy": hit[balanced].mean(),
            "open": hit[balanced & query].mean(),
            "binary": hit[balanced & ~query].mean(),
            "validity": usual[balanced].mean(),
            "plausibility": likely[balanced].mean(),
            "consistency": consistency,
            "distribution": np.average(chi, weights=sizes) / 100,
            "n": balanced.sum(),
            "n_consistency": asked.sum(),
        },
    )


def test_gqa_without_groups_entailed_questions_or_open_ones() -> None:
    details = {"balanced": True, "entailed": (), "group": None, "structural": "verify", "detailed": "exist"}
    example = Example("1", ("1",), ("?",), target={"yes": 1.0}, details=details)
    found = gqa.metrics({"1": "no"}, [example]).to_dict()
    assert (found["open"], found["consistency"], found["distribution"], found["binary"]) == (None, None, None, 0.0)


# NLVR2 and NLVR: sorted lines, by hand-cut identifiers


@pytest.mark.parametrize("drawings", [False, True])
def test_nlvr(tmp_path: Path, drawings: bool) -> None:
    drawn = random.Random(3)
    rows = [
        {"identifier": name, "sentence": "x", "label": drawn.choice(("True", "False"))}
        for name in sorted(
            {
                f"{drawn.randrange(300)}-{drawn.randrange(4)}"
                if drawings
                else f"dev-{drawn.randrange(400)}-{drawn.randrange(4)}-{drawn.randrange(2)}"
                for _ in range(N // 2 if drawings else 2 * N)
            }
        )
    ]
    (tmp_path / "dev.json").write_text("\n".join(map(json.dumps, rows)))
    named = [
        (f"dev-{row['identifier']}-{order}" if drawings else row["identifier"], row["identifier"], row["label"])
        for row in rows
        for order in range(6 if drawings else 1)
    ]
    assert len(named) >= 2000
    usually_right = {"True": "False", "False": "True"}
    said = {name: label if drawn.random() < 0.85 else usually_right[label] for name, _, label in named}
    lines = [f"{name}{'.png' * drawings},{label.lower() if drawings else label}" for name, label in said.items()]
    drawn.shuffle(lines)
    (tmp_path / "out.csv").write_text("\n".join(lines))
    found = nlvr.score_files(tmp_path / "out.csv", tmp_path / "dev.json")

    def sentence(name: str) -> str:
        return name[: name.index("-")] if drawings else name[: name[4:].index("-") + 4] + name[-2:]

    keyed = sorted((sentence(identifier), said[name] == label) for name, identifier, label in named)
    groups = [[right for _, right in group] for _, group in itertools.groupby(keyed, key=lambda pair: pair[0])]
    assert len({len(group) for group in groups}) == 4, "groups of all sizes"
    same(
        found,
        {
            "accuracy": sum(right for _, right in keyed) / len(keyed),
            "consistency": sum(all(group) for group in groups) / len(groups),
            "n": len(named),
            "n_consistency": len(groups),
        },
    )


# SNLI-VE: scikit-learn


def test_snli_ve() -> None:
    drawn = random.Random(4)
    labels = [drawn.choice(snli_ve.CLASSES) for _ in range(N)]
    said = [drawn.choice((label, *snli_ve.CLASSES)) for label in labels]
    examples = [Example(str(at), ("1",), ("x",), target={label: 1.0}) for at, label in enumerate(labels)]
    found = snli_ve.metrics({str(at): label for at, label in enumerate(said)}, examples)
    table = confusion_matrix(labels, said, labels=snli_ve.CLASSES)
    expected = {f"accuracy_{name}": row[at] / row.sum() for at, (name, row) in enumerate(zip(snli_ve.CLASSES, table))}  # noqa: B905
    same(found, {"accuracy": accuracy_score(labels, said), **expected})
    alone = snli_ve.metrics({"0": labels[0]}, examples[:1]).to_dict()
    assert sum(value is None for value in alone.values()) == 2


# Boxes: pixels that are counted

SIDE = 24


def pixels(box: Box) -> Any:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    left, top, right, bottom = map(int, box)
    mask[top:bottom, left:right] = True
    return mask


def naive_iou(one: Any, other: Any) -> float:
    return float((one & other).sum()) / max(1, (one | other).sum())


def a_box(drawn: random.Random, near: Box | None = None) -> Box:
    """Somewhere; or a box moved by a pixel or two, or cut in half."""
    if near is None:
        (left, right), (top, bottom) = (sorted(drawn.sample(range(SIDE + 1), 2)) for _ in range(2))
    elif drawn.random() < 0.3:
        left, top, right, bottom = near[0], near[1], near[2], near[1] + (near[3] - near[1]) // 2
    else:
        moved = [min(max(one + drawn.randint(-2, 2), 0), SIDE) for one in near]
        (left, right), (top, bottom) = sorted(moved[::2]), sorted(moved[1::2])
    return (float(left), float(top), float(right), float(bottom))


def test_refcoco() -> None:
    drawn = random.Random(5)
    examples, predictions, hits = [], {}, dict[str, list[bool]]()
    halves = 0
    for number in range(N):
        right = a_box(drawn)
        said = a_box(drawn, drawn.choice((right, right, None)))
        split = drawn.choice(("val", "testA", "testB"))
        overlap = naive_iou(pixels(right), pixels(said))
        halves += overlap == 0.5
        hits.setdefault(split, []).append(overlap > 0.5)
        examples.append(Example(str(number), ("1",), ("x",), target=(right,), details={"split": split}))
        predictions[str(number)] = said
    assert halves > 50, "boxes at the bound"
    expected = {f"accuracy_{split}": float(np.mean(each)) for split, each in hits.items()}
    same(refcoco.metrics(predictions, examples), {**expected, **{f"n_{split}": len(hits[split]) for split in hits}})
    assert "accuracy_test" not in refcoco.metrics(predictions, examples).to_dict()


def test_flickr_entities() -> None:
    drawn = random.Random(6)
    examples, predictions = [], {}
    ranks: dict[str, list[float]] = {"": [], "any_": []}
    for number in range(N):
        right = tuple(a_box(drawn) for _ in range(drawn.choice((1, 1, 2, 3))))
        said = [a_box(drawn, drawn.choice((*right, None, None))) for _ in range(drawn.choice((0, 1, 3, 12)))]
        examples.append(Example(str(number), ("1",), ("x",), target=right))
        predictions[str(number)] = said
        masks = [pixels(one) for one in right]
        every = np.logical_or.reduce(masks)
        rows, columns = np.flatnonzero(every.any(axis=1)), np.flatnonzero(every.any(axis=0))
        around = np.zeros_like(every)
        around[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        for name, wanted in (("", [around]), ("any_", masks)):
            fits = [max(naive_iou(one, pixels(box)) for one in wanted) >= 0.5 for box in said]
            ranks[name].append(fits.index(True) + 1 if any(fits) else np.inf)
    expected = {f"{name}r@{k}": float(np.mean(np.array(each) <= k)) for name, each in ranks.items() for k in (1, 5, 10)}
    same(flickr_entities.metrics(predictions, examples), {**expected, "n": N})


# VCR: ranks with the highest rank of equal scores


def test_vcr(tmp_path: Path) -> None:
    drawn = np.random.default_rng(7)
    numbers = drawn.integers(0, 4, (N, 20)) / 4  # many ties
    labels = drawn.integers(0, 4, (N, 2))
    names = [f"val-{number}" for number in range(N)]
    order = drawn.permutation(N)
    vcr.write_predictions(tmp_path / "out.csv", {names[at]: numbers[at] for at in order})
    predicted = vcr.read_predictions(tmp_path / "out.csv")
    rationales = {name: predicted[name][4 * (1 + labels[at, 0]) :][:4] for at, name in enumerate(names)}
    right = {name: (int(labels[at, 0]), int(labels[at, 1])) for at, name in enumerate(names)}
    found = vcr.metrics({name: predicted[name][:4] for name in names}, rationales, right)

    blocks = numbers.reshape(N, 5, 4)
    ranks = rankdata(-blocks, method="max", axis=2)
    every = np.arange(N)
    q_a = ranks[every, 0, labels[:, 0]] == 1
    qa_r = ranks[every, 1 + labels[:, 0], labels[:, 1]] == 1
    same(found, {"q_a": q_a.mean(), "qa_r": qa_r.mean(), "q_ar": (q_a & qa_r).mean(), "n": N})
    tied = (blocks[:, 0] == blocks[:, 0].max(axis=1, keepdims=True)).sum(axis=1) > 1
    assert tied.sum() > 100
