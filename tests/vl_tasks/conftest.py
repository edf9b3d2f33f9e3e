from __future__ import annotations

from pathlib import Path

import pytest
from tests.vl_tasks.made import write_model


@pytest.fixture(scope="session")
def vl_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model directory to fine-tune."""
    return write_model(tmp_path_factory.mktemp("vl") / "start")
