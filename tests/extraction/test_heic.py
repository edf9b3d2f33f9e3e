"""Photos in HEIC: read with pillow-heif, named without it."""

from __future__ import annotations

import builtins
import io
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from interbert.errors import ImageError
from interbert.extraction import images

HEADER = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 40


@pytest.fixture
def without_reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    real = builtins.__import__

    def no_heif(name: str, *rest: Any) -> Any:
        if name == "pillow_heif":
            raise ModuleNotFoundError(name=name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_heif)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    images.known_formats.cache_clear()
    yield
    images.known_formats.cache_clear()


@pytest.mark.usefixtures("without_reader")
def test_without_the_reader_it_is_named() -> None:
    with pytest.raises(ImageError, match=r"^a.heic: is a photo in HEIC.* pip install 'interbert\[heic\]'; or save"):
        images.load_image(HEADER, "a.heic")


@pytest.mark.usefixtures("without_reader")
def test_other_files_are_not_called_heic() -> None:
    for data in (b"ftypheic" * 9, b"\0\0\0\x18ftypisom" + b"\0" * 40):
        with pytest.raises(ImageError, match="no known format"):
            images.load_image(data, "a.heic")


def test_with_the_reader_it_is_read() -> None:
    reader = pytest.importorskip("pillow_heif")
    images.known_formats.cache_clear()
    file = io.BytesIO()
    reader.from_pillow(Image.new("RGB", (64, 48), (200, 30, 30))).save(file, quality=90)
    found = images.load_image_file(file.getvalue(), "a.heic")
    assert (found.format, found.size, found.image.mode) == ("HEIF", (64, 48), "RGB")
    red, green, blue = found.image.getpixel((20, 20))  # type: ignore[misc]
    assert abs(red - 200) < 12
    assert max(green, blue) < 45
    with pytest.raises(ImageError, match=r"^a\.heic: not a readable image"):
        images.load_image(file.getvalue()[:-200], "a.heic")
