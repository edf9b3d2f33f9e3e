from __future__ import annotations

import hashlib
import sys

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from tests.product_images import product, saved

from interbert.curation.image_hashes import HASH_BYTES, mirrored
from interbert.curation.image_options import RULES, ImageOptions
from interbert.curation.image_rules import ImageRules
from interbert.curation.placeholders import placeholder_images
from interbert.errors import ConfigError, MissingExtraError


def without_its_middle(data: bytes) -> bytes:
    """A JPEG that ends as it should, with a part of its data lost."""
    return data[: len(data) // 2] + b"\xff\xd9"


def frames(kind: str, **options: object) -> bytes:
    return saved(product(0), kind, save_all=True, append_images=[product(1)], **options)


GRAIN = np.random.default_rng(0).integers(120, 125, (80, 80), dtype=np.uint8)
BLANK_WITH_A_DOT = Image.new("L", (400, 400), 90)
ImageDraw.Draw(BLANK_WITH_A_DOT).rectangle((10, 10, 20, 20), fill=250)


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "image_unreadable"),
        (b"<html>404</html>", "image_unreadable"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "image_unreadable"),
        (saved(product())[:-900], "image_truncated"),
        (saved(product(), "PNG")[:-900], "image_truncated"),
        (saved(product(), "WEBP")[:-300], "image_truncated"),
        (without_its_middle(saved(product())), "image_truncated"),
        (saved(Image.new("1", (10_001, 10_000)), "PNG"), "image_too_large"),
        (saved(product(), "TIFF"), "image_format"),
        (frames("GIF"), "image_animated"),
        (frames("WEBP"), "image_animated"),
        (frames("PNG"), "image_animated"),
        (saved(product(size=(200, 31))), "image_too_small"),
        (saved(product(size=(400, 99))), "image_aspect"),
        (saved(Image.new("RGB", (80, 80), "white")), "image_blank"),
        (saved(Image.new("RGB", (80, 80), (90, 20, 150))), "image_blank"),
        (saved(Image.fromarray(GRAIN), "PNG"), "image_blank"),
        (saved(BLANK_WITH_A_DOT), "image_blank"),
        (saved(Image.new("RGBA", (80, 80), (9, 9, 9, 0)), "PNG"), "image_blank"),
    ],
)
def test_each_rule_drops_what_it_is_for(data: bytes, rule: str) -> None:
    judged = ImageRules().judge(data)
    assert judged.dropped is not None
    assert judged.dropped.rule == rule
    assert rule in RULES


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (saved(product()), "JPEG"),
        (saved(product(), "GIF"), "GIF"),
        (frames("MPO"), "JPEG"),  # a phone's second exposure, no animation
        (saved(product(size=(400, 100))), "JPEG"),
        (saved(product(size=(32, 40)), "PNG"), "PNG"),
        (saved(product().convert("CMYK")), "JPEG"),
        (saved(product(share=0.2)), "JPEG"),
        (saved(Image.fromarray((GRAIN.astype(np.uint16) - 120) * 16_000), "PNG"), "PNG"),
        (saved(Image.linear_gradient("L")), "JPEG"),
    ],
)
def test_what_only_resembles_a_case_is_kept(data: bytes, kind: str) -> None:
    judged = ImageRules().judge(data)
    assert judged.dropped is None
    assert judged.format == kind
    assert judged.digest == hashlib.sha256(data).digest()
    assert len(judged.hash) == HASH_BYTES


def test_a_grey_bottom_of_another_format_is_no_lost_data() -> None:
    grey = product()
    grey.paste((128, 128, 128), (0, 100, 120, 160))
    assert ImageRules().judge(saved(grey, "PNG")).dropped is None


def test_a_white_border_is_told_and_drops_on_demand() -> None:
    data = saved(product(share=0.3))
    told = ImageRules().judge(data)
    assert told.dropped is None
    assert [flag.rule for flag in told.flags] == ["image_white_border"]
    dropping = ImageRules(ImageOptions(only_flagged=[])).judge(data)
    assert dropping.dropped == told.flags[0]
    assert dropping.flags == ()
    assert ImageRules().judge(saved(product(share=0.6))).flags == ()


def test_rules_are_turned_off() -> None:
    off = ImageOptions(blank=None, least_side=None, most_aspect=None, animated=False, white_border=None)
    assert ImageRules(off).judge(saved(Image.new("RGB", (500, 9), "white"))).dropped is None
    assert ImageRules(off).judge(frames("GIF")).dropped is None


def test_many_files_are_judged_as_each_alone_in_their_order() -> None:
    files = [saved(product(seed, (100 + seed % 3, 80))) for seed in range(70)]
    files[5:5] = [b"nothing", saved(product())[:-900], saved(Image.new("L", (64, 64)))]
    rules = ImageRules()
    assert list(rules.judge_all(iter(files))) == [rules.judge(data) for data in files]


@pytest.mark.parametrize("draw", [product, lambda: Image.linear_gradient("L").rotate(90)])
def test_the_hash_of_a_mirrored_image_follows_from_its_own(draw: object) -> None:
    image = draw()  # type: ignore[operator]
    own, other = (
        np.frombuffer(ImageRules().judge(saved(one, "PNG")).hash, np.uint8)[None]
        for one in (image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    )
    assert np.bitwise_count(mirrored(own) ^ other).sum() <= 2  # amplitudes right at the limit
    assert (own != other).any()


def test_a_symmetric_products_hash_is_not_decided_by_noise() -> None:
    image = Image.new("RGB", (300, 300), "white")
    ImageDraw.Draw(image).ellipse((90, 40, 210, 260), fill=(40, 90, 60))
    hashes = [ImageRules().judge(saved(image, quality=quality)).hash for quality in (95, 75, 50)]
    words = np.frombuffer(b"".join(hashes), np.uint64).reshape(3, -1)
    assert np.bitwise_count(words ^ words[0]).sum(axis=1).max() <= 4


def test_a_placeholder_has_many_titles_that_share_nothing() -> None:
    options = ImageOptions(placeholder_titles=4)
    unlike = ["新款女装连衣裙", "Logitech M185 mouse", "茶叶礼盒装", "儿童积木玩具"]
    variants = [f"Nike Air Max 90 {colour}" for colour in ("red", "blue", "black", "white")]
    digests = [b"none"] * 4 + [b"shoe"] * 4 + [b"few"] * 3 + [b"same"] * 5
    titles = unlike + variants + unlike[:3] + ["one"] * 5
    assert placeholder_images(digests, titles, options) == {b"none"}
    assert placeholder_images(digests, titles, ImageOptions(placeholder_titles=None)) == set()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"blank": 1.5}, "blank"), ({"least_side": 0}, "least_side"), ({"only_flagged": ["image_blnk"]}, "image_blnk")],
)
def test_options_out_of_range_are_named(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ImageOptions(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("package", "options"),
    [("rapidocr", ImageOptions(text=0.1)), ("cv2", ImageOptions(qr_codes=True))],
)
def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, package: str, options: ImageOptions
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'interbert\[curation\]'"):
        ImageRules(options).judge(saved(product()))


def test_text_is_found_in_tall_and_in_cmyk_images() -> None:
    pytest.importorskip("rapidocr")
    tall = Image.new("RGB", (100, 1200), "white")
    for top in (40, 1080):  # of which the library, given the whole, finds nothing or in strips of a pixel
        ImageDraw.Draw(tall).text((4, top), "SALE 50%", fill="black", font=ImageFont.load_default(22))
    rules = ImageRules(ImageOptions(text=0.02, most_aspect=None, only_flagged=["image_text"]))
    told = rules.judge(saved(tall.convert("CMYK")))
    assert [flag.rule for flag in told.flags] == ["image_text"]
    assert rules.judge(saved(product())).flags == ()


def test_where_the_qr_reader_raises_there_is_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    cv2 = pytest.importorskip("cv2")

    class Raising:
        def detectAndDecode(self, _: object) -> None:  # noqa: N802  OpenCV's name
            raise cv2.error("Invalid QR code source points")

    monkeypatch.setattr(cv2, "QRCodeDetector", Raising)
    rules = ImageRules(ImageOptions(qr_codes=True, least_side=None))
    assert rules.judge(saved(product())).dropped is None


def test_a_qr_code_is_found() -> None:
    cv2 = pytest.importorskip("cv2")
    code = Image.fromarray(cv2.QRCodeEncoder.create().encode("https://example.org/shop")).resize((150, 150), 0)
    image = product(size=(400, 400))
    image.paste(code.convert("RGB"), (30, 220))
    rules = ImageRules(ImageOptions(qr_codes=True))
    judged = rules.judge(saved(image))
    assert judged.dropped is not None
    assert judged.dropped.rule == "image_qr_code"
    assert rules.judge(saved(product(size=(400, 400)))).dropped is None
