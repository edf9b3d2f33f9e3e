"""What a run leaves to publish names no folder of this machine, and no file of it has credentials."""

from __future__ import annotations

import json
from pathlib import Path

from interbert.cli.main import main

SECRET = "s3://key:hidden@bucket/shop?token=hidden"


def test_a_model_directory_and_its_page_hold_names_and_the_recipe_the_paths(retrieval: Path, tmp_path: Path) -> None:
    home = str(retrieval.parent)
    assert home in (retrieval / "recipe.json").read_text(encoding="utf-8")  # a rerun compares it
    private = {"recipe.json", "regions.json"}
    held = {file.name for file in retrieval.iterdir() if file.is_file() and home.encode() in file.read_bytes()}
    assert held <= private
    started = (retrieval / "README.md").read_text(encoding="utf-8")
    assert "Started from `pretrained`" in started
    assert "- started_from: `pretrained`" in started
    assert (
        main(["report", str(retrieval), str(retrieval.parent / "pretrained"), "--out", str(tmp_path / "p.html")]) == 0
    )
    page = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert home not in page
    assert str(retrieval.parent.parent) not in page


def test_a_recipe_with_credentials_is_the_same_run_without_them(tmp_path: Path) -> None:
    from interbert.training.options import FinetuneRetrievalOptions
    from interbert.training.run_setup import as_recipe, claim_folder

    recipe = as_recipe(FinetuneRetrievalOptions("model", SECRET, "out"))
    assert recipe["regions"] == "s3://bucket/shop"
    claim_folder(tmp_path, recipe)
    (tmp_path / "log_history.jsonl").write_text("")
    assert not claim_folder(tmp_path, recipe)
    assert b"hidden" not in (tmp_path / "recipe.json").read_bytes()
    before = json.loads((tmp_path / "recipe.json").read_text()) | {"regions": SECRET}  # as earlier versions wrote it
    (tmp_path / "recipe.json").write_text(json.dumps(before))
    assert not claim_folder(tmp_path, recipe)
