from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import draw, file_bytes

from interbert.errors import ImageError
from interbert.extraction import images
from interbert.extraction.images import load_image


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def close(pixel: tuple[int, ...], wanted: tuple[int, int, int], by: int = 40) -> bool:
    return all(abs(one - other) <= by for one, other in zip(pixel, wanted, strict=True))


def left_and_right(mode: str, left: object, relevant: object) -> Image.Image:
    """40 x 20: the left half in one colour, the right half in another."""
    image = Image.new(mode, (40, 20), relevant)
    image.paste(left, (0, 0, 20, 20))
    return image


def palette() -> bytes:
    image = Image.new("P", (40, 20), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 20, 20))
    return saved(image, transparency=1)


def grey16() -> bytes:
    values = np.zeros((20, 40), np.uint16)
    values[:, :20] = 65535
    values[:, 20:] = 32768
    return saved(Image.fromarray(values))


RED, WHITE, BLACK, GREY = (255, 0, 0), (255, 255, 255), (0, 0, 0), (128, 128, 128)
SEE_THROUGH_BLUE = (0, 0, 255, 0)


@pytest.mark.parametrize(
    ("data", "left", "relevant"),
    [
        (saved(left_and_right("CMYK", (0, 255, 255, 0), (0, 0, 0, 0)), "JPEG"), RED, WHITE),
        (palette(), RED, WHITE),
        (saved(left_and_right("LA", (0, 255), (0, 0))), BLACK, WHITE),
        (saved(left_and_right("RGBA", (255, 0, 0, 255), SEE_THROUGH_BLUE)), RED, WHITE),
        (saved(left_and_right("RGBA", (255, 0, 0, 255), SEE_THROUGH_BLUE), "WEBP", lossless=True), RED, WHITE),
        (saved(left_and_right("RGBA", (255, 0, 0, 128), SEE_THROUGH_BLUE)), (255, 127, 127), WHITE),
        (saved(left_and_right("L", 0, 77), transparency=77), BLACK, WHITE),
        (saved(left_and_right("RGB", RED, (0, 0, 255)), transparency=(0, 0, 255)), RED, WHITE),
        (grey16(), WHITE, GREY),
        (saved(left_and_right("F", 255.0, 128.0), "TIFF"), WHITE, GREY),
        (saved(left_and_right("1", 1, 0)), WHITE, BLACK),
        (saved(left_and_right("L", 255, 128), "BMP"), WHITE, GREY),
        (saved(left_and_right("RGB", RED, WHITE), "GIF"), RED, WHITE),
    ],
    ids=[
        "CMYK jpeg",
        "palette with transparency",
        "LA",
        "RGBA",
        "RGBA webp",
        "half transparent",
        "grey with a transparent grey",
        "RGB with a transparent colour",
        "16 bit grey",
        "float tiff",
        "1 bit",
        "grey bmp",
        "gif",
    ],
)
def test_every_kind_of_image_becomes_rgb_on_white(
    data: bytes, left: tuple[int, int, int], relevant: tuple[int, int, int]
) -> None:
    image = load_image(data, "here")
    assert image.mode == "RGB"
    assert image.size == (40, 20)
    assert close(image.getpixel((8, 10)), left)
    assert close(image.getpixel((32, 10)), relevant)


def test_an_image_of_one_pixel_is_an_image() -> None:
    assert load_image(saved(Image.new("RGB", (1, 1), RED)), "here").getpixel((0, 0)) == RED


def test_an_image_is_turned_as_its_exif_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    image = load_image(saved(left_and_right("RGB", RED, WHITE), "JPEG", exif=exif), "here", target_side=256)
    assert image.size == (20, 40)
    assert close(image.getpixel((10, 5)), RED)
    assert close(image.getpixel((10, 35)), WHITE)


def test_of_an_animation_the_first_frame_is_taken() -> None:
    frames = [Image.new("RGB", (12, 8), colour) for colour in ("red", "blue", "green")]
    for kind in ("GIF", "PNG", "WEBP"):
        data = saved(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
        assert close(load_image(data, "here").getpixel((5, 5)), RED), kind


def test_a_large_jpeg_is_decoded_at_a_reduced_scale_that_still_suffices() -> None:
    data = saved(draw("red", "circle", (2400, 3200)), "JPEG")
    small = load_image(data, "here", target_side=256)
    assert 512 <= small.width < 2400
    assert abs(small.width / small.height - 0.75) < 0.01
    assert load_image(data, "here").size == (2400, 3200)


@pytest.mark.filterwarnings("ignore:Image was not the expected size")
def test_the_image_in_an_ico_file_is_counted_whatever_the_header_says(monkeypatch: pytest.MonkeyPatch) -> None:
    png = file_bytes(Image.new("L", (300, 200), 255))
    head = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(png), 22)
    assert load_image(head + png, "x").size == (300, 200)
    monkeypatch.setattr(images, "MAX_PIXELS", 59_999)
    with pytest.raises(ImageError, match="x: 300 x 200 pixels, at most 59,999 are read"):
        load_image(head + png, "x")


def test_a_path_is_read_like_bytes(tmp_path: Path) -> None:
    path = tmp_path / "图片 1.png"
    path.write_bytes(file_bytes(draw("red", "square")))
    assert load_image(path, "here").tobytes() == load_image(path.read_bytes(), "here").tobytes()


@pytest.mark.parametrize(
    "data",
    [
        saved(draw("red", "circle", (200, 200)), "JPEG")[:1500],
        saved(Image.effect_noise((200, 200), 80))[:9000],
        b"just a text, called photo.jpg\n" * 20,
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    ],
    ids=["cut jpeg", "cut png", "text", "empty", "png header only", "svg"],
)
def test_what_is_no_whole_image_is_an_error_that_names_the_place(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    for given in (data, path):
        with pytest.raises(ImageError, match=r"^shop\.csv, row 3: not a readable image") as caught:
            load_image(given, "shop.csv, row 3")
        assert "\n" not in str(caught.value)
        assert " object at 0x" not in str(caught.value)  # the same image has the same reason in every run


def test_a_missing_file_and_a_folder_are_errors_that_name_the_place(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.png", tmp_path):
        with pytest.raises(ImageError, match=r"^row 3: "):
            load_image(path, "row 3")


@pytest.mark.parametrize("side", [20_000, 11_000])
def test_a_bomb_is_refused_before_it_is_decoded(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(Image.new("1", (side, side)), optimize=False)
    assert len(data) < 200_000
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(ImageError, match=r"^row 3: .*pixels.*make it smaller"):
        load_image(data, "row 3")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_a_file_with_flipped_bytes_is_an_image_or_an_image_error(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "a maker"
    options = {"exif": exif.tobytes()} if kind in ("JPEG", "PNG", "WEBP") else {}
    if kind == "TIFF":
        options = {"compression": "tiff_lzw"}
    data = saved(draw("red", "circle", (32, 24)), kind, **options)
    choose = random.Random(0)
    refused = []
    for _ in range(150):
        broken = bytearray(data)
        for _ in range(choose.choice([1, 3, 10])):
            broken[choose.randrange(min(len(broken), 400))] = choose.randrange(256)
        if choose.random() < 0.2:
            broken = broken[: choose.randrange(len(broken))]
        try:
            assert load_image(bytes(broken), "row 3", 512).mode == "RGB"
        except ImageError as error:
            refused.append(str(error))
    assert refused
    assert all(reason.startswith("row 3: ") for reason in refused)


def test_a_damaged_avif_is_no_readable_image_whatever_its_decoder_raises() -> None:
    whole = file_bytes(Image.effect_noise((16, 16), 60).convert("RGB"), "AVIF")
    refused = 0
    for place in range(60, len(whole)):
        try:
            load_image(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :], "x")
        except ImageError:
            refused += 1
    assert refused
