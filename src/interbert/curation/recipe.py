"""All options of a data set's build: what decides its bytes, and how it is computed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from interbert.curation.agreement import AgreementOptions
from interbert.curation.card import CardOptions
from interbert.curation.image_options import ImageOptions
from interbert.curation.near_images import NearImageOptions
from interbert.curation.near_titles import NearTitleOptions
from interbert.curation.normalise import NormaliseOptions
from interbert.curation.splits import SplitOptions
from interbert.curation.title_rules import TitleOptions
from interbert.errors import UsageError, require_range

_HOW = frozenset({"source", "out", "workers", "ray", "card"})
"""Options that change no byte of the data; the source is known by its files."""


@dataclass(frozen=True)
class DatasetRecipe:
    """Options of ``interbert dataset build``."""

    source: str
    """Titles and images: a parquet, csv, tsv, json or jsonl file, a tar file of samples, a folder or a glob of them,
    what img2dataset or MUGE write, or a Hub id."""
    out: str
    """Folder of the data set."""
    title_column: str | None = None
    """Column that holds the titles; found when not given."""
    image_column: str | None = None
    """Column that holds the images, as files or paths; found when not given."""
    id_column: str | None = None
    """Column with each row's id; 'id', 'item_id', 'product_id', 'sku' or 'key' when there is one, else the row number.
    Rows that share an id are of one group."""
    product_id_column: str | None = None
    """Column with an id that rows of one product share: they are of one group, too."""
    category_column: str | None = None
    """Column with each row's category; --splits.stratify-by, or 'category' when there is one."""
    split: str | None = None
    """Split of a Hub data set, a saved one, or of MUGE's files."""
    images: Literal["required", "optional", "none"] = "required"
    """Of a source with images: rows without one are dropped (required) or kept without (optional); or no image is read
    (none)."""
    normalise: NormaliseOptions = field(default_factory=NormaliseOptions)
    """How titles are written."""
    title_rules: TitleOptions = field(default_factory=TitleOptions)
    """Which titles are kept."""
    image_rules: ImageOptions = field(default_factory=ImageOptions)
    """Which images are kept."""
    exact_duplicates: Literal["pair", "either", "keep"] = "pair"
    """Which rows are dropped after the first: those whose title and image both were there (pair), or one of them
    (either), or none (keep). In a source without images, those whose title was there, unless kept."""
    near_titles: NearTitleOptions = field(default_factory=NearTitleOptions)
    """Which titles are nearly the same."""
    near_images: NearImageOptions = field(default_factory=NearImageOptions)
    """Which images are nearly the same."""
    drop_near_duplicates: bool = False
    """Of each group of near-duplicates keep its first row alone."""
    model: str | None = None
    """Retrieval model directory that judges whether image and title agree; no judgement without one."""
    agreement: AgreementOptions = field(default_factory=AgreementOptions)
    """How they are judged to agree."""
    exclude: list[str] = field(default_factory=list)
    """Evaluation sets: rows whose title or image is in one, or nearly so, are dropped."""
    splits: SplitOptions = field(default_factory=SplitOptions)
    """Shares of training, validation and test rows."""
    format: Literal["parquet", "webdataset"] = "parquet"
    """Shards as parquet files or as tar files of samples."""
    shard_rows: int = 10_000
    """Rows of a shard."""
    card: CardOptions = field(default_factory=CardOptions)
    """What only whoever publishes the data set knows; given again for a finished data set, its card is written anew."""
    workers: int | None = None
    """Processes that judge titles and images; the number of cores when not given."""
    ray: bool | str = False
    """Judge on the workers of a Ray cluster: --ray finds it, and takes all cores of this machine without one;
    --ray=ADDRESS, such as auto or ray://head:10001, names it."""

    def __post_init__(self) -> None:
        require_range("shard_rows", self.shard_rows, 1)
        require_range("workers", self.workers, 1)
        if not self.out.strip():
            raise UsageError("dataset build: the folder of the data set is empty. Name one.")
        if self.images == "none" and self.image_column is not None:
            raise UsageError(
                "dataset build: --images none reads no image, so --image-column has no use. Leave one out."
            )

    def deciding(self) -> dict[str, Any]:
        """Options that decide the bytes of the output, as JSON has them; of a file that one names, its digest too."""
        found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), ensure_ascii=False, default=str))
        deciding = {name: value for name, value in found.items() if name not in _HOW}
        files = {path: _digest(Path(path)) for path in sorted(_texts(deciding)) if _is_file(path)}
        return deciding | ({"files": files} if files else {})


def _texts(value: Any) -> set[str]:
    """Every text in JSON."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return set().union(*map(_texts, value))
    return {value} if isinstance(value, str) and value else set()


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
