"""`make gpu` needs no network where the interpreter that is there has the packages."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FAKE = """#!/bin/sh
case "$1" in
-c) exit {code};;
*) echo "$PYTHONPATH {name} $*" >> {log};;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shutil.copy(ROOT / "Makefile", tmp_path / "Makefile")
    return tmp_path


def interpreter(folder: Path, place: str, code: int) -> str:
    file = folder / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(FAKE.format(code=code, name=place, log=folder / "log"), encoding="utf-8")
    file.chmod(0o755)
    return str(file)


def make(folder: Path, python: str) -> list[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "VENV"))}
    subprocess.run(["make", "gpu", f"PYTHON={python}"], cwd=folder, env=environ, check=True, capture_output=True)
    return (folder / "log").read_text(encoding="utf-8").splitlines()


def test_the_present_interpreter_does_where_it_has_torch(folder: Path) -> None:
    lines = make(folder, interpreter(folder, "present", 0))
    assert lines[0] == "src present -m pytest tests/gpu"
    assert [line.split()[2] for line in lines[1:]] == ["benchmarks/short_attention.py", *["benchmarks/mfu.py"] * 2]


def test_the_environment_goes_first_although_pyproject_is_newer(folder: Path) -> None:
    interpreter(folder, ".venv/bin/python", 0)
    (folder / ".venv" / ".installed").touch()
    (folder / "pyproject.toml").touch()
    lines = make(folder, interpreter(folder, "present", 0))
    assert {line.split()[1] for line in lines} == {".venv/bin/python"}


def test_else_the_environment_is_made(folder: Path) -> None:
    (folder / "pyproject.toml").touch()
    present = interpreter(folder, "present", 1)
    with pytest.raises(subprocess.CalledProcessError):  # by this interpreter, which cannot
        make(folder, present)
    assert not (folder / "log").exists(), "nothing is run by it"
