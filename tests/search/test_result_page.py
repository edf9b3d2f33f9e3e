"""The search page is one file, escapes everything, and shows every image once."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from interbert.search.hits import Hit
from interbert.search.page import render_results, thumbnail_uri
from interbert.search.results import Results
from interbert.utils.templating import format_probability

EVIL = '<script>alert("x")</script>'


def test_user_text_is_escaped_everywhere() -> None:
    hit = Hit(1, "k", 0.5, (EVIL,), EVIL)
    page = render_results([Results(EVIL, [hit])], {"k": thumbnail_uri(Image.new("RGB", (4, 4)))}, footer=EVIL)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") == 5  # heading, caption, alt text, label, footer
    assert 'aria-label="<' not in page


def test_half_a_character_does_not_keep_a_page_from_being_written() -> None:
    page = render_results([Results("a \udc80 b", [])], {})
    assert "a \ufffd b" in page.encode().decode()


def test_nothing_in_a_title_or_id_acts_on_a_page() -> None:
    evil = "a\x1b[31m\x00b\u202ec\u2066d\x85e"
    page = render_results([Results(evil, [Hit(1, evil, 0.5, (evil,), evil)])], {}, footer=evil)
    assert not set(page) & set("\x1b\x00\u202e\u2066\x85")
    assert page.count(r"a\x1b[31m\x00b\u202ec\u2066d\x85e") == 4  # heading, caption, label, footer
    assert ">שלום 👩‍🔬\tx\ny</h2>" in render_results([Results("שלום 👩‍🔬\tx\ny", [])], {})  # the rest stays


def test_page_asks_for_nothing_from_outside_and_holds_each_image_once() -> None:
    uri = thumbnail_uri(Image.new("RGB", (300, 200), "red"))
    hits = [Hit(1, "k", 0.9, ("a",)), Hit(2, "missing", 0.1, ("b",))]
    page = render_results([Results("one", hits), Results("two", hits[:1])], {"k": uri})
    assert page.count(uri) == 1
    assert page.count('class="image p0"') == 2
    assert page.count("no image") == 1
    for external in ("http:", "https:", "//cdn", "<link", "@import", "<script"):
        assert external not in page
    assert "prefers-color-scheme:dark" in page


@pytest.mark.parametrize("noisy", [False, True])
def test_thumbnail_fits_its_box(noisy: bool) -> None:
    bands = [Image.effect_noise((500, 250), 90) for _ in range(3)]
    image = Image.merge("RGB", bands) if noisy else Image.new("RGB", (500, 250), "blue")
    kind, data = thumbnail_uri(image, 100).split(";base64,")
    thumbnail = Image.open(io.BytesIO(base64.b64decode(data)))
    assert thumbnail.size == (100, 50)
    assert kind == ("data:image/jpeg" if noisy else "data:image/png")


def test_probabilities_read_well() -> None:
    shown = [format_probability(p) for p in (1.0, 0.9998, 0.97, 0.031, 0.0002, 0.0)]
    assert shown == ["100%", "99.98%", "97%", "3.1%", "0.02%", "<0.01%"]
