"""Scenes of made data of vision-and-language tasks: four drawn objects each, and captions to pretrain on.

The objects of a scene are of different kinds and of different colours, both drawn evenly, at places of a 3 x 3 grid.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from composition_scenes import COLOURS, KINDS, SIDE, Thing

WORDS = ("car", "fish", "shirt", "key", "rabbit", "umbrella", "book", "elephant", "tree", "guitar")
NAMES_OF_COLOURS = ("red", "blue", "green", "yellow", "grey", "black")
OBJECTS = 4
_KINDS = tuple(kind for kind in KINDS if kind.word in WORDS)
_COLOURS = tuple(place for place, colour in enumerate(COLOURS) if colour[0] in NAMES_OF_COLOURS)
_CELL, _CELLS = SIDE / 3, 9
_CLEAR = 40
"""Pixels from which one object clearly is beside or above another."""


@dataclass(frozen=True)
class MadeScene:
    """An image: its id, which every task's files name it by, and what is drawn."""

    id: int
    things: tuple[Thing, ...]

    @property
    def boxes(self) -> list[list[float]]:
        """x1, y1, x2, y2 of each object in pixels."""
        return [thing.box for thing in self.things]


def draw_scene(number: int, draw: random.Random) -> MadeScene:
    """A scene of four objects."""
    kinds, colours = draw.sample(_KINDS, OBJECTS), draw.sample(_COLOURS, OBJECTS)
    cells = draw.sample(range(_CELLS), OBJECTS)
    things = [
        Thing(kind, colour, 76, *(_CELL * (at + 0.5) + draw.uniform(-4, 4) for at in (cell % 3, cell // 3)))
        for kind, colour, cell in zip(kinds, colours, cells, strict=True)
    ]
    return MadeScene(number, tuple(replace(one, x=round(one.x), y=round(one.y)) for one in things))


def colour_of(thing: Thing) -> str:
    """Its colour's name."""
    return COLOURS[thing.colour][0]


def a_thing(thing: Thing) -> str:
    """``a red car``."""
    return f"a {colour_of(thing)} {thing.kind.word}"


def captions(scene: MadeScene, draw: random.Random) -> list[str]:
    """Four captions: two lists of two objects, and where two stand."""
    a, b, c, d = draw.sample(scene.things, OBJECTS)
    return [
        f"{a_thing(a)} and {a_thing(b)}",
        f"{a_thing(c)} and {a_thing(d)}",
        *(f"{a_thing(one)} {draw.choice(relations(one, other))} {a_thing(other)}" for one, other in ((a, c), (d, b))),
    ]


def relations(one: Thing, other: Thing) -> list[str]:
    """Where one object clearly stands as seen from the other; one relation or two."""
    across = {True: "to the left of", False: "to the right of"}[one.x < other.x]
    along = {True: "above", False: "below"}[one.y < other.y]
    found = [(abs(one.x - other.x), across), (abs(one.y - other.y), along)]
    return [word for distance, word in found if distance > _CLEAR]
