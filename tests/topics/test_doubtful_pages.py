"""A page of which perhaps nothing fits says so: in its file, on the page, from the command line and in the log."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.topics.conftest import FULL, TOPICS

from interbert.cli.main import main
from interbert.search.hits import Hit
from interbert.topics.facets import facets_among
from interbert.topics.pages import build_topics, read_pages
from interbert.topics.recommend import TopicRecommender
from interbert.topics.selection import Candidates, doubt
from interbert.topics.topic_file import Topic

HITS = [Hit(0, "a", product_id="p"), Hit(0, "b", product_id="q")]
OTHER_TRADE = Topic("trousers", ("mending blue jeans", "修补牛仔裤"))


def candidates(likeliest: float, known: float) -> Candidates:
    return Candidates(HITS, np.array([0.1, 0.4]), np.array([0.1, likeliest]), known)


def test_low_probabilities_and_unknown_words_are_each_a_doubt() -> None:
    assert "probability of 0.49" in doubt(candidates(0.49, 1.0))
    assert "next to none of this topic's words" in doubt(candidates(0.5, 0.24))
    assert doubt(candidates(0.5, 0.25)) == ""
    assert doubt(Candidates([], np.empty(0), None)) == ""
    assert doubt(Candidates(HITS, np.array([0.1, 0.4]), None)) == "", "without probabilities nothing is judged"


def test_words_that_titles_have_or_facets_say_are_known(recommender: TopicRecommender) -> None:
    memory = recommender.memory
    assert memory is not None
    examples = memory.examples
    assert examples.known_share(["red circle"]) == 1.0
    assert examples.known_share(OTHER_TRADE.texts) < 0.25
    assert examples.known_share(["mending blue jeans", "red circle"]) == 1.0, "of the best wording"
    texts, members = facets_among([("Mending", "Jeans")] * len(examples))
    taught = replace(examples.facets, texts=tuple(texts), members=members)
    assert replace(examples, facets=taught).known_share(["mending jeans"]) == 1.0


def test_a_topic_of_another_trade_has_a_page_that_says_so(
    recommender: TopicRecommender, index: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "topics"
    done = build_topics(recommender, [TOPICS[0], OTHER_TRADE], out, FULL)
    assert list(done.doubtful) == ["trousers"]
    again = build_topics(recommender, [TOPICS[0], OTHER_TRADE], out, FULL)
    assert (again.untouched, again.doubtful) == (2, done.doubtful)
    known, other = read_pages(out)[1]
    assert (known.note, other.note) == ("", done.doubtful["trousers"])
    assert other.items
    with caplog.at_level(logging.INFO, logger="interbert"):
        recommender.recommend(OTHER_TRADE.texts)
        recommender.recommend(TOPICS[0].texts)
    assert [line for line in caplog.messages if "perhaps nothing" in line] == [
        f"topic 'mending blue jeans': {other.note}"
    ]


def test_the_command_and_the_page_say_it_too(index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, out = tmp_path / "topics.jsonl", tmp_path / "topics"
    file.write_text(json.dumps({"topic_id": "trousers", "text": "mending blue jeans"}) + '\n{"text": "red paper"}\n')
    assert main(["topics", "build", str(index), str(file), str(out)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.count("perhaps nothing here fits") == 1
    assert "topic trousers: perhaps nothing here fits" in said
    assert main(["topics", "page", str(out), str(tmp_path / "topics.html")]) == 0
    page = (tmp_path / "topics.html").read_text(encoding="utf-8")
    assert page.count('<p class="note">Perhaps nothing here fits') == 1
