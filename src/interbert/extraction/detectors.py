"""Any object detector of transformers that answers queries (DETR, RT-DETR, D-FINE, YOLOS...) as a region extractor.

A query's embedding is a region's feature, its box the region's box, and its class scores, with what they leave for
"nothing", the region's class distribution.

Shapes: B images of one size, Q queries, D embedding size, L labels, N regions of an image, C = L + 1 classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interbert.errors import ConfigError, MissingExtraError, first_line
from interbert.extraction.settings import DetectorSettings
from interbert.extraction.weights import files_sha256, find_weights, pick_device, weight_files
from interbert.regions.schema import ExtractorInfo, Regions

if TYPE_CHECKING:
    from PIL import Image

OPTION = "--weights"
_BATCH = {"cpu": 4, "cuda": 32}
_DESCRIBED_BY = ("config.json", "preprocessor_config.json")
"""Files beside the weights that decide what comes out."""


@dataclass(frozen=True)
class LoadedDetector:
    """A detector, how it wants its images, and what it is."""

    model: Any
    processor: Any
    found_at: str
    sha256: str
    """Of its weights, its configuration and its image processor."""
    folder: Path


class DetectorExtractor:
    """The surest queries of a detector as regions."""

    weights_file: Path | None = None
    """Its weights come from elsewhere and stay there."""

    def __init__(self, loaded: LoadedDetector, settings: DetectorSettings, device: str | None = None) -> None:
        from transformers.image_processing_backends import TorchvisionBackend

        self.settings = settings
        self.device = pick_device(device)
        self.model = loaded.model.to(self.device).eval()
        self._processor = loaded.processor
        scales_there = self.device != "cpu" and isinstance(loaded.processor, TorchvisionBackend)
        self._where = {"device": self.device} if scales_there else {}
        labels = int(self.model.config.num_labels)
        own = {field.name: getattr(settings, field.name) for field in fields(settings) if field.name != "model"}
        self.info = ExtractorInfo(
            name="detector",
            settings=own | {"weights_from": loaded.found_at, "weights_sha256": loaded.sha256},
            feature_size=self._probe(labels, loaded.found_at),
            num_classes=labels + 1,
        )

    @torch.inference_mode()
    def detect(self, images: Sequence[Image.Image]) -> list[Regions]:
        """Regions of RGB images, surest first, features and class distributions float16."""
        found: dict[int, Regions] = {}
        for members, pixels in self._batches(images):
            embeddings, boxes, probabilities = self._answers(pixels)
            for place, index in enumerate(members):
                chosen = choose_queries(probabilities[place], self.settings)
                found[index] = _regions(
                    images[index], embeddings[place, chosen], boxes[place, chosen], probabilities[place, chosen]
                )
        return [found[index] for index in range(len(images))]

    def encode(self, images: Sequence[Image.Image], boxes: Sequence[NDArray[np.float32]]) -> list[Regions]:
        """Its queries choose their own boxes.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("A detector's queries choose their boxes; given boxes are encoded by grid or frcnn.")

    def _answers(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings [B,Q,D], boxes [B,Q,4] as fractions of the image, class probabilities [B,Q,C], on the CPU."""
        outputs = self.model(pixel_values=pixels)
        logits = outputs.logits.float()
        probabilities = class_probabilities(logits, int(self.model.config.num_labels))
        embeddings = query_embeddings(outputs, logits.shape[1]).float()
        boxes = corner_boxes(outputs.pred_boxes.float())
        return embeddings.cpu(), boxes.cpu(), probabilities.cpu()

    def _batches(self, images: Sequence[Image.Image]) -> Iterator[tuple[list[int], Tensor]]:
        """Images that the processor makes one size, together: a margin would change what is seen near it."""
        by_size: dict[tuple[int, int], list[int]] = {}
        for index, image in enumerate(images):
            by_size.setdefault(image.size, []).append(index)
        size = _BATCH.get(self.device.partition(":")[0], 1)
        for members in by_size.values():
            for start in range(0, len(members), size):
                part = members[start : start + size]
                yield part, self._pixels([images[index] for index in part]).to(self.device)

    def _pixels(self, images: list[Image.Image]) -> Tensor:
        """Images of one size as the processor makes them, [B,3,height,width].

        Of a strip some processors would leave no height at all; its short side is doubled until they do not (boxes are
        fractions of the image).
        """
        try:
            made: Tensor = self._processor(images=images, return_tensors="pt", **self._where)["pixel_values"]
            return made
        except ValueError:
            width, height = images[0].size
            if 2 * min(width, height) > max(width, height):
                raise
            wider = (2 * width, height) if width < height else (width, 2 * height)
            return self._pixels([one.resize(wider) for one in images])

    @torch.inference_mode()
    def _probe(self, labels: int, where: str) -> int:
        """Size of an embedding, seen on a grey image.

        Raises:
            ConfigError: this detector does not answer queries.
        """
        from PIL import Image

        try:
            ((_, pixels),) = self._batches([Image.new("RGB", (64, 64), "grey")])
            outputs = self.model(pixel_values=pixels)
            size = query_embeddings(outputs, outputs.logits.shape[1]).shape[-1]
            if outputs.logits.shape[-1] not in (labels, labels + 1) or outputs.pred_boxes.shape[-1] != 4:
                raise ValueError(f"{outputs.logits.shape[-1]} scores for {labels} labels")
        except (AttributeError, ValueError, TypeError, RuntimeError) as error:
            reason = first_line(error, 160)
            raise ConfigError(
                f"{where}: a {type(self.model).__name__} gives no queries with boxes and scores ({reason}). Use a "
                "detector such as DETR, RT-DETR or D-FINE."
            ) from error
        return int(size)


def query_embeddings(outputs: Any, queries: int) -> Tensor:
    """What the decoder last knew of each query, [B,Q,D].

    YOLOS has its queries at the end of a sequence that begins with the image's patches.
    """
    hidden: Tensor = outputs.last_hidden_state
    if hidden.ndim != 3 or hidden.shape[1] < queries:
        raise ValueError(f"{list(hidden.shape)} hidden states for {queries} queries")
    return hidden[:, -queries:]


def class_probabilities(logits: Tensor, labels: int) -> Tensor:
    """Class distributions [B,Q,C] with "nothing" first.

    DETR's scores have a last class for nothing; their softmax is the distribution. Scores without one (RT-DETR, D-FINE,
    Deformable DETR) are a probability for each label by itself: nothing gets what the surest label leaves, and the
    labels share the rest in proportion to their probabilities.
    """
    if logits.shape[-1] == labels + 1:
        return logits.softmax(dim=-1).roll(1, dims=-1)
    each = logits.sigmoid()
    surest = each.max(dim=-1, keepdim=True).values
    return torch.cat((1.0 - surest, each * (surest / each.sum(dim=-1, keepdim=True).clamp(min=1e-12))), dim=-1)


def corner_boxes(boxes: Tensor) -> Tensor:
    """Boxes [...,4] as centre x, centre y, width, height -> x1, y1, x2, y2, inside the image; both as fractions."""
    centres, sides = boxes[..., :2], boxes[..., 2:]
    return torch.cat((centres - sides / 2, centres + sides / 2), dim=-1).clamp(0.0, 1.0)


def choose_queries(probabilities: Tensor, settings: DetectorSettings) -> Tensor:
    """Places [N] of the queries of one image that become regions, surest first.

    All whose best label has a probability of at least the threshold, but ``min_boxes`` to ``max_boxes`` of them.
    """
    surest = probabilities[:, 1:].max(dim=-1).values
    ranked = surest.argsort(descending=True, stable=True)
    count = min(max(int((surest >= settings.threshold).sum()), settings.min_boxes), settings.max_boxes)
    return ranked[:count]


def _regions(image: Image.Image, embeddings: Tensor, boxes: Tensor, probabilities: Tensor) -> Regions:
    width, height = image.size
    size = np.array([width, height, width, height], dtype=np.float32)
    return Regions(
        boxes=boxes.numpy() * size,
        features=embeddings.half().numpy(),
        class_probs=probabilities.half().numpy(),
        width=width,
        height=height,
    )


def load_detector(where: str) -> LoadedDetector:
    """A detector by path or Hub id.

    Raises:
        ConfigError: there is none there, or transformers does not know it as an object detector.
        MissingExtraError: torchvision is not installed.
    """
    if find_spec("torchvision") is None:  # transformers would scale images by another library, in silence
        raise MissingExtraError.of("torchvision", "extraction")
    from transformers import AutoImageProcessor, AutoModelForObjectDetection

    from interbert.checkpoints.foreign_files import require_own_files
    from interbert.utils.transformers_logging import quiet_transformers

    folder, found_at = find_weights(where, OPTION)
    if not folder.is_dir():
        raise ConfigError(f"{where}: is a file. Give {OPTION} the folder with config.json and the weights.")
    weights = weight_files(folder)
    require_own_files(folder)
    try:
        with quiet_transformers():
            model = AutoModelForObjectDetection.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever a broken folder makes the library stumble over
        reason = first_line(error)
        raise ConfigError(f"{where}: is no object detector that transformers can load ({reason}).") from error
    described = [folder / name for name in _DESCRIBED_BY if (folder / name).is_file()]
    return LoadedDetector(model, processor, found_at, files_sha256([*weights, *described]), folder)


def open_detector(settings: DetectorSettings, device: str | None = None) -> DetectorExtractor:
    """The detector that ``settings`` name.

    Raises:
        ConfigError: as :func:`load_detector`; it does not answer queries; there is no such device.
    """
    return DetectorExtractor(load_detector(settings.model), settings, device)


def build_detector_extractor(
    info: ExtractorInfo, folder: str | Path | None = None, device: str | None = None
) -> DetectorExtractor:
    """The inverse of ``DetectorExtractor.info``.

    Raises:
        ConfigError: a setting is unknown, the detector is not found, or is another one.
    """
    known = {field.name for field in fields(DetectorSettings)}
    if unknown := set(info.settings) - known - {"weights_from", "weights_sha256"}:
        raise ConfigError(f"The detector has no setting {sorted(unknown)[0]!r}.")
    where = str(info.settings.get("weights_from", ""))
    values = {name: value for name, value in info.settings.items() if name in known}
    extractor = open_detector(DetectorSettings(**values | {"model": where}), device)
    if extractor.info.fingerprint != info.fingerprint:
        raise ConfigError(
            f"{where}: is another detector ({info.differences(extractor.info)}). Put the right one there."
        )
    return extractor
