"""Pages of the service in a real Chromium."""

from __future__ import annotations

import importlib.util
import shutil
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_MS = 30_000
"""Of a shared machine, on which a page may wait for its turn."""

OpenPage = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser; not of the whole session, since asyncio cannot run in this thread while Playwright does."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("Chromium (Debian: apt-get install chromium) or Playwright (pip install playwright) is missing")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def browser_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens an address in a browser that remembers nothing: ``browser_page(url + "#/topics", width=360)``.

    Keywords: ``width`` and ``height`` in CSS pixels, others as of ``Browser.new_context`` (``locale``,
    ``color_scheme``). A script that fails, or that the content security policy stops, fails the test.
    """
    opened, failures = [], []

    def note(message: str) -> None:
        failures.append(message)

    def open_page(address: str, width: int = 1280, height: int = 900, **context: object) -> Page:
        settings = {"locale": "en-US", "reduced_motion": "reduce", **context}
        made = browser.new_context(viewport={"width": width, "height": height}, **settings)  # type: ignore[arg-type]
        opened.append(made)
        made.set_default_timeout(TIMEOUT_MS)
        page = made.new_page()
        page.on("pageerror", lambda error: note(str(error)))
        page.on("console", lambda said: note(said.text) if "Content Security Policy" in said.text else None)
        page.goto(address)
        return page

    yield open_page
    for one in opened:
        one.close()
    assert failures == []


def until(page: Page, condition: str) -> None:
    """Wait until an expression of JavaScript holds; Playwright's own waiting needs ``eval``, which the page forbids."""
    ends = time.monotonic() + TIMEOUT_MS / 1000
    while not page.evaluate(condition):
        assert time.monotonic() < ends, condition
        page.wait_for_timeout(20)


def violations(page: Page) -> list[str]:
    """What axe-core finds of serious or critical weight on a page, a line each."""
    from axe_playwright_python.sync_playwright import Axe

    # a preview that is being made anew is pale until it is there
    page.wait_for_function("() => !document.querySelector('[aria-busy=\"true\"] > .preview-body')")
    found = Axe().run(page).response["violations"]
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes']]}" for one in grave]


def overflow(page: Page) -> int:
    """CSS pixels by which a page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))
