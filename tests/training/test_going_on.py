"""Pretraining that goes on from a pretrained InterBERT, and what a model without a warm start begins with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.conftest import tiny_config

from interbert.cli.main import main
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import ImageEmbeddings, InterBertForPreTraining
from interbert.training.warm_start import start_in_balance

SMALL = ["--training.batch-size", "8", "--training.log-steps", "1", "--validation-share", "0.2"]
SIZES = ["--model.pooler-size", "16", "--model.contrastive-size", "16"]
BRIEF = ["--training.max-steps", "2"]


@pytest.fixture(scope="module")
def first(shop_store: Path, tiny_bert: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "first"
    assert main(["pretrain", str(shop_store), str(out), "--init-from", tiny_bert, *SIZES, *SMALL, *BRIEF]) == 0
    return out


def test_it_begins_with_the_weights_tokenizer_and_scaling_of_the_model(
    first: Path, shop_store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "second"
    # a rate of next to nothing leaves the weights where they began
    words = ["pretrain", str(shop_store), str(out), "--init-from", str(first), "--training.learning-rate", "1e-12"]
    assert main([*words, *SMALL, *BRIEF]) == 0
    before, after = (load_file(folder / "model.safetensors") for folder in (first, out))
    assert before.keys() == after.keys()
    for name, weights in before.items():
        torch.testing.assert_close(after[name], weights, atol=1e-6, rtol=0)
    for name in ("tokenizer.json", "preprocessor_config.json"):
        if (first / name).exists():
            assert (out / name).read_bytes() == (first / name).read_bytes()
    began = json.loads((out / "initialisation.json").read_text())
    assert not began["random"]
    assert began["source"] == first.name or began["source"].endswith(first.name)


def test_sizes_of_a_model_that_goes_on_are_settled(
    first: Path, shop_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pretrain", str(shop_store), str(tmp_path / "out"), "--init-from", str(first), "--model.pooler-size", "8"]
    assert main([*words, *SMALL, *BRIEF]) == 2
    error = capsys.readouterr().err
    assert "model.pooler_size" in error
    assert "Leave the option out" in error


def test_regions_of_another_extractor_do_not_go_on(
    first: Path, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    words = ["extract", str(shop), str(other), "--text-columns", "title", "--scales", "1", "--input-size", "64"]
    assert main(words) == 0
    assert main(["pretrain", str(other), str(tmp_path / "out"), "--init-from", str(first), *SMALL, *BRIEF]) == 2
    assert "another extractor" in capsys.readouterr().err


def deep(folder: Path) -> None:
    (folder / "config.json").write_text('{"a": ' * 900 + "1" + "}" * 900)


def no_object(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def changed(**fields: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | fields))

    return change


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def half_of_the_weights(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])


def of_other_regions(folder: Path) -> None:
    """Settings and weights that fit each other, and not the extractor that the processor names."""
    config = InterBertConfig.from_pretrained(folder, num_region_classes=7)
    InterBertForPreTraining(config).save_pretrained(folder)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (deep, "config.json: is damaged (it is nested deeper than 60 levels"),
        (no_object, "config.json: is damaged (it is no JSON object)"),
        (changed(hidden_size="large"), "hidden_size must be a whole number"),
        (changed(vocab_size=[1]), "its processor cannot be read ("),
        (changed(num_region_classes=7), "they have other shapes than config.json says"),
        (changed(auto_map={"AutoModel": "own.Own"}), "asks for code of its own"),
        (without_weights, "its weights cannot be read"),
        (half_of_the_weights, "its weights cannot be read"),
        (of_other_regions, "config.json and processor_config.json are not of one model"),
    ],
)
def test_a_damaged_model_is_said_in_one_line(
    first: Path,
    shop_store: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(first, damaged, ignore=shutil.ignore_patterns("checkpoints", "recipe.json"))
    damage(damaged)
    words = ["pretrain", str(shop_store), str(tmp_path / "out"), "--init-from", str(damaged)]
    assert main([*words, *SMALL, *BRIEF]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if said in line] == lines[-1:]
    assert "Traceback" not in "".join(lines)


def test_texts_longer_than_the_model_has_positions(
    first: Path, shop_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pretrain", str(shop_store), str(tmp_path / "out"), "--init-from", str(first), "--max-text-tokens", "9999"]
    assert main([*words, *SMALL, *BRIEF]) == 2
    assert "max_text_tokens 9999 is more than the" in capsys.readouterr().err


def test_places_and_features_start_with_about_the_same_weight() -> None:
    torch.manual_seed(0)
    embeddings = ImageEmbeddings(tiny_config(region_feature_size=1024, hidden_size=96))
    start_in_balance(embeddings)
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 0.6, (500, 2))
    sides = generator.uniform(0.1, 0.4, (500, 1))
    boxes = np.concatenate([corners, corners + sides, sides**2], axis=1)
    with torch.no_grad():
        features = embeddings.feature_projection(torch.randn(500, 1024))
        places = embeddings.location_projection(torch.tensor(boxes, dtype=torch.float32))
    vary = places.std(dim=0).mean() / features.std(dim=0).mean()
    assert 0.3 < vary < 2
    assert places.mean(dim=0).abs().mean() < 2 * places.std()
