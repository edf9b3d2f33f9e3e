"""Pages for merchandisers and operators in a real Chromium: topics, changes, uploads, operations."""
# ruff: noqa: F401, F811 (fixtures)

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from tests.conftest import draw
from tests.search.conftest import built, make_model, model, priced
from tests.service.browser import OpenPage, overflow, violations
from tests.service.conftest import data_uri, make_service, serving
from tests.topics.conftest import shop_regions, taught

from interbert.service.access import Access
from interbert.service.rebuilding import Rebuilds
from interbert.service.service import Service
from interbert.service.topic_pages import TopicPages
from interbert.topics.topic_memory import FILE

if TYPE_CHECKING:
    from playwright.sync_api import Page


@dataclass
class Shop:
    """A service with topics that were taught, and its address."""

    url: str
    service: Service

    def get(self, path: str) -> Any:
        return httpx2.get(f"{self.url}/v1/{path}", timeout=60).json()

    def put(self, name: str, **topic: Any) -> None:
        httpx2.put(f"{self.url}/v1/topics/{name}", json=topic, timeout=60).raise_for_status()

    def shown(self, topic: str) -> list[str]:
        return [item["product_id"] for item in self.get(f"topics/{topic}/items")["items"]]


@pytest.fixture(scope="module")
def shop(browser: object, built: Path, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("merch")
    index = Path(shutil.copytree(built, folder / "index"))
    shutil.copyfile(taught / FILE, next((index / "models").iterdir()) / FILE)
    service = make_service(index, folder / "state", writers=True)
    served = service.indexes["shop"]
    served.topics = TopicPages("shop", served.engine, service.state, service.metrics)
    service.rebuilds = Rebuilds(
        {"shop": "feed"}, service.state, folder / "rebuilds", (sys.executable, "-c", "import time; time.sleep(600)")
    )
    with serving(service) as url:
        yield Shop(url, service)


def cards(page: Page) -> list[str]:
    """Products of the preview, in their order."""
    return page.locator(".preview .cards:not(.missed) .id").all_inner_texts()


def settled(page: Page, count: int) -> list[str]:
    """Products of the preview, once it has so many."""
    page.locator(".preview .cards:not(.missed) > li").nth(count - 1).wait_for()
    page.locator(f".preview .cards:not(.missed) > li:nth-child({count}):last-child").wait_for()
    return cards(page)


def test_a_topic_from_its_first_word_to_the_shop(shop: Shop, browser_page: OpenPage) -> None:
    page = browser_page(f"{shop.url}/#/topics")
    page.get_by_role("button", name="New topic").click()
    page.get_by_label("Wording 1").fill("red paper")
    page.get_by_label("Products at most").fill("6")
    page.get_by_label("Choose the best cut by itself").uncheck()
    page.get_by_role("slider", name="Least probability").fill("0")
    first = settled(page, 6)
    page.get_by_role("slider", name="Least probability").fill("1")
    page.get_by_text("The least probability of 100% cuts here").wait_for()
    page.locator(".missed li").first.wait_for()
    assert cards(page) == []
    page.get_by_role("slider", name="Least probability").fill("0")
    settled(page, 6)
    page.get_by_role("button", name=f"Pin {first[4]} ").click()
    page.locator(".product.pinned").nth(0).wait_for()
    page.get_by_role("button", name=f"Pin {first[2]} ").click()
    page.locator(".product.pinned").nth(1).wait_for()
    assert cards(page)[:2] == [first[4], first[2]]
    page.locator(".preview").get_by_role("button", name=f"Move {first[2]} up").click()
    page.locator(f".preview .cards li:first-child :text-is('{first[2]}')").wait_for()
    page.locator(".preview").get_by_role("button", name=f"Hide {first[0]}").click()
    page.locator(f".preview .id:text-is('{first[0]}')").wait_for(state="detached")
    page.get_by_label("Name in addresses").fill("reds")
    page.get_by_role("button", name="Publish").click()
    page.get_by_text("The topic is published.").wait_for()
    page.get_by_role("button", name="Unpublish").wait_for()
    assert shop.shown("reds") == settled(page, 6)
    assert (shop.shown("reds")[:2], first[0] in shop.shown("reds")) == ([first[2], first[4]], False)
    assert violations(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert overflow(page) <= 0
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_text("The topic is deleted.").wait_for()
    assert shop.get("topics/reds")["error"]["code"] == "not_found"


def test_a_wrong_field_and_a_topic_that_somebody_else_changed(shop: Shop, browser_page: OpenPage) -> None:
    shop.put("circles", texts=["a circle"], top_k=3)
    page = browser_page(f"{shop.url}/#/topics/circles")
    settled(page, 3)
    page.get_by_label("Only products with").fill("size > 1")
    page.locator("#error-where").get_by_text("size").wait_for()
    page.get_by_label("Only products with").fill("price > 1")
    page.locator("#error-where:empty").wait_for(state="attached")
    shop.put("circles", texts=["squares"], top_k=4)
    page.get_by_role("button", name="Save changes").click()
    page.get_by_text("revision 2 was saved").wait_for()
    assert shop.get("topics/circles")["where"] is None
    page.get_by_role("button", name="中文").click()  # what was typed stays
    assert page.locator("#where").input_value() == "price > 1"
    page.get_by_role("button", name="保存更改").click()
    page.get_by_role("button", name="用我的版本覆盖").click()
    page.get_by_text("专题已保存。").wait_for()
    saved = shop.get("topics/circles")
    assert (saved["where"], saved["texts"], saved["revision"]) == ("price > 1", ["a circle"], 3)


def test_topics_and_what_changed_on_them(shop: Shop, browser_page: OpenPage) -> None:
    shop.put("squares", texts=["a blue square"], top_k=3)
    shop.put("draft", texts=["to come"], published=False)
    shown = shop.shown("squares")
    page = browser_page(f"{shop.url}/#/topics", width=360, height=740)
    page.locator(".strip img").first.wait_for()
    assert page.get_by_text("draft", exact=True).count() == 1
    assert (violations(page), overflow(page)) == ([], 0)
    shop.put("squares", texts=["a blue square"], top_k=3, hidden=shown[:1])
    shop.shown("squares")
    httpx2.post(f"{shop.url}/v1/search", json={"text": "no such thing", "where": "price > 1000"}, timeout=60)
    page.goto(f"{shop.url}/#/changes")
    page.get_by_text("hidden by the topic").wait_for()
    page.get_by_text("3 products together: the topic's first page").or_(
        page.get_by_text("the topic's first page")
    ).first.wait_for()
    page.get_by_label("left").uncheck()
    page.get_by_text("hidden by the topic").wait_for(state="hidden")
    page.get_by_role("table", name="Click-through by rank").or_(
        page.get_by_text("Nothing was recorded")
    ).first.wait_for()
    assert (violations(page), overflow(page)) == ([], 0)


def test_an_upload_tells_its_bad_line(shop: Shop, browser_page: OpenPage, tmp_path: Path) -> None:
    draw("red", "circle").save(tmp_path / "one.png")
    lines = [
        "id,title,image,price",
        '"n,1","a ""red"" circle\non paper",one.png,9.5',
        "n2,no image,lost.png,1",
        f"n3,square,{data_uri('blue', 'square')},dear",
    ]
    (tmp_path / "feed.csv").write_text("\r\n".join(lines) + "\r\n")
    page = browser_page(f"{shop.url}/#/upload")
    page.locator("#products").set_input_files(tmp_path / "feed.csv")
    page.get_by_text("Still to be chosen: 2").wait_for()
    assert violations(page) == []
    page.locator("#images").set_input_files(tmp_path / "one.png")
    page.get_by_text("Still to be chosen: 1").wait_for()
    page.set_viewport_size({"width": 360, "height": 740})
    assert overflow(page) <= 0
    page.get_by_role("button", name="Send 3 products to shop").click()
    page.get_by_text("1 added").wait_for()
    rows = page.get_by_role("table", name="Lines that were rejected").locator("tbody tr").all_inner_texts()
    assert [row.split("\t")[:2] for row in rows] == [["4", "n2"], ["5", "n3"]]  # lines of the file
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    saved = download.value.path().read_text(encoding="utf-8-sig").splitlines()
    assert saved[0] == "line,product_id,reason"
    assert saved[1].startswith("4,n2,")
    assert shop.get("products/n%2C1")["texts"] == ['a "red" circle on paper']
    assert (violations(page), overflow(page)) == ([], 0)


def test_operations_and_a_rebuild(shop: Shop, browser_page: OpenPage) -> None:
    page = browser_page(f"{shop.url}/#/operations")
    page.get_by_text("Requests are accepted").wait_for()
    page.get_by_role("button", name="Rebuild").click()
    page.get_by_role("dialog").get_by_role("button", name="Rebuild").click()
    page.get_by_role("table", name="Tasks at work").get_by_text("catalogue rebuilt").wait_for()
    assert page.get_by_role("button", name="Being rebuilt").is_disabled()
    assert violations(page) == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert overflow(page) <= 0


def test_a_key_without_rights_is_told_which(shop: Shop, browser_page: OpenPage) -> None:
    service = shop.service
    shop.put("stars", texts=["a star"])
    _, search = service.state.keys.create("a", ["search"], None, None, None)
    before, service.access = service.access, Access(service.state, service.metrics, loopback=False)
    try:
        page = browser_page(f"{shop.url}/#/operations")
        page.get_by_role("textbox", name="Key").fill(search)
        page.get_by_role("button", name="Use the key").click()
        page.get_by_text("lacks the right “admin”").wait_for()
        page.goto(f"{shop.url}/#/topics/stars")
        page.locator(".preview").get_by_text("lacks the right “write”").wait_for()
        page.goto(f"{shop.url}/#/changes")
        page.get_by_text("lacks the right “admin”").wait_for()
        image = page.locator(".thumbnail[src^='blob:']").first  # fetched with the key
        image.wait_for()
        page.goto(f"{shop.url}/#/upload")
        page.get_by_text("lacks the right “write”").wait_for()
        assert violations(page) == []
    finally:
        service.access = before


def test_tables_of_spreadsheets(shop: Shop, browser_page: OpenPage) -> None:
    page = browser_page(f"{shop.url}/#/upload")

    def read(text: str) -> Any:
        code = "async (text) => { const csv = await import('./web/csv.js'); try { return csv.readCsv(text); } "
        return page.evaluate(code + "catch (error) { return error.line; } }", text)

    assert read('\ufeffa;b\r\n"x;1";2,5\r\n\r\n3;""\n') == {
        "heads": ["a", "b"],
        "rows": [{"line": 2, "cells": ["x;1", "2,5"]}, {"line": 4, "cells": ["3", ""]}],
    }
    assert read("a\tb\n1\t2") == {"heads": ["a", "b"], "rows": [{"line": 2, "cells": ["1", "2"]}]}
    assert read('a,b\n1,"2\n3,4') == 2
    written = page.evaluate("async () => (await import('./web/csv.js')).writeCsv([['=1+1', 'a\"b', null]])")
    assert written == '\'=1+1,"a""b",\r\n'


def test_both_languages_have_all_words(shop: Shop, browser_page: OpenPage) -> None:
    page = browser_page(f"{shop.url}/#/upload")
    merch, tools = (
        "(await import('./web/words_merch.js')).MERCH_WORDS",
        "(await import('./web/words_tools.js')).TOOL_WORDS",
    )
    words = page.evaluate(f"async () => ({{...{merch}.zh, ...{tools}.zh}})")
    web = Path(__file__).parents[2] / "src" / "interbert" / "service" / "web"
    mine = ("parts", "topic*", "changes", "upload*", "operations", "product_file")
    code = "".join(file.read_text(encoding="utf-8") for name in mine for file in sorted(web.glob(f"{name}.js")))
    used = set(re.findall(r'\bt\("([a-z_.]+)"', code))
    shell = (web / "words_zh.js").read_text(encoding="utf-8")
    assert {
        one for one in used - words.keys() if not re.search(rf'^ +"?{re.escape(one)}"?:', shell, re.MULTILINE)
    } == set()
