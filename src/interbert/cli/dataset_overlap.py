"""Say which images and texts two sources share: a training set that has an evaluation's images is a leak.

A and B are each a region store; what `interbert extract` reads (a table, a folder of images); texts (a .txt, .csv or
.jsonl); or a task's official files as TASK=PATH, such as vqa=questions.json or refcoco=refcoco/. Images are compared by
id, by their file (SHA-256), and where both sources have the files by a perceptual hash that is verified by pixels. Ids
are compared within their collection: RefCOCO and VQA have COCO's, GQA Visual Genome's, SNLI-VE and Flickr30K Entities
Flickr30K's, and COCO_val2014_000000000042 is COCO's 42. Of a store or table whose ids say nothing, name the collection
(--ids-a, --ids-b). Half of Visual Genome is in COCO: its image_data.json says which images.

    interbert dataset overlap regions/train vqa=v2_OpenEnded_mscoco_val2014_questions.json --ids-a coco
    interbert dataset overlap gqa=train_balanced_questions.json refcoco=refcoco/ --image-data image_data.json
    interbert dataset overlap train.parquet test.parquet --json
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from interbert.errors import require_range
from interbert.utils.terminal import say

if TYPE_CHECKING:
    from interbert.curation.overlap import Overlap, Shared

Collection = Literal["coco", "visual-genome", "flickr30k"]


@dataclass
class Options:
    """Options of ``interbert dataset overlap``."""

    a: str
    """What is trained on, or any other source."""
    b: str
    """What is evaluated on, or any other source."""
    ids_a: Collection | None = None
    """Collection that A's image ids are of; as usual for a task, and compared as file names when not given."""
    ids_b: Collection | None = None
    """Collection that B's image ids are of."""
    split_a: str | None = None
    """Split of A to read, of files that hold several; all of RefCOCO and Flickr30K Entities when not given."""
    split_b: str | None = None
    """Split of B to read, of files that hold several."""
    id_column_a: str | None = None
    """Column of the image ids of a table A; else its images are known by their files alone."""
    id_column_b: str | None = None
    """Column of the image ids of a table B."""
    image_data: str | None = None
    """Visual Genome's image_data.json, which says what its images are in COCO."""
    near: bool = True
    """Compare images by hash too, which reads every image that is there."""
    show: int = 10
    """Shared images and texts that are listed."""
    json: bool = False
    """Print one JSON object alone, with all that is shared."""

    def __post_init__(self) -> None:
        require_range("dataset overlap: --show", self.show, 0)


def run(options: Options) -> None:
    """Compare and print."""
    import json

    from interbert.curation.overlap import find_overlap
    from interbert.curation.overlap_sources import Asked

    found = find_overlap(
        Asked(options.a, options.ids_a, options.split_a, options.id_column_a),
        Asked(options.b, options.ids_b, options.split_b, options.id_column_b),
        options.image_data,
        options.near,
    )
    if options.json:
        say(json.dumps(found.to_dict(), ensure_ascii=False))
        return
    _print(found, options.show)


def _print(found: Overlap, show: int) -> None:
    counts = found.counts()
    ways = ", ".join(f"{counts[f'shared_images_by_{way}']:,} by {way}" for way in found.compared)
    say(f"{found.a.name}: {counts['images_a']:,} images, {counts['texts_a']:,} texts")
    say(f"{found.b.name}: {counts['images_b']:,} images, {counts['texts_b']:,} texts")
    how = f" ({ways})" if ways else "; neither ids nor files of both are known" if not found.images else ""
    say(f"images of the second that are in the first: {counts['shared_images']:,}{how}")
    _list(found.images, show)
    say(f"texts of the second that are in the first: {counts['shared_texts']:,}")
    _list(found.texts, show)
    problems = [*found.a.problems, *found.b.problems]
    for problem in problems[:show]:
        say(f"not compared: {problem}")
    if len(problems) > show:
        say(f"not compared: {len(problems) - show:,} more; --json lists them all")


def _list(shared: Sequence[Shared], show: int) -> None:
    for one in shared[:show]:
        a, b = (f"{at.file}, row {at.row}{f', {at.id[:60]}' if at.id else ''}" for at in (one.a, one.b))
        how = f" by {', '.join(one.by)}" if one.by else ""
        say(f"  {b} = {a}{how}")
    if len(shared) > show:
        say(f"  and {len(shared) - show:,} more; --json lists them all")
