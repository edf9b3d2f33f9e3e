"""Drawn products for the tutorials: clothes in colours and patterns, with English and Chinese titles.

The drawings are simple, so that a small model learns from them in seconds; nothing is downloaded.
"""

from __future__ import annotations

import csv
import random
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {
    "red": ("红色", "#d7263d"),
    "orange": ("橙色", "#f46036"),
    "yellow": ("黄色", "#ffd23f"),
    "green": ("绿色", "#2e9c4f"),
    "blue": ("蓝色", "#1b6ca8"),
    "purple": ("紫色", "#7b3fa0"),
    "black": ("黑色", "#222222"),
    "grey": ("灰色", "#9a9a9a"),
}
PATTERNS = {"plain": "纯色", "striped": "条纹", "dotted": "波点"}
KINDS = {
    "T-shirt": (
        "T恤",
        [(30, 20), (98, 20), (122, 48), (104, 62), (96, 52), (96, 112), (32, 112), (32, 52), (24, 62), (6, 48)],
    ),
    "dress": ("连衣裙", [(46, 12), (82, 12), (80, 52), (112, 116), (16, 116), (48, 52)]),
    "trousers": ("长裤", [(36, 12), (92, 12), (100, 116), (74, 116), (64, 48), (54, 116), (28, 116)]),
    "bag": ("手提包", [(20, 52), (44, 52), (48, 20), (80, 20), (84, 52), (108, 52), (116, 112), (12, 112)]),
    "boot": ("靴子", [(40, 10), (80, 10), (80, 74), (116, 92), (116, 114), (40, 114)]),
    "hat": ("帽子", [(8, 92), (40, 84), (46, 36), (82, 36), (88, 84), (120, 92), (120, 104), (8, 104)]),
}
SIDE = 128


def draw(kind: str, colour: str, pattern: str, shift: tuple[int, int] = (0, 0)) -> Image.Image:
    """One product on white, moved by ``shift`` pixels."""
    outline = [(x + shift[0], y + shift[1]) for x, y in KINDS[kind][1]]
    cloth = Image.new("RGB", (SIDE, SIDE), COLOURS[colour][1])
    pen = ImageDraw.Draw(cloth)
    if pattern == "striped":
        for y in range(0, SIDE, 16):
            pen.rectangle((0, y, SIDE, y + 6), fill="white")
    elif pattern == "dotted":
        for y in range(6, SIDE, 18):
            for x in range(6, SIDE, 18):
                pen.ellipse((x - 4, y - 4, x + 4, y + 4), fill="white")
    mask = Image.new("L", (SIDE, SIDE), 0)
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    image = Image.new("RGB", (SIDE, SIDE), "white")
    image.paste(cloth, mask=mask)
    ImageDraw.Draw(image).polygon(outline, outline="#444444")
    return image


def write_catalogue(folder: str | Path, seed: int = 0) -> tuple[Path, Path]:
    """Write ``catalogue.csv`` (120 products), ``held_out.csv`` (24 others) and their images in ``folder/images``.

    The columns are ``id, image, title, title_zh, price, stock, colour``; images are paths beside the csv file.
    """
    folder = Path(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    rows = []
    for number, (kind, colour, pattern) in enumerate(
        (kind, colour, pattern) for kind in KINDS for colour in COLOURS for pattern in PATTERNS
    ):
        name = f"images/{1001 + number}.png"
        draw(kind, colour, pattern, (chance.randint(-5, 5), chance.randint(-5, 5))).save(folder / name)
        rows.append(
            {
                "id": 1001 + number,
                "image": name,
                "title": f"{colour} {pattern} {kind}",
                "title_zh": f"{COLOURS[colour][0]}{PATTERNS[pattern]}{KINDS[kind][0]}",
                "price": round(chance.uniform(9, 99), 2),
                "stock": chance.randint(0, 40),
                "colour": colour,
            }
        )
    chance.shuffle(rows)
    files = folder / "held_out.csv", folder / "catalogue.csv"
    for file, part in zip(files, (rows[:24], rows[24:]), strict=True):
        with file.open("w", newline="", encoding="utf-8") as out:
            writer = csv.DictWriter(out, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(part)
    return files[1], files[0]
