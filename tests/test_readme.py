"""Every command of the quickstart but `make demo` runs, at tiny size; the README names what is there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from interbert.cli.parser import parse_options
from interbert.cli.verbs import find_verb, verb_module
from tests.conftest import draw
from tests.documented import blocks, commands, run

ROOT = Path(__file__).parent.parent
READMES = {name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md")}
QUICKSTART, CHINESE = ((ROOT / "docs" / name / "quickstart.md").read_text(encoding="utf-8") for name in ("", "zh"))
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


@pytest.mark.parametrize("name", READMES)
def test_a_readme_is_one_screen_with_two_commands_and_an_image(name: str) -> None:
    text = READMES[name]
    assert commands(text) == ["make demo", "make test"]
    assert len(text.splitlines()) < 60
    assert len(re.findall(r"!\[", text)) == 1
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert (ROOT / target).exists(), target


def test_the_quickstart_has_the_commands_that_are_run_here() -> None:
    typed = commands(QUICKSTART)
    verbs = [line.split()[1] for line in typed if line.startswith("interbert ")]
    assert verbs[:5] == ["extract", "pretrain", "finetune", "index", "search"]
    assert verbs[5:] == ["report", "extract", "evaluate", "search", "serve"]
    curl, make = (line for line in typed if not line.startswith("interbert "))
    assert make == "make demo"
    assert {typed[-3], curl} <= set(commands(SERVING))  # tests/service/test_serving_docs.py runs those


def test_the_chinese_quickstart_has_the_same_steps() -> None:
    verbs = []
    for line in commands(CHINESE):
        if line.startswith("interbert "):
            verb, words = find_verb(shlex.split(line)[1:])
            assert parse_options(verb, "", verb_module(verb).Options, words)
            verbs.append(verb)
    english = [find_verb(shlex.split(line)[1:])[0] for line in commands(QUICKSTART) if line.startswith("interbert ")]
    assert [verb for verb in verbs if verb != "pretrain"] == [
        verb for place, verb in enumerate(english) if verb != "pretrain" and place != 8
    ]
    assert verbs.count("pretrain") == 2  # from MiniLM, and from a Chinese BERT
    for block in blocks("python", CHINESE):
        compile(block, "quickstart.md", "exec")


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
    for line in commands(QUICKSTART):
        if line.startswith("interbert ") and line.split()[1] in tiny:
            run(line, capsys, tiny[line.split()[1]])
    assert (workplace / "metrics.json").exists()
    assert "catalogue.parquet" in (workplace / "results.html").read_text(encoding="utf-8")
    assert (workplace / "models/pretrained/report.html").read_text(encoding="utf-8").count("data:image/") == 2
    for block in blocks("python", QUICKSTART):
        exec(compile(block, "quickstart.md", "exec"), {})
    assert "tensor([" in capsys.readouterr().out
    if "INTERBERT_SLOW_TESTS" not in os.environ:
        return  # those of other libraries on the same model take a minute
    for block in blocks("python", (ROOT / "docs" / "checkpoints.md").read_text(encoding="utf-8")):
        done = subprocess.run([sys.executable, "-c", block], capture_output=True, text=True)  # other libraries' threads
        assert done.returncode == 0, done.stderr[-800:]


def test_the_make_targets_that_the_readme_and_the_guide_name_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    text = "".join(READMES.values()) + QUICKSTART + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make (\w+)", text)):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
