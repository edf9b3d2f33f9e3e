from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.conftest import tiny_config

from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.rerank_reach import within_reach
from interbert.model.scoring import dual_matrix, score_matrix
from interbert.tasks import retrieval
from interbert.tasks.rerank_depth import fit_rerank_depth
from interbert.tasks.retrieval import RetrievalSet, RetrievalTask

TEXTS, CANDIDATES = 400, 32


def made(joint_spread: float, gap: float = 0.2) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Joint and dual scores, and a right image drawn by their sum."""
    generator = np.random.default_rng(0)
    dual = np.tile(-gap * np.arange(CANDIDATES), (TEXTS, 1)) + 0.01 * generator.normal(size=(TEXTS, CANDIDATES))
    joint = 1.5 + joint_spread * generator.normal(size=dual.shape)
    drawn = (joint + dual + generator.gumbel(size=dual.shape)).argmax(axis=1)
    return joint, dual, np.arange(CANDIDATES) == drawn[:, None], np.arange(TEXTS)


@pytest.mark.parametrize(
    ("reach", "depth", "read"),
    [
        (0.0, 6, [True, True, False, True, False, False]),
        (1.0, 6, [True, True, True, True, False, False]),
        (1.0, 2, [True, True, False, False, False, False]),
        (9.0, 6, [True] * 6),
        (9.0, 99, [True] * 6),
    ],
)
def test_candidates_near_the_third_place_are_read(reach: float, depth: int, read: list[bool]) -> None:
    dual = np.array([5.0, 4.0, 2.5, 3.0, 1.9, 0.0])
    assert within_reach(dual, reach, depth).tolist() == read


def test_few_candidates_are_all_read() -> None:
    assert within_reach(np.array([1.0, -7.0]), 0.0, 8).tolist() == [True, True]


def test_a_small_joint_score_needs_few_candidates() -> None:
    joint, dual, relevant, groups = made(0.1)
    found = fit_rerank_depth(joint, dual, relevant, groups)
    assert found is not None
    assert found.depth == 8
    assert 3 <= found.read < 6
    assert found.unread == pytest.approx(1.5, abs=0.05)
    read = within_reach(dual, found.reach, found.depth)
    whole, ours = joint + dual, dual + np.where(read, joint, found.unread)
    assert (whole.argmax(axis=1) == ours.argmax(axis=1)).all()
    assert found.lost.high <= 0.003


def test_a_depth_that_loses_is_not_taken() -> None:
    """What comes first lies anywhere among the candidates, so nothing less than all of them will do."""
    joint, dual, relevant, groups = made(3.0, gap=0.01)
    assert fit_rerank_depth(joint, dual, relevant, groups) is None


def test_a_larger_joint_score_has_a_larger_depth() -> None:
    joint, dual, relevant, groups = made(1.2, gap=0.2)
    found = fit_rerank_depth(joint, dual, relevant, groups)
    assert found is not None
    assert found.depth > 8


def test_few_texts_do_not_tell() -> None:
    joint, dual, relevant, groups = (one[:199] for one in made(0.1))
    assert fit_rerank_depth(joint, dual, relevant, groups) is None
    assert fit_rerank_depth(*(one[:, :3] for one in made(0.1)[:3]), np.arange(TEXTS)) is None


def test_joint_and_dual_scores_are_those_of_the_mixture(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = InterBertForImageTextRetrieval(tiny_config(contrastive_size=8, dual_score_weight=3.0)).eval()
    generator = np.random.default_rng(1)
    texts = [[1, 5, 9, 2], [1, 7, 2]]
    images = [
        (generator.normal(size=(3, 10)).astype(np.float32), generator.uniform(size=(3, 5)).astype(np.float32))
        for _ in range(4)
    ]
    relevant = np.array([[False, True, False, False], [False, False, False, True]])
    fitted = []
    monkeypatch.setattr(retrieval, "fit_rerank_depth", lambda *arguments: fitted.append(arguments))
    task = RetrievalTask(RetrievalSet(("a", "b"), (0, 1, 2, 3), relevant), texts, images)
    task.rerank_depth(model)
    ((joint, dual, right, groups),) = fitted
    order = np.argsort(-dual_matrix(model, texts, images), axis=1)
    whole = np.take_along_axis(score_matrix(model, texts, images, bf16=False), order, axis=1)
    np.testing.assert_allclose(joint + dual, whole, atol=0.2)  # in bf16, where the processor has it
    assert (np.diff(dual, axis=1) <= 0).all()
    np.testing.assert_array_equal(right, np.take_along_axis(relevant, order, axis=1))
    assert groups.tolist() == [1, 3]
