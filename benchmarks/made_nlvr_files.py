"""Official files of NLVR2 and NLVR about made scenes: a sentence is true of one image or pair, and false of another.

So every sentence is as often true as false. NLVR has drawings in six orders of their parts, here of three objects that
stand side by side.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

from composition_scenes import SIDE, Thing
from made_task_scenes import MadeScene, a_thing

NAMES = {"train": "train", "test": "dev"}
"""Official name of the split that is judged."""
_PARTS = 3
_DRAWINGS = {"train": 400, "test": 100}
"""Drawings of NLVR, six images each."""


def write_lines(path: Path, rows: Sequence[Any]) -> None:
    """JSON, a row a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_nlvr2(folder: Path, split: str, scenes: Sequence[MadeScene], draw: random.Random) -> None:
    """``train.json`` or ``dev.json``: sets of two pairs; every sentence is true of one pair and false of the other."""
    name = NAMES[split]
    rows = []
    for number in range(len(scenes) // 4):
        four = scenes[4 * number : 4 * number + 4]
        pairs = [four[:2], four[2:]]
        for place in range(8 if split == "train" else 4):
            sentence, holds = _nlvr2_sentence(pairs, draw)
            for pair, label in enumerate(holds):
                ids = {"identifier": f"{name}-{number}-{pair}-{place}", "sentence": sentence, "label": str(label)}
                rows.append(ids | ({"directory": number % 100} if split == "train" else {}))
    write_lines(folder / f"{name}.json", rows)


def nlvr2_names(split: str, scenes: Sequence[MadeScene]) -> dict[str, int]:
    """Image ids of NLVR2 -> ids of scenes."""
    name = NAMES[split]
    return {f"{name}-{at // 4}-{at % 4 // 2}-img{at % 2}": scene.id for at, scene in enumerate(scenes)}


def _nlvr2_sentence(pairs: Sequence[Sequence[MadeScene]], draw: random.Random) -> tuple[str, list[bool]]:
    """A sentence, and whether it holds of each pair: of exactly one."""
    while True:
        right = draw.choice(pairs)
        side = draw.randrange(2)
        thing = draw.choice(right[side].things)
        has = [[any(_same(one, thing) for one in scene.things) for scene in pair] for pair in pairs]
        sentence, holds = draw.choice(
            [
                (f"the {('left', 'right')[side]} image has {a_thing(thing)}", [pair[side] for pair in has]),
                (f"one of the images has {a_thing(thing)}", [any(pair) for pair in has]),
            ]
        )
        if sum(holds) == 1:
            return sentence, holds


def _same(one: Thing, other: Thing) -> bool:
    return (one.kind, one.colour) == (other.kind, other.colour)


def drawings(split: str, scenes: Sequence[MadeScene]) -> dict[str, tuple[Thing, ...]]:
    """Image ids of NLVR -> what is drawn: three objects of a scene side by side, in each order."""
    found = {}
    for place, scene in enumerate(scenes[: _DRAWINGS[split]]):
        for order, things in enumerate(permutations(scene.things[:_PARTS])):
            placed = (replace(one, x=SIDE * (at + 0.5) / _PARTS, y=SIDE / 2) for at, one in enumerate(things))
            found[f"{NAMES[split]}-{place // 2}-{place % 2}-{order}"] = tuple(placed)
    return found


def write_nlvr(folder: Path, split: str, scenes: Sequence[MadeScene], draw: random.Random) -> None:
    """``train.json`` or ``dev.json``: a sentence about two drawings, true of one of them."""
    rows = []
    chosen = scenes[: _DRAWINGS[split]]
    for number in range(len(chosen) // 2):
        two = chosen[2 * number : 2 * number + 2]
        sentence, holds = _nlvr_sentence([scene.things[:_PARTS] for scene in two], draw)
        for place, label in enumerate(holds):
            ids = {"identifier": f"{number}-{place}", "sentence": sentence, "label": str(label).lower()}
            rows.append(ids | {"directory": str(number % 20)})
    write_lines(folder / f"{NAMES[split]}.json", rows)


def _nlvr_sentence(sides: Sequence[Sequence[Thing]], draw: random.Random) -> tuple[str, list[bool]]:
    """A sentence, and whether it holds of each drawing: of exactly one."""
    while True:
        thing = draw.choice(draw.choice(sides))
        holds = [any(_same(one, thing) for one in things) for things in sides]
        if sum(holds) == 1:
            return f"there is {a_thing(thing)}", holds
