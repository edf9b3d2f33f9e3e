"""Images of Chinese-CLIP's LMDB ``imgs``: id -> image in base64."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from interbert.errors import SourceError, writing
from interbert.extraction.image_tsv import ImageTsv, is_image_tsv
from interbert.regions.importers.clip_lmdb import read_images


class ImageLmdb(ImageTsv):
    """Records of an LMDB as rows, in the order of their ids as bytes.

    The process that reads the file gives its records one after the other, and extraction asks for rows by number: they
    are copied into a temporary file, which takes as much of the disk as the LMDB and goes with this object.

    Raises:
        SourceError: it is no LMDB, is damaged, or holds no images in base64.
        MissingExtraError: lmdb is not installed.
        StorageError: the disk is full.
    """

    def __init__(self, folder: Path) -> None:
        self._unread: dict[str, str] = {}
        self._copy: Any = tempfile.TemporaryDirectory(prefix="interbert-lmdb-")
        file = Path(self._copy.name) / "imgs.tsv"
        with writing(file), file.open("wb") as lines:
            for key, content in read_images(folder):
                name = b" ".join(key.encode("latin1").split())
                if isinstance(content, str):
                    self._unread[name.decode("utf-8", "replace")] = content
                    content = b""
                lines.write(name + b"\t" + b"".join(content.split()) + b"\n")
        if not file.stat().st_size or not is_image_tsv(file):
            raise SourceError(
                f"{folder}: its first records are no images in base64, as Chinese-CLIP's imgs has them. LMDB files of "
                "regions are read by interbert import; captions (pairs) are given with --captions."
            )
        super().__init__([file])

    def value(self, row: int, column: str) -> Any:
        """The id as text, or the image's bytes."""
        problem = self._unread.get(super().value(row, self.image_id)) if column == "image" else None
        return super().value(row, column) if problem is None else {"problem": problem}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_copy"}
