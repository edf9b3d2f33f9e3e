"""A new build is searched only if it is not worse on held-out queries."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.search.conftest import built, make_model, model, priced, priced_rows, write_table  # noqa: F401  fixtures

from interbert.cli.main import main
from interbert.rollout.validation import Comparison, _judged
from interbert.search.index import ProductIndex
from interbert.tasks.metrics import Estimate

COLUMNS = ("--text-columns", "title,title_zh")


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    """Each product's own title asks for it."""
    file = tmp_path / "held_out.tsv"
    lines = [f"{row['title']}\t{row['id']}" for row in priced_rows()]
    file.write_text("query\tproduct_id\n" + "\n".join(lines) + "\n")
    return file


def test_a_build_that_is_worse_stays_aside(
    built: Path,  # noqa: F811
    make_model: Callable[..., Path],  # noqa: F811
    priced: Path,  # noqa: F811
    held_out: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    index = Path(shutil.copytree(built, tmp_path / "index"))
    before = ProductIndex.open(index)
    few = write_table(tmp_path / "few.parquet", priced_rows()[:5])
    other = make_model(1)
    build = ["index", "build", str(other), str(few), str(index), "--rebuild", *COLUMNS]
    checked = [*build, "--validate", str(held_out), "--tolerance", "0.5"]
    assert main(checked) == 1
    said = capsys.readouterr().err
    assert "the new build may be worse, so the old one stays. 24 queries: r@1 " in said
    assert said.splitlines()[-1].endswith("the same command without --validate takes it.")
    assert ProductIndex.open(index).manifest == before.manifest
    assert main(checked) == 1  # the one that was kept aside: nothing is encoded again
    assert "5 unchanged" not in capsys.readouterr().out
    assert main(build) == 0
    assert "5 unchanged" in capsys.readouterr().out
    assert len(ProductIndex.open(index)) == 5
    same = ["index", "build", str(other), str(few), str(index), "--rebuild", *COLUMNS, "--validate", str(held_out)]
    assert main(same) == 0
    said = capsys.readouterr().out
    assert "the new build is not worse. 5 queries: r@1" in said
    assert "loss +0.00 [+0.00, +0.00]" in said


def test_what_cannot_be_validated_is_one_line(
    built: Path,  # noqa: F811
    model: Path,  # noqa: F811
    priced: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    index = Path(shutil.copytree(built, tmp_path / "index"))
    before = ProductIndex.open(index).manifest
    build = ["index", "build", str(model), str(priced), str(index), "--rebuild", *COLUMNS, "--validate"]
    assert main([*build, str(tmp_path / "none.tsv")]) == 2
    assert "there is no such file of judgements" in capsys.readouterr().err
    (tmp_path / "other.tsv").write_text("query\tproduct_id\na hat\tno-such\na shoe\tred-circle\n")
    assert main([*build, str(tmp_path / "other.tsv")]) == 2
    assert "1 of its 2 queries has a right product" in capsys.readouterr().err
    assert main([*build, str(tmp_path / "other.tsv"), "--tolerance=-1"]) == 2
    assert ProductIndex.open(index).manifest == before


def test_what_was_not_found_counts_nothing() -> None:
    found = _judged([["a", "b"], [], ["c"]], [{"b": 1.0}, {"a": 1.0}, {"c": 2.0, "z": 1.0}])
    assert found.of_queries["r@1"].tolist() == [0.0, 0.0, 100.0]
    ideal = 3 + 1 / np.log2(3)
    np.testing.assert_allclose(found.of_queries["ndcg@10"], [1 / np.log2(3), 0.0, 3 / ideal])


def test_the_upper_bound_decides() -> None:
    loss = {"r@1": Estimate(-1.0, -3.0, 0.9), "ndcg@10": Estimate(0.5, 0.1, 0.8)}
    found = Comparison(50, {"r@1": 40.0, "ndcg@10": 50.0}, {"r@1": 41.0, "ndcg@10": 49.5}, loss)
    assert found.is_not_worse(1.0)
    assert not found.is_not_worse(0.85)
