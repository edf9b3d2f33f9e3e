"""`interbert keys` and `interbert events`, beside a service that runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from interbert.cli.main import main
from interbert.data.qrels import Qrels
from interbert.service.state import Event, State


@pytest.fixture
def call(url: str, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a verb on the database; exit code and both outputs."""

    def run(*words: object) -> tuple[int, str, str]:
        code = main([*map(str, words), "--database", url])
        return code, *capsys.readouterr()

    return run


def test_a_key_is_made_shown_and_revoked(
    call: Callable[..., tuple[int, str, str]], open_state: Callable[[], State]
) -> None:
    words = ("--rights", "write,search", "--indexes", "fashion", "--days", 90, "--rate", 600)
    code, shown, errors = call("keys", "create", "catalogue feed", *words)
    assert (code, errors) == (0, "")
    secret = shown.splitlines()[-1]
    running = open_state()
    key = running.keys.verify(secret)
    assert key is not None
    assert (key.rights, key.indexes, key.rate_per_minute) == ({"search", "write"}, {"fashion"}, 600)
    assert f"key {key.id} (catalogue feed): search, write; fashion; expires: 20" in shown
    _, listed, _ = call("keys", "list")
    assert all(part in listed for part in (key.id, "fashion", "600", "1 keys"))
    assert secret.rpartition("_")[2] not in listed
    assert "revoked" not in listed
    assert f"key {key.id} (catalogue feed) is revoked" in call("keys", "revoke", key.id)[1]
    assert running.keys.verify(secret) is None
    assert "revoked" in call("keys", "list")[1]


def test_the_last_line_is_the_secret_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "create", "a", "--state", str(tmp_path / "new")]) == 0
    first, *_, secret = capsys.readouterr().out.splitlines()
    assert secret.startswith("ib_")
    assert " " not in secret
    assert "search; all indexes; expires: never" in first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("keys", "create", "a", "--rights", "root"), "rights are search, write, admin, not root"),
        (("keys", "create", "a", "--days", "-1"), "--days must be at least 0"),
        (("keys", "create", " "), "a name has"),
        (("keys", "revoke", "nope"), "there is no key 'nope'"),
        (("events", "export", "x.csv"), "written as .tsv or .jsonl"),
        (("events", "export", "no/x.tsv"), "its folder does not exist"),
        (("events", "export", "x.tsv", "--min-clicks", "0"), "--min-clicks must be at least 1"),
        (("events", "export", "x.tsv"), "no search was followed by a click, so x.tsv is not written"),
    ],
)
def test_mistakes_are_one_line(
    call: Callable[..., tuple[int, str, str]], state: State, words: tuple[str, ...], said: str
) -> None:
    code, _, errors = call(*words)
    assert code == 2
    assert said in errors
    assert len(errors.splitlines()) == 1
    assert not Path("x.tsv").exists()


@pytest.mark.parametrize("words", [("keys", "list"), ("keys", "revoke", "a"), ("events", "erase", "c")])
def test_a_verb_that_reads_makes_no_database(
    words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--state", str(tmp_path / "typo")]) == 2
    assert f"{tmp_path / 'typo' / 'interbert.db'}: there is no such database" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert main([*words]) == 2
    assert "--state DIR, or --database URL" in capsys.readouterr().err


def test_a_password_is_not_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "list", "--database", "postgresql://shop:geheim@127.0.0.1:1/shop"]) == 2
    shown = "".join(capsys.readouterr())
    assert "127.0.0.1:1/shop: cannot be reached" in shown
    assert "geheim" not in shown


def test_events_become_judgements_with_what_is_left_out(
    call: Callable[..., tuple[int, str, str]], state: State, tmp_path: Path
) -> None:
    state.events.queries_seen([("q1", "shop", "Red dress", 3, 0.5, "c"), ("q2", "shop", "red dress", 3, 0.5, None)])
    state.events.add([Event("click", "p1", "q1", 1), Event("purchase", "p1", "q2", 1), Event("click", "p2", "q1", 2)])
    state.events.add([Event("view", "p0", "q2", 0), Event("click", "p9")])
    file = tmp_path / "clicks.tsv"
    code, shown, errors = call("events", "export", file)
    assert (code, errors) == (0, "")
    assert "  left out: 1 events without a query" in shown
    told = "3 judgements of 1 queries and 3 products: 1 bought, 1 clicked, 1 passed over"
    assert f"{file}: {told}" in shown
    assert sorted(Qrels.read(file).grades) == [0, 1, 3]
    code, shown, _ = call("events", "export", file, "--min-clicks", 2, "--index", "shop", "--days", 1)
    assert "left out: 2 pairs of fewer than 2 searches" in shown
    assert len(Qrels.read(file)) == 1
    assert call("events", "export", file, "--index", "other")[0] == 2
    assert len(Qrels.read(file)) == 1


def test_a_client_is_erased_and_not_named(call: Callable[..., tuple[int, str, str]], state: State) -> None:
    state.events.add([Event("click", "p1", client_id="visitor-7"), Event("click", "p1", client_id="visitor-8")])
    code, shown, _ = call("events", "erase", "visitor-7")
    assert (code, "1 searches and events of the client are erased" in shown, "visitor-7" in shown) == (0, True, False)
    assert "there is nothing of this client" in call("events", "erase", "visitor-7")[1]
    assert state.events.expire(-1) == 1
