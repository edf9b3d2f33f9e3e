"""Where a model comes from: saved beside its weights as ``provenance.json``."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interbert.atomic_write import atomic_write
from interbert.installed import installed_versions
from interbert.redaction import published

PROVENANCE = "provenance.json"
_PACKAGES = ("interbert", "torch", "transformers", "tokenizers", "pylance", "numpy")


def provenance(recipe: Mapping[str, Any], data: Mapping[str, str]) -> dict[str, Any]:
    """Git hash, resolved recipe, versions, machine, and fingerprints of the data.

    It is published with the model: what lay at an absolute path is named alone. The run's ``recipe.json`` has paths.
    """
    return {
        "git": _git_hash(),
        "recipe": published(recipe),
        "data": published(data),
        "versions": versions(),
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
    }


def versions() -> dict[str, str]:
    """Installed versions of what decides the numbers."""
    return installed_versions(_PACKAGES)


def write_provenance(folder: Path, content: Mapping[str, Any]) -> None:
    """Write ``provenance.json`` into a model directory."""
    atomic_write(folder / PROVENANCE, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def _git_hash() -> str | None:
    """Commit of the source tree; None for an installed package."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
