"""Stage 1: what the rules say of each row of a chunk, as a small table; runs in any process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from interbert.curation.cells import FAILED, ChosenColumns, ChunkCells
from interbert.curation.image_options import ImageOptions
from interbert.curation.image_rules import ImageJudgement, ImageRules
from interbert.curation.normalise import NormaliseOptions, normalise_title
from interbert.curation.reasons import Reason
from interbert.curation.title_rules import RuleLists, TitleOptions, TitleRules
from interbert.errors import ImageError
from interbert.extraction.columns import id_text
from interbert.extraction.image_cells import image_file, is_address
from interbert.extraction.images import file_bytes
from interbert.extraction.table_limits import MAX_ID, MAX_TEXT
from interbert.utils.texts import whole_text

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
    lists: RuleLists | None = None
    """Lists of words, for machines that lack the user's files."""


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
def _title_rules(options: TitleOptions, lists: RuleLists | None) -> TitleRules:
    return TitleRules(options, lists)


def judge_chunk(settings: JudgeSettings, cells: ChunkCells) -> Any:
    """An Arrow table of :func:`judged_schema`, a row for each of the chunk's."""
    import pyarrow as pa

    if cells.problems:
        rows = _unreadable(cells)
    else:
        values, chosen, count = cells.values(), settings.columns, cells.chunk.rows
        nothing: list[Any] = [None] * count
        columns = [nothing if name is None else values.get(name, nothing) for name in vars(chosen).values()]
        rows = _Judge(settings, cells).rows(zip(*columns, strict=True))
    return pa.table(dict(zip(JudgedRow._fields, map(list, zip(*rows, strict=True)), strict=True)), judged_schema())


def _unreadable(cells: ChunkCells) -> list[JudgedRow]:
    chunk, reasons = cells.chunk, cells.problems
    return [
        JudgedRow(
            row=chunk.first + place,
            id=f"row-{chunk.first + place}",
            product="",
            category="",
            title="",
            title_raw="",
            dropped=SHARD_UNREADABLE,
            detail=whole_text(reasons[min(place, len(reasons) - 1)]),
            flags=[],
            stripped=[],
            digest=None,
            hash=None,
        )
        for place in range(chunk.rows)
    ]


class _Judge:
    """Judges the rows of one chunk."""

    def __init__(self, settings: JudgeSettings, cells: ChunkCells) -> None:
        self._settings, self._cells = settings, cells
        self._titles = _title_rules(settings.title_rules, settings.lists)
        self._images = ImageRules(settings.image_rules)

    def rows(self, cells: Iterable[tuple[Any, ...]]) -> list[JudgedRow]:
        """What is known of rows by their cells, in the order of :class:`ChosenColumns`' fields."""
        rows, wanted = list[JudgedRow](), dict[int, tuple[Any, Any, Any]]()
        for place, (title, image, name, product, category, status, error) in enumerate(cells):
            rows.append(self._row(place, title, name, product, category))
            if rows[-1].dropped is None and self._settings.columns.image is not None:
                wanted[place] = image, status, error
        found = self._judged_images(wanted)
        return [self._with_image(row, found[place]) if place in found else row for place, row in enumerate(rows)]

    def _row(self, place: int, title: Any, name: Any, product: Any, category: Any) -> JudgedRow:
        row, flags = self._cells.chunk.first + place, list[Reason]()
        known = id_text(name)
        if known is None or len(known) > MAX_ID:
            if self._settings.columns.id is not None:
                flags.append(Reason(ID_MISSING, ""))
            known = f"row-{row}" if self._settings.columns.id is not None else str(row)
        else:
            known = self._cells.prefix + known
        raw, dropped = self._raw(title, flags)
        clean, stripped = "", list[str]()
        if dropped is None:
            judged = self._titles.judge(normalise_title(raw, self._settings.normalise))
            clean, dropped = judged.title, judged.dropped
            flags += judged.flags
            stripped = [reason.rule for reason in judged.stripped]
        return JudgedRow(
            row=row,
            id=whole_text(known),
            product=whole_text(id_text(product) or ""),
            category=whole_text(id_text(category) or ""),
            title=clean,
            title_raw=raw,
            dropped=None if dropped is None else dropped.rule,
            detail="" if dropped is None else whole_text(dropped.detail),
            flags=list(dict.fromkeys(flag.rule for flag in flags)),
            stripped=stripped,
            digest=None,
            hash=None,
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
            return whole_text(str(value)[:MAX_TEXT]), Reason(TITLE_NO_TEXT, f"it is {type(value).__name__}")
        if len(value) > MAX_TEXT:
            return whole_text(value[:80]), Reason(TITLE_HUGE, f"{len(value):,} characters")
        return whole_text(value), None

    def _judged_images(self, wanted: Mapping[int, tuple[Any, Any, Any]]) -> dict[int, ImageJudgement | Reason]:
        """Of some rows what the rules say of their images, or why there is none."""
        found, read = dict[int, ImageJudgement | Reason](), deque[int]()

        def files() -> Iterator[bytes]:
            for place, (value, status, error) in wanted.items():
                file = self._file(place, value, status, error)
                if isinstance(file, Reason):
                    found[place] = file
                else:
                    read.append(place)
                    yield file

        for judged in self._images.judge_all(files()):
            found[read.popleft()] = judged
        return found

    def _file(self, place: int, value: Any, status: Any, error: Any) -> bytes | Reason:
        """The file of a row's image, or why there is none."""
        where = f"{self._cells.where}, row {self._cells.chunk.start + place}"
        data, problem = image_file(value, self._cells.folder, self._cells.source)
        if data is None:
            return _absent(value, status, error) or Reason(IMAGE_MISSING, problem or "")
        try:
            return file_bytes(data, where)
        except (OSError, ImageError) as failed:
            return Reason(IMAGE_MISSING, str(failed)[:200])

    def _with_image(self, row: JudgedRow, found: ImageJudgement | Reason) -> JudgedRow:
        if isinstance(found, Reason):
            if self._settings.images == "optional":
                return row._replace(flags=list(dict.fromkeys([*row.flags, found.rule])))
            return row._replace(dropped=found.rule, detail=whole_text(found.detail))
        seen = row._replace(
            flags=list(dict.fromkeys([*row.flags, *(flag.rule for flag in found.flags)])),
            digest=found.digest,
            hash=found.hash,
        )
        dropped = found.dropped
        return seen if dropped is None else seen._replace(dropped=dropped.rule, detail=whole_text(dropped.detail))


def _absent(value: Any, status: Any, error: Any) -> Reason | None:
    """Why a cell without a file has none, as far as the source says."""
    if isinstance(status, str) and status.startswith(FAILED):
        return Reason(DOWNLOAD_FAILED, f"{status}: {error}"[:200] if error else status[:200])
    if is_address(value):
        shown = value["path"] if isinstance(value, dict) else value
        return Reason(IMAGE_NOT_DOWNLOADED, str(shown)[:200])
    return None
