"""Wheel, sdist and the archive of a model: what is in them, and that they work where nothing else is."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path
from types import ModuleType

import pytest

import interbert

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "interbert"

pytest.importorskip("hatchling", reason="hatchling is not installed: pip install -e '.[dev]'")


def loaded(path: Path) -> ModuleType:
    """A script as a module."""
    found = importlib.util.spec_from_file_location(path.stem, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


RELEASE = loaded(ROOT / ".ci" / "release.py")
EPOCH = 1_700_000_000


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Sdist and wheel."""
    sdist, wheel = sorted(RELEASE.build_packages(tmp_path_factory.mktemp("dist"), EPOCH), key=lambda one: one.suffix)
    return sdist, wheel


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model directory in a demo's folder, with a checkpoint beside its files."""
    folder = tmp_path / "demo" / "models" / "retrieval"
    (folder / "checkpoint-3").mkdir(parents=True)
    for name, text in (("config.json", "{}"), ("README.md", "# card\n"), ("model.safetensors", "weights")):
        (folder / name).write_text(text)
    (folder / "provenance.json").write_text('{"reached": {"step": 3, "eval_r@1": 40.5}}')
    (tmp_path / "demo" / "results.json").write_text('{"en": {"r@1": 41.0}}')
    return folder


def test_the_wheel_holds_the_package_and_its_licence_and_nothing_else(packages: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(packages[1]) as wheel:
        names = set(wheel.namelist())
    metadata = f"interbert-{interbert.__version__}.dist-info/"
    files = {
        f"interbert/{one.relative_to(PACKAGE).as_posix()}"
        for one in PACKAGE.rglob("*")
        if one.is_file() and "__pycache__" not in one.parts
    }
    expected = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert names == files | {metadata + one for one in expected}
    needed = ("py.typed", "templates/base.css", "curation/word_lists/superlatives_zh.txt", "service/web/index.html")
    assert {f"interbert/{one}" for one in needed} <= names
    kinds = {Path(name).suffix for name in files}
    assert kinds <= {".py", ".typed", ".txt", ".html", ".css", ".js", ".svg", ".mako"}, "code and texts, no data"
    assert not any("test" in Path(name).parts[1] for name in files)
    assert packages[1].stat().st_size < 3e6


def test_the_wheel_says_what_it_needs_and_docs_say_its_extras(packages: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(packages[1]) as wheel:
        name = next(one for one in wheel.namelist() if one.endswith("METADATA"))
        metadata = Parser().parsestr(wheel.read(name).decode())
    assert (metadata["Version"], metadata["Requires-Python"]) == (interbert.__version__, ">=3.11")
    install = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    for extra in metadata.get_all("Provides-Extra"):
        assert f"| `{extra}` |" in install, extra


def test_the_sdist_holds_what_people_read_and_no_caches(packages: tuple[Path, Path]) -> None:
    with tarfile.open(packages[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml", "src/interbert/py.typed"} <= names
    assert {"recipes", "tests", "docs"} <= {name.partition("/")[0] for name in names}
    assert not any(name.startswith((".schemathesis", "dist", ".venv")) for name in names)
    assert packages[0].stat().st_size < 8e6


def python_of(minor: int) -> str | None:
    if sys.version_info[:2] == (3, minor):
        return sys.executable
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    # a name on the path may stand for one that a version manager has switched off
    found = [shutil.which(f"python3.{minor}"), *map(str, sorted(kept.glob(f"3.{minor}.*/bin/python3.{minor}")))]
    tried = (
        one for one in found if one and not subprocess.run([one, "-c", "import venv"], capture_output=True).returncode
    )
    return next(tried, None)


@pytest.mark.parametrize("minor", [11, 12])
def test_the_wheel_is_installed_in_an_empty_environment(
    packages: tuple[Path, Path], tmp_path: Path, minor: int
) -> None:
    """No package but ours: ``import interbert``, version and help need none."""
    python = python_of(minor)
    if python is None:
        pytest.skip(f"there is no python3.{minor} here")
    home = tmp_path / "empty"
    subprocess.run([python, "-m", "venv", "--without-pip", str(home)], check=True, capture_output=True)
    install = [sys.executable, "-m", "pip", "--python", str(home), "install", "--quiet", "--no-index", "--no-deps"]
    done = subprocess.run([*install, str(packages[1])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-600:]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}

    def run(*words: str) -> str:
        done = subprocess.run([*words], capture_output=True, text=True, cwd=tmp_path, env=clean, timeout=120)
        assert done.returncode == 0, done.stderr[-600:]
        return done.stdout

    script, interpreter = str(home / "bin" / "interbert"), str(home / "bin" / "python")
    assert run(script, "--version") == f"interbert {interbert.__version__}\n"
    assert "interbert VERB" in run(script, "--help")
    installed = run(interpreter, "-c", "import interbert; print(interbert.__file__)").strip()
    assert Path(installed).is_relative_to(home)
    if python != sys.executable:
        run(interpreter, "-m", "compileall", "-q", str(Path(installed).parent))
    else:  # with the packages of this environment, and without its editable interbert
        place = next((home / "lib").glob("python*/site-packages"))
        (place / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
        assert "--text-columns" in run(script, "extract", "--help")


def test_the_archive_of_a_model_has_card_and_numbers_and_is_the_same_every_time(model: Path, tmp_path: Path) -> None:
    made = []
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        for number, one in enumerate(model.iterdir()):
            os.utime(one, (number, number))
        archive, left_out = RELEASE.pack_model(model, tmp_path / place, EPOCH)
        made.append(archive.read_bytes())
        (model / "config.json").chmod(0o600)
    assert made[0] == made[1]
    assert left_out == ["checkpoint-3"]
    with tarfile.open(archive) as packed:
        members = packed.getmembers()
        folder = f"interbert-{interbert.__version__}-model"
        wanted = ["README.md", "config.json", "model.safetensors", "numbers.json", "provenance.json"]
        assert [one.name for one in members] == [f"{folder}/{name}" for name in wanted]
        assert {(one.uid, one.uname, one.mode, one.mtime) for one in members} == {(0, "", 0o644, EPOCH)}
        packed.extractall(tmp_path / "c", filter="data")
    numbers = json.loads((tmp_path / "c" / folder / "numbers.json").read_text())
    assert numbers == {
        "version": interbert.__version__,
        "reached": {"step": 3, "eval_r@1": 40.5},
        "results": {"en": {"r@1": 41.0}},
    }


@pytest.mark.parametrize("missing", ["README.md", "model.safetensors", "config.json", "provenance.json"])
def test_a_directory_that_lacks_something_is_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    (model / missing).unlink()
    assert RELEASE.main([str(model), "--out", str(tmp_path / "dist")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"release: {model}: lacks ")
    assert said.count("\n") == 1
    assert not list((tmp_path / "dist").iterdir())


def test_a_release_has_checksums_of_all_its_files(
    model: Path, packages: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(out: Path, epoch: int) -> list[Path]:
        return [Path(shutil.copy(one, out)) for one in packages]

    monkeypatch.setattr(RELEASE, "build_packages", build)
    assert RELEASE.main([str(model), "--out", str(tmp_path / "dist")]) == 0
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "dist", capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout.count(": OK") == 3 == len(list((tmp_path / "dist").iterdir())) - 1
