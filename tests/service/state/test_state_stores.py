"""Keys, tasks, idempotency, the audit log and topics: what is kept, in which order, and who wins."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from interbert.errors import UsageError
from interbert.service.errors import ServiceError
from interbert.service.state import Change, State, TaskError, TopicRow
from interbert.service.state import idempotency as idempotency_module
from interbert.service.state import state as state_module
from interbert.service.state import topics as topics_module

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def refused(code: str, call: Callable[[], object]) -> str:
    with pytest.raises(ServiceError) as caught:
        call()
    assert caught.value.code == code
    return caught.value.message


def test_a_key_is_known_by_its_secret_and_keeps_its_values(state: State) -> None:
    assert not state.keys.any()
    key, secret = state.keys.create("shop front", ["write", "search"], ["b", "a", "a"], NOW + DAY, 60)
    assert secret.startswith(f"ib_{key.id}_")
    assert state.keys.verify(secret) == key
    assert (key.rights, key.indexes, key.rate_per_minute) == ({"search", "write"}, {"a", "b"}, 60)
    assert (key.expires_at, key.revoked_at) == (NOW + DAY, None)
    assert state.keys.create("another", ["admin"])[0].indexes is None
    assert [one.name for one in state.keys.list()] == ["shop front", "another"]
    assert state.keys.any()


def test_a_wrong_secret_is_none(state: State) -> None:
    key, secret = state.keys.create("a", ["search"])
    _, other = state.keys.create("b", ["search"])
    swapped = f"ib_{key.id}_{other.rpartition('_')[2]}"
    wrong = ["", "ib", "ib_", f"ib_{key.id}", f"ib_{key.id}_", secret + "x", secret[:-1], secret.upper(), swapped]
    for one in [*wrong, "ib_ffffffffffff_x", f"ib_{'f' * 5000}_x", "ib_\0_x", "ib_ä_\ud800", f"xx{secret[2:]}"]:
        assert state.keys.verify(one) is None, one


def test_a_revoked_key_is_none_for_ever_and_still_a_key(state: State) -> None:
    key, secret = state.keys.create("a", ["search"])
    first = state.keys.revoke(key.id).revoked_at
    assert state.keys.verify(secret) is None
    assert first is not None
    assert state.keys.revoke(key.id).revoked_at == first
    assert state.keys.any()  # else the last key's revocation would open the service
    assert "no key 'nope'" in refused("not_found", lambda: state.keys.revoke("nope"))


def test_an_expired_key_is_none(state: State) -> None:
    _, secret = state.keys.create("a", ["search"], expires_at=datetime.now(UTC) - timedelta(seconds=1))
    assert state.keys.verify(secret) is None
    east = timezone(timedelta(hours=9))
    key, secret = state.keys.create("b", ["search"], expires_at=(NOW + DAY).astimezone(east))
    assert state.keys.verify(secret) == key
    assert key.expires_at == NOW + DAY


def test_secrets_are_compared_in_constant_time_whether_their_key_is_known_or_not(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []

    def compare(a: str, b: str) -> bool:
        compared.append((len(a), len(b)))
        return compare_digest(a, b)

    compare_digest = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    _, secret = state.keys.create("a", ["search"])
    for one in (secret, secret + "x", "ib_ffffffffffff_x", "nonsense"):
        state.keys.verify(one)
    assert compared == [(64, 64)] * 4


def test_a_secret_is_kept_and_logged_nowhere(state: State, url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        _, secret = state.keys.create("a", ["search"])
        state.keys.verify(secret)
    random = secret.partition("_")[2].partition("_")[2]
    engine = create_engine(url)
    with engine.connect() as connection:
        kept = str(connection.execute(text("SELECT * FROM api_keys")).all())
    engine.dispose()
    assert "'a'" in kept
    assert random not in kept + caplog.text


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": " "}, "a name has 1 to 200 characters"),
        ({"name": "a\nb"}, "a name has 1 to 200 characters"),
        ({"rights": []}, "rights are search, write, admin"),
        ({"rights": ["search", "root"]}, "not root"),
        ({"indexes": [""]}, "the name of an index is empty"),
        ({"rate_per_minute": 0}, "the rate must be at least 1"),
    ],
)
def test_an_impossible_key_is_refused(state: State, values: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        state.keys.create(**({"name": "a", "rights": ["search"]} | values))  # type: ignore[arg-type]
    assert not state.keys.any()


def test_a_task_of_two_indexes_is_kept_for_both_or_none(state: State) -> None:
    task = state.tasks.create("add", "shop", [b"a\n", b"b"], 2, "key", also="next")
    (other,) = state.tasks.list("next")
    assert (task.index, other.total, other.key_id) == ("shop", 2, "key")
    assert [[state.tasks.lines(one.id, part) for part in range(3)] for one in (task, other)] == [
        [b"a\n", b"b", None]
    ] * 2

    class Parts:
        """A disk that fails when the lines are read for the second index."""

        read = 0

        def __iter__(self) -> Iterator[bytes]:
            self.read += 1
            if self.read > 1:
                raise ServiceError("storage_full", "The disk is full.")
            yield b"c"

    refused("storage_full", lambda: state.tasks.create("add", "shop", Parts(), 1, also="next"))
    assert [one.id for one in state.tasks.list()] == [task.id, other.id]


def test_tasks_survive_a_restart_and_come_in_their_order(open_state: Callable[[], State]) -> None:
    before = open_state()
    ids = [before.tasks.create("add", "shop", [f"{n}\n".encode(), b"more"], 10, "key").id for n in range(3)]
    before.tasks.create("add", "other", [])
    before.tasks.progress(ids[0], 4)
    before.close()
    tasks = open_state().tasks
    for place, task_id in enumerate(ids):
        found = tasks.next("shop")
        assert found is not None
        assert (found.id, found.total, found.key_id) == (task_id, 10, "key")
        assert [tasks.lines(task_id, part) for part in range(3)] == [f"{place}\n".encode(), b"more", None]
        assert (found.state, found.done) == (("running", 4) if place == 0 else ("waiting", 0))
        tasks.finish(task_id, "failed" if place == 1 else "succeeded", {"added": place})
    assert tasks.next("shop") is None
    assert [(one.state, one.result) for one in tasks.list("shop", 2)] == [
        ("succeeded", {"added": 2}),
        ("failed", {"added": 1}),
    ]
    assert len(tasks.list()) == 4


def test_errors_of_a_task_come_by_line_and_once_each(state: State) -> None:
    task_id = state.tasks.create("add", "shop", [b"x"]).id
    state.tasks.add_errors(task_id, [(2000 - n, f"p{n}", "bad") for n in range(1500)])
    state.tasks.add_errors(task_id, [(501, None, "worse"), (501, None, "worst")])  # the same line after a kill
    found = state.tasks.get(task_id)
    assert found.error_count == 1500
    assert len(found.errors) == 1000
    assert found.errors[:2] == [TaskError(501, None, "worst"), TaskError(502, "p1498", "bad")]


def test_a_task_that_is_not_there_is_not_found(state: State) -> None:
    for call in (
        lambda: state.tasks.get("x"),
        lambda: state.tasks.progress("x", 1),
        lambda: state.tasks.add_errors("x", [(1, None, "bad")]),
        lambda: state.tasks.finish("x", "succeeded", {}),
    ):
        assert "there is no task 'x'" in refused("not_found", call)


def test_finished_tasks_are_forgotten_with_their_errors(state: State) -> None:
    done, open_task = (state.tasks.create("add", "shop", [b"x"]).id for _ in range(2))
    state.tasks.add_errors(done, [(1, None, "bad")])
    state.tasks.finish(done, "failed", {})
    assert state.tasks.expire(1) == 0
    assert state.tasks.expire(0) == 1
    assert [one.id for one in state.tasks.list()] == [open_task]


def test_the_same_request_gets_the_same_answer(state: State) -> None:
    begin, store = state.idempotency.begin, state.idempotency.store
    assert begin("k", "one", "digest") is None
    store("k", "one", 202, {"task": "t"})
    assert begin("k", "one", "digest") == (202, {"task": "t"})
    assert begin("other", "one", "else") is None  # keys of others are theirs
    assert begin(None, "one", "else") is None


def test_a_key_of_another_request_is_a_conflict(state: State) -> None:
    state.idempotency.begin("k", "one", "digest")
    assert "used for another request" in refused("conflict", lambda: state.idempotency.begin("k", "one", "else"))


def test_a_request_that_is_being_worked_on_is_not_done_twice(open_state: Callable[[], State]) -> None:
    first = open_state().idempotency
    assert first.begin("k", "one", "digest") is None
    assert "being worked on" in refused("conflict", lambda: first.begin("k", "one", "digest"))
    first.forget("k", "one")
    assert first.begin("k", "one", "digest") is None
    after_a_kill = open_state().idempotency
    assert after_a_kill.begin("k", "one", "digest") is None


def test_a_request_that_another_replica_works_on_is_not_done_twice(open_state: Callable[[], State]) -> None:
    one, other = open_state(), open_state()
    one.replicas.start()
    assert one.idempotency.begin("k", "one", "digest") is None
    assert "being worked on" in refused("conflict", lambda: other.idempotency.begin("k", "one", "digest"))
    one.replicas.stop()
    assert other.idempotency.begin("k", "one", "digest") is None


def test_answers_are_kept_for_a_day(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    state.idempotency.begin("k", "one", "digest")
    state.idempotency.store("k", "one", 200, None)
    monkeypatch.setattr(idempotency_module, "now", lambda: datetime.now(UTC) + DAY * 0.99)
    assert state.idempotency.begin("k", "one", "digest") == (200, None)
    monkeypatch.setattr(idempotency_module, "now", lambda: datetime.now(UTC) + DAY * 1.01)
    assert state.idempotency.begin("k", "one", "else") is None


def test_only_one_of_many_at_once_begins_a_request(open_state: Callable[[], State]) -> None:
    state = open_state()

    def begin(_: int) -> str:
        try:
            return str(state.idempotency.begin("k", "one", "digest"))
        except ServiceError as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(begin, range(16))) == ["None"] + ["conflict"] * 15


def test_the_audit_log_has_the_newest_first(state: State) -> None:
    state.audit.write("k", "shop", "products.add", "1, 2", 2)
    state.audit.write(None, None, "keys.create", "k")
    first, second = state.audit.list()
    assert (first.key_id, first.index, first.action, first.what, first.count) == (None, None, "keys.create", "k", 1)
    assert (second.key_id, second.count, second.at <= first.at) == ("k", 2, True)
    assert len(state.audit.list(1)) == 1


TOPIC = TopicRow(
    "dresses", ["red dress", "红色连衣裙"], "stock > 0", 12, 0.5, 0.3, "brand", ["p1"], ["p2"], NOW, None, True
)


def test_a_topic_is_kept_as_it_is_and_counts_its_revisions(state: State) -> None:
    made = state.topics.put("shop", TOPIC)
    assert made == replace(TOPIC, revision=1, updated_at=made.updated_at)
    assert state.topics.get("shop", "dresses") == made
    changed = state.topics.put("shop", replace(made, texts=["gown"]), expected_revision=1)
    assert (changed.revision, changed.texts) == (2, ["gown"])
    state.topics.put("other", TOPIC)
    assert state.topics.list("shop") == [changed]


def test_a_topic_that_was_changed_meanwhile_is_a_conflict(state: State) -> None:
    put = state.topics.put
    assert "does not exist, not at 1" in refused("conflict", lambda: put("shop", TOPIC, 1))
    put("shop", TOPIC, 0)
    assert "is at revision 1, not at 0" in refused("conflict", lambda: put("shop", TOPIC, 0))
    put("shop", TOPIC)
    refused("conflict", lambda: put("shop", TOPIC, 1))
    refused("conflict", lambda: state.topics.delete("shop", "dresses", 1))
    assert state.topics.get("shop", "dresses").revision == 2


def test_of_many_changes_at_once_one_wins(state: State) -> None:
    state.topics.put("shop", TOPIC)

    def put(number: int) -> str:
        try:
            return str(state.topics.put("shop", replace(TOPIC, top_k=number), expected_revision=1).top_k)
        except ServiceError as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(put, range(8)))
    assert found.count("conflict") == 7
    (winner,) = set(found) - {"conflict"}
    assert state.topics.get("shop", "dresses").top_k == int(winner)


def test_a_topic_that_is_made_twice_at_once_is_one(state: State) -> None:
    with ThreadPoolExecutor(8) as pool:
        revisions = [topic.revision for topic in pool.map(lambda _: state.topics.put("shop", TOPIC), range(8))]
    assert sorted(revisions) == list(range(1, 9))


def test_a_page_and_its_changes_are_kept_together(state: State) -> None:
    state.topics.put("shop", TOPIC)
    assert state.topics.page("shop", "dresses") is None
    change = Change(NOW, "p1", "entered", "It is new in the index.")
    first = state.topics.save_page("shop", "dresses", "v@1", [{"product_id": "p1", "probability": 0.5}], [change])
    left = replace(change, product_id="p0", what="left")
    page = state.topics.save_page("shop", "dresses", "v@2", [], [left], revision=7, former=first)
    for former in (None, first):  # of a replica that made the page at the same time
        assert state.topics.save_page("shop", "dresses", "v@3", [], [left], former=former) == page
    assert state.topics.page("shop", "dresses") == page
    assert (page.index_version, page.items, page.revision) == ("v@2", [], 7)
    assert state.topics.changes("shop", "dresses") == [left, change]
    assert state.topics.changes("shop", "dresses", 1) == [left]


def test_the_oldest_changes_are_forgotten(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics_module, "KEPT_CHANGES", 3)
    for name in ("a", "b"):
        state.topics.put("shop", replace(TOPIC, id=name))
        page = None
        for number in range(4):
            change = Change(NOW, f"p{number}", "moved", "Why.")
            page = state.topics.save_page("shop", name, "v", [], [change], former=page)
    assert [one.product_id for one in state.topics.changes("shop", "a")] == ["p3", "p2", "p1"]


def test_a_topic_goes_with_its_page_and_changes(state: State, url: str) -> None:
    state.topics.put("shop", TOPIC)
    state.topics.save_page("shop", "dresses", "v", [{}], [Change(NOW, "p", "left", "Why.")])
    state.topics.delete("shop", "dresses", 1)
    for call in (
        lambda: state.topics.get("shop", "dresses"),
        lambda: state.topics.delete("shop", "dresses"),
        lambda: state.topics.save_page("shop", "dresses", "v", [], []),
    ):
        assert "there is no topic 'dresses'" in refused("not_found", call)
    assert state.topics.page("shop", "dresses") is None
    assert state.topics.put("shop", TOPIC, 0).revision == 1
    assert state.topics.changes("shop", "dresses") == []


@pytest.mark.parametrize(
    "topic",
    [
        replace(TOPIC, id="a\0b"),
        replace(TOPIC, id="\ud800"),
        replace(TOPIC, id="x" * 301),
        replace(TOPIC, where="\ud800"),
        replace(TOPIC, top_k=2**70),
    ],
    ids=["nul", "half", "long", "filter", "number"],
)
def test_what_no_database_can_keep_is_invalid_and_nothing_is_kept(state: State, topic: TopicRow) -> None:
    refused("invalid", lambda: state.topics.put("shop", topic))
    assert state.topics.list("shop") == []


def test_the_package_has_its_migrations() -> None:
    folder = Path(state_module.__file__).parent / "migrations"
    assert {path.name for path in folder.glob("*.*")} == {"env.py", "script.py.mako"}
    assert list((folder / "versions").glob("m0001_*.py"))


def test_a_page_is_kept_with_what_is_known_of_it(state: State) -> None:
    state.topics.put("shop", replace(TOPIC, diversify_by=["brand", "colour"]))
    assert state.topics.get("shop", "dresses").diversify_by == ["brand", "colour"]
    about = {"notes": ["The page is empty."], "closed": "its valid time has ended", "evidence": "v@1 model 1"}
    saved = state.topics.save_page("shop", "dresses", "v@1", [], [], **about)
    page = state.topics.page("shop", "dresses")
    assert page == saved
    assert {name: getattr(page, name) for name in about} == about
