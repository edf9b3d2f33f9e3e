"""What sentence-transformers looks for in a model directory, so that ``CrossEncoder(DIR)`` finds a reranker there.

Only classes of that library are named in the files: since its version 6 it refuses others without
``trust_remote_code``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from interbert.atomic_write import atomic_write
from interbert.bounded_files import read_json, reading

_FORWARD = {"method": "forward", "method_output_name": "logits"}

_FILES: dict[str, Any] = {
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.base.modules.transformer.Transformer"}
    ],
    "config_sentence_transformers.json": {"model_type": "CrossEncoder", "prompts": {}, "default_prompt_name": None},
    "sentence_bert_config.json": {
        "transformer_task": "sequence-classification",
        # a dict {"text", "image"} in either order; pairs come as messages
        "modality_config": {
            "text": _FORWARD,
            "image": _FORWARD,
            "text+image": _FORWARD,
            "image+text": _FORWARD,
            "message": _FORWARD | {"format": "structured"},
        },
        "module_output_name": "scores",
    },
}

PAIR_SCORER = "InterBertForPairScoring"
"""The class that gives one logit a pair."""


def write_cross_encoder_files(folder: Path) -> None:
    """Describe a saved retrieval model as a cross-encoder, in the library's own files and in ``config.json``."""
    for name, content in _FILES.items():
        atomic_write(folder / name, json.dumps(content, indent=2) + "\n")
    file = folder / "config.json"
    with reading(file, "Save the model again."):
        config = read_json(file)
        described = PAIR_SCORER in config["architectures"]
    if not described:
        config["architectures"].append(PAIR_SCORER)
        atomic_write(file, json.dumps(config, indent=2, sort_keys=True) + "\n")
