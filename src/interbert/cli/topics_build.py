"""Make a page of products for every topic, or bring pages up to date.

TOPICS is a jsonl file: a text in every line, and as you like topic_id, and where (a filter such as "price < 50").
A page has as many items as make its expected F1 largest, so it may be short; --min-probability sets a bound in its
place, and 0 fills the page.
--diversity and --diversify-by trade probability for items that differ, in their images and in columns such as brand and
category. OUT is a folder with a JSON file for each page. The same command again looks at nothing when the index is as
it was, and writes only pages that come out anew. Titles and columns of the catalogue are never read to rank. A topic
that cannot be made (a filter that is wrong) is listed and keeps the page that it had; the command then ends with exit
code 2.

    interbert topics build indexes/shop topics.jsonl topics/
    interbert topics build indexes/shop topics.jsonl topics/ --text-columns text,text_zh \\
        --diversify-by brand,category --min-probability 0.7
    interbert topics page topics/ topics.html

The model needs to have been taught once: see interbert topics learn --help.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Options:
    """Options of ``interbert topics build``."""

    index: str
    """Folder or URI of the index."""
    topics: str
    """jsonl file of topics."""
    out: str
    """Folder of the pages."""
    text_columns: list[str] = field(default_factory=lambda: ["text"])
    """Fields that hold a topic's wordings, in any languages; the evidence of several is averaged."""
    top_k: int = 20
    """Items of a page at most."""
    min_probability: float | None = None
    """Probability that an item must have; when not given, a page has the items that its expected F1 is best with."""
    diversity: float = 0.05
    """0 orders by probability alone, 1 by novelty alone."""
    diversify_by: list[str] = field(default_factory=list)
    """Columns, such as brand and category, whose values should not repeat on a page."""
    candidates: int = 200
    """Images found for a topic, and half as many for each image of its best examples."""
    duplicates: float = 0.995
    """Products whose images' vectors have this cosine or more are one item; 1 hardly joins any."""
    examples: str | None = None
    """Model directory that was taught topics; the index's own model when not given."""
    model: str | None = None
    """Where the model is, for an index in a bucket."""


def run(options: Options) -> None:
    """Build and say what was done."""
    from interbert.cli.topics_output import open_recommender, print_filter_notes, print_refresh
    from interbert.errors import UsageError
    from interbert.topics.pages import build_topics
    from interbert.topics.recommend import PageSettings
    from interbert.topics.topic_file import read_topics

    settings = PageSettings(
        options.top_k,
        options.min_probability,
        options.diversity,
        tuple(options.diversify_by),
        options.candidates,
        options.duplicates,
    ).check()
    topics = read_topics(options.topics, options.text_columns)
    recommender = open_recommender(options.index, options.model, options.examples)
    done = build_topics(recommender, topics, options.out, settings, progress=True)
    print_refresh(options.out, done, len(topics))
    print_filter_notes(recommender.index, [topic for topic in topics if topic.topic_id in done.empty])
    if done.problems:
        raise UsageError(
            f"{options.topics}: {len(done.problems)} of {len(topics)} topics could not be made, for the reasons above. "
            "The others are up to date. Correct these and run the same command again."
        )
