"""MUGE's layout, which Chinese-CLIP shares: ``{split}_imgs.tsv`` (id, base64) and ``{split}_texts.jsonl``.

A row is a text with one of its images; an image that no text names is a row without a title.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

from interbert.errors import SourceError
from interbert.extraction.columns import id_text
from interbert.extraction.image_tsv import ArchiveRows, ImageTsv
from interbert.extraction.json_rows import read_json_rows

_IMAGES, _TEXTS = "_imgs.tsv", "_texts.jsonl"
_NOTHING = -1


def muge_splits(folder: Path) -> list[str]:
    """Splits that a folder has images and texts of."""
    splits = [file.name.removesuffix(_IMAGES) for file in sorted(folder.glob(f"*{_IMAGES}"))]
    return [name for name in splits if (folder / f"{name}{_TEXTS}").is_file()]


def muge_files(folder: Path, split: str | None) -> tuple[Path, Path]:
    """Images and texts of a split, ``train`` or the only one when None.

    Raises:
        SourceError: the folder has other splits.
    """
    splits = muge_splits(folder)
    wanted = split or (splits[0] if len(splits) == 1 else "train")
    if wanted not in splits:
        raise SourceError(f"{folder}: has no split {wanted[:60]!r}; name one with --split: {', '.join(splits)}.")
    return folder / f"{wanted}{_IMAGES}", folder / f"{wanted}{_TEXTS}"


class MugeRows(ArchiveRows):
    """Pairs of a text and an image; what is kept in memory is two numbers of each.

    Raises:
        SourceError: a file cannot be read, or its records are no texts with images.
    """

    column_names = ("text_id", "title", "image_id", "image")
    image_id = "image_id"

    def __init__(self, images: Path, texts: Path) -> None:
        self._images = ImageTsv([images])
        self._texts = read_json_rows([texts])
        missing = [name for name in ("text_id", "text") if name not in self._texts.column_names]
        if missing:
            raise SourceError(f"{texts}: its records have no {missing[0]!r}. Are they MUGE's?")
        self._pairs = array("q")  # of each row: its text, its image
        self._absent: dict[int, str] = {}
        self._index(texts)

    def _index(self, texts: Path) -> None:
        places = {self._images.value(row, "image_id"): row for row in range(len(self._images))}
        unnamed = set(places.values())
        lists = self._texts["image_ids"] if "image_ids" in self._texts.column_names else []
        for text in range(len(self._texts)):
            named = (lists[text] if len(lists) else None) or [None]
            if not isinstance(named, list):
                raise SourceError(f"{texts}: record {text}: its image_ids are no list.")
            for one in named:
                name = id_text(one)
                image = places.get(name or "", _NOTHING)
                if image == _NOTHING:
                    said = "the text names no image" if name is None else f"there is no image {name[:60]!r}"
                    self._absent[len(self._pairs) // 2] = said
                unnamed.discard(image)
                self._pairs.extend((text, image))
        for image in sorted(unnamed):
            self._pairs.extend((_NOTHING, image))

    def __len__(self) -> int:
        return len(self._pairs) // 2

    def value(self, row: int, column: str) -> Any:
        """The text's id and text, the image's id and bytes."""
        text, image = self._pairs[2 * row : 2 * row + 2]
        if column == "image":
            return {"problem": self._absent[row]} if image == _NOTHING else self._images.value(image, "image")
        if column == "image_id":
            return None if image == _NOTHING else self._images.value(image, "image_id")
        if text == _NOTHING:
            return None
        value = self._texts[text]["text_id" if column == "text_id" else "text"]
        return id_text(value) if column == "text_id" else value
