"""What the frozen lower layers say of every picture, computed once and kept on disk while the upper layers learn.

Shapes: n pictures, V = 2 views (as it is, mirrored), C channels of the map at stride 8, F pooled features, K classes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from interbert.adaptation.features import pooled_features
from interbert.errors import SourceError, writing
from interbert.extraction.efficientnet import EfficientNetLite0
from interbert.extraction.extract import decode_ahead
from interbert.extraction.grid import GridExtractor, canvas_pixels
from interbert.extraction.sources import PictureSource
from interbert.progress import progress_bar
from interbert.regions.schema import CaptionRow

_DONE = "maps.json"
_BATCH = 8


@dataclass(frozen=True)
class PictureMaps:
    """Maps, pooled vectors and classes of a source's usable pictures."""

    captions: list[CaptionRow]
    """[n] ids and texts; ``row`` is the picture's number here."""
    files: list[NDArray[np.float16]]
    """One [count,V,C,h,w] for each canvas."""
    canvas: NDArray[np.int64]
    """[n] which file a picture is in."""
    place: NDArray[np.int64]
    """[n] and where in it."""
    pooled: NDArray[np.float32]
    """[n,V,F] of the network as it was."""
    classes: NDArray[np.float16]
    """[n,V,K] its class distribution."""

    def __len__(self) -> int:
        return len(self.captions)

    def read(self, pictures: NDArray[np.int64], views: NDArray[np.int64]) -> Tensor:
        """Maps f32 [B,C,h,w] of pictures of one canvas."""
        file = self.files[int(self.canvas[pictures[0]])]
        return torch.from_numpy(file[self.place[pictures], views].astype(np.float32))

    def batches(self, pictures: NDArray[np.int64], size: int, order: np.random.Generator) -> list[NDArray[np.int64]]:
        """All pictures once, in random batches of one canvas each."""
        found: list[NDArray[np.int64]] = []
        for canvas in range(len(self.files)):
            members = order.permutation(pictures[self.canvas[pictures] == canvas])
            found += [members[start : start + size] for start in range(0, len(members), size)]
        return [found[index] for index in order.permutation(len(found))]


def picture_maps(
    source: PictureSource, extractor: GridExtractor, backbone: EfficientNetLite0, folder: Path, title: str
) -> PictureMaps:
    """Maps of every picture of a source that can be read and has a text; what ``folder`` holds already is used.

    Raises:
        SourceError: there is no such picture.
        StorageError: the disk is full.
    """
    done = folder / _DONE
    if not done.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        with writing(folder):
            folder.mkdir(parents=True)
            _write(source, extractor, backbone, folder, title)
    summary = json.loads(done.read_text(encoding="utf-8"))
    if not summary["captions"]:
        raise SourceError(f"{source.name}: none of its {len(source)} pictures could be used with a text.")
    captions = [
        CaptionRow(**(row | {k: tuple(row[k]) for k in ("texts", "text_fields")})) for row in summary["captions"]
    ]
    arrays = {name: np.load(folder / f"{name}.npy") for name in ("canvas", "place", "pooled", "classes")}
    files: list[Any] = [
        np.memmap(folder / f"canvas{number}.bin", np.float16, "r").reshape(-1, *shape)
        for number, shape in enumerate(summary["shapes"])
    ]
    return PictureMaps(captions, files, **arrays)


def _write(
    source: PictureSource, extractor: GridExtractor, backbone: EfficientNetLite0, folder: Path, title: str
) -> None:
    canvases: dict[tuple[int, int], int] = {}
    shapes: list[list[int]] = []
    counts: list[int] = []
    captions: list[CaptionRow] = []
    where: list[tuple[int, int]] = []
    pooled: list[NDArray[np.float32]] = []
    classes: list[NDArray[np.float16]] = []
    skipped = 0
    with progress_bar(title, len(source), "pictures") as advance:
        for chunk in decode_ahead(source, range(len(source))):
            members: dict[int, list[Any]] = {}
            for one in chunk:
                if one.picture is None or not one.item.texts:
                    skipped += 1
                    continue
                canvas = extractor.canvas(*one.picture.size)
                members.setdefault(canvases.setdefault(canvas, len(canvases)), []).append((one, canvas))
            for number, group in sorted(members.items()):
                pictures = [(one.picture, canvas) for one, canvas in group]
                maps, vectors, distributions = _describe(backbone, pictures)
                if number == len(shapes):
                    shapes.append(list(maps.shape[1:]))
                    counts.append(0)
                with (folder / f"canvas{number}.bin").open("ab") as file:
                    maps.tofile(file)
                for one, _ in group:
                    item = one.item
                    ids = (item.picture_id, item.product_id, one.digest)
                    captions.append(CaptionRow(len(captions), *ids, 0, item.row, item.texts, item.text_fields))
                    where.append((number, counts[number]))
                    counts[number] += 1
                pooled.append(vectors)
                classes.append(distributions)
            advance(len(chunk))
    if skipped:
        print(f"{source.name}: {skipped} pictures left out: unreadable, or without a text", flush=True)
    if captions:
        places = np.array(where, dtype=np.int64)
        np.save(folder / "canvas.npy", places[:, 0])
        np.save(folder / "place.npy", places[:, 1])
        np.save(folder / "pooled.npy", np.concatenate(pooled))
        np.save(folder / "classes.npy", np.concatenate(classes))
    summary = {"shapes": shapes, "captions": [asdict(one) for one in captions]}
    (folder / _DONE).write_text(json.dumps(summary), encoding="utf-8")


@torch.inference_mode()
def _describe(
    backbone: EfficientNetLite0, pictures: Sequence[Any]
) -> tuple[NDArray[np.float16], NDArray[np.float32], NDArray[np.float16]]:
    """Maps [B,V,C,h,w], pooled vectors [B,V,F] and class distributions [B,V,K] of pictures of one canvas."""
    maps, vectors, distributions = [], [], []
    for start in range(0, len(pictures), _BATCH):
        pixels = torch.stack([canvas_pixels(picture, canvas) for picture, canvas in pictures[start : start + _BATCH]])
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
