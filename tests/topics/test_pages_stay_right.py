"""Pages stay right when a topic goes wrong, topics are learned anew or an index is made anew: nothing lost or stale."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.forked import Fork
from tests.killing import kill_at
from tests.search.conftest import priced_rows, source_of, write_table
from tests.search.test_two_writers import command
from tests.topics.conftest import FULL, TOPICS, opened

from interbert.cli.main import main
from interbert.errors import UsageError, VectorIndexError
from interbert.search.build import build_index
from interbert.search.index_model import model_fingerprint
from interbert.topics.fit import fit_topics
from interbert.topics.pages import build_topics, read_pages
from interbert.topics.recommend import TopicRecommender
from interbert.topics.topic_file import Topic
from interbert.topics.topic_memory import FILE, TopicMemory, load_memory, save_memory


def test_a_topic_that_goes_wrong_keeps_the_page_it_had(
    recommender: TopicRecommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "topics"
    build_topics(recommender, TOPICS, out, FULL)
    before = {file: file.read_bytes() for file in (out / "pages").iterdir()}
    now = [replace(TOPICS[0], where="colour = red"), *TOPICS[1:], Topic("new", ("red",), where="price <")]
    plain = recommender.judged

    def damaged(texts, where, *rest):  # type: ignore[no-untyped-def]
        if where == TOPICS[1].where:
            raise VectorIndexError("an image of it is damaged")
        return plain(texts, where, *rest)

    monkeypatch.setattr(recommender, "judged", damaged)
    done = build_topics(recommender, now, out, replace(FULL, top_k=9))
    assert [name for name, _ in done.problems] == ["red", "circle", "new"]
    assert (done.kept, done.removed, done.written) == (["red", "circle"], 0, 1)
    assert all(
        before[out / "pages" / f"{name}.json"] == (out / "pages" / f"{name}.json").read_bytes() for name in done.kept
    )
    assert [page.topic_id for page in read_pages(out)[1]] == ["red", "circle", "gone"]
    listed = json.loads((out / "topics.json").read_text(encoding="utf-8"))["problems"]
    assert [(one["topic_id"], one["page"]) for one in listed] == [("red", "kept"), ("circle", "kept"), ("new", "none")]
    assert "character" in listed[0]["reason"]

    monkeypatch.setattr(recommender, "judged", plain)
    mended = build_topics(recommender, TOPICS, out, FULL)
    assert (mended.problems, len(read_pages(out)[1])) == ([], 3)
    assert "problems" in json.loads((out / "topics.json").read_text(encoding="utf-8"))


def test_the_command_lists_what_went_wrong_and_fails(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "topics.jsonl", tmp_path / "out"
    sound = [{"topic_id": "red", "text": "red paper"}, {"topic_id": "round", "text": "a circle"}]
    words = ["topics", "build", str(index), str(file), str(out), "--min-probability", "0"]
    file.write_text("\n".join(map(json.dumps, sound)), encoding="utf-8")
    assert main(words) == 0
    page = (out / "pages" / "red.json").read_bytes()
    file.write_text("\n".join(map(json.dumps, [sound[0] | {"where": "prize < 5"}, sound[1]])), encoding="utf-8")
    capsys.readouterr()
    assert main(words) == 2
    said = capsys.readouterr()
    assert "topic red: its page stays as it was: filter, character 1" in said.out
    assert "1 not looked at" in said.out
    assert f"{file}: 1 of 2 topics could not be made" in said.err
    assert (out / "pages" / "red.json").read_bytes() == page
    assert main(["topics", "page", str(out), str(tmp_path / "topics.html")]) == 0
    assert "red paper" in (tmp_path / "topics.html").read_text(encoding="utf-8")
    lines = [{"topic_id": "red", "text": "red", "where": "prize < 5", "relevant": {"colour": ["red"]}}]
    file.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    assert main(["topics", "evaluate", str(index), str(file)]) == 2
    assert "topic red: filter" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("pages/red.json", None, "there is no such file"),
        ("pages/red.json", "[]", "is damaged"),
        ("pages/red.json", "[" * 100_000, "is damaged"),
        ("topics.json", "[" * 100_000, "is damaged"),
        ("pages/red.json", '{"topic_id": "red"}', "is no topic page"),
        ("pages/red.json", '{"topic_id": "red", "texts": ["red"], "items": ["x"]}', "is no topic page"),
        ("pages/red.json", '{"topic_id": "red", "texts": ["red"], "items": [{"rank": null}]}', "is damaged"),
        ("topics.json", "{}", "does not say"),
        ("topics.json", '{"index": "x", "topics": 5}', "does not say"),
        ("topics.json", None, "there are no topic pages here"),
    ],
)
def test_a_folder_whose_files_are_gone_or_wrong_is_said_in_one_line(
    recommender: TopicRecommender,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str | None,
    message: str,
) -> None:
    out = tmp_path / "topics"
    build_topics(recommender, TOPICS[:1], out, FULL)
    (out / name).unlink()
    if content is not None:
        (out / name).write_text(content, encoding="utf-8")
    assert main(["topics", "page", str(out), str(tmp_path / "topics.html")]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_a_list_without_the_folder_of_pages_is_said_in_one_line(
    recommender: TopicRecommender, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "topics"
    build_topics(recommender, TOPICS, out, FULL)
    shutil.rmtree(out / "pages")
    assert main(["topics", "page", str(out), str(tmp_path / "topics.html")]) == 2
    assert "there is no such file. Run interbert topics build again" in capsys.readouterr().err
    assert build_topics(recommender, TOPICS, out, FULL).written == 3


def relearned(model: Path, memory: TopicMemory, weight: float) -> TopicMemory:
    """Another memory of the same model, as another process may have learned it."""
    return save_memory(replace(memory, calibration=replace(memory.calibration, weight=weight)), model)


def test_pages_of_topics_learned_anew_are_made_anew(taught: Path, index: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(taught, tmp_path / "model"))
    memory = load_memory(folder, model_fingerprint(folder))
    assert memory is not None
    build_topics(opened(index, folder), TOPICS[:1], tmp_path / "pages", FULL)
    relearned(folder, memory, 0.5)
    assert build_topics(opened(index, folder), TOPICS[:1], tmp_path / "pages", FULL).written == 1
    build_topics(opened(index, folder), TOPICS[:1], tmp_path / "fresh", FULL)
    again, fresh = (read_pages(tmp_path / out)[1] for out in ("pages", "fresh"))
    assert again == fresh


def test_an_index_made_anew_at_the_same_place_is_looked_at_again(taught: Path, tmp_path: Path) -> None:
    pages = []
    for number, rows in enumerate((priced_rows()[:12], priced_rows()[12:])):
        shutil.rmtree(tmp_path / "index", ignore_errors=True)
        build_index(taught, source_of(write_table(tmp_path / f"{number}.parquet", rows)), tmp_path / "index")
        done = build_topics(opened(tmp_path / "index"), TOPICS[:1], tmp_path / "topics", FULL)
        assert done.untouched == 0
        pages.append({item["id"] for item in read_pages(tmp_path / "topics")[1][0].items})
    assert pages[1] <= {str(row["id"]) for row in priced_rows()[12:]}


def test_an_open_recommender_notices_an_index_and_topics_made_anew(taught: Path, tmp_path: Path) -> None:
    source = source_of(write_table(tmp_path / "shop.parquet", priced_rows()))
    folder = Path(shutil.copytree(taught, tmp_path / "model"))
    build_index(folder, source, tmp_path / "index")
    recommender = opened(tmp_path / "index")
    before = recommender.recommend("red paper", min_probability=0.0)
    memory = recommender.memory
    assert recommender.recommend("red paper", min_probability=0.0) == before
    assert recommender.memory is memory  # nothing is read again
    assert memory is not None
    relearned(folder, memory, 0.5)
    recommender.recommend("red paper")
    assert recommender.memory is not memory
    build_index(folder, source, tmp_path / "index", rebuild=True, mirrored=True)
    recommender._engine.index._checked = 0.0  # a second later
    after = recommender.recommend("red paper", min_probability=0.0)
    assert after == opened(tmp_path / "index").recommend("red paper", min_probability=0.0)


def test_an_open_recommender_notices_that_the_examples_it_was_given_were_made_anew(
    taught: Path, tmp_path: Path
) -> None:
    build_index(taught, source_of(write_table(tmp_path / "shop.parquet", priced_rows())), tmp_path / "index")
    examples = Path(shutil.copytree(taught, tmp_path / "examples"))
    recommender = TopicRecommender.open(tmp_path / "index", examples=examples)
    memory = recommender.memory
    assert memory is not None
    relearned(examples, memory, 0.5)
    recommender.recommend("red paper")
    assert recommender.memory is not memory


def test_a_learned_memory_has_the_fingerprint_of_its_file(taught: Path, shop_regions: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(taught, tmp_path / "model"))
    learned = fit_topics(folder, str(shop_regions), seed=3)
    loaded = load_memory(folder, model_fingerprint(folder))
    assert loaded is not None
    assert learned.fingerprint == loaded.fingerprint != ""


def test_a_build_of_pages_goes_on_after_a_kill_and_beside_changes_of_the_index(
    index: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = tmp_path / "topics.jsonl", tmp_path / "out"
    texts = {"red": "red paper", "round": "a circle", "blue": "blue paper"}
    file.write_text("\n".join(json.dumps({"topic_id": name, "text": text}) for name, text in texts.items()))
    words = ["topics", "build", str(index), str(file), str(out), "--min-probability", "0"]
    kill_at(3, "files", *words)  # the first topic is done, of the second nothing
    assert [one.name for one in sorted((out / "pages").glob("*.json"))] == ["red.json"]
    more = [row | {"id": f"new-{place}"} for place, row in enumerate(priced_rows()[:4])]
    new = write_table(tmp_path / "new.parquet", more)
    adding = command("index", "add", index, new)
    building = command(*words)
    ended = [process.communicate(timeout=300) for process in (adding, building)]
    assert [adding.returncode, building.returncode] == [0, 0], ended
    assert main(words) == 0
    capsys.readouterr()
    assert main(words) == 0
    assert "3 not looked at" in capsys.readouterr().out
    _, pages = read_pages(out)
    assert [page.topic_id for page in pages] == list(texts)
    shown = {name for page in pages for item in page.items for name in (item["id"], *item["similar"])}
    assert {f"new-{place}" for place in range(4)} & shown


def test_topic_pages_name_their_index_and_a_file_of_this_machine_knows_where_it_is(
    recommender: TopicRecommender, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, page = tmp_path / "topics", tmp_path / "topics.html"
    build_topics(recommender, TOPICS[:1], out, FULL)
    path = str(recommender.index.path)
    about = json.loads((out / "topics.json").read_text(encoding="utf-8"))
    assert about["index"] == Path(path).name
    assert not any("/" in str(about[name]) for name in ("index", "source", "model"))
    assert main(["topics", "page", str(out), str(page)]) == 0
    assert str(Path(path).parent) not in page.read_text(encoding="utf-8")
    (out / "built_from.json").unlink()  # as earlier versions wrote it
    (out / "topics.json").write_text(json.dumps(about | {"index": path}), encoding="utf-8")
    assert main(["topics", "page", str(out), str(page)]) == 0
    capsys.readouterr()
    assert main(["index", "info", path]) == 0
    shown = "".join(capsys.readouterr().out.split())
    manifest = recommender.index.manifest
    assert manifest.model not in shown
    assert f"model{Path(manifest.model).name},fingerprint" in shown


SMALL_DISK = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); "
    "from interbert.cli.main import main; sys.exit(main(sys.argv[1:]))"
)


def test_a_full_disk_leaves_the_memory_and_the_page_that_were_there(
    taught: Path, shop_regions: Path, tmp_path: Path
) -> None:
    before, page = (taught / FILE).read_bytes(), tmp_path / "page.html"
    page.write_text("<html>old")
    for words in (["topics", "learn", taught, shop_regions], ["regions", "show", shop_regions, "--out", page]):
        run = Fork(SMALL_DISK, *words)
        _, errors = run.communicate()
        assert run.returncode == 1, errors
        assert "the disk is full" in errors.splitlines()[-1]
        assert "Traceback" not in errors
    assert (taught / FILE).read_bytes() == before
    assert page.read_text() == "<html>old"
    assert not [file for folder in (taught, tmp_path) for file in folder.glob(".*.part")]


def test_files_of_others_in_a_folder_called_pages_stay(recommender: TopicRecommender, tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "pages").mkdir(parents=True)
    (site / "pages" / "about.json").write_text('{"title": "About us"}')
    with pytest.raises(UsageError, match="holds no topic pages"):
        build_topics(recommender, TOPICS[:1], site, FULL)
    out = tmp_path / "topics"
    build_topics(recommender, TOPICS[:1], out, FULL)
    (out / "pages" / "about.json").write_text('{"title": "About us"}')
    build_topics(recommender, TOPICS[:1], out, FULL)
    assert (out / "pages" / "about.json").read_text() == '{"title": "About us"}'
