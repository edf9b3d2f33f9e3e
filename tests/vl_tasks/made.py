"""Made scenes for tests of vision-and-language tasks: hand-made region features, and a model small enough to train."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import BertTokenizer

from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForPreTraining
from interbert.model.processing import InterBertProcessor
from interbert.model.region_inputs import InterBertRegionFeatureExtractor
from interbert.regions.schema import ExtractorInfo, RegionRecord, Regions
from interbert.regions.store import RegionStore

COLOURS = ("red", "blue", "green")
FEATURES = 6
INFO = ExtractorInfo("made", {}, FEATURES, None)
BOXES = ((0.0, 0.0, 40.0, 40.0), (50.0, 50.0, 90.0, 90.0), (0.0, 60.0, 30.0, 100.0))
"""Of the objects of a scene, in an image of 100 x 100 pixels."""
FAST = [
    "--training.batch-size",
    "16",
    "--training.learning-rate",
    "1e-2",
    "--training.epochs",
    "3",
    "--training.precision",
    "fp32",
]

WORDS = (
    *COLOURS,
    *("what", "color", "is", "it", "the", "one", "looks", "they", "are", "alike", "thing", "black", "film", "fine"),
)

Scene = Sequence[str]
"""Colour of each object."""


def scenes(count: int, objects: int = 1, seed: int = 0) -> dict[str, Scene]:
    """Image id -> colours of its objects, all different."""
    drawn = np.random.default_rng(seed)
    return {f"{100 + place}": [COLOURS[c] for c in drawn.permutation(3)[:objects]] for place in range(count)}


def features_of(scene: Scene) -> np.ndarray:
    """[objects,F]: which colour, and a constant."""
    found = np.zeros((len(scene), FEATURES), dtype=np.float32)
    for row, colour in enumerate(scene):
        found[row, COLOURS.index(colour)] = 3.0
        found[row, 5] = 1.0
    return found


def write_store(path: Path, images: Mapping[str, Scene], boxes: Sequence[Sequence[float]] = BOXES) -> Path:
    """A region store of scenes."""
    store = RegionStore.create(path, INFO)
    records = [
        RegionRecord(
            image_id=name,
            product_id=name,
            digest=f"{row:064x}",
            view=0,
            source_row=row,
            texts=(),
            text_fields=(),
            regions=Regions(np.array(boxes[: len(scene)], np.float32), features_of(scene), None, 100, 100),
        )
        for row, (name, scene) in enumerate(images.items())
    ]
    store.append(records)
    return path


def write_model(path: Path) -> Path:
    """A model directory with random weights, that reads the features of :func:`features_of`."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [
        *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "?"),
        *WORDS,
        *letters,
        *(f"##{one}" for one in letters),
    ]
    tokenizer = BertTokenizer(vocab={piece: place for place, piece in enumerate(dict.fromkeys(pieces))})
    torch.manual_seed(0)
    config = InterBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=24,
        num_attention_heads=2,
        intermediate_size=32,
        num_interaction_layers=1,
        num_text_layers=1,
        num_image_layers=1,
        image_num_attention_heads=2,
        image_intermediate_size=32,
        max_position_embeddings=40,
        region_feature_size=FEATURES,
        num_region_classes=3,
        pooler_size=24,
        initializer_range=0.2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        image_hidden_dropout_prob=0.0,
        image_attention_probs_dropout_prob=0.0,
        fusion_dropout_prob=0.0,
    )
    InterBertForPreTraining(config).save_pretrained(path)
    extractor = InterBertRegionFeatureExtractor(INFO.to_dict())
    InterBertProcessor(extractor, tokenizer).save_pretrained(path)
    return path


def write_json(path: Path, value: object) -> Path:
    """A JSON file."""
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def write_lines(path: Path, rows: Sequence[object]) -> Path:
    """A JSON text a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
