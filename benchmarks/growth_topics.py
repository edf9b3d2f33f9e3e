"""Pages of topics of a made index: built, looked at again, and brought up to date (benchmarks/growth.py)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from growth_changes import replace_some, timed

_EXAMPLES = 1_000


def topics(work: Path, products: int, count: int) -> dict[str, Any]:
    """Seconds of the pages of so many topics, again after nothing changed, and again after 1% was replaced."""
    import made_index

    from interbert import TopicRecommender
    from interbert.topics.pages import build_topics
    from interbert.topics.recommend import PageSettings
    from interbert.topics.topic_file import Topic

    teach(work)
    generator, out = np.random.default_rng(3), work / f"topics_{products}"
    shutil.rmtree(out, ignore_errors=True)
    words = [generator.choice(made_index._WORDS, generator.integers(2, 4), replace=False) for _ in range(count)]
    wanted = [Topic(f"t{place}", (" ".join(one),)) for place, one in enumerate(words)]
    recommender = TopicRecommender.open(work / f"index_{products}")
    recommender.recommend(wanted[0].texts)  # imports what pages need
    built = timed(lambda: build_topics(recommender, wanted, out, PageSettings()))
    again = timed(lambda: build_topics(recommender, wanted, out, PageSettings()))
    replace_some(recommender.index.pinned(), products, 1)
    done: list[Any] = []
    refreshed = timed(lambda: done.append(build_topics(recommender, wanted, out, PageSettings())))
    pages = {name: getattr(done[0], name) for name in ("untouched", "same", "written", "searched", "items")}
    return {"topics": built, "topics_unchanged": again, "topics_refresh": refreshed, "count": count, "pages": pages}


def teach(work: Path) -> None:
    """Topics beside the model, by the titles of drawn images, before the index of them is made."""
    import made_index

    from interbert.extraction.extract import extract_to_store
    from interbert.extraction.grid import GridExtractor
    from interbert.extraction.sources import open_source
    from interbert.topics.fit import fit_topics

    model, store = made_index.made_model(work / "common" / "model"), work / "common" / "examples"
    if (model / "topics.safetensors").is_file():
        return
    catalogue = made_index.made_catalogue(work / "common" / "examples.parquet", _EXAMPLES, 60)
    extract_to_store(open_source(str(catalogue)), store, GridExtractor())
    fit_topics(model, str(store), phrases=50)
