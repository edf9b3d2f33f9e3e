"""Draw a region store's boxes and most probable classes on its images, on one page that is one file.

--source is what the regions were extracted from; without it the boxes are drawn on empty frames. Rows are spread evenly
over the store unless --rows names them.

    interbert regions show regions/train --source catalogue.parquet
    interbert regions show regions/train --source catalogue.parquet --rows 0,17,4711 --top 5 --out look.html
    interbert regions show regions/coco --names visual_genome/objects.txt
"""

from __future__ import annotations

from dataclasses import dataclass, field

from interbert.cli.renamed import spelled
from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert regions show``."""

    store: str
    """Folder or URI of the region store."""
    source: str | None = None
    """Where the images come from: the file, folder or Hub id that the regions were extracted from."""
    image_column: str | None = None
    """Column that holds the images; found when not given."""
    image_id_column: str | None = None
    """Column with an id that is unique per image, if the regions were extracted with one."""
    split: str | None = None
    """Split of a Hub data set."""
    rows: list[int] = field(default_factory=list)
    """Rows of the store to show."""
    count: int = 12
    """So many rows, when none are named."""
    top: int = 3
    """Classes listed of each region."""
    boxes: int = 36
    """Regions drawn on an image, the surest first."""
    names: str | None = None
    """File with the names of the classes, one a line; those of the extractor's network when not given."""
    out: str = "regions.html"
    """HTML page to write."""


def run(options: Options) -> None:
    """Read, draw, write the page."""
    from pathlib import Path

    from interbert.cli.output import print_not_shown
    from interbert.errors import require_range
    from interbert.extraction.columns import ColumnMapping
    from interbert.extraction.sources import open_source
    from interbert.regions.store import RegionStore
    from interbert.report.region_page import names_of, rows_to_show, write_region_page
    from interbert.utils.files import PAGE, require_replaceable

    for name in ("count", "top", "boxes"):
        require_range(f"regions show: {spelled(name)}", getattr(options, name), 1)
    require_replaceable(options.out, PAGE)
    store = RegionStore.open(options.store)
    rows = rows_to_show(store, options.rows, options.count)
    names = names_of(store, options.names)
    source = None
    if options.source is not None:
        mapping = ColumnMapping(options.image_column, (), options.image_id_column)
        source = open_source(options.source, mapping, options.split, need_texts=False)
    problems = write_region_page(store, rows, Path(options.out), source, names, options.top, options.boxes)
    if names is None and store.info.num_classes:
        say("what the classes are called is not known here: give a file with --names")
    print_not_shown(problems)
    say(f"page: {options.out}")
