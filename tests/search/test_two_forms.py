"""An index and a source in memory are searched by one engine, and an index without what only making one needs."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import draw

from interbert import InterBertForImageTextRetrieval, InterBertProcessor, SearchEngine
from interbert.checkpoints.directory import load_model, load_processor
from interbert.cli.main import main
from interbert.errors import CheckpointError, UsageError, VectorIndexError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extractor import build_extractor
from interbert.extraction.sources import ImageSource, open_source
from interbert.model.scoring import score_matrix
from interbert.search.hits import Hit


def source_with_ids(path: Path) -> ImageSource:
    return open_source(str(path), ColumnMapping("image", ("title",), "id"))


@pytest.fixture(scope="module")
def memory(model: Path, priced: Path) -> SearchEngine:
    return SearchEngine.of_source(model, source_with_ids(priced), bf16=False)


def joint_scores(model: Path, priced: Path, text: str) -> dict[str, float]:
    """Of every image with the text, by id, as ``score_matrix`` has them."""
    network: InterBertForImageTextRetrieval = load_model(model)
    processor: InterBertProcessor = load_processor(model)
    source = source_with_ids(priced)
    images = [source.open_image(row) for row in range(len(source))]
    regions = build_extractor(processor.extractor_info, processor.extractor_folder).detect(images)
    inputs = [processor.image_inputs(one, where="an image") for one in regions]
    scores = score_matrix(network, processor.texts_to_ids([text]), inputs, bf16=False)[0]
    return dict(zip(source.image_ids(), scores.tolist(), strict=True))


def test_every_image_of_a_source_has_the_joint_models_score(memory: SearchEngine, model: Path, priced: Path) -> None:
    hits = memory.search("a red circle", top_k=24, candidates=24, duplicates=None)
    expected = joint_scores(model, priced, "a red circle")
    np.testing.assert_allclose([hit.score for hit in hits], [expected[hit.id] for hit in hits], rtol=0, atol=1e-4)
    assert [hit.id for hit in hits] == sorted(expected, key=lambda name: (-expected[name], name))
    assert [hit.rank for hit in hits] == list(range(1, 25))


def test_both_forms_recall_the_same(memory: SearchEngine, built: Path) -> None:
    index = SearchEngine.open(built, bf16=False)
    for query in ({"text": "a red circle", "rerank": False}, {"image": draw("green", "triangle")}):
        ours, theirs = (one.search(full_text=False, top_k=5, **query) for one in (memory, index))  # type: ignore[arg-type]
        assert [hit.id for hit in ours] == [hit.id for hit in theirs]
        np.testing.assert_allclose([hit.score for hit in ours], [hit.score for hit in theirs], atol=0.02)
        assert [hit.similar for hit in ours] == [hit.similar for hit in theirs]


def test_what_only_an_index_has_is_refused(memory: SearchEngine) -> None:
    with pytest.raises(UsageError, match="--where needs an index"):
        memory.search("a red circle", where="price < 50")
    with pytest.raises(UsageError, match="topic pages need an index"):
        memory.recommend("red things")
    with pytest.raises(VectorIndexError, match="has no image 'gone'"):
        memory.index.regions(["gone"])
    assert memory.index.full_text_search("a red circle", 5) == []


def test_a_model_that_cannot_recall_ranks_a_source_jointly(make_model: Callable[..., Path], priced: Path) -> None:
    model = make_model(contrastive_size=None, dual_score_weight=None, fusion="sum")
    engine = SearchEngine.of_source(model, source_with_ids(priced), bf16=False)
    hits = engine.search("a red circle", candidates=24, top_k=3, duplicates=None)
    expected = joint_scores(model, priced, "a red circle")
    assert [hit.id for hit in hits] == sorted(expected, key=lambda name: (-expected[name], name))[:3]
    for query in ({"text": "red", "candidates": 5}, {"text": "red", "rerank": False}, {"image": draw("red", "circle")}):
        with pytest.raises(CheckpointError, match="cannot recall"):
            engine.search(top_k=2, **query)  # type: ignore[arg-type]


def test_options_of_both_forms(
    model: Path,
    priced: Path,
    built: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # a long path would be folded
    photo = Path("photo.png")
    draw("green", "triangle").save(photo)
    words = ["--source", str(priced), "--image-id-column", "id", "--page", "none", "--top-k", "2"]
    assert main(["search", str(model), "", "--image", str(photo), *words]) == 0
    out = capsys.readouterr().out
    first = re.search(r"│ +1 +│ +([\w-]+)", out)
    assert first is not None
    assert first[1] == "green-triangle"
    assert "photo.png  (best 2 of" in out
    assert main(["search", str(model), "red", "--duplicates=-1", *words]) == 0
    assert "+23" in capsys.readouterr().out
    assert main(["search", str(model), "red", "--model", "x", *words]) == 2
    assert "--model needs an index" in capsys.readouterr().err
    assert main(["search", str(built), "red", "--regions", "x"]) == 2
    assert "is an index, which has its own images. Leave --regions out" in capsys.readouterr().err


def test_results_have_their_former_name_for_one_release() -> None:
    with pytest.warns(DeprecationWarning, match=r"engine\.Result is interbert\.search\.hits\.Hit now"):
        from interbert.search.engine import Result
    assert Result is Hit


LOADED = """
import sys
from interbert.cli.main import main
sys.argv = ["/usr/bin/interbert"]
assert main(["search", sys.stdin.read(), "a red circle", "--where", "price < 50", "--page", "page.html"]) == 0
print(*sys.modules, sep="\\n")
"""


def test_searching_an_index_loads_only_what_it_uses(built: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED], input=str(built), capture_output=True, text=True, timeout=300, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr[-600:]
    loaded = set(done.stdout.splitlines())
    assert {"interbert.search.engine", "interbert.search.page"} <= loaded
    folders = ("adaptation", "data", "demo", "export", "extraction", "regions", "report", "tasks", "training")
    foreign = {name for name in loaded if name.startswith(tuple(f"interbert.{folder}" for folder in folders))}
    assert not foreign
    assert not {"datasets", "lance", "sklearn", "interbert.search.writer", "interbert.search.source_index"} & loaded
