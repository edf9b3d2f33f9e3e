"""What the backbone learns from: maps of every image, kept on disk, with crops and pooled vectors."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interbert.errors import SourceError, writing
from interbert.extraction.decoding import DecodedImage, decode_ahead
from interbert.extraction.efficientnet import EfficientNetLite0
from interbert.extraction.grid import GridExtractor, canvas_pixels
from interbert.extraction.sources import ImageSource
from interbert.regions.schema import CaptionRow
from interbert.utils.bounded_files import reading
from interbert.utils.files import atomic_write
from interbert.utils.terminal import progress_bar


def pooled_features(lower: Tensor, upper: dict[str, Tensor]) -> Tensor:
    """Maps at stride 8 [B,C,h,w], at stride 16 and of the head -> [B,F], their channels side by side."""
    return torch.cat(
        [one.mean(dim=(2, 3), dtype=torch.float32) for one in (lower, upper["stride16"], upper["head"])], dim=1
    )


def random_crops(count: int, smallest: float, generator: torch.Generator) -> Tensor | None:
    """Random parts of images, for :func:`cropped`: affine maps [count,2,3].

    Args:
        count: of images.
        smallest: shortest side of a part, as a share of the image's; 1 gives None, the whole images.
        generator: where, and how large.
    """
    if smallest >= 1:
        return None
    sides = smallest + (1 - smallest) * torch.rand(count, 2, generator=generator)
    shifts = (1 - sides) * (2 * torch.rand(count, 2, generator=generator) - 1)
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = sides[:, 0], sides[:, 1]
    theta[:, :, 2] = shifts
    return theta


def cropped(maps: Tensor, crops: Tensor | None) -> Tensor:
    """Cut its part out of each map [B,C,h,w] and stretch it to the map's size."""
    if crops is None:
        return maps
    grid = torch.nn.functional.affine_grid(crops, list(maps.shape), align_corners=False)
    return torch.nn.functional.grid_sample(maps, grid, padding_mode="border", align_corners=False)


_logger = logging.getLogger(__name__)

_DONE = "images.json"
_BATCH = 8


@dataclass(frozen=True)
class ImageMaps:
    """Maps, pooled vectors and classes of a source's usable images."""

    captions: list[CaptionRow]
    """[n] ids and texts; ``row`` is the image's number here."""
    files: list[NDArray[np.float16]]
    """One [count,V,C,h,w] for each canvas."""
    canvas: NDArray[np.int64]
    """[n] which file an image is in."""
    place: NDArray[np.int64]
    """[n] and where in it."""
    pooled: NDArray[np.float32]
    """[n,V,F] of the network as it was."""
    classes: NDArray[np.float16]
    """[n,V,K] its class distribution."""

    def __len__(self) -> int:
        return len(self.captions)

    def read(self, images: NDArray[np.int64], views: NDArray[np.int64]) -> Tensor:
        """Maps f32 [B,C,h,w] of images of one canvas."""
        file = self.files[int(self.canvas[images[0]])]
        return torch.from_numpy(file[self.place[images], views].astype(np.float32))

    def batches(self, images: NDArray[np.int64], size: int, order: np.random.Generator) -> list[NDArray[np.int64]]:
        """All images once, in random batches of one canvas each."""
        found: list[NDArray[np.int64]] = []
        for canvas in range(len(self.files)):
            members = order.permutation(images[self.canvas[images] == canvas])
            found += [members[start : start + size] for start in range(0, len(members), size)]
        return [found[index] for index in order.permutation(len(found))]


def image_maps(
    source: ImageSource, extractor: GridExtractor, backbone: EfficientNetLite0, folder: Path, title: str
) -> ImageMaps:
    """Maps of every image of a source that can be read and has a text; what ``folder`` holds already is used.

    Raises:
        SourceError: there is no such image.
        StorageError: the disk is full.
    """
    done = folder / _DONE
    if not done.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        with writing(folder):
            folder.mkdir(parents=True)
            _write(source, extractor, backbone, folder, title)
    with reading(done, f"Remove {folder}, and the images are read again."):
        summary = json.loads(done.read_text(encoding="utf-8"))  # as long as the catalogue: no limit of values
        captions = [
            CaptionRow(**(row | {k: tuple(row[k]) for k in ("texts", "text_fields")})) for row in summary["captions"]
        ]
    if not captions:
        raise SourceError(f"{source.name}: none of its {len(source)} images could be used with a text.")
    arrays = {name: np.load(folder / f"{name}.npy") for name in ("canvas", "place", "pooled", "classes")}
    files: list[Any] = [
        np.memmap(folder / f"canvas{number}.bin", np.float16, "r").reshape(-1, *shape)
        for number, shape in enumerate(summary["shapes"])
    ]
    return ImageMaps(captions, files, **arrays)


def _write(
    source: ImageSource, extractor: GridExtractor, backbone: EfficientNetLite0, folder: Path, title: str
) -> None:
    writer = _MapsWriter(folder)
    skipped = 0
    with progress_bar(title, len(source), "images") as advance:
        for chunk in decode_ahead(source, range(len(source))):
            usable = [one for one in chunk if one.image is not None and one.item.texts]
            skipped += len(chunk) - len(usable)
            canvases: dict[tuple[int, int], list[DecodedImage]] = {}
            for one in usable:
                assert one.image is not None
                canvases.setdefault(extractor.canvas(*one.image.size), []).append(one)
            for canvas, members in sorted(canvases.items(), key=lambda one: writer.number(one[0])):
                writer.add(canvas, members, *_describe(backbone, canvas, [one.image for one in members]))
            advance(len(chunk))
    if skipped:
        _logger.info(f"{source.name}: {skipped} images left out: unreadable, or without a text")
    writer.finish()


class _MapsWriter:
    """Maps go to one file for each canvas as they come; the rest is small and is written at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._canvases: dict[tuple[int, int], int] = {}
        self._shapes: list[list[int]] = []
        self._captions: list[CaptionRow] = []
        self._canvas: list[int] = []
        self._pooled: list[NDArray[np.float32]] = []
        self._classes: list[NDArray[np.float16]] = []

    def number(self, canvas: tuple[int, int]) -> int:
        """Which file a canvas has: they are numbered as they are asked for."""
        return self._canvases.setdefault(canvas, len(self._canvases))

    def add(
        self,
        canvas: tuple[int, int],
        members: Sequence[DecodedImage],
        maps: NDArray[np.float16],
        pooled: NDArray[np.float32],
        classes: NDArray[np.float16],
    ) -> None:
        """Images of one canvas with what the network says of them."""
        number = self.number(canvas)
        if number == len(self._shapes):
            self._shapes.append(list(maps.shape[1:]))
        with (self._folder / f"canvas{number}.bin").open("ab") as file:
            maps.tofile(file)
        for one in members:
            item, ids = one.item, (one.item.image_id, one.item.product_id, one.digest)
            self._captions.append(CaptionRow(len(self._captions), *ids, 0, item.row, item.texts, item.text_fields))
        self._canvas += [number] * len(members)
        self._pooled.append(pooled)
        self._classes.append(classes)

    def finish(self) -> None:
        """Write what was collected; the summary last, which says that all is there."""
        if self._captions:
            canvas = np.array(self._canvas, dtype=np.int64)
            place = np.empty_like(canvas)
            for number in range(len(self._shapes)):
                place[canvas == number] = np.arange(int((canvas == number).sum()))
            pooled, classes = np.concatenate(self._pooled), np.concatenate(self._classes)
            arrays: dict[str, NDArray[Any]] = {"canvas": canvas, "place": place, "pooled": pooled, "classes": classes}
            for name, values in arrays.items():
                np.save(self._folder / f"{name}.npy", values)
        summary = {"shapes": self._shapes, "captions": [asdict(one) for one in self._captions]}
        atomic_write(self._folder / _DONE, json.dumps(summary))


@torch.inference_mode()
def _describe(
    backbone: EfficientNetLite0, canvas: tuple[int, int], images: Sequence[Any]
) -> tuple[NDArray[np.float16], NDArray[np.float32], NDArray[np.float16]]:
    """Maps [B,V,C,h,w], pooled vectors [B,V,F] and class distributions [B,V,K] of images of one canvas."""
    maps, vectors, distributions = [], [], []
    for start in range(0, len(images), _BATCH):
        pixels = canvas_pixels(images[start : start + _BATCH], canvas)
        views = []
        for view in (pixels, pixels.flip(3)):
            lower = backbone.lower_map(view.to(backbone.device))
            upper = backbone.upper_maps(lower)
            probabilities = backbone.classify(upper["head"].mean(dim=(2, 3))).softmax(dim=1)
            views.append([one.cpu() for one in (lower, pooled_features(lower, upper), probabilities)])
        lower, pooled, probabilities = (torch.stack(parts, dim=1) for parts in zip(*views, strict=True))
        maps.append(lower.half().numpy())
        vectors.append(pooled.numpy())
        distributions.append(probabilities.half().numpy())
    return np.concatenate(maps), np.concatenate(vectors), np.concatenate(distributions)
