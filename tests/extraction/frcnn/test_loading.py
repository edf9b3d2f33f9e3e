from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest
import torch
import yaml
from tests.extraction.frcnn.checks import TINY, TINY_CAFFE, random_frcnn
from tests.extraction.frcnn.conftest import port_config

from interbert.errors import CheckpointError, ConfigError
from interbert.extraction.frcnn.config import DETECTRON2, attribute_names, object_names, read_port_config
from interbert.extraction.frcnn.loading import load_frcnn


def test_a_folder_of_the_hub_is_loaded_with_its_configuration(hub_folder: Path) -> None:
    loaded = load_frcnn(str(hub_folder))
    assert loaded.model.config == TINY
    assert loaded.weights_from == str(hub_folder)
    assert loaded.weights_sha256 == hashlib.sha256((hub_folder / "pytorch_model.bin").read_bytes()).hexdigest()
    for name, value in random_frcnn(TINY).state_dict().items():
        torch.testing.assert_close(loaded.model.state_dict()[name], value)


def test_the_papers_own_weights_are_known_by_their_shapes(caffe_file: Path) -> None:
    loaded = load_frcnn(str(caffe_file))
    assert loaded.model.config == TINY_CAFFE
    for name, value in random_frcnn(TINY_CAFFE).state_dict().items():
        torch.testing.assert_close(loaded.model.state_dict()[name], value)


def test_weights_without_attributes_make_a_detector_without(hub_folder: Path) -> None:
    file = hub_folder / "pytorch_model.bin"
    state = torch.load(file, weights_only=True)
    torch.save({name: one for name, one in state.items() if "attr" not in name and "embedding" not in name}, file)
    assert load_frcnn(str(hub_folder)).model.config.num_attributes == 0


def test_the_configuration_of_the_port_is_read_in_either_case_and_the_rest_is_the_papers(tmp_path: Path) -> None:
    tree = {"resnets": {"DEPTH": 152}, "Rpn": {"post_nms_topk_test": 17}, "input": {"min_size_test": 800}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    config = read_port_config(tmp_path / "config.yaml")
    assert (config.blocks, config.proposals, config.short_side) == ((3, 8, 36), 17, 800)
    assert (config.long_side, config.anchor_sizes, config.box_weights) == (
        1000,
        DETECTRON2.anchor_sizes,
        (10.0, 10.0, 5.0, 5.0),
    )


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("RESNETS", "NUM_GROUPS", 32, r"resnets\.num_groups is 32; only networks with 1"),
        ("RESNETS", "DEPTH", 18, r"resnets\.depth is 18; known are 50, 101, 152"),
        ("RESNETS", "STRIDE_IN_1X1", False, r"resnets\.stride_in_1x1 is False"),
        ("INPUT", "FORMAT", "RGB", r"input\.format is RGB"),
        ("ANCHOR_GENERATOR", "SIZES", [[32], [64]], r"anchor_generator\.sizes is"),
        ("ROI_BOX_HEAD", "BBOX_REG_WEIGHTS", [1.0], r"roi_box_head\.bbox_reg_weights is \[1\.0\]"),
        ("ROI_HEADS", "NUM_CLASSES", "many", r"roi_heads\.num_classes is 'many'"),
    ],
)
def test_a_network_that_this_is_not_is_named(
    tmp_path: Path, section: str, key: str, value: object, message: str
) -> None:
    tree = port_config(TINY)
    tree[section][key] = value
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_port_config(tmp_path / "config.yaml")


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "\x00"])
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"config\.yaml: (holds no settings|is no readable YAML)"):
        read_port_config(tmp_path / "config.yaml")


def test_a_configuration_of_other_sizes_is_noticed(hub_folder: Path) -> None:
    tree = port_config(TINY)
    tree["ROI_HEADS"]["NUM_CLASSES"] = 80
    (hub_folder / "config.yaml").write_text(yaml.safe_dump(tree), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"has the shape .* needs .*Does its config\.yaml belong to it"):
        load_frcnn(str(hub_folder))


def test_a_truncated_file_is_an_error_of_one_line(hub_folder: Path) -> None:
    file = hub_folder / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin: .*(truncated|damaged)"):
        load_frcnn(str(hub_folder))


def test_the_detectron2_ports_pickle_of_arrays_is_read(hub_folder: Path, tmp_path: Path) -> None:
    state = {name: one.numpy() for name, one in torch.load(hub_folder / "pytorch_model.bin", weights_only=True).items()}
    (tmp_path / "other").mkdir()
    file = tmp_path / "other" / "faster_rcnn_from_caffe_attr.pkl"
    file.write_bytes(pickle.dumps({"model": state, "__author__": "someone"}))
    (tmp_path / "other" / "config.yaml").write_bytes((hub_folder / "config.yaml").read_bytes())
    for where in (file, file.parent):
        loaded = load_frcnn(str(where)).model
        assert loaded.config == TINY
        for name, value in random_frcnn(TINY).state_dict().items():
            torch.testing.assert_close(loaded.state_dict()[name], value)


@pytest.mark.parametrize("data", [b"cos\nsystem\n(S'touch ran'\ntR.", b"", b"\x80\x04K\x01.", pickle.dumps({"a": [1]})])
def test_nothing_in_a_pickle_is_run_and_what_holds_no_arrays_is_refused(
    tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pkl").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"weights\.pkl: (was refused|holds no named arrays)") as caught:
        load_frcnn(str(tmp_path / "weights.pkl"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_the_names_are_visual_genomes() -> None:
    assert len(object_names()) == DETECTRON2.num_classes == 1601
    assert len(attribute_names()) == DETECTRON2.num_attributes == 400
    assert object_names()[:2] == ("background", "yolk")
    assert attribute_names()[:2] == ("gray", "multi colored")
    assert all(name == name.strip() and name for name in object_names() + attribute_names())
