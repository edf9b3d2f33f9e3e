"""Exported files against torch, under both runtimes."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from tests.conftest import tiny_config
from tests.killing import kill_at

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from interbert import InterBertForImageTextRetrieval, InterBertProcessor
from interbert.checkpoints.bert import bert_tokenizer
from interbert.cli.main import main
from interbert.errors import CheckpointError, UsageError
from interbert.export import onnx, quantise
from interbert.export.modules import PARTS, JointScorer
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
        dual_score_weight=2.0,
        max_position_embeddings=40,
    )
    InterBertForImageTextRetrieval(config).save_pretrained(folder)
    InterBertProcessor(InterBertRegionFeatureExtractor(info.to_dict()), tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def exported(directory, shop_store):
    out = directory.parent / "onnx"
    assert main(["export", "onnx", str(directory), str(shop_store), str(out), "--text-columns", "title"]) == 0
    return out


@pytest.fixture
def written(exported, monkeypatch):
    """Exports of ``directory`` take the files of ``exported``, which take most of the time, and check them anew."""
    monkeypatch.setattr(
        onnx, "_export", lambda module, part, batch, file, most: shutil.copy(exported / part.file, file)
    )


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
    assert report["largest difference between batches"].keys() == {part.file for part in PARTS}
    assert max(report["largest difference between batches"].values()) <= 1e-4
    assert InterBertProcessor.from_pretrained(exported).extractor_info["name"] == "grid"
    assert (exported / "config.json").is_file()


@pytest.mark.slow
def test_a_file_that_differs_is_not_kept(directory, shop_store, written, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx, "TOLERANCE", 0.0)
    with pytest.raises(CheckpointError, match=r"joint\.onnx: differs from torch by"):
        export_onnx(directory, str(shop_store), tmp_path / "onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_int8_file_is_judged_by_recall(directory, shop_store, written, tmp_path, monkeypatch):
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
    assert abs(recall.float_r1 - first) <= 100 * 2 / 24  # the CPU may score in bf16, over all images

    monkeypatch.setattr(quantise, "LARGEST_LOSS", -200.0)
    with pytest.raises(CheckpointError, match=r"falls from .* refused"):
        export_onnx(directory, str(shop_store), tmp_path / "refused", ["title"], quantise=True, queries=24)
    assert not (tmp_path / "refused").exists()


@pytest.fixture(scope="module")
def quantised(exported):
    """The exported joint scorer in 8 bits."""
    file = exported.parent / "joint.int8.onnx"
    quantise.write_quantised(exported / "joint.onnx", file)
    return file


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("name", ["float", "int8"])
def test_a_pairs_score_does_not_depend_on_its_batch(exported, quantised, shop_store, directory, backend, name):
    if backend == "openvino":
        pytest.importorskip("openvino")
    run = open_exported(quantised if name == "int8" else exported / "joint.onnx", backend)
    processor = InterBertProcessor.from_pretrained(directory)
    regions = RegionStore.open(shop_store).take(range(6))
    texts = ["red", "a blue square with a very long description that goes on", "a", "绿色三角形", "", "grey paper"]

    def scores(*pairs):
        inputs = processor(text=[texts[one] for one in pairs], regions=[regions[one] for one in pairs])
        return run({part: inputs[part].numpy() for part in PARTS[0].inputs})

    alone = np.array([scores(one)[0] for one in range(6)])
    assert np.ptp(alone) > 0.1
    np.testing.assert_allclose(scores(0, 1, 2, 3, 4, 5), alone, atol=1e-4)
    np.testing.assert_allclose(scores(2, 2, 2), alone[[2, 2, 2]], atol=1e-4)
    np.testing.assert_allclose(scores(4, 1), alone[[4, 1]], atol=1e-4)  # the most padding


@pytest.mark.slow
def test_weights_are_in_8_bits(exported, quantised):
    """The exporter transposes large weights at run time; only constants are quantised."""
    onnx_file = pytest.importorskip("onnx")
    graph = onnx_file.load(quantised).graph
    constants = {one.name: int(np.prod(one.dims)) for one in graph.initializer}
    left = [one for one in graph.node if one.op_type == "MatMul" and one.input[1] in constants]
    assert not left
    assert sum(one.op_type == "MatMulNBits" for one in graph.node) > 20
    assert not any(one.op_type == "DynamicQuantizeLinear" for one in graph.node)


@pytest.mark.slow
def test_a_file_whose_scores_depend_on_their_batch_is_refused(directory, shop_store, written, tmp_path, monkeypatch):
    from onnxruntime.quantization import quantize_dynamic

    monkeypatch.setattr(quantise, "LARGEST_LOSS", 100.0)
    monkeypatch.setattr(quantise, "write_quantised", quantize_dynamic)  # one scale for all pairs of a batch
    with pytest.raises(CheckpointError, match=r"a pair's score changes by .* with the pairs beside it"):
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


def test_an_export_that_is_killed_leaves_nothing_in_the_way(directory, shop_store, written, tmp_path):
    words = ["export", "onnx", str(directory), str(shop_store), str(tmp_path / "onnx"), "--text-columns", "title"]
    kill_at(1, "folders", *words)
    assert not (tmp_path / "onnx").exists()
    assert main(words) == 0
    assert [one.name for one in tmp_path.iterdir()] == ["onnx"]


def test_runtimes_report_nothing_to_their_vendors(exported, tmp_path):
    script = (
        "import sys, numpy as np\n"
        "from interbert.export.runtime import open_exported\n"
        f"[open_exported({str(exported / 'text_encoder.onnx')!r}, name) for name in ('onnxruntime', 'openvino')]\n"
    )
    env = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env | {"HOME": str(tmp_path)}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-600:]
    # each would make an id of the machine there, to send with its reports
    assert [path for path in tmp_path.rglob("*") if path.name in ("deviceid", "openvino_ga_cid")] == []


def test_a_model_that_does_not_read_jointly_is_exported_with_a_free_batch():
    torch.manual_seed(0)
    config = tiny_config(contrastive_size=8, dual_score_weight=2.0, dual_score_offset=-1.5)
    scorer = JointScorer(InterBertForImageTextRetrieval(config).eval())

    def inputs(count):
        ids = torch.randint(3, 60, (count, 5))
        return (
            ids,
            torch.ones_like(ids),
            torch.randn(count, 4, 10),
            torch.rand(count, 4, 5),
            torch.ones(count, 4).long(),
        )

    batch = torch.export.Dim("batch")
    exported = torch.export.export(scorer, inputs(2), dynamic_shapes=tuple({0: batch} for _ in range(5))).module()
    for count in (2, 3, 8):
        asked = inputs(count)
        torch.testing.assert_close(exported(*asked), scorer(*asked), atol=1e-5, rtol=1e-5)
