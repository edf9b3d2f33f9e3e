from __future__ import annotations

import pytest

from interbert.search.topics.conjuncts import conjuncts


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("men's ties and cufflinks", ["men's ties", "men's cufflinks"]),
        ("Purses or clutches for a party", ["Purses for a party", "clutches for a party"]),
        ("black and white shirts", ["black shirts", "white shirts"]),
        ("necklaces, pendants, and earrings", ["necklaces", "pendants", "earrings"]),
        ("running & training shoes", ["running shoes", "training shoes"]),
        ("男士领带与袖扣", ["男士领带", "男士袖扣"]),
        ("黑色和白色衬衫", ["黑色衬衫", "白色衬衫"]),
        ("项链、吊坠，耳环", ["项链", "吊坠", "耳环"]),
        ("和服与浴衣", ["和服", "浴衣"]),
    ],
)
def test_things_are_told_apart_with_what_is_said_of_all(text: str, things: list[str]) -> None:
    assert conjuncts(text) == things


@pytest.mark.parametrize(
    "text",
    [
        *("", "and", "、", "watches", "blue, cotton shirt", "pink tops for girls and women", "brands", "H&M shirts"),
        *("太阳镜", "女士和服", "a, b, c, d, e, f and g"),
    ],
)
def test_a_single_thing_is_left_alone(text: str) -> None:
    assert conjuncts(text) == []
