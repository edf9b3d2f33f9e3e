"""An index in a bucket, over the real protocol: a server on loopback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.buckets import bucket_on_loopback
from tests.search.conftest import priced_rows, source_of, write_table

from interbert.errors import CheckpointError, VectorIndexError
from interbert.search.bucket_model import forget_models
from interbert.search.build import build_index
from interbert.search.changes import add_to_index, remove_from_index
from interbert.search.engine import SearchEngine
from interbert.search.index import ProductIndex
from interbert.search.index_model import model_files


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with bucket_on_loopback("indexes") as uri:
        yield uri


def test_an_index_in_a_bucket_is_built_searched_and_changed(
    bucket: str, model: Path, priced: Path, built: Path, tmp_path: Path
) -> None:
    path = f"{bucket}/shop"
    with pytest.raises(VectorIndexError, match="there is no index here"):
        ProductIndex.open(path)
    assert build_index(model, source_of(priced), path).added == 24
    ours, theirs = SearchEngine.open(path), SearchEngine.open(built)
    found = [one.id for one in ours.search("a red circle", top_k=5)]
    assert found == [one.id for one in theirs.search("a red circle", top_k=5)]
    more = write_table(tmp_path / "more.parquet", [priced_rows()[0] | {"id": "new"}])
    assert add_to_index(path, source_of(more), model=model).added == 1
    assert remove_from_index(path, where="colour = 'blue'").removed == 3
    assert len(ours.index) == 22


def test_the_index_has_its_model_and_a_cache_of_it_is_checked(
    bucket: str, model: Path, priced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    moved = Path(shutil.copytree(model, tmp_path / "moved"))
    path = f"{bucket}/other"
    build_index(moved, source_of(priced), path)
    moved.rename(tmp_path / "away")
    found = [one.id for one in SearchEngine.open(path).search("a red circle", top_k=3)]
    (cached,) = (tmp_path / "cache" / "interbert" / "models").iterdir()
    assert {file.name for file in cached.iterdir()} == {file.name for file in model_files(model)}
    (cached / "config.json").write_text("{}")
    assert [one.id for one in SearchEngine.open(path).search("a red circle", top_k=3)] == found
    shutil.rmtree(cached)
    forget_models(path, set())  # an index of an earlier version keeps none
    with pytest.raises(CheckpointError, match="Say where it is with --model"):
        SearchEngine.open(path)
    assert SearchEngine.open(path, tmp_path / "away").search("a red circle", top_k=1)
