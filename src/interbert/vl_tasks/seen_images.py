"""How many images of an evaluation a model has seen in training, as far as its directories remember the stores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interbert.errors import InterBertError
from interbert.training.run_setup import RECIPE
from interbert.utils.bounded_files import read_json
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.image_regions import ImageRows, TaskRegions
from interbert.vl_tasks.task import names_of_images

_LONGEST = 10
"""Models that a model was trained from, one after the other, which are looked at."""


@dataclass(frozen=True)
class SeenImages:
    """What is known of it."""

    images: int
    """Of the evaluation."""
    seen: int | None
    """How many of them a training store has, by id or by file; None when no store is known."""
    stores: tuple[str, ...] = ()
    """Those that were looked at."""
    unknown: tuple[str, ...] = ()
    """Models whose training images are not known, and stores that are not there any more."""

    def told(self) -> str:
        """One line for people."""
        where = f"; not known: what {', '.join(self.unknown)} saw" if self.unknown else ""
        if self.seen is None:
            return f"how many of the {self.images} images the model saw in pretraining is not known{where}"
        return f"{self.seen} of the {self.images} images are in {', '.join(self.stores)}, seen in pretraining{where}"


def seen_images(model: str, examples: Sequence[Example], regions: TaskRegions | None) -> SeenImages:
    """Look for an evaluation's images in the stores that a model, and the models it was trained from, were trained on.

    Args:
        model: directory.
        examples: of the evaluation.
        regions: of their images, to compare files; None compares ids alone.
    """
    images = {names[0]: names for one in examples for names in names_of_images(one)}
    stores, unknown, found = [], [], set()
    for place, store in _stores_of(model):
        if store is None:
            unknown.append(place)
            continue
        stores.append(place)
        digests = set(store.digests.values()) - {""}
        for image, names in images.items():
            by_file = regions is not None and regions.digest(image) in digests
            if by_file or store.know(names):
                found.add(image)
    return SeenImages(len(images), len(found) if stores else None, tuple(stores), tuple(unknown))


def _stores_of(model: str) -> Iterator[tuple[str, ImageRows | None]]:
    """Stores that models were pretrained or fine-tuned for retrieval on; None in the place of those that are gone."""
    directory: Any = model
    for _ in range(_LONGEST):
        try:
            recipe = read_json(Path(directory) / RECIPE)
            start, task = recipe.get("model"), recipe.get("task")
            paths = [] if task else [recipe["regions"], *recipe.get("more_regions", {})]
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            yield str(directory), None
            return
        for path in paths:
            if "://" in str(path):  # a model of somebody else would have its address asked
                yield str(path), None
                continue
            try:
                yield str(path), ImageRows([str(path)])
            except InterBertError:
                yield str(path), None
        if not isinstance(start, str):  # a pretrained one: its recipe's "model" has the sizes
            return
        directory = start
