"""Topic pages of a served index: they follow products and topics, write what changed alone, and say why."""
# ruff: noqa: F401, F811 (fixtures)

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.search.conftest import built, index_path, make_model, model, priced, source_of
from tests.service.topics_shop import NOON, Shop, opened_shop
from tests.topics.conftest import index, shop_regions, taught

from interbert.errors import FilterError
from interbert.search.build import build_index
from interbert.service import page_upkeep
from interbert.service.errors import ServiceError
from interbert.service.state.records import TopicRow

RED = "red paper"


@pytest.fixture
def shop(index: Path, tmp_path: Path) -> Iterator[Shop]:
    with opened_shop(index, tmp_path) as found:
        yield found


def test_a_page_follows_the_products_and_says_why(shop: Shop, tmp_path: Path) -> None:
    shop.put("red", RED, "红色", where="stock > 0")
    shop.put("all", "a circle on white paper", top_k=30, where="colour = 'blue'")
    assert shop.pages.refresh().written == 2
    before = shop.products("red")
    assert len(before) == 10
    assert all(item["metadata"]["stock"] > 0 for item in shop.page("red").page.items)
    assert set(shop.why("red", "entered").values()) == {
        f"the topic's first page, probability {item['probability']:.2f}" for item in shop.page("red").page.items
    }
    sold, gone = before[2], before[5]
    shop.set_stock(sold, 0, tmp_path)
    shop.remove(gone)
    shop.saved.clear()
    done = shop.pages.refresh()
    assert sold not in shop.products("red")
    assert gone not in shop.products("red")
    assert shop.why("red", "left") == {
        sold: "it no longer fulfils the filter stock > 0",
        gone: "the product was removed",
    }
    blue = {sold, gone} & {name for name in before if name.startswith("blue")}
    assert (shop.saved, done.same) == (["all", "red"] if blue else ["red"], 0 if blue else 1)

    shop.add("red-new", "red", "circle", tmp_path)
    shop.put("red", RED, "红色", where="stock > -1", top_k=30)
    shop.pages.refresh()
    why = shop.why("red", "entered")
    assert why["red-new"].startswith("a new product, probability 0.")
    assert why[sold].startswith("it fulfils the filter stock > -1 now") or why[sold].startswith("among the most")
    assert not shop.why("red", "moved").keys() & {"red-new"}


def test_what_fulfils_the_filter_again_is_told_as_that(shop: Shop, tmp_path: Path) -> None:
    shop.put("red", RED, where="stock > 0", top_k=30)
    shop.set_stock("blue-circle", 0, tmp_path)
    shop.pages.refresh()
    assert "blue-circle" not in shop.products("red")
    shop.set_stock("blue-circle", 7, tmp_path)
    shop.pages.refresh()
    assert shop.why("red", "entered")["blue-circle"].startswith("it fulfils the filter stock > 0 now, probability ")


def test_only_what_changed_is_made_and_written(shop: Shop) -> None:
    for place in range(4):
        shop.put(f"t{place}", RED, top_k=place + 1)
    assert shop.pages.refresh().written == 4
    logged = len(shop.log("t1"))
    done = shop.pages.refresh()
    assert (done.untouched, done.written, done.same) == (4, 0, 0)
    shop.put("t1", RED, top_k=3)
    shop.saved.clear()
    done = shop.pages.refresh()
    assert (done.untouched, done.written, shop.saved) == (3, 1, ["t1"])
    assert [change.what for change in shop.log("t1")[:-logged]] == ["entered"]
    stamps = {name: shop.page(name).page.updated_at for name in ("t0", "t3")}
    last = shop.state.topics.page("shop", "t0")
    assert last is not None
    unshown = next(name for name in ("grey-square", "grey-circle", "black-square") if name not in shop.products("t3"))
    shop.remove(unshown)
    done = shop.pages.refresh()
    assert (done.same, done.written) == (4, 0)
    assert {name: shop.page(name).page.updated_at for name in stamps} == stamps
    assert shop.page("t0").index_version != last.index_version  # looked at, and found right

    again = shop.opened()
    shop.put("t2", RED, top_k=2)
    done = again.refresh()
    again.stop()
    assert (done.written, done.same + done.untouched) == (1, 3)


def test_a_service_that_starts_again_does_not_make_its_pages_anew(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.put("red", RED)
    shop.put("blue", "blue paper")
    shop.pages.refresh()
    monkeypatch.setattr(page_upkeep, "made_page", None)  # would fail
    again = shop.opened()
    assert again.refresh().untouched == 2
    again.stop()


def test_pinned_products_come_first_and_hidden_ones_never(shop: Shop, tmp_path: Path) -> None:
    shop.put("red", RED, top_k=5, diversity=0.0)
    shop.pages.refresh()
    plain = shop.products("red")
    pins = [next(name for name in ("grey-square", "blue-square", "black-square") if name not in plain), plain[3]]
    shop.put("red", RED, top_k=4, diversity=0.0, pinned=[*pins, "nowhere"], hidden=[plain[0]])
    shop.pages.refresh()
    items = shop.page("red").page.items
    assert [item["product_id"] for item in items[:2]] == pins
    assert [item["pinned"] for item in items] == [True, True, False, False]
    assert [item["rank"] for item in items] == [1, 2, 3, 4]
    assert plain[0] not in shop.products("red")
    assert shop.page("red").notes == ["The pinned product 'nowhere' is not in the index."]
    assert shop.why("red", "entered")[pins[0]] == "pinned by the topic"
    assert shop.why("red", "left")[plain[0]] == "hidden by the topic"
    assert shop.why("red", "moved") == {plain[3]: "from 4 to 2: pinned by the topic"}
    assert shop.why("red", "left")[plain[4]] == "displaced by more probable products"

    shop.put("red", RED, top_k=5, diversity=0.0, pinned=pins[:1], where="colour = 'red'")
    shop.pages.refresh()
    assert pins[0] not in shop.products("red")
    assert shop.page("red").notes == [f"The pinned product '{pins[0]}' does not fulfil the filter colour = 'red'."]


def test_a_threshold_leaves_out_what_is_below_and_names_the_probability(shop: Shop) -> None:
    shop.put("red", RED, top_k=24, diversity=0.0)
    shop.pages.refresh()
    items = shop.page("red").page.items
    likely = sorted({item["probability"] for item in items}, reverse=True)
    least = (likely[2] + likely[3]) / 2
    shop.put("red", RED, top_k=24, diversity=0.0, min_probability=least)
    shop.pages.refresh()
    kept = [item["product_id"] for item in items if item["probability"] >= least]
    assert shop.products("red") == kept
    below = {item["product_id"]: f"below the threshold: {item['probability']:.2f}" for item in items}
    assert shop.why("red", "left") == {name: why for name, why in below.items() if name not in kept}


def test_a_page_is_empty_outside_of_its_time(shop: Shop) -> None:
    shop.put("sale", RED, valid_from=NOON + timedelta(hours=1), valid_to=NOON + timedelta(hours=2))
    shop.pages.refresh()
    assert shop.page("sale").closed == "its valid time has not begun"
    assert shop.page("sale").page.items == []
    assert shop.page("sale").notes == ["The page is empty: its valid time has not begun."]
    shop.now = NOON + timedelta(hours=1)
    assert shop.pages.refresh().written == 1
    assert shop.page("sale").closed is None
    assert len(shop.products("sale")) == 10
    assert all(why.startswith("its valid time has begun, prob") for why in shop.why("sale", "entered").values())
    assert shop.pages.refresh().untouched == 1
    shop.now = NOON + timedelta(hours=2)
    assert shop.page("sale").page.items == []  # at once, before any pass
    assert set(shop.why("sale", "left").values()) == {"its valid time has ended"}

    shop.now = NOON
    shop.put("draft", RED, published=False)
    assert shop.page("draft").closed == "the topic is not published"
    shop.put("draft", RED)
    assert len(shop.products("draft")) == 10  # a topic that was changed just now is made when it is asked for
    assert all(why.startswith("the topic was published") for why in shop.why("draft", "entered").values())


def test_a_preview_stores_nothing(shop: Shop) -> None:
    made, version = shop.pages.preview(TopicRow("x", [RED], top_k=3, pinned=["blue-circle"]))
    assert made.items[0]["product_id"] == "blue-circle"
    assert made.items[0]["pinned"]
    assert "@" in version
    assert shop.saved == []
    assert shop.state.topics.list("shop") == []


@pytest.mark.parametrize(
    ("values", "where", "words"),
    [
        ({"diversify_by": ["brand"]}, "diversify_by", "no column 'brand'"),
        ({"texts": ["  "]}, "texts", "empty"),
    ],
)
def test_a_topic_that_cannot_be_is_refused(shop: Shop, values: dict[str, list[str]], where: str, words: str) -> None:
    with pytest.raises(ServiceError, match=words) as caught:
        shop.pages.check(replace(TopicRow("x", [RED]), **values))  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.where) == ("invalid", where)


def test_a_wrong_filter_is_refused_at_its_character(shop: Shop) -> None:
    with pytest.raises(FilterError, match="character 7"):
        shop.pages.check(TopicRow("x", [RED], where="stock !> 0"))


def test_a_topic_that_became_impossible_keeps_its_page(shop: Shop) -> None:
    shop.put("red", RED)
    shop.pages.refresh()
    before = shop.products("red")
    shop.put("red", RED, where="colour ~ 'red'")  # as another version of the service may have saved it
    done = shop.pages.refresh()
    assert "character" in done.problems["red"]
    assert shop.products("red") == before
    assert shop.page("red").notes[-1].startswith("The page is not made anew: filter, character 8")
    assert shop.pages.refresh().untouched == 1
    shop.put("red", RED, where="colour = 'red'")
    shop.pages.refresh()
    assert shop.page("red").notes == []


def test_an_untaught_model_ranks_by_likeness_and_says_so(index_path: Path, tmp_path: Path) -> None:
    with opened_shop(index_path, tmp_path) as shop:
        shop.put("red", RED, min_probability=None)
        shop.pages.refresh()
        assert len(shop.products("red")) == 10
        assert all(item["probability"] is None for item in shop.page("red").page.items)
        assert "never taught topics" in shop.page("red").notes[0]
        assert set(shop.why("red", "entered").values()) == {"the topic's first page"}
        with pytest.raises(ServiceError, match="interbert topics learn") as caught:
            shop.pages.check(TopicRow("x", [RED], min_probability=0.5))
        assert caught.value.where == "min_probability"


def test_a_rebuilt_index_makes_the_pages_anew(
    shop: Shop, taught: Path, priced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.put("red", RED)
    shop.pages.refresh()
    before = shop.page("red")
    build_index(taught, source_of(priced), shop.index, rebuild=True)
    assert shop.page("red").index_version == before.index_version  # until a pass comes
    time.sleep(1.0)  # an open index looks for builds once a second
    shop.pages.refresh()
    assert shop.page("red").index_version.split("@")[0] != before.index_version.split("@")[0]
    assert shop.products("red") == [item["product_id"] for item in before.page.items]


def test_a_topic_that_is_deleted_while_its_page_is_made_leaves_the_others(shop: Shop) -> None:
    for name in ("a", "b"):
        shop.put(name, "red paper")
    plain = shop.state.topics.save_page

    def deleted_first(index: str, topic_id: str, *values: Any, **more: Any) -> Any:
        if topic_id == "a":
            shop.state.topics.delete("shop", "a")
        return plain(index, topic_id, *values, **more)

    shop.state.topics.save_page = deleted_first  # type: ignore[method-assign]
    assert shop.pages.refresh().written == 1
    assert shop.products("b")


def test_pages_are_kept_up_to_date_in_the_background(shop: Shop) -> None:
    shop.pages.start()
    shop.put("red", RED)
    shop.pages.tell()
    wait_for(lambda: shop.state.topics.page("shop", "red") is not None)
    gone = shop.products("red")[0]
    shop.remove(gone)
    wait_for(lambda: shop.why("red", "left").get(gone) == "the product was removed")
    shop.state.topics.delete("shop", "red")
    with pytest.raises(ServiceError) as caught:
        shop.page("red")
    assert caught.value.code == "not_found"


def test_a_preview_waits_for_one_page_and_not_for_a_pass(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    first, others = threading.Event(), threading.Event()
    plain, made = page_upkeep.made_page, []

    def slow(recommender: object, topic: TopicRow) -> object:
        made.append(topic.id)
        first.set()
        if len(made) > 1:
            assert others.wait(60)
        return plain(recommender, topic)  # type: ignore[arg-type]

    monkeypatch.setattr(page_upkeep, "made_page", slow)
    for place in range(3):
        shop.put(f"t{place}", RED)
    passing = threading.Thread(target=shop.pages.refresh)
    passing.start()
    assert first.wait(60)
    waiting = threading.Thread(target=others.set)  # the second page waits until the preview was asked for
    answered: list[int] = []
    previewing = threading.Thread(
        target=lambda: (shop.pages.preview(TopicRow("x", [RED])), answered.append(len(made)))  # type: ignore[func-returns-value]
    )
    previewing.start()
    time.sleep(0.05)
    waiting.start()
    for thread in (previewing, passing, waiting):
        thread.join(60)
    assert answered == [1] or answered == [2]
    assert len(made) == 3


def wait_for(condition: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)
