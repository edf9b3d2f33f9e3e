"""The documentation is built strictly: no link, no anchor and no page of the navigation leads nowhere."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import interbert
from interbert.cli.verbs import VERBS

ROOT = Path(__file__).parent.parent
PUBLIC_MODULES = ("interbert", "interbert.explain", "interbert.errors")


def test_the_site_is_whole(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    reference = "".join(path.read_text(encoding="utf-8") for path in (tmp_path / "reference").rglob("*.html"))
    for verb in VERBS:
        assert f'id="interbert-{verb.replace(" ", "-")}"' in reference, verb
    assert "<dt><code>--training.batch-size</code>" in reference
    for name in interbert.__all__:
        assert f'id="interbert.{name}"' in reference or name == "__version__", name
    assert 'id="interbert.errors.SourceError"' in reference
    assert "fonts.googleapis" not in (tmp_path / "index.html").read_text(encoding="utf-8")


def documented_names() -> list[tuple[Path, str, str]]:
    """Page, module and name of every import from interbert in documents and notebooks."""
    found = []
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for path in [*pages, *(ROOT / "examples").glob("*.ipynb")]:
        text = path.read_text(encoding="utf-8").replace('\\n",', "")
        for line in re.findall(r"^[ \"]*(from interbert[\w.]* import [\w, ]+)", text, flags=re.MULTILINE):
            (node,) = ast.parse(line).body
            assert isinstance(node, ast.ImportFrom)
            found += [(path, node.module or "", one.name) for one in node.names]
    return found


def test_documents_import_public_names_alone() -> None:
    names = documented_names()
    assert len(names) > 10
    for path, module, name in names:
        if module == "interbert.vl_tasks":
            continue  # its modules are what it has
        public = getattr(import_module(module), "__all__", []) if module in PUBLIC_MODULES else []
        assert name in public, f"{path.name}: {module}.{name}"
