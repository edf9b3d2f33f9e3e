from __future__ import annotations

import pytest

from interbert.search.topics.coordination import coordinated
from interbert.search.topics.title_words import TitleWords

TITLES = TitleWords(
    [
        text
        for brand in ("Alpha", "Beta")
        for text in (
            *(f"{brand} men {colour} {kind}" for colour in ("red", "black") for kind in ("tie", "cufflinks")),
            *(f"{brand} {colour} {kind}" for colour in ("red", "black", "white") for kind in ("shirt", "t-shirt")),
            *(f"{brand} women {kind}" for kind in ("purse", "clutch", "necklace", "pendant", "earrings", "watch")),
            *(f"{brand} {kind} for {whom}" for kind in ("running", "training") for whom in ("men shoe", "women shoe")),
            *(f"{brand} blue {kind}" for kind in ("trousers", "cotton top", "jeans")),
            *(f"{brand} rock & roll t-shirt", f"{brand} rock t-shirt", f"{brand} silk scarf"),
            *(f"{brand} red & blue checked {kind}" for kind in ("shirt", "scarf")),
            *(f"{brand}男士{kind}" for kind in ("领带", "袖扣", "黑色衬衫", "白色衬衫", "红色衬衫", "蓝色长裤")),
            *(f"{brand}女士{kind}" for kind in ("项链", "吊坠", "耳环", "和服", "浴衣", "太阳镜")),
        )
    ]
)


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
    assert coordinated(text, TITLES) == things


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("red shirts and blue trousers", ["red shirts", "blue trousers"]),
        ("red shirts and blue trousers for men", ["red shirts for men", "blue trousers for men"]),
        ("shirts and blue trousers", ["shirts", "blue trousers"]),
        ("men's ties and red shirts", ["men's ties", "red shirts"]),
        ("shirts, watches and blue jeans", ["shirts", "watches", "blue jeans"]),
    ],
)
def test_what_is_a_thing_s_own_is_not_said_of_the_others(text: str, things: list[str]) -> None:
    assert coordinated(text, TITLES) == things


@pytest.mark.parametrize(
    "text",
    [
        *("", "and", "、", "watches", "blue, cotton shirt", "pink tops for girls and women", "brands", "H&M shirts"),
        *("太阳镜", "女士和服", "a, b, c, d, e, f and g"),
    ],
)
def test_a_single_thing_is_left_alone(text: str) -> None:
    assert coordinated(text, TITLES) == []


@pytest.mark.parametrize(
    "text",
    [
        *("rock and roll t-shirts", "rock and roll", "rock & roll"),  # "roll" has no titles but those of "rock"
        *("salt and pepper shakers", "沙发和椅子"),  # of these the titles know nothing
        "black and white trousers",  # no title says that trousers are black, and not everything black is meant
        "red shirt and blue scarf",  # "red" or "shirt" may be said of the scarf
        *("红色衬衫和蓝色长裤", "红色衬衫和蓝色裤子", "领带与蓝色长裤"),
        "women's ties and cufflinks",
    ],
)
def test_a_text_whose_parts_do_not_stand_on_their_own_stays_whole(text: str) -> None:
    assert coordinated(text, TITLES) == []


def test_without_titles_no_text_is_told_apart() -> None:
    assert coordinated("men's ties and cufflinks", TitleWords([])) == []


def test_one_title_may_be_an_accident() -> None:
    assert coordinated("ties and cufflinks", TitleWords(["tie", "tie", "cufflinks"])) == []
    assert coordinated("ties and cufflinks", TitleWords(["tie", "tie", "cufflinks", "cufflinks"])) == [
        "ties",
        "cufflinks",
    ]
