"""The joint pass by OpenVINO gives torch's scores, for pairs of all lengths, from several threads."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.search.conftest import built, make_model, model, priced  # noqa: F401  fixtures

from interbert.errors import MissingExtraError
from interbert.search.engine import SearchEngine
from interbert.search.joint import Float32, JointScorer, joint_scorer
from interbert.search.openvino_joint import OpenVinoScorer
from interbert.search.query_encoder import ProductEncoder
from interbert.utils import openvino_module
from interbert.utils.openvino_module import converted

pytest.importorskip("openvino")


def pairs(encoder: ProductEncoder) -> tuple[list[list[int]], list[Float32], np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    hidden = encoder.hidden_size
    texts = [list(map(int, random.integers(5, 40, size=length))) for length in (3, 7, 7, 5)]
    tokens = [random.normal(size=(count, hidden)).astype(np.float32) for count in (2, 6, 6, 4, 1)]
    text_of, image_of = np.divmod(np.arange(len(texts) * len(tokens)), len(tokens))
    return texts, tokens, text_of, image_of


def test_scores_are_those_of_torch(model: Path) -> None:  # noqa: F811
    encoder = ProductEncoder.load(model, bf16=False)
    given = pairs(encoder)
    theirs = JointScorer(encoder.model, False).pairs(*given)
    told: list[int] = []
    mine = joint_scorer(encoder.model, False, "openvino")
    np.testing.assert_allclose(mine.pairs(*given, told.append), theirs, atol=1e-4)
    assert sum(told) == len(given[2])
    assert np.ptp(theirs) > 1e-2
    none = np.zeros(0, dtype=np.int64)
    assert mine.pairs(given[0], given[1], none, none).shape == (0,)


def test_threads_score_at_a_time(model: Path) -> None:  # noqa: F811
    encoder = ProductEncoder.load(model, bf16=False, joint_runtime="openvino")
    given = pairs(encoder)
    wanted = encoder.scorer.pairs(*given)
    found: list[Float32] = []
    threads = [threading.Thread(target=lambda: found.append(encoder.scorer.pairs(*given))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(threads)
    for scores in found:
        np.testing.assert_allclose(scores, wanted, atol=1e-5)


def test_an_engine_finds_what_it_finds_by_torch(built: Path) -> None:  # noqa: F811
    torch = SearchEngine.open(built, bf16=False)
    openvino = SearchEngine.open(built, bf16=False, joint_runtime="openvino")
    for text in ("a red circle", "blue square", "a green triangle"):
        mine, theirs = openvino.search(text), torch.search(text)
        assert [hit.id for hit in mine] == [hit.id for hit in theirs]
        np.testing.assert_allclose([hit.probability for hit in mine], [hit.probability for hit in theirs], atol=1e-4)


def test_without_openvino_the_message_says_how_to_install_it(
    model: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = ProductEncoder.load(model)
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"interbert\[export\]"):
        joint_scorer(encoder.model, False, "openvino")


def test_a_score_does_not_depend_on_what_is_scored_beside_it(model: Path) -> None:  # noqa: F811
    encoder = ProductEncoder.load(model)
    scorer = joint_scorer(encoder.model, None, "auto")
    assert scorer.runtime == "openvino"
    texts, tokens, text_of, image_of = pairs(encoder)
    together = scorer.pairs(texts, tokens, text_of, image_of)
    alone = [scorer.pairs(texts, tokens, text_of[at : at + 1], image_of[at : at + 1])[0] for at in range(len(text_of))]
    np.testing.assert_array_equal(together, alone)


def test_batches_have_few_shapes_and_all_cores_have_some(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    encoder = ProductEncoder.load(model, bf16=False)
    scorer = OpenVinoScorer(encoder.model, False)
    monkeypatch.setattr(scorer, "_cores", 2)
    sizes: list[tuple[int, int]] = []

    class Recorded:
        def __init__(self, place: int, request: Any) -> None:
            self.place, self.request = place, request

        def start_async(self, inputs: list[np.ndarray]) -> None:
            sizes.append((self.place, len(inputs[0])))
            self.request.start_async(inputs)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.request, name)

    requests = [Recorded(place, request) for place, request in enumerate(scorer._requests())]
    monkeypatch.setattr(scorer, "_requests", lambda: requests)
    texts, tokens = pairs(encoder)[:2]
    scorer.pairs(texts[:1], tokens[:1], np.zeros(33, np.int64), np.zeros(33, np.int64))
    assert sizes == [(0, 32), (1, 4)]
    sizes.clear()
    wanted = scorer.pairs(*pairs(encoder))
    assert all(size % (16 if size > 16 else 4) == 0 for _, size in sizes)
    assert {place for place, _ in sizes} == {0, 1}
    np.testing.assert_allclose(wanted, JointScorer(encoder.model, False).pairs(*pairs(encoder)), atol=1e-4)


def test_the_graph_has_free_shapes_and_scores_in_bf16_are_near_those_of_float32(
    model: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """OpenVINO 2026.4 scores wrongly in bf16 where every size of the graph is fixed."""
    encoder = ProductEncoder.load(model, bf16=False)
    graphs: list[Any] = []

    def kept(*given: Any) -> Any:
        graphs.append(converted(*given))
        return graphs[-1]

    monkeypatch.setattr(openvino_module, "converted", kept)
    random = np.random.default_rng(0)
    texts = [random.integers(5, 40, size=12).tolist() for _ in range(16)]
    tokens = [random.normal(size=(6, encoder.hidden_size)).astype(np.float32) for _ in range(16)]
    given = texts, tokens, np.arange(16), np.arange(16)
    scorer = OpenVinoScorer(encoder.model, bf16=True)
    assert scorer._bf16
    in_bf16, wanted = scorer.pairs(*given), JointScorer(encoder.model, False).pairs(*given)
    assert np.sqrt(np.mean((in_bf16 - wanted) ** 2)) < 0.2 * wanted.std()
    (graph,) = graphs
    assert [[size.is_dynamic for size in one.partial_shape] for one in graph.inputs] == [
        [True, True],
        [True, True, False],
    ]
