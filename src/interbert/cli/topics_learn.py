"""Teach a model what topics look like, once, from the titled images it was trained on.

Topic texts are short and general, the titles that a model learned from are long and particular. This keeps the
training products' vectors and titles beside the model (topics.safetensors, 2 to 4 kB a product): a topic's pages are
then found by the images of the titles that fit it, in whatever language they are. Probabilities are fitted on topics
made of what validation titles have in common. Do it before `interbert index build`, and the index carries it along.

Titles leave out much that topics ask for ("formal shirts"). Name the catalogue that the store was extracted from, and
facets are made of its columns (category, colour, use ...): a topic is compared with every value and with up to three of
them together ("Men Blue Shirts"), in the language of the columns. Pages never read columns: a product without any is
ranked by its image alike.

    interbert topics learn models/retrieval regions/train --validation regions/validation
    interbert topics learn models/retrieval regions/train --validation regions/validation \\
        --catalogue train.parquet --columns category,colour,use
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from interbert.cli.renamed import spelled
from interbert.utils.terminal import say

if TYPE_CHECKING:
    from interbert.extraction.joining import CatalogueColumns


@dataclass
class Options:
    """Options of ``interbert topics learn``."""

    model: str
    """Model directory; gets topics.safetensors."""
    regions: str
    """Region store of titled images: those that the model was trained on."""
    validation: str | None = None
    """Region store to calibrate on; without, a twentieth of the examples serves and probabilities come out too sure."""
    text_columns: list[str] = field(default_factory=list)
    """Source columns whose texts are titles; all when not given."""
    catalogue: str | None = None
    """The source that REGIONS was extracted from, for its columns."""
    image_id_column: str | None = None
    """Column of the catalogue with the images' ids, as it was named to extract."""
    product_id_column: str | None = None
    """Column of the catalogue with the products' ids; 'product_id', 'item_id' or 'id' when there is one."""
    columns: list[str] = field(default_factory=list)
    """Columns that facets are made of; those of text with few different values when not given. Numbers and dates are
    none unless they are named."""
    limit: int = 20_000
    """Examples at most, drawn at random."""
    phrases: int = 200
    """Made topics per column of texts to calibrate on."""
    seed: int = 0
    """Seed of all draws."""


def run(options: Options) -> None:
    """Teach and say how sure probabilities are."""
    from interbert.errors import require_range
    from interbert.topics.fit import fit_topics
    from interbert.topics.topic_memory import LEFT_OUT
    from interbert.utils.files import only_writer

    require_range("topics learn: --limit", options.limit, 2)
    require_range("topics learn: --phrases", options.phrases, 1)
    require_range("topics learn: --seed", options.seed, 0, 2**32)
    catalogue = _catalogue(options)
    with only_writer(options.model):
        memory = fit_topics(
            options.model,
            options.regions,
            options.validation,
            catalogue=catalogue,
            fields=options.text_columns,
            limit=options.limit,
            phrases=options.phrases,
            seed=options.seed,
            progress=True,
        )
    found = memory.calibration
    drawn = f", as many as --limit says of {options.regions}" if len(memory.examples) == options.limit else ""
    say(f"{options.model}: {len(memory.examples):,} examples with texts in {', '.join(memory.examples.fields)}{drawn}")
    say(
        f"log-odds = {found.weight:.2f} x log of the transferred label {found.bias:+.2f}, fitted on {found.pairs:,} "
        f"pairs of {found.topics} made topics (Brier score {found.brier:.3f})"
    )
    say(
        f"label frequency: titles say {100 * found.label_frequency:.0f}% of what is relevant; "
        + (
            f"of items with a probability of a half or more, {100 * found.precision:.0f}% are"
            if found.precision
            else "no item has a probability of a half, so these topics are unsure"
        )
    )
    if memory.left_out:
        first = memory.left_out[0]
        say(
            f"{len(memory.left_out):,} images were not read, or without columns, such as {first.image_id[:60]!r}, "
            f"row {first.row} of {first.store}: {first.reason}. All are listed in {options.model}/{LEFT_OUT}"
        )


def _catalogue(options: Options) -> CatalogueColumns | None:
    """Columns of the catalogue; says which."""
    from interbert.errors import UsageError
    from interbert.extraction.attributes import facet_columns_of
    from interbert.extraction.columns import ColumnMapping
    from interbert.extraction.joining import CatalogueColumns
    from interbert.extraction.sources import open_source
    from interbert.topics.facets import COLUMNS

    if options.catalogue is None:
        for name in ("columns", "image_id_column", "product_id_column"):
            if getattr(options, name):
                raise UsageError(f"topics learn: {spelled(name)} is about the catalogue. Name it with --catalogue.")
        return None
    mapping = ColumnMapping(image_id=options.image_id_column, product_id=options.product_id_column)
    source = open_source(options.catalogue, mapping, need_texts=False)
    columns = list(dict.fromkeys(options.columns))
    told = ""
    if not columns:
        found = facet_columns_of(source, options.text_columns)
        columns, told = list(found.taken), found.told()
    say(f"{options.catalogue}: facets of products in {', '.join(columns[:COLUMNS])}")
    if told:
        say(f"left out, unless named with --columns: {told}")
    if len(columns) > COLUMNS:
        say(f"not read, as facets are made of {COLUMNS} columns: {', '.join(columns[COLUMNS:])}")
    return CatalogueColumns(source, columns[:COLUMNS])
