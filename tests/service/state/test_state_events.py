"""Searches and events: what is counted, what becomes a judgement, and that erased means gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from interbert.data.qrels import Qrels
from interbert.errors import UsageError
from interbert.service.judgement_file import write_judgements
from interbert.service.state import Event, Judgement, Judgements, SeenQuery, State, database_url
from interbert.service.state import events as events_module
from interbert.service.state.models import Base

DAY = timedelta(days=1)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the store's clock so many days back."""

    def set_back(days: float) -> None:
        monkeypatch.setattr(events_module, "now", lambda: datetime.now(UTC) - days * DAY)

    return set_back


def search(state: State, query_id: str, words: str | None, results: int = 10, index: str = "shop") -> None:
    state.events.queries_seen([(query_id, index, words, results, 0.5, None)])


def kept(url: str, table: str) -> int:
    engine = create_engine(url)
    with engine.connect() as connection:
        count = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar()
    engine.dispose()
    return int(count or 0)


def test_queries_that_differ_by_case_and_spaces_are_one(state: State) -> None:
    for number, words in enumerate(["red  dress", "Red dress", "RED DRESS ", "shoes", None, " "]):
        search(state, f"q{number}", words)
    search(state, "q9", "red dress", index="other")
    found = state.events.popular("shop")
    assert [(one.text.strip().lower().split(), one.count) for one in found] == [(["red", "dress"], 3), (["shoes"], 1)]
    assert [one.count for one in state.events.popular("shop", limit=1)] == [3]


def test_queries_without_results_are_counted(state: State) -> None:
    for number, (words, results) in enumerate([("drone", 0), ("drone", 0), ("kite", 0), ("kite", 3), ("shoe", 9)]):
        search(state, f"q{number}", words, results)
    assert [(one.text, one.count) for one in state.events.without_results("shop")] == [("drone", 2), ("kite", 1)]
    assert {one.text: one.without_results for one in state.events.popular("shop")} == {"drone": 2, "kite": 1, "shoe": 0}


def test_the_last_days_alone_are_counted(state: State, at: Callable[[float], None]) -> None:
    at(5)
    search(state, "old", "scarf")
    at(0)
    search(state, "new", "scarf")
    assert [one.count for one in state.events.popular("shop", days=4)] == [1]
    assert [one.count for one in state.events.popular("shop", days=6)] == [2]
    assert state.events.click_through_by_rank("shop", days=4)[0].impressions == 1


def test_a_query_that_is_seen_again_shows_the_largest_number_of_results(state: State) -> None:
    search(state, "q", "dress", 10)
    state.events.queries_seen([SeenQuery("q", "shop", "dress", 20), SeenQuery("q", "shop", "dress", 15)])
    search(state, "q", "dress", 5)
    assert [one.count for one in state.events.popular("shop")] == [1]
    assert len(state.events.click_through_by_rank("shop")) == 20


def test_many_queries_come_at_once(state: State, url: str) -> None:
    many = [SeenQuery(f"q{number}", "shop", "dress", 3, 0.5, "c") for number in range(1201)]
    state.events.queries_seen(many[:700])
    state.events.queries_seen(many)
    assert kept(url, "queries") == 1201


def test_click_through_is_clicks_per_impression_of_a_rank(state: State) -> None:
    search(state, "q1", "a", 3)
    search(state, "q2", "b", 2)
    search(state, "q3", None, 1)
    search(state, "q4", "c", 0)
    search(state, "other", "d", 9, index="other")
    clicks = [("q1", 1), ("q1", 1), ("q2", 1), ("q1", 3), ("q2", 3), ("other", 2), ("unknown", 2)]
    state.events.add([Event("click", "p", query, rank) for query, rank in clicks])
    state.events.add([Event("view", "p", "q1", 2), Event("click", "p", "q1")])
    found = state.events.click_through_by_rank("shop")
    assert [(one.rank, one.impressions, one.clicks) for one in found] == [(1, 3, 2), (2, 2, 0), (3, 1, 1)]
    assert found[0].rate == pytest.approx(2 / 3)
    assert len(state.events.click_through_by_rank("shop", limit=2)) == 2
    assert state.events.click_through_by_rank("empty") == []


def test_the_grade_is_the_most_that_was_done(state: State) -> None:
    search(state, "q1", "Red dress")
    search(state, "q2", "red  dress")
    state.events.add(
        [
            *(Event("click", product, "q1", rank) for product, rank in (("bought", 1), ("put", 2), ("clicked", 3))),
            Event("purchase", "bought", "q2"),
            Event("cart", "put", "q1"),
            Event("click", "bought", "q2", 1),
        ]
    )
    found = state.events.judgements("shop")
    assert [(one.product_id, one.grade, one.searches) for one in found.rows] == [
        ("bought", 3, 2),
        ("clicked", 1, 1),
        ("put", 2, 1),
    ]
    assert len({one.query for one in found.rows}) == 1
    assert found.left_out == {}


def test_what_was_passed_over_is_wrong_and_what_stands_below_is_not_judged(state: State) -> None:
    search(state, "q1", "dress")
    search(state, "q2", "dress")
    state.events.add([Event("view", f"p{rank}", "q1", rank) for rank in range(1, 6)])
    state.events.add([Event("click", "p3", "q1", 3), Event("click", "p2", "q2", 9), Event("view", "p8", "q2")])
    grades = {one.product_id: one.grade for one in state.events.judgements("shop").rows}
    assert grades == {"p1": 0, "p2": 1, "p3": 1}  # p2 was passed over once and taken once; p4, p5 stand below


def test_a_search_without_a_click_judges_nothing(state: State) -> None:
    search(state, "q1", "dress")
    state.events.add([Event("view", "p1", "q1", 1), Event("view", "p2", "q1", 2)])
    assert state.events.judgements("shop") == Judgements([], {})


def test_what_is_no_evidence_is_counted(state: State, at: Callable[[float], None]) -> None:
    search(state, "q1", "dress")
    search(state, "q2", "dress")
    search(state, "image", None)
    search(state, "other", "dress", index="other")
    at(9)
    search(state, "old", "dress")
    at(0)
    pairs = [("p1", "q1"), ("p1", "q2"), ("p2", "q1"), ("p", "image"), ("p", "gone"), ("p", "other"), ("p", "old")]
    state.events.add([Event("click", product, query) for product, query in pairs])
    state.events.add([Event("click", "p"), Event("view", "p"), Event("cart", "p")])
    found = state.events.judgements("shop", days=8, min_searches=2)
    assert found.rows == [Judgement("dress", "p1", 1, 2)]
    assert found.left_out == {
        "events without a query": 2,
        "events of a query that is not known (never seen, expired or erased)": 1,
        "events of a query without a text (an image or a product)": 1,
        "pairs of fewer than 2 searches": 1,
    }
    assert len(state.events.judgements().rows) == 3


@pytest.mark.parametrize("name", ["clicks.tsv", "clicks.jsonl"])
def test_judgements_are_read_back_by_their_own_reader(state: State, tmp_path: Path, name: str) -> None:
    words = {"q1": 'Red\t"dress"', "q2": "  红色 连衣裙\n", "q3": 'RED  "dress"'}
    for query_id, query in words.items():
        search(state, query_id, query)
    state.events.add(
        [
            *(Event("click", "p1", "q1", 2), Event("view", 'p"0', "q1", 1), Event("purchase", "p1", "q2")),
            *(Event("click", "00017", "q3", 1), Event("click", "a\tb", "q3", 1), Event("click", " p", "q3", 1)),
        ]
    )
    written, left_out = write_judgements(tmp_path / name, state.events.judgements("shop"))
    assert list(left_out.values()) == [2]
    read = Qrels.read(tmp_path / name)
    found = {
        (read.queries[query].casefold(), read.products[product]): grade
        for query, product, grade in zip(read.query_of, read.product_of, read.grades, strict=True)
    }
    assert found == {
        ('red "dress"', "p1"): 1,
        ('red "dress"', 'p"0'): 0,
        ('red "dress"', "00017"): 1,
        ("红色 连衣裙", "p1"): 3,
    }
    assert len(written) == len(found)
    write_judgements(tmp_path / name, Judgements(written[:1], {}))  # its own kind is replaced
    assert len(Qrels.read(tmp_path / name)) == 1


def test_judgements_by_hand_are_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "judged.tsv"
    file.write_text("query\tproduct_id\tgrade\ndress\tp1\t3\n")
    with pytest.raises(UsageError, match="is not a list of judgements by `interbert events export`"):
        write_judgements(file, Judgements([Judgement("a", "b", 1, 1)], {}))
    assert file.read_text().endswith("3\n")


def test_an_event_of_a_time_to_come_counts_as_now(state: State, url: str) -> None:
    state.events.add([Event("click", "p", at=datetime(9000, 1, 1, tzinfo=UTC)), Event("click", "p", at=datetime.now())])
    assert state.events.expire(1) in (0, 1)  # the second has no zone: it is taken as UTC
    assert state.events.expire(-1) >= 1
    assert kept(url, "events") == 0


def test_what_is_older_than_its_retention_goes(state: State, url: str, at: Callable[[float], None]) -> None:
    at(40)
    search(state, "old", "dress")
    at(0)
    search(state, "new", "dress")
    state.events.add([Event("click", "p", "new", at=datetime.now(UTC) - 31 * DAY), Event("click", "p", "new")])
    assert state.events.expire(30) == 2
    assert state.events.expire(30) == 0
    assert (kept(url, "queries"), kept(url, "events")) == (1, 1)


CLIENT = "visitor-7c0e1f"


def _fill(state: State) -> None:
    seen = [("q1", "shop", "gift for visitor-7c0e1f's wife", 3, 0.5, CLIENT), ("q2", "shop", "dress", 3, 0.5, "else")]
    state.events.queries_seen(seen)
    state.events.add([Event("click", f"p{n}", "q1", n, CLIENT) for n in range(1, 200)])
    state.events.add([Event("click", "p1", "q2", 1, CLIENT), Event("click", "p1", "q2", 1, "else")])


def test_erasing_leaves_nothing_of_a_client_and_all_of_others(state: State, url: str) -> None:
    _fill(state)
    assert state.events.erase(CLIENT) == 201
    assert state.events.erase(CLIENT) == 0
    engine = create_engine(url)
    with engine.connect() as connection:
        everything = "".join(str(connection.execute(table.select()).all()) for table in Base.metadata.sorted_tables)
    engine.dispose()
    assert CLIENT not in everything
    assert (kept(url, "queries"), kept(url, "events")) == (1, 1)
    assert [one.product_id for one in state.events.judgements("shop").rows] == ["p1"]


def test_erased_bytes_are_in_no_file(folder: Path) -> None:
    state = State.open(database_url(folder, None))
    _fill(state)
    assert any(CLIENT.encode() in file.read_bytes() for file in folder.iterdir())
    state.events.erase(CLIENT)
    assert {file.name for file in folder.iterdir()} >= {"interbert.db"}
    assert not any(CLIENT.encode() in file.read_bytes() for file in folder.iterdir())
    state.close()


def test_searches_that_are_kept_are_known(state: State) -> None:
    state.events.queries_seen([SeenQuery(f"q{number}", "shop", "dress", 1) for number in range(600)])
    asked = [*(f"q{number}" for number in range(600)), "never"]
    assert state.events.known_queries(asked) == set(asked[:-1])
    assert state.events.known_queries([]) == set()
