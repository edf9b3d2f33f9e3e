"""What each OpenMoji picture is called, in English and in Chinese, and which pictures show one thing.

Titles come from the ``emoji`` package (Unicode CLDR short names). Keywords and categories come from
``keywords.tsv``, cut from Unicode CLDR 48 annotations and the Unicode emoji list (``keywords.LICENSE.txt``);
they become a second caption in each language, so that words such as "pet" or 动物 come with many pictures.

Left out: skin-tone variants (2,035 near copies of others), the 259 country flags (a country's name says
nothing about its flag's look), single letters, OpenMoji's own 516 extras (they have no Chinese name).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from interbert.errors import MissingExtraError

SKIN_TONES = range(0x1F3FB, 0x1F400)
REGIONAL_LETTERS = range(0x1F1E6, 0x1F200)
ZWJ, VARIATION, FEMALE, MALE, RIGHT_ARROW = 0x200D, 0xFE0F, 0x2640, 0x2642, 0x27A1
HAIR = range(0x1F9B0, 0x1F9B4)
HELD_OUT_CATEGORIES = frozenset(
    {
        "smileys-emotion",
        "people-body",
        "animals-nature",
        "food-drink",
        "travel-places",
        "activities",
        "objects",
    }
)
_MAX_KEYWORDS = 8
_RUDE = frozenset({"middle finger"})  # the demo's page shows held-out pictures to strangers
# One figure at several ages or genders, spelled with different characters: all become the first.
_SAME_FIGURE = {
    other: figures[0]
    for figures in (
        (0x1F9D1, 0x1F468, 0x1F469),  # adult: person, man, woman
        (0x1F9D2, 0x1F466, 0x1F467),  # child, boy, girl
        (0x1F9D3, 0x1F474, 0x1F475),  # older person, old man, old woman
        (0x1FAC5, 0x1F934, 0x1F478),  # person with crown, prince, princess
        (0x1F385, 0x1F936),  # Santa Claus, Mrs. Claus
        (0x1F483, 0x1F57A),  # woman dancing, man dancing
        (0x1FAC4, 0x1F930, 0x1FAC3),  # pregnant person, woman, man
    )
    for other in figures[1:]
}


@dataclass(frozen=True)
class Glyph:
    """One picture's texts and its place.

    Attributes:
        code: hexadecimal code points joined by "-", the stem of the SVG file.
        title: English name.
        title_zh: Chinese name.
        tags: English keywords, comma separated; "" when there are none.
        tags_zh: Chinese keywords, joined by 、; "" when there are none.
        group: pictures of one emoji (gender, direction and hair variants) share it.
        category: Unicode emoji group, such as "animals-nature".
        held_out_allowed: whether validation and test may draw it: see :func:`may_be_held_out`.
    """

    code: str
    title: str
    title_zh: str
    tags: str
    tags_zh: str
    group: str
    category: str
    held_out_allowed: bool


def points(code: str) -> list[int]:
    """Code points of a file stem: "1F436-FE0F" gives [0x1F436, 0xFE0F]."""
    return [int(part, 16) for part in code.split("-")]


def variant_group(code: str, subcategory: str) -> str:
    """Name of the emoji that ``code`` is a variant of: skin tone, gender, hair, direction are taken away."""
    if subcategory == "family":
        return "family"
    dropped = {VARIATION, FEMALE, MALE, *SKIN_TONES, *HAIR}
    kept = [_SAME_FIGURE.get(point, point) for point in points(code) if point not in dropped]
    if not kept:  # a hair or gender sign by itself
        return code
    while kept and kept[-1] in (ZWJ, RIGHT_ARROW) and len(kept) > 1:
        kept.pop()
    # 1F9D1-200D-1F384 is the person of the Santa Claus pictures
    if kept == [0x1F9D1, ZWJ, 0x1F384]:
        kept = [0x1F385]
    kept = [point for position, point in enumerate(kept) if point != ZWJ or kept[position - 1] != ZWJ]
    return "-".join(f"{point:X}" for point in kept)


def may_be_held_out(title: str, category: str, subcategory: str) -> bool:
    """Whether a picture's name tells how it looks, so that a query for it is a fair question.

    Signs (letters, arrows, keycaps, zodiac), flags, the 24 clock faces and the families stay in training.
    """
    clock = subcategory == "time" and title.endswith(("o’clock", "o'clock", "-thirty"))
    family = subcategory == "family" or title.startswith("family")
    return category in HELD_OUT_CATEGORIES and not clock and not family and title not in _RUDE


def _keywords(joined: str, title: str, separator: str) -> str:
    words = [word for word in joined.split("|") if word and word != title and not word.isdigit()]
    return separator.join(words[:_MAX_KEYWORDS])


def _name(entry: str) -> str:
    return entry.strip(":").replace("_", " ").strip()


def load_glyphs(codes: Iterable[str]) -> list[Glyph]:
    """Texts of the pictures that have a name in both languages, in the order of ``codes``.

    Args:
        codes: stems of OpenMoji's SVG files.

    Raises:
        MissingExtraError: the ``emoji`` package is not installed.
    """
    try:
        import emoji
    except ImportError as error:
        raise MissingExtraError.of("emoji", "demo") from error
    emoji.config.load_language("zh")
    table = resources.files("interbert.demo").joinpath("keywords.tsv").read_text(encoding="utf-8")
    rows = {row["code"]: row for row in csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)}
    glyphs = []
    for code in codes:
        characters = points(code)
        if any(point in SKIN_TONES or point in REGIONAL_LETTERS for point in characters):
            continue
        text = "".join(map(chr, characters))
        entry = emoji.EMOJI_DATA.get(text) or emoji.EMOJI_DATA.get(text.replace(chr(VARIATION), ""))
        row = rows.get(code.replace("-FE0F", ""))
        if entry is None or "zh" not in entry or row is None:
            continue
        title, title_zh = _name(entry["en"]), _name(entry["zh"])
        glyphs.append(
            Glyph(
                code=code,
                title=title,
                title_zh=title_zh,
                tags=_keywords(row["en"], title, ", "),
                tags_zh=_keywords(row["zh"], title_zh, "、"),
                group=variant_group(code, row["subgroup"]),
                category=row["group"],
                held_out_allowed=may_be_held_out(title, row["group"], row["subgroup"]),
            )
        )
    return glyphs
