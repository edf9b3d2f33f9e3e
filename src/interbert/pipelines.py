"""Pipelines of transformers for models that were fine-tuned for vision-and-language tasks; importing registers them.

    import interbert.pipelines
    from transformers import pipeline

    ask = pipeline("interbert-visual-question-answering", model="models/vqa")
    ask({"image": "street.jpg", "text": "What colour is the bus?"}, top_k=3)

transformers' own ``visual-question-answering`` is gone since its version 5, hence the names of ours. Classifiers of
texts work in its ``text-classification`` as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor
from transformers.pipelines import PIPELINE_REGISTRY
from transformers.pipelines.base import Pipeline

from interbert.errors import ConfigError
from interbert.extraction.extractor import build_extractor
from interbert.extraction.given import GivenExtractor, read_boxes
from interbert.extraction.images import as_image
from interbert.model.image_pairs import InterBertForImagePairClassification
from interbert.model.modeling import InterBertForMultipleChoice, InterBertForSequenceClassification
from interbert.model.region_choice import InterBertForRegionChoice
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.image_regions import joined_regions
from interbert.vl_tasks.items import VLCollator, VLItem
from interbert.vl_tasks.prediction_files import answers_of
from interbert.vl_tasks.settings import TaskSettings
from interbert.vl_tasks.task import Prediction, find_task
from interbert.vl_tasks.task_heads import head_of
from interbert.vl_tasks.texts import tokenized

NAMES: dict[str, type] = {
    "interbert-visual-question-answering": InterBertForSequenceClassification,
    "interbert-visual-entailment": InterBertForSequenceClassification,
    "interbert-image-pair-classification": InterBertForImagePairClassification,
    "interbert-visual-multiple-choice": InterBertForMultipleChoice,
    "interbert-referring-expression": InterBertForRegionChoice,
}
"""Task of ``transformers.pipeline`` -> class of its models."""


class VisionLanguagePipeline(Pipeline):  # type: ignore[misc]
    """Answers about images, whatever the task that the model was fine-tuned for.

    An input is a dictionary of ``text`` and ``image``: a path, bytes or a PIL image, or regions
    (:class:`~interbert.regions.schema.Regions`); ``images``, two of these, of a model that reads two; ``choices``,
    texts to choose from; ``boxes``, x1, y1, x2, y2 in pixels, of a model that reads given boxes. ``top_k`` (5) answers
    come back, each a dictionary of ``answer`` (a label, the number of a choice, or a box) and ``probability``.
    """

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._settings = TaskSettings.of(self.model.config, self.model.name_or_path)
        self._task = find_task(self._settings.name)
        labels = [str(label) for _, label in sorted(self.model.config.id2label.items())]
        self._head = head_of(self._task, labels)
        self._extractor: Any = None

    def __call__(self, inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]], **kwargs: Any) -> Any:
        """Answers for one input, or for each of several, one after the other."""
        return super().__call__(inputs, **(kwargs | {"batch_size": 1}))

    def _sanitize_parameters(self, top_k: int = 5, **_: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        return {}, {}, {"top_k": top_k}

    def preprocess(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Tensors of one input, and the boxes of its regions."""
        choices = tuple(given.get("choices", ()))
        if self._task.head == "choices" and len(choices) < 2:
            raise ConfigError("this model chooses among texts: give two or more as 'choices'.")
        texts = (str(given["text"]),) * max(1, len(choices))
        example = Example("input", (), texts, choices)
        item = VLItem(tokenized(self.processor, [example])[0], (), None, np.zeros((0, 4), dtype=np.float32))
        if not self._settings.text_only:
            regions = [self._regions(one, given.get("boxes")) for one in self._images(given)]
            arrays = tuple(self.processor.image_inputs(one, "image") for one in regions)
            item = VLItem(item.texts, arrays, None, regions[0].boxes)
        batch: dict[str, Any] = VLCollator(self.processor.pad_token_id, self._head)([item])
        return batch | {"boxes": item.boxes}

    def _images(self, given: Mapping[str, Any]) -> list[Any]:
        images = list(given["images"]) if "images" in given else [given.get("image")]
        if len(images) != self._task.images or any(one is None for one in images):
            wanted = "'image'" if self._task.images == 1 else f"{self._task.images} 'images'"
            raise ConfigError(f"a model of {self._task.title} reads {wanted} of an input.")
        return images

    def _regions(self, image: Any, boxes: Any) -> Any:
        """Regions of an image as the model reads them; what are regions already stay."""
        most, source = self._settings.max_regions, self._settings.boxes
        if hasattr(image, "features"):
            return joined_regions([image], most)
        if source == "detected":
            return joined_regions(self.processor.feature_extractor.regions([image]), most)
        if self._extractor is None:
            self._extractor = build_extractor(self.processor.extractor_info, self.processor.extractor_folder)
        opened = as_image(image, "image")
        parts = GivenExtractor(self._extractor).encode([opened], [read_boxes(boxes, "xyxy", opened.size, "boxes")])
        return joined_regions([*parts, *(self._extractor.detect([opened]) if source == "both" else ())], most)

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        boxes = batch.pop("boxes")
        probabilities: Tensor = self._head.probabilities(self._head.logits(self.model, batch))
        return {"probabilities": probabilities[0], "boxes": boxes}

    def postprocess(self, found: Mapping[str, Any], top_k: int = 5) -> list[dict[str, Any]]:
        """The most probable answers."""
        said = found["probabilities"].float().numpy()
        return answers_of(Prediction(self._head.answer(said, found["boxes"]), said, found["boxes"]), self._head, top_k)


for _name, _model in NAMES.items():
    PIPELINE_REGISTRY.register_pipeline(_name, VisionLanguagePipeline, pt_model=_model, type="multimodal")
