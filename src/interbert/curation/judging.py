"""Stage 1: what the rules say of each row of a chunk, as a small table; runs in any process."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from interbert.curation.cells import SUCCESS, ChosenColumns, ChunkCells
from interbert.curation.image_options import ImageOptions
from interbert.curation.image_rules import ImageJudgement, ImageRules
from interbert.curation.normalise import NormaliseOptions, normalise_title
from interbert.curation.reasons import Reason
from interbert.curation.title_rules import TitleOptions, TitleRules
from interbert.errors import ImageError
from interbert.extraction.columns import id_text
from interbert.extraction.image_cells import image_file, is_address
from interbert.extraction.images import file_bytes
from interbert.extraction.table_limits import MAX_ID, MAX_TEXT

SHARD_UNREADABLE = "shard_unreadable"
TITLE_MISSING, TITLE_NO_TEXT, TITLE_HUGE = "title_missing", "title_no_text", "title_huge"
IMAGE_MISSING, IMAGE_NOT_DOWNLOADED, DOWNLOAD_FAILED = "image_missing", "image_not_downloaded", "download_failed"
ID_MISSING, SEVERAL_TITLES = "id_missing", "several_titles"

SOURCE_RULES = (
    SHARD_UNREADABLE,
    *(TITLE_MISSING, TITLE_NO_TEXT, TITLE_HUGE),
    *(IMAGE_MISSING, IMAGE_NOT_DOWNLOADED, DOWNLOAD_FAILED, ID_MISSING, SEVERAL_TITLES),
)
"""Rules about what a source has in a row, before any other."""


@dataclass(frozen=True)
class JudgeSettings:
    """What another process needs to know."""

    columns: ChosenColumns
    images: str
    normalise: NormaliseOptions
    title_rules: TitleOptions
    image_rules: ImageOptions


class JudgedRow(NamedTuple):
    """What is known of a row, by the names of the columns of the table of a chunk."""

    row: int
    id: str
    product: str
    """Empty where the source has no such column."""
    category: str
    title: str
    title_raw: str
    dropped: str | None
    detail: str
    flags: list[str]
    stripped: list[str]
    digest: bytes | None
    hash: bytes | None


def judged_schema() -> Any:
    """Types of :class:`JudgedRow`'s fields."""
    import pyarrow as pa

    texts = ("id", "product", "category", "title", "title_raw", "dropped", "detail")
    lists = dict.fromkeys(("flags", "stripped"), pa.list_(pa.string()))
    kinds = {"row": pa.int64(), **lists, "digest": pa.binary(), "hash": pa.binary()}
    return pa.schema([(name, pa.string() if name in texts else kinds[name]) for name in JudgedRow._fields])


@cache
def _title_rules(options: TitleOptions) -> TitleRules:
    return TitleRules(options)


@cache
def _image_rules(options: ImageOptions) -> ImageRules:
    return ImageRules(options)


def judge_chunk(settings: JudgeSettings, cells: ChunkCells) -> Any:
    """An Arrow table of :func:`judged_schema`, a row for each of the chunk's."""
    import pyarrow as pa

    if cells.problem is not None:
        rows = [_unreadable(cells)]
    else:
        values, chosen, count = cells.values(), settings.columns, cells.chunk.rows
        nothing: list[Any] = [None] * count
        columns = [nothing if name is None else values.get(name, nothing) for name in vars(chosen).values()]
        judge = _Judge(settings, cells)
        rows = [judge.row(place, *cell) for place, cell in enumerate(zip(*columns, strict=True))]
    return pa.table(dict(zip(JudgedRow._fields, map(list, zip(*rows, strict=True)), strict=True)), judged_schema())


def _unreadable(cells: ChunkCells) -> JudgedRow:
    reason = cells.problem or ""
    return JudgedRow(cells.chunk.first, cells.where, "", "", "", "", SHARD_UNREADABLE, reason, [], [], None, None)


class _Judge:
    """Judges the rows of one chunk."""

    def __init__(self, settings: JudgeSettings, cells: ChunkCells) -> None:
        self._settings, self._cells = settings, cells
        self._titles, self._images = _title_rules(settings.title_rules), _image_rules(settings.image_rules)

    def row(
        self, place: int, title: Any, image: Any, name: Any, product: Any, category: Any, status: Any, error: Any
    ) -> JudgedRow:
        """What is known of a row by its cells, in the order of :class:`ChosenColumns`' fields."""
        row, flags = self._cells.chunk.first + place, list[Reason]()
        known = id_text(name)
        if known is None or len(known) > MAX_ID:
            if self._settings.columns.id is not None:
                flags.append(Reason(ID_MISSING, ""))
            known = f"row-{row}" if self._settings.columns.id is not None else str(row)
        raw, dropped = self._raw(title, flags)
        clean, stripped = "", list[str]()
        if dropped is None:
            judged = self._titles.judge(normalise_title(raw, self._settings.normalise))
            clean, dropped = judged.title, judged.dropped
            flags += judged.flags
            stripped = [reason.rule for reason in judged.stripped]
        found = None
        if dropped is None and self._settings.columns.image is not None:
            found, dropped = self._image(place, image, status, error, flags)
        return JudgedRow(
            row=row,
            id=known,
            product=id_text(product) or "",
            category=id_text(category) or "",
            title=clean,
            title_raw=raw,
            dropped=None if dropped is None else dropped.rule,
            detail="" if dropped is None else dropped.detail,
            flags=list(dict.fromkeys(flag.rule for flag in flags)),
            stripped=stripped,
            digest=None if found is None else found.digest,
            hash=None if found is None else found.hash,
        )

    def _raw(self, value: Any, flags: list[Reason]) -> tuple[str, Reason | None]:
        """A title as the source has it: of several the first."""
        if isinstance(value, list | tuple):
            texts = [one for one in value if isinstance(one, str) and one.strip()]
            if len(texts) > 1:
                flags.append(Reason(SEVERAL_TITLES, f"{len(texts)} titles"))
            value = texts[0] if texts else None
        if value is None or (isinstance(value, str) and not value.strip()):
            return "", Reason(TITLE_MISSING, "")
        if not isinstance(value, str):
            return str(value)[:MAX_TEXT], Reason(TITLE_NO_TEXT, f"it is {type(value).__name__}")
        if len(value) > MAX_TEXT:
            return value[:80], Reason(TITLE_HUGE, f"{len(value):,} characters")
        return value, None

    def _image(
        self, place: int, value: Any, status: Any, error: Any, flags: list[Reason]
    ) -> tuple[ImageJudgement | None, Reason | None]:
        reason = self._absent(value, status, error)
        data: bytes | Path | None = None
        where = f"{self._cells.where}, row {self._cells.chunk.start + place}"
        if reason is None:
            data, problem = image_file(value, self._cells.folder, self._cells.source)
            reason = None if data is not None else Reason(IMAGE_MISSING, problem or "")
        if data is not None:
            try:
                judged = self._images.judge(file_bytes(data, where))
            except (OSError, ImageError) as failed:
                reason = Reason(IMAGE_MISSING, str(failed)[:200])
            else:
                flags += judged.flags
                return judged, judged.dropped
        if reason is not None and self._settings.images == "optional":
            flags.append(reason)
            return None, None
        return None, reason

    def _absent(self, value: Any, status: Any, error: Any) -> Reason | None:
        """Why there can be no image to look for."""
        if status is not None and status != SUCCESS:
            return Reason(DOWNLOAD_FAILED, f"{status}: {error}"[:200] if error else str(status)[:200])
        if is_address(value):
            shown = value["path"] if isinstance(value, dict) else value
            return Reason(IMAGE_NOT_DOWNLOADED, str(shown)[:200])
        return None
