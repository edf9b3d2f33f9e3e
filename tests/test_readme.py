"""Every command of the README but `make demo` runs, at tiny size."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import draw
from tests.documented import blocks, commands, run

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SERVING = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
TRAINING = "--training.batch-size 8 --training.max-steps 2 --validation-share 0.2"


@pytest.fixture(scope="module")
def workplace(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    for name in ("catalogue.parquet", "held_out.parquet"):
        shutil.copy(shop, folder / name)
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    draw("red", "circle").save(folder / "photo.jpg")
    draw("blue", "square").save(folder / "other.jpg")
    return folder


def test_the_readme_has_the_commands_that_are_run_here() -> None:
    verbs = [line.split()[1] for line in commands(README) if line.startswith("interbert ")]
    assert verbs == ["extract", "pretrain", "report", "finetune", "extract", "evaluate", "search", "index", "serve"]
    make, curl = (line for line in commands(README) if not line.startswith("interbert "))
    assert make == "make demo"
    served = [line for line in commands(README) if line.startswith("interbert serve ")]
    assert {*served, curl} <= set(commands(SERVING))  # tests/service/test_serving_docs.py runs those


def test_every_command_runs(
    workplace: Path, tiny_bert: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(workplace)
    tiny = {
        "extract": "--input-size 64",
        "pretrain": f"--init-from {tiny_bert} --model.pooler-size 16 {TRAINING}",
        "report": "--samples 2",
        "finetune": TRAINING,
        "evaluate": "--bootstrap 10",
        "search": "--top-k 3",
        "index": "",
    }
    for line in commands(README):
        if line.startswith("interbert ") and line.split()[1] in tiny:
            run(line, capsys, tiny[line.split()[1]])
    assert (workplace / "metrics.json").exists()
    assert "catalogue.parquet" in (workplace / "results.html").read_text(encoding="utf-8")
    assert (workplace / "models/pretrained/report.html").read_text(encoding="utf-8").count("data:image/") == 2
    for block in blocks("python", README):
        exec(compile(block, "README.md", "exec"), {})
    assert "tensor([" in capsys.readouterr().out
    if "INTERBERT_SLOW_TESTS" not in os.environ:
        return  # those of other libraries on the same model take a minute
    for block in blocks("python", (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8")):
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True)  # other libraries' threads
        assert done.returncode == 0, done.stderr[-800:]


def test_the_make_targets_that_the_readme_and_the_guide_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make (\w+)", text)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_links_inside_the_repository_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target
