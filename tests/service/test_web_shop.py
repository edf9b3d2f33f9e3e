"""The shopper's pages in a real Chromium."""

from __future__ import annotations

from tests.service.browser import OpenPage, violations


def test_the_page_opens(url: str, browser_page: OpenPage) -> None:
    page = browser_page(url)
    page.get_by_role("heading", level=1).wait_for()
    assert violations(page) == []
