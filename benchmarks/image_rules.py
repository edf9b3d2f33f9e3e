"""Rules of images and near images: precision and recall on planted cases, speed beside bare decoding, growth, memory.

python benchmarks/image_rules.py near|rules|text|speed|growth --data ../shared/data
"""

from __future__ import annotations

import argparse
import math
import random
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from planted_images import (
    CHINESE,
    LATIN,
    catalogue,
    changes,
    colourful,
    drawn_products,
    frames,
    in_another_colour,
    opened,
    qr_code,
    saved,
    with_text,
)

from interbert.curation.hash_search import close_hashes
from interbert.curation.image_rules import ImageOptions, ImageRules
from interbert.curation.near_images import near_image_pairs
from interbert.extraction.images import load_image


def interval(right: int, of: int) -> str:
    """A share with Wilson's 95% interval."""
    if not of:
        return "-"
    z, share = 1.96, right / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return f"{share:.3f} ({max(0.0, middle - half):.3f}-{min(1.0, middle + half):.3f}), {right} of {of}"


def hashes_of(files: Sequence[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(one.hash for one in ImageRules().judge_all(files)), np.uint8).reshape(len(files), -1)


def near(data: Path, only: str = "") -> None:
    """Recall by change, and false pairs, among all images of a catalogue."""
    draws = random.Random(0)
    for name, files, number in (
        ("drawn, 400 pixels", drawn_products(300), 150),
        ("grocery", catalogue(data / "grocery/train.parquet"), 150),
        ("fashion", catalogue(data / "fashion/train.parquet")[:1500], 150),
    ):
        if only not in name:
            continue
        files = list(dict.fromkeys(files))
        chosen = draws.sample(range(len(files)), number)
        hashes = hashes_of(files)
        found = {tuple(pair) for pair in near_image_pairs(hashes, files.__getitem__).tolist()}
        print(f"\n{name}: {len(files)} different files, {len(found)} near pairs among them\n", flush=True)
        originals = [opened(files[row]) for row in chosen]
        wrong = 0
        for change, make in changes(draws).items():
            pairs, both = with_planted(files, hashes, [make(image) for image in originals])
            planted = connected(pairs, len(both))
            right = sum(planted[len(files) + place] == planted[row] for place, row in enumerate(chosen))
            false = false_pairs(pairs, found, len(files), chosen)
            wrong += false
            print(f"| {change} | {interval(right, number)} | {false} |", flush=True)
        coloured = [(row, image) for row, image in zip(chosen, originals, strict=True) if colourful(image)]
        for turn in (0.08, 0.33):
            made = [saved(in_another_colour(image, turn), quality=90) for _, image in coloured]
            pairs, both = with_planted(files, hashes, made)
            groups = connected(pairs, len(both))
            joined = sum(groups[len(files) + place] == groups[row] for place, (row, _) in enumerate(coloured))
            print(f"| another colour (hue by {turn:.0%}), taken for one | {interval(joined, len(coloured))} | |")
        print(f"false pairs of all changes: {wrong}", flush=True)


def with_planted(
    files: list[bytes], hashes: NDArray[np.uint8], planted: list[bytes]
) -> tuple[NDArray[np.int64], list[bytes]]:
    both = files + planted
    return near_image_pairs(np.concatenate((hashes, hashes_of(planted))), both.__getitem__), both


def connected(pairs: NDArray[np.int64], number: int) -> NDArray[np.int64]:
    groups = np.arange(number)
    for one, other in pairs.tolist():
        groups[groups == groups[other]] = groups[one]
    return groups


def false_pairs(pairs: NDArray[np.int64], found: set[tuple[int, ...]], number: int, chosen: Sequence[int]) -> int:
    """Pairs that join a changed image with another than its original, and than those that were near before."""
    source = [*range(number), *chosen]
    ends = [tuple(sorted((source[one], source[other]))) for one, other in pairs.tolist()]
    groups = connected(np.asarray(sorted(found) or np.empty((0, 2)), np.int64), number)
    return sum(groups[one] != groups[other] for one, other in ends)


def rules(data: Path) -> None:
    """Precision and recall of each rule, on cases planted among as many images left as they are."""
    draws = random.Random(1)
    full = catalogue(data / "grocery/train.parquet")  # photos that fill their image
    files = draws.sample(catalogue(data / "fashion/train.parquet") + full, 1300)
    plants: dict[str, Callable[[bytes], bytes]] = {
        "image_truncated": lambda file: file[: draws.randint(len(file) * 2 // 3, len(file) - 20)],
        "image_truncated (ends as it should)": lambda file: (
            file[: round(len(file) * draws.uniform(0.7, 0.95))] + b"\xff\xd9"
        ),
        "image_format": lambda file: saved(opened(file), draws.choice(("TIFF", "PPM", "PCX", "TGA"))),
        "image_animated": lambda file: frames(opened(file), draws.choice(("GIF", "WEBP", "PNG"))),
        "image_too_small": lambda file: saved(opened(file).resize((draws.randint(1, 31), 60))),
        "image_aspect": lambda file: saved(opened(file).resize((400, draws.randint(33, 99)))),
        "image_blank": lambda file: blank(draws),
        "image_white_border": lambda file: on_white(opened(draws.choice(full)), draws.uniform(0.15, 0.43)),
        "image_unreadable": lambda file: draws.choice((b"<!DOCTYPE html>", b'{"error":', b"%PDF-1.7", b"")) + file[40:],
    }
    near_misses: dict[str, Callable[[bytes], bytes]] = {
        "one frame of GIF, PNG, WebP": lambda file: saved(opened(file), draws.choice(("GIF", "PNG", "WEBP"))),
        "32 pixels": lambda file: saved(opened(file).resize((32, draws.randint(32, 90)))),
        "4 to 1": lambda file: saved(opened(file).resize((400, 100))),
        "hardly any contrast": lambda file: saved(opened(file).convert("L").point(lambda level: 200 + level // 10)),
        "on white, half of the area": lambda file: on_white(opened(draws.choice(full)), 0.72),
    }
    judged = list(ImageRules().judge_all(files))
    named = [rule.rule for one in judged for rule in (*one.flags, one.dropped) if rule is not None]
    print("untouched:", len(files), {rule: named.count(rule) for rule in set(named)})
    clean = [file for file, one in zip(files, judged, strict=True) if one.dropped is None and not one.flags]
    seen: dict[str, list[str]] = {}
    for case, make in (plants | near_misses).items():
        planted = [make(file) for file in draws.sample(clean, 200)]
        seen[case] = [
            one.dropped.rule if one.dropped else one.flags[0].rule if one.flags else "none"
            for one in ImageRules().judge_all(planted)
        ]
    for case in plants:
        rule = case.split(" ")[0]
        right = seen[case].count(rule)
        others = sum(names.count(rule) for other, names in seen.items() if other.split(" ")[0] != rule)
        missed = {name: seen[case].count(name) for name in set(seen[case]) - {rule}}
        precision = interval(right, right + others + (named.count(rule) if rule != "image_white_border" else 0))
        print(f"| {case} | {interval(right, 200)} | {precision} | {missed or ''} |")
    for case in near_misses:
        print(f"| near miss: {case} | none of the rules: {interval(seen[case].count('none'), 200)} |")


def blank(draws: random.Random) -> bytes:
    size = draws.randint(80, 300), draws.randint(80, 300)
    image = Image.new("RGB", size, tuple(draws.randint(0, 255) for _ in range(3)))
    return saved(image, draws.choice(("JPEG", "PNG", "GIF")))


def on_white(image: Image.Image, share: float) -> bytes:
    """On a white sheet, of which it has ``share`` of each side."""
    width, height = (round(side / share) for side in image.size)
    sheet = Image.new("RGB", (width, height), "white")
    sheet.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return saved(sheet)


def text(data: Path) -> None:
    """Text by its share, and QR codes: planted on photos, against the photos as they are."""
    draws = random.Random(2)
    files = draws.sample(catalogue(data / "fashion/train.parquet"), 60)
    files += draws.sample(catalogue(data / "grocery/train.parquet"), 60)
    told = ImageRules(
        ImageOptions(text=0.03, qr_codes=True, least_side=None, only_flagged=("image_text", "image_qr_code"))
    )

    def share_of(rule: str, planted: Sequence[bytes]) -> str:
        right = sum(rule in {flag.rule for flag in one.flags} for one in told.judge_all(planted))
        return interval(right, len(planted))

    start = time.process_time()
    print("| photos as they are: text |", share_of("image_text", files), "|", flush=True)
    print(f"{(time.process_time() - start) / len(files):.3f} seconds of a core each")
    for name, font in (("Chinese", CHINESE), ("Latin", LATIN)):
        planted = [saved(with_text(opened(file), font, draws), quality=85) for file in files[::2]]
        print(f"| a line of text, {name} |", share_of("image_text", planted), "|", flush=True)
    print("| photos as they are: QR code |", share_of("image_qr_code", files), "|", flush=True)
    for side, quality in ((100, 85), (60, 85), (100, 40)):
        planted = []
        for file in files[::2]:
            image = opened(file).resize((400, 400))
            image.paste(qr_code(f"https://shop.example/{draws.random()}", side), (draws.randint(4, 290), 290))
            planted.append(saved(image, quality=quality))
        print(
            f"| QR code of {side} pixels in 400, quality {quality} |",
            share_of("image_qr_code", planted),
            "|",
            flush=True,
        )


def speed(data: Path) -> None:
    """Rules and hash beside bare decoding, in turns of 64 images, in seconds of the processor."""
    judge = ImageRules()
    for name in ("fashion", "grocery"):
        files = catalogue(data / name / "train.parquet")[:2560]
        large = [saved(opened(file).resize((800, 1000)), quality=85) for file in files[:192]]
        for kind, images in ((name, files), (f"{name}, at 800 x 1000", large)):
            ratios, ours = [], []
            for start in range(0, len(images), 64):
                turn = images[start : start + 64]
                before = time.process_time()
                for image in turn:
                    load_image(image, "")
                between = time.process_time()
                list(judge.judge_all(turn))
                ours.append((time.process_time() - between) / len(turn))
                ratios.append((between - before) / len(turn) / ours[-1])
            low, middle, high = np.quantile(ratios, (0.25, 0.5, 0.75))
            print(
                f"| {kind} | {1 / np.median(ours):,.0f} a second | {middle:.2f} ({low:.2f}-{high:.2f}) of bare |",
                flush=True,
            )


def growth(data: Path) -> None:
    """Search alone, among fashion's hashes with 12% of their bits changed; three in twenty are planted again."""
    draws = np.random.default_rng(0)
    real = hashes_of(catalogue(data / "fashion/train.parquet")[:1500])
    for number in (30_000, 300_000):
        bits = real[draws.integers(len(real), size=number)]
        bits = bits ^ np.packbits(draws.random((number, 256), np.float32) < 0.12, axis=1)
        some = np.arange(number // 20)
        planted = {changed: (some + part * len(some)) for part, changed in enumerate((8, 16, 24))}
        for changed, rows in planted.items():
            flips = np.zeros((len(rows), 256), bool)
            np.put_along_axis(flips, draws.random(flips.shape, np.float32).argsort(1)[:, :changed], True, axis=1)
            bits[number - 1 - rows] = bits[rows] ^ np.packbits(flips, axis=1)
        before, start = peak(), time.process_time()
        pairs, _ = close_hashes(bits, 24, 16, 8, True, 0)
        seconds, codes = time.process_time() - start, pairs[:, 0] * number + pairs[:, 1]
        found = {
            changed: round(float(np.isin(rows * number + number - 1 - rows, codes).mean()), 3)
            for changed, rows in planted.items()
        }
        print(f"| {number:,} | {found} | {seconds:.1f} s | {before:,.0f} and {peak():,.0f} MiB |", flush=True)


def peak() -> float:
    """MiB that the process had at the most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("near", "rules", "text", "speed", "growth"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", default="", help="a catalogue's name, for near")
    asked = parser.parse_args()
    if asked.part == "near":
        near(asked.data, asked.only)
    else:
        {"rules": rules, "text": text, "speed": speed, "growth": growth}[asked.part](asked.data)
