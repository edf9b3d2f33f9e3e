"""Fine-tune for classification and say which test items are answered rightly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.checkpoints.directory import load_classifier
from interbert.data.collation import LabelledItem
from interbert.tasks.classification import predict
from interbert.training.classify import Labelled, finetune_classification, processor_for
from interbert.training.options import FinetuneClassificationOptions, TrainingOptions


def right_answers(
    model: str, data: Mapping[str, Labelled], out: Path, training: TrainingOptions
) -> NDArray[np.floating]:
    """1 for each test item [n] that is answered rightly, else 0.

    Args:
        model: directory of an InterBERT, or a BERT.
        data: train, dev (which chooses the pass that is kept) and test: texts, images or both.
        out: of the fine-tuned model.
        training: how long.
    """
    train, test = data["train"], data["test"]
    options = FinetuneClassificationOptions(
        model=model,
        source="train",
        out=str(out),
        text=None if train.texts is None else "sentence",
        image_column=None if train.images is None else "image",
        training=training,
    )
    processor = processor_for(options)
    finetune_classification(options, processor, train, data["dev"])
    trained = load_classifier(str(out), sorted(set(train.labels)))
    names = [trained.config.id2label[place] for place in range(trained.config.num_labels)]
    ids: Sequence[Any] = [None] * len(test.labels) if test.texts is None else processor.texts_to_ids(test.texts)
    images = [None] * len(test.labels) if test.images is None else test.images
    items = [
        LabelledItem(None if one is None else tuple(one), image, 0) for one, image in zip(ids, images, strict=True)
    ]
    best = predict(trained, items, processor.pad_token_id).argmax(axis=1)
    return np.array([names[place] == label for place, label in zip(best, test.labels, strict=True)], dtype=float)
