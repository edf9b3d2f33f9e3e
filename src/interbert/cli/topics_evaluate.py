"""Judge topic pages by rules of relevance, beside two baselines in the same run.

TOPICS is a jsonl file whose lines have a text and relevant, which says what values of which columns make a product
right: {"text": "blue jeans", "relevant": {"articleType": ["Jeans"], "baseColour": ["Blue", "Navy Blue"]}}. The index
has to have those columns; they are read to judge, never to rank. Each field of --text-columns is judged by itself, so
that languages can be compared. Precision@10 is by min(10, relevant products): an empty place counts as wrong; a topic
without relevant products is left out. "topics, ranked" is the ranking without bound and diversity, "topics, page"
what is shown.

    interbert topics evaluate indexes/shop topics.jsonl --text-columns text,text_zh --out metrics.json
"""

from __future__ import annotations

from dataclasses import dataclass, field

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert topics evaluate``."""

    index: str
    """Folder or URI of the index."""
    topics: str
    """jsonl file of topics with rules of relevance."""
    text_columns: list[str] = field(default_factory=lambda: ["text"])
    """Fields that hold a topic's text; each is judged by itself, over the topics that have it."""
    min_probability: float | None = None
    """Probability that an item of a page must have, as in topics build."""
    diversity: float = 0.05
    """As in topics build."""
    diversify_by: list[str] = field(default_factory=list)
    """As in topics build."""
    candidates: int = 200
    """As in topics build."""
    duplicates: float = 0.995
    """As in topics build."""
    examples: str | None = None
    """Model directory that was taught topics; the index's own model when not given."""
    model: str | None = None
    """Where the model is, for an index in a bucket."""
    out: str | None = None
    """JSON file to write, with every topic's numbers."""


def run(options: Options) -> None:
    """Evaluate and print a table per field of texts."""
    import json

    from interbert.cli.topics_output import open_recommender, print_topic_report
    from interbert.topics.evaluation import evaluate_topics
    from interbert.topics.recommend import PageSettings
    from interbert.topics.topic_file import read_topics
    from interbert.utils.files import TOPIC_METRICS, require_replaceable, write_output
    from interbert.utils.redaction import published

    require_replaceable(options.out, TOPIC_METRICS)
    settings = PageSettings(
        min_probability=options.min_probability,
        diversity=options.diversity,
        diversify_by=tuple(options.diversify_by),
        candidates=options.candidates,
        duplicates=options.duplicates,
    ).check()
    read_topics(options.topics, options.text_columns)  # a topic that has none of the texts is a mistake
    by_field = {name: read_topics(options.topics, [name], leave_out=True) for name in options.text_columns}
    recommender = open_recommender(options.index, options.model, options.examples)
    recommender.require_columns(settings.diversify_by)
    content = {}
    for name, topics in by_field.items():
        report = evaluate_topics(recommender, topics, settings, progress=True)
        print_topic_report(name, report)
        content[name] = {
            "topics": report.judged,
            "left_out": report.left_out,
            "products": report.products,
            "methods": {method: score.to_dict() for method, score in report.methods.items()},
        }
    if options.out is not None:
        about = {"index": published(options.index), "topics": published(options.topics), "by_field": content}
        write_output(options.out, json.dumps(about, indent=2, ensure_ascii=False) + "\n", TOPIC_METRICS)
        say(f"metrics: {options.out}")
