"""A page that comes out empty says why."""

from __future__ import annotations

import numpy as np

from interbert.search.hits import Hit
from interbert.topics.recommend import PageSettings
from interbert.topics.selection import Candidates, why_empty


def test_why_a_page_is_empty() -> None:
    none = Candidates([], np.empty(0), None)
    assert why_empty(none, PageSettings(), None) == "the index holds no product"
    assert why_empty(none, PageSettings(), "price < 0") == "the filter lets no product of the index through"
    hits = [Hit(0, "a", product_id="p"), Hit(0, "b", product_id="q")]
    unlikely = Candidates(hits, np.array([0.1, 0.4]), np.array([0.1, 0.4]))
    assert why_empty(unlikely, PageSettings(min_probability=0.8), None) == (
        "the likeliest product, q, has a probability of 0.40; 0.8 is asked for (min_probability)"
    )
