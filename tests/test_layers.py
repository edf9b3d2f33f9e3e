"""The folders are the architecture: who may import whom, and what stays light."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import interbert

ROOT = Path(interbert.__file__).parent
EVERYWHERE = {"errors", "utils", "__init__"}
MAY_IMPORT = {
    "utils": set(),
    "losses": set(),
    "regions": set(),
    "model": {"losses"},
    "checkpoints": {"model"},
    "extraction": {"regions", "checkpoints"},  # checkpoints: files of tensors, read safely
    "data": {"regions", "losses"},
    "tasks": {"model", "losses", "data", "regions"},
    "vl_tasks": {*("training", "tasks", "data", "losses", "model", "checkpoints", "regions", "extraction")},
    "training": {"tasks", "data", "losses", "model", "checkpoints", "regions"},
    "export": {"model", "checkpoints", "tasks", "data", "regions"},
    "search": {"model", "regions", "data", "checkpoints", "extraction"},
    "topics": {"search", "extraction", "data", "regions", "model"},
    "adaptation": {"extraction", "training", "tasks", "data", "losses", "model", "checkpoints", "regions"},
    "explain": {"model"},
    "curation": {"extraction", "data", "search", "model", "regions", "checkpoints"},
    "report": {*("training", "tasks", "losses", "model", "data", "regions", "checkpoints", "extraction", "search")},
    "rollout": {"search", "tasks", "data"},
    "service": {"search", "topics", "explain", "model", "extraction", "checkpoints", "regions", "data"},
    "demo": {"report", "training", "tasks", "search", "data", "extraction", "regions", "checkpoints"},
}


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("interbert."):
            found.add(node.module.split(".")[1])
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("interbert.")}
    return found


@pytest.mark.parametrize("layer", MAY_IMPORT)
def test_a_layer_imports_only_what_it_may(layer: str) -> None:
    files = sorted((ROOT / layer).rglob("*.py"))
    assert files
    for path in files:
        foreign = imports_of(path) - MAY_IMPORT[layer] - EVERYWHERE - {layer}
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


def test_models_know_the_pure_losses_of_pretraining_alone() -> None:
    """Contrast, gathers over processes, in-batch mining and samplers belong to tasks."""
    for path in sorted((ROOT / "model").rglob("*.py")):
        tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        modules = {node.module for node in tree if isinstance(node, ast.ImportFrom) and node.module}
        foreign = {name for name in modules if name.startswith("interbert.losses")} - {"interbert.losses.pretraining"}
        foreign |= {name for name in modules if name.startswith(("torch.distributed", "torch.utils.data"))}
        assert not foreign, f"{path.relative_to(ROOT)} imports {sorted(foreign)}"


@pytest.mark.parametrize(
    "name", [name for name in interbert.__all__ if name.startswith(("InterBertFor", "InterBertM"))]
)
def test_a_models_forward_takes_what_transformers_models_take(name: str) -> None:
    inputs = inspect.signature(getattr(interbert, name).forward).parameters
    assert len(inputs) <= 1 + 12
    assert not {one for one in inputs if one.startswith(("real_", "predicted_", "contrast_", "negative_"))}


def test_nobody_imports_the_command_line() -> None:
    for path in ROOT.rglob("*.py"):
        if "cli" not in path.relative_to(ROOT).parts and path.name != "__main__.py":
            assert "cli" not in imports_of(path), path


def test_every_folder_is_in_the_plan() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {*MAY_IMPORT, "cli", "templates"}


LIGHT = [
    "interbert.model.modeling",
    "interbert.model.processing",
    "interbert.model.scoring",
    "interbert.training.trainer",
]


def test_the_model_and_the_training_core_need_no_store_and_no_data_library() -> None:
    script = (
        "import sys, importlib\n"
        "for name in ('lance', 'datasets', 'jsonargparse', 'pyarrow.parquet', 'rich'): sys.modules[name] = None\n"
        f"for module in {LIGHT}: importlib.import_module(module)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-600:]


def test_the_overview_loads_no_heavy_library() -> None:
    script = (
        "import sys\nsys.argv = ['/usr/bin/interbert']\nfrom interbert.cli.main import main\nmain([])\n"
        "heavy = {'torch', 'transformers', 'lance', 'datasets'} & sys.modules.keys()\nassert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-600:]
