"""What goes to a hub is a whole model directory: the library's own calls, with a folder in place of the hub."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from tests.conftest import tiny_config
from transformers.utils import hub

import interbert
from interbert.checkpoints.bert import bert_tokenizer
from interbert.checkpoints.directory import load_model, load_processor
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor


class FolderHub:
    """Takes the calls that the library makes of a hub."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create_repo(self, repo_id: str, **_: Any) -> SimpleNamespace:
        (self.folder / repo_id).mkdir(parents=True, exist_ok=True)
        return SimpleNamespace(repo_id=repo_id)

    def create_commit(self, repo_id: str, operations: list[Any], **_: Any) -> None:
        for one in operations:
            target = self.folder / repo_id / one.path_in_repo
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(one.path_or_fileobj, target)


def test_a_pushed_model_and_processor_come_back_as_they_were(
    tmp_path: Path, tiny_bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "hf_api", lambda *_, **__: FolderHub(tmp_path))
    monkeypatch.setattr(hub, "create_and_tag_model_card", lambda *_, **__: ModelCard("---\ntags: [x]\n---\n# A model"))
    torch.manual_seed(0)
    tokenizer = bert_tokenizer(tiny_bert)
    model = interbert.InterBertForImageTextRetrieval(tiny_config(vocab_size=len(tokenizer)))
    info = GridExtractor(GridSettings(input_size=64, scales=(1, 2))).info
    processor = InterBertProcessor(InterBertRegionFeatureExtractor(info.to_dict()), tokenizer)
    model.push_to_hub("shop/retrieval")
    processor.push_to_hub("shop/retrieval")
    again = load_model(tmp_path / "shop" / "retrieval")
    for name, value in model.state_dict().items():
        assert again.state_dict()[name].equal(value), name
    assert load_processor(tmp_path / "shop" / "retrieval").extractor_info == info.to_dict()
    assert (tmp_path / "shop" / "retrieval" / "README.md").read_text().startswith("---")
