"""The notebooks of examples/ run from their first cell to their last, at the small size they have."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import AT_LENGTH

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SHORT, LONG = "2_paper_recipe", ("1_catalogue_to_shop", "3_finetune_evaluate_explain")


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a notebook in a copy of examples/, and give what it printed."""
    import nbformat
    from nbclient import NotebookClient

    here = shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns("work", "__pycache__"))
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(here / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(here)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "".join(output.get("text", "") for output in outputs)


def test_every_notebook_is_run_here_and_has_no_outputs() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.ipynb")} == {SHORT, *LONG}
    for path in EXAMPLES.glob("*.ipynb"):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        assert not any(cell.get("outputs") for cell in cells), path


def test_the_papers_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = run(SHORT, tmp_path, monkeypatch)
    assert "80 images written" in said
    assert "matching" in said
    assert (tmp_path / "examples/work/paper/model/model.safetensors").exists()


@AT_LENGTH
@pytest.mark.slow
@pytest.mark.parametrize("name", LONG)
def test_a_longer_notebook(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "red" in run(name, tmp_path, monkeypatch)
