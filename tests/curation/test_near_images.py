from __future__ import annotations

import errno
import io
import os

import numpy as np
import pytest
from PIL import Image
from tests.product_images import product, saved

from interbert.curation.hash_search import close_hashes
from interbert.curation.image_rules import ImageRules
from interbert.curation.near_images import NearImageOptions, near_image_pairs
from interbert.errors import ConfigError, StorageError

SIZE = (300, 400)
PHOTOS = [product(seed, SIZE) for seed in range(12)]


def hashes_of(files: list[bytes]) -> np.ndarray:
    judged = ImageRules().judge_all(files)
    return np.stack([np.frombuffer(one.hash, np.uint8) for one in judged])


def recoloured(image: Image.Image) -> Image.Image:
    """The same brightness, another hue."""
    y, cb, cr = image.convert("YCbCr").split()
    return Image.merge("YCbCr", (y, cr, cb)).convert("RGB")


@pytest.mark.parametrize(
    "change",
    [
        lambda image: saved(image, quality=30),
        lambda image: saved(image, "WEBP", quality=60),
        lambda image: saved(image.resize((150, 200)), quality=90),
        lambda image: saved(image.crop((3, 4, 297, 396)), quality=90),
        lambda image: saved(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), quality=75),
    ],
    ids=["quality 30", "webp", "half the size", "cropped 2%", "mirrored"],
)
def test_one_photo_is_found_again(change: object) -> None:
    files = [saved(image, quality=92) for image in PHOTOS] + [change(image) for image in PHOTOS]  # type: ignore[operator]
    pairs = near_image_pairs(hashes_of(files), files.__getitem__)
    assert pairs.tolist() == [[row, row + len(PHOTOS)] for row in range(len(PHOTOS))]


def test_a_jpeg_of_good_quality_moves_few_bits_though_most_of_the_image_is_white() -> None:
    whole, packed = (hashes_of([saved(image, *how) for image in PHOTOS]) for how in (("PNG",), ("JPEG",)))
    good = hashes_of([saved(image, quality=95) for image in PHOTOS])
    assert np.bitwise_count(whole ^ good).sum(axis=1).max() <= 8, "of 256; noise on white decides no bit"
    assert np.bitwise_count(whole ^ packed).sum(axis=1).max() <= 16


def test_another_colour_is_another_product_though_the_hashes_are_equal() -> None:
    files = [saved(image, quality=92) for image in PHOTOS] + [saved(recoloured(image), quality=92) for image in PHOTOS]
    hashes = hashes_of(files)
    assert np.bitwise_count(hashes[:12] ^ hashes[12:]).sum(axis=1).max() <= 12
    assert near_image_pairs(hashes, files.__getitem__).size == 0


def test_mirrored_photos_are_two_on_demand() -> None:
    files = [saved(PHOTOS[0]), saved(PHOTOS[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT))]
    assert near_image_pairs(hashes_of(files), files.__getitem__, NearImageOptions(mirrored=False)).size == 0


def test_rows_without_an_image_have_no_pairs_and_are_not_loaded() -> None:
    files = [b"", saved(PHOTOS[0]), b"broken", saved(PHOTOS[0], quality=60)]
    loaded: list[int] = []

    def load(row: int) -> bytes:
        loaded.append(row)
        return files[row]

    assert near_image_pairs(hashes_of(files), load).tolist() == [[1, 3]]
    assert loaded == [1, 3]


def test_a_file_that_is_gone_since_it_was_hashed_has_no_pairs() -> None:
    files = [saved(PHOTOS[0]), saved(PHOTOS[0], quality=60), saved(PHOTOS[0], quality=50)]
    hashes = hashes_of(files)
    assert near_image_pairs(hashes, [files[0], b"", files[2]].__getitem__).tolist() == [[0, 2]]


def test_many_equal_images_are_one_group_by_few_pairs() -> None:
    file = saved(PHOTOS[0].resize((60, 80)))
    rows = 600
    pairs = near_image_pairs(np.repeat(hashes_of([file]), rows, axis=0), lambda row: file)
    assert len(pairs) == rows - 1
    connected = {0}
    for one, other in sorted(pairs.tolist()):
        assert one in connected or other in connected
        connected |= {one, other}


def test_equal_hashes_of_different_images_are_compared_with_few() -> None:
    """A bucket of rows that no pixels confirm: each keeps its eight, whatever their number."""
    hashes = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 32), np.uint8), 2000, axis=0)
    pairs, _ = close_hashes(hashes, distance=8, orders=4, neighbours=8, with_mirrored=True, seed=0)
    assert len(pairs) <= 2 * 8 * 2000


def test_close_hashes_are_those_of_all_pairs() -> None:
    draws = np.random.default_rng(1)
    bits = draws.random((2000, 256)) < 0.4
    bits[1000:] = bits[:1000]
    for row, changed in enumerate(draws.integers(1, 20, 1000), start=1000):
        bits[row, draws.permutation(256)[:changed]] ^= True
    hashes = np.packbits(bits, axis=1)
    pairs, flipped = close_hashes(hashes, distance=20, orders=16, neighbours=8, with_mirrored=False, seed=0)
    wanted = {(row, row + 1000) for row in range(1000)}
    assert not flipped.any()
    found = set(map(tuple, pairs.tolist()))
    assert found <= wanted
    assert len(found) >= 0.97 * len(wanted)


@pytest.mark.parametrize("number", [0, 1])
def test_few_rows_have_no_pairs(number: int) -> None:
    assert near_image_pairs(np.ones((number, 32), np.uint8), lambda row: b"").shape == (0, 2)


@pytest.mark.parametrize("wrong", [{"distance": -1}, {"orders": 0}, {"neighbours": 0}])
def test_search_options_out_of_range_are_named(wrong: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        NearImageOptions(**wrong)


def test_grey_decoding_is_the_grey_of_the_image() -> None:
    from interbert.extraction.images import load_image, load_image_file

    exif = Image.Exif()
    exif[0x0112] = 6
    for options in ({}, {"exif": exif}):
        data = saved(PHOTOS[0], quality=95, **options)
        grey = np.asarray(load_image_file(data, "", grey=True).image, np.int16)
        whole = np.asarray(load_image(data, "").convert("L"), np.int16)
        assert grey.shape == whole.shape
        assert np.abs(grey - whole).mean() < 0.5  # colours out of range are cut at another place
    clear = io.BytesIO()
    Image.new("LA", (40, 40), (0, 0)).save(clear, "PNG")
    assert np.asarray(load_image_file(clear.getvalue(), "", grey=True).image).min() == 255


def test_a_full_disk_is_said_before_images_are_compared(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    def full(*given: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    files = [saved(PHOTOS[0]), saved(PHOTOS[0], quality=60)]
    with pytest.raises(StorageError, match=f"{tmp_path}: the disk is full"):
        near_image_pairs(hashes_of(files), files.__getitem__, folder=tmp_path)
