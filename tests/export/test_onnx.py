"""Exported files against torch, under both runtimes."""

import json

import numpy as np
import pytest
import torch
from tests.conftest import tiny_config

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from interbert import InterBertForImageTextRetrieval, InterBertProcessor
from interbert.checkpoints.bert import bert_tokenizer
from interbert.cli.main import main
from interbert.errors import CheckpointError, UsageError
from interbert.export import onnx, quantise
from interbert.export.modules import PARTS
from interbert.export.onnx import export_onnx
from interbert.export.runtime import open_exported
from interbert.model.region_inputs import InterBertRegionFeatureExtractor
from interbert.model.scoring import score_matrix
from interbert.regions.store import RegionStore


@pytest.fixture(scope="module")
def directory(shop_store, tiny_bert, tmp_path_factory):
    """A random retrieval model for the shop's regions."""
    folder = tmp_path_factory.mktemp("export") / "model"
    info = RegionStore.open(shop_store).info
    tokenizer = bert_tokenizer(tiny_bert)
    torch.manual_seed(0)
    config = tiny_config(
        vocab_size=len(tokenizer),
        region_feature_size=info.feature_size,
        contrastive_size=8,
        dual_prior=2.0,
        max_position_embeddings=40,
    )
    InterBertForImageTextRetrieval(config).save_pretrained(folder)
    InterBertProcessor(InterBertRegionFeatureExtractor(info.to_dict()), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def exported(directory, shop_store):
    out = directory.parent / "onnx"
    assert main(["export", "onnx", str(directory), str(shop_store), str(out), "--texts", "title"]) == 0
    return out


def pairs(directory, shop_store, count):
    """Inputs of pairs the export has not checked, and what torch makes of them."""
    model = InterBertForImageTextRetrieval.from_pretrained(directory).eval()
    processor = InterBertProcessor.from_pretrained(directory)
    texts = ["red", "a blue square with a very long description that goes on and on", "绿色三角形"][:count]
    inputs = processor(text=texts, regions=RegionStore.open(shop_store).take(range(20, 20 + count)))
    return model, inputs


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("count", [1, 3])
def test_files_compute_what_torch_computes(directory, exported, shop_store, backend, count):
    if backend == "openvino":
        pytest.importorskip("openvino")
    model, inputs = pairs(directory, shop_store, count)
    for part in PARTS:
        with torch.no_grad():
            expected = part.module(model)(*(inputs[name] for name in part.inputs)).numpy()
        run = open_exported(exported / part.file, backend)
        found = run({name: inputs[name].numpy() for name in part.inputs})
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.slow
def test_a_folder_is_complete_and_says_how_far_it_is_from_torch(exported):
    report = json.loads((exported / "export.json").read_text())
    assert report["largest difference from torch"].keys() == {part.file for part in PARTS}
    assert max(report["largest difference from torch"].values()) <= 1e-4
    assert InterBertProcessor.from_pretrained(exported).extractor_info["name"] == "grid"
    assert (exported / "config.json").is_file()


@pytest.mark.slow
def test_a_file_that_differs_is_not_kept(directory, shop_store, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "TOLERANCE", 0.0)
    with pytest.raises(CheckpointError, match=r"joint\.onnx: differs from torch by"):
        export_onnx(directory, str(shop_store), tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_int8_file_is_judged_by_recall(directory, shop_store, tmp_path, monkeypatch):
    monkeypatch.setattr(quantise, "LARGEST_LOSS", 100.0)  # an untrained model's few right answers come and go
    recall = export_onnx(directory, str(shop_store), tmp_path / "kept", ["title"], quantise=True, queries=24).quantised
    assert recall is not None
    assert (tmp_path / "kept" / "joint.int8.onnx").stat().st_size < (tmp_path / "kept" / "joint.onnx").stat().st_size
    # the float file's recall is torch's own
    model = InterBertForImageTextRetrieval.from_pretrained(directory).eval()
    processor = InterBertProcessor.from_pretrained(directory)
    from interbert.data.pairs import PairTable
    from interbert.tasks.retrieval import RetrievalSet

    store = RegionStore.open(shop_store)
    data = RetrievalSet.from_table(PairTable.from_captions(store.captions(), ["title"], "shop"), 24)
    scores = score_matrix(model, *data.encode(store, processor))
    first = data.relevant[np.arange(len(scores)), scores.argmax(axis=1)].mean() * 100
    assert abs(recall.float_r1 - first) <= 100 * 2 / 24  # the CPU may score in bf16, over all pictures

    monkeypatch.setattr(quantise, "LARGEST_LOSS", -200.0)
    with pytest.raises(CheckpointError, match=r"falls from .* refused"):
        export_onnx(directory, str(shop_store), tmp_path / "refused", ["title"], quantise=True, queries=24)
    assert not (tmp_path / "refused").exists()


def test_what_cannot_be_exported_is_refused_before_anything_is_computed(directory, shop_store, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        export_onnx(directory, str(shop_store), tmp_path / "full")
    with pytest.raises(CheckpointError, match="no model here"):
        export_onnx(tmp_path, str(shop_store), tmp_path / "onnx")


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "joint.onnx").write_bytes(b"not a graph")
    with pytest.raises(CheckpointError, match=r"joint\.onnx: onnxruntime cannot read it"):
        open_exported(tmp_path / "joint.onnx")
    with pytest.raises(CheckpointError, match="no such file"):
        open_exported(tmp_path / "absent.onnx")
