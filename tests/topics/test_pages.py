"""Topic pages of a real index with a tiny random model: refresh, stable order, evaluation, page, bad input."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from tests.search.conftest import priced_rows, source_of, write_table
from tests.topics.conftest import FULL, TOPICS, opened

from interbert.cli.main import main
from interbert.errors import CheckpointError, ColumnError, DataError, SourceError, UsageError
from interbert.extraction.attributes import attribute_values, facet_columns_of
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.joining import CatalogueColumns
from interbert.extraction.sources import open_source
from interbert.search.build import build_index
from interbert.search.changes import remove_from_index
from interbert.search.engine import SearchEngine
from interbert.search.index_model import model_fingerprint
from interbert.topics.evaluation import evaluate_topics, ndcg_at, precision_at
from interbert.topics.fit import fit_topics
from interbert.topics.pages import build_topics, read_pages
from interbert.topics.recommend import TopicRecommender
from interbert.topics.topic_file import Topic
from interbert.topics.topic_memory import FILE, load_memory


def stamps(folder: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in (folder / "pages").iterdir()}


def test_an_index_carries_what_its_model_was_taught(taught: Path, priced: Path, tmp_path: Path) -> None:
    build_index(taught, source_of(priced), tmp_path / "index")
    recommender = opened(tmp_path / "index")
    assert recommender.memory is not None
    assert len(recommender.memory.examples) == 24
    assert recommender.memory.examples.fields == ("title", "title_zh")
    assert recommender.memory.calibration.topics > 0


def test_a_page_holds_what_the_filter_lets_through_best_first(recommender: TopicRecommender) -> None:
    page = recommender.page(TOPICS[1].texts, TOPICS[1].where, replace(FULL, diversity=0.0))
    assert 0 < len(page) <= 10
    assert all(item.metadata["price"] < 20 for item in page)
    likely = [item.probability for item in page]
    assert likely == sorted(likely, reverse=True)
    assert [item.rank for item in page] == list(range(1, len(likely) + 1))
    some = sorted(likely)[len(likely) // 2]
    shorter = recommender.page(TOPICS[1].texts, TOPICS[1].where, replace(FULL, diversity=0.0, min_probability=some))
    assert [item.id for item in shorter] == [item.id for item in page if item.probability >= some]


def test_a_page_is_not_empty_where_there_are_products(recommender: TopicRecommender) -> None:
    memory = recommender.memory
    assert memory is not None
    recommender.memory = replace(memory, calibration=replace(memory.calibration, bias=-9.0))  # nothing is likely
    items = recommender.recommend("red paper")
    assert items
    assert all(item.probability is not None and item.probability < 0.5 for item in items)
    assert recommender.recommend("red paper", min_probability=0.5) == []


def test_a_topic_in_a_language_that_no_title_has_is_judged_by_its_glosses(recommender: TopicRecommender) -> None:
    memory = recommender.memory
    assert memory is not None
    english = tuple(text.split(" white paper")[0] for text in memory.examples.texts)
    recommender.memory = replace(memory, examples=replace(memory.examples, texts=english))
    topic = Topic("round", ("圆形",), relevant={"colour": ["red", "blue"]})  # no word of it does the model know
    assert "round" in recommender.wordings(topic.texts)
    methods = evaluate_topics(recommender, [topic], FULL).methods
    assert methods["topics, page"].shown == 10
    assert methods["recall only"].shown == 0


def test_recommend_is_the_page_of_a_topic(recommender: TopicRecommender) -> None:
    items = recommender.recommend(
        ["red paper", "红色"], where="stock > 0", min_probability=0.0, top_k=5, diversify_by=["colour"]
    )
    assert len(items) == 5
    assert len({item.metadata["colour"] for item in items}) > 1
    with pytest.raises(UsageError, match="empty"):
        recommender.recommend("  ")
    with pytest.raises(ColumnError, match="brand"):
        recommender.recommend("red", diversify_by=["brand"])


def test_the_engine_still_recommends_and_names_what_replaces_it(recommender: TopicRecommender, index: Path) -> None:
    with pytest.warns(DeprecationWarning, match="TopicRecommender"):
        items = SearchEngine.open(index).recommend("red paper", least=0.0, top_k=5)
    assert items == recommender.recommend("red paper", min_probability=0.0, top_k=5)


def test_refresh_touches_only_what_changed(recommender: TopicRecommender, index: Path, tmp_path: Path) -> None:
    out = tmp_path / "topics"
    first = build_topics(recommender, TOPICS, out, FULL)
    assert (first.written, first.untouched) == (3, 0)
    before = stamps(out)

    again = build_topics(recommender, TOPICS, out, FULL)
    assert (again.untouched, again.written) == (3, 0)
    assert stamps(out) == before

    shown = {item["id"] for page in read_pages(out)[1] for item in page.items}
    hidden = sorted({str(row["id"]) for row in priced_rows()} - {i["id"] for i in read_pages(out)[1][1].items})
    assert shown
    remove_from_index(index, ids=[hidden[-1]])
    after = build_topics(recommender, TOPICS, out, FULL)
    assert (after.untouched, after.searched) == (1, 0)  # the filter does not let it through to "circle"
    assert after.same + after.written == 2
    changed = [name for name, stamp in stamps(out).items() if stamp != before[name]]
    assert len(changed) == after.written
    assert "circle.json" not in changed

    fewer = build_topics(recommender, TOPICS[:1], out, FULL)
    assert (fewer.removed, fewer.untouched) == (2, 1)
    assert sorted(stamps(out)) == ["red.json"]


def test_order_is_stable_when_products_come_and_go(recommender: TopicRecommender, index: Path) -> None:
    settings = replace(FULL, diversity=0.0, top_k=24)
    whole = [item.id for item in recommender.page(TOPICS[0].texts, None, settings)]
    likely = {item.id: item.probability for item in recommender.page(TOPICS[0].texts, None, settings)}
    assert len(whole) == 24
    gone = [whole[3], whole[10], whole[20]]
    remove_from_index(index, ids=gone)
    left = recommender.page(TOPICS[0].texts, None, settings)
    assert [item.id for item in left] == [name for name in whole if name not in gone]
    assert all(item.probability == pytest.approx(likely[item.id], abs=1e-4) for item in left)


def test_a_stopped_build_goes_on(
    recommender: TopicRecommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "topics"
    plain = recommender.judged
    calls: list[int] = []

    def stopping(*words):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(*words)

    monkeypatch.setattr(recommender, "judged", stopping)
    with pytest.raises(KeyboardInterrupt):
        build_topics(recommender, TOPICS, out, FULL)
    monkeypatch.setattr(recommender, "judged", plain)
    done = build_topics(recommender, TOPICS, out, FULL)
    assert (done.untouched, done.written) == (1, 2)
    assert not list(out.rglob("*.part"))


def test_a_damaged_page_is_made_again(recommender: TopicRecommender, tmp_path: Path) -> None:
    out = tmp_path / "topics"
    build_topics(recommender, TOPICS, out, FULL)
    good = (out / "pages" / "red.json").read_bytes()
    (out / "pages" / "red.json").write_bytes(good[:50])
    (out / "sources" / "circle.json").write_text('{"key": 1')
    done = build_topics(recommender, TOPICS, out, FULL)
    assert (out / "pages" / "red.json").read_bytes() == good
    assert (done.written, done.same, done.untouched) == (1, 1, 1)


@pytest.mark.parametrize("name", ["../../outside", "/outside", "..", "a/b", "a\0b", "", 3, ["red"]])
def test_a_list_of_pages_names_none_outside_its_folder(name: object, tmp_path: Path) -> None:
    (tmp_path / "topics" / "pages").mkdir(parents=True)
    (tmp_path / "outside.json").write_text('{"topic_id": "red"}')
    (tmp_path / "topics" / "topics.json").write_text(json.dumps({"topics": [name], "index": "index"}))
    with pytest.raises(DataError, match="does not say what pages there are"):
        read_pages(tmp_path / "topics")


def test_one_bad_topic_does_not_stop_the_others(recommender: TopicRecommender, tmp_path: Path) -> None:
    bad = [TOPICS[0], Topic("emoji", ("🎉🎉",)), Topic("filter", ("red",), where="price <")]
    done = build_topics(recommender, bad, tmp_path / "topics", FULL)
    assert (done.written, [name for name, _ in done.problems]) == (1, ["emoji", "filter"])
    assert [page.topic_id for page in read_pages(tmp_path / "topics")[1]] == ["red"]


def test_pages_want_a_folder_of_their_own(recommender: TopicRecommender, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds no topic pages"):
        build_topics(recommender, TOPICS, tmp_path / "full", FULL)
    with pytest.raises(UsageError, match="is a file"):
        build_topics(recommender, TOPICS, tmp_path / "full" / "mine.txt", FULL)
    with pytest.raises(UsageError, match="no topic pages"):
        read_pages(tmp_path / "full")
    with pytest.raises(ColumnError, match="brnad"):
        build_topics(recommender, TOPICS, tmp_path / "out", replace(FULL, diversify_by=("brnad",)))


def test_precision_counts_empty_places_as_wrong_and_few_relevant_products_as_enough() -> None:
    relevant = {str(number) for number in range(30)}
    assert precision_at([str(number) for number in range(10)], relevant) == 1
    assert precision_at(["1", "2", "x"], relevant) == 0.2
    assert precision_at(["1", "x", "2"], {"1", "2", "3"}) == pytest.approx(2 / 3)
    assert ndcg_at(["1", "2"], {"1", "2"}) == pytest.approx(1)
    assert ndcg_at(["x", "1"], {"1"}) == pytest.approx(1 / np.log2(3))
    assert ndcg_at([], {"1"}) == 0


def test_evaluation_judges_all_methods_over_the_same_topics(recommender: TopicRecommender) -> None:
    report = evaluate_topics(recommender, TOPICS, FULL)
    assert (report.judged, report.left_out, report.products) == (2, ["gone"], 24)
    assert list(report.methods) == ["titles, full text", "recall only", "topics, ranked", "topics, page"]
    for method in report.methods.values():
        assert 0 <= method.precision_at_10 <= 1
        assert set(method.topics) == {"red", "circle"}
    titles = report.methods["titles, full text"].topics["red"]
    assert titles.precision == 1  # three red shapes, and their titles say so
    with pytest.raises(ColumnError, match="shape"):
        evaluate_topics(recommender, [Topic("x", ("x",), relevant={"shape": ["circle"]})], FULL)
    with pytest.raises(UsageError, match="no topic says"):
        evaluate_topics(recommender, [Topic("x", ("x",))], FULL)
    with pytest.raises(UsageError, match="no topic has a relevant product"):
        evaluate_topics(recommender, TOPICS[2:], FULL)


def test_titles_and_columns_do_not_move_what_images_rank(
    recommender: TopicRecommender, taught: Path, tmp_path: Path
) -> None:
    rows = [dict(row, title="x", title_zh="y", colour="z") for row in priced_rows()]
    build_index(taught, source_of(write_table(tmp_path / "blind.parquet", rows)), tmp_path / "blind")
    blind = opened(tmp_path / "blind")
    pages = [one.page(TOPICS[0].texts, None, FULL) for one in (recommender, blind)]
    assert [item.id for item in pages[0]] == [item.id for item in pages[1]]


def test_memory_that_is_damaged_or_another_model_s(taught: Path, model: Path, index: Path, tmp_path: Path) -> None:
    fingerprint = SearchEngine.open(index).index.manifest.model_fingerprint
    assert load_memory(model, fingerprint) is None
    whole = (taught / FILE).read_bytes()
    for name, content in (("cut", whole[: len(whole) // 2]), ("text", b"hello"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match="is damaged"):
            load_memory(tmp_path / name, fingerprint)
    with pytest.raises(CheckpointError, match="another model"):
        load_memory(taught, "0" * 16)
    with pytest.raises(CheckpointError, match="knows nothing of topics"):
        opened(index, model)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("facet_members", 10**6),
        ("facet_members", -1),
        ("facet_starts", 10**6),
        ("facet_vectors", np.nan),
        ("pooled", np.nan),
    ],
)
def test_memory_with_a_number_that_cannot_be_is_damaged(
    taught: Path, shop_regions: Path, priced: Path, tmp_path: Path, part: str, value: float
) -> None:
    folder = Path(shutil.copytree(taught, tmp_path / "model"))
    fit_topics(folder, str(shop_regions), catalogue=CatalogueColumns(source_of(priced), ["colour", "sale"]))
    with safe_open(folder / FILE, framework="numpy") as file:
        header = file.metadata()
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert arrays[part].size
    arrays[part] = arrays[part].copy()
    arrays[part].reshape(-1)[-1] = value
    save_file(arrays, folder / FILE, header)
    with pytest.raises(CheckpointError, match=r"is damaged|do not fit together"):
        load_memory(folder, model_fingerprint(folder))


def test_learning_says_what_is_missing(model: Path, taught: Path, shop_regions: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="too few titles in columns nothing"):
        fit_topics(taught, str(shop_regions), fields=["nothing"])
    assert (taught / FILE).is_file()


def test_learning_reads_the_columns_of_the_catalogue(
    taught: Path, shop_regions: Path, priced: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(taught, tmp_path / "model"))
    words = ["topics", "learn", str(folder), str(shop_regions), "--columns", "stock"]
    assert main([*words, "--catalogue", str(priced)]) == 0
    assert "facets of products in stock" in capsys.readouterr().out
    memory = load_memory(folder, model_fingerprint(folder))
    assert memory is not None
    assert memory.examples.fields == ("title", "title_zh")
    assert set(memory.examples.facets.texts) == {"0", "1", "2", "3"}
    for more, message in (
        ([], "Name it with --catalogue"),
        (["--validation-catalogue", str(priced)], "--validation-catalogue is gone: only the columns of --catalogue"),
        (["--rerank", "9"], "--rerank is gone"),
    ):
        assert main([*words, *more]) == 2
        assert message in capsys.readouterr().err


def test_topics_learned_by_an_earlier_version_are_to_be_learned_again(taught: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(taught, tmp_path / "model"))
    with safe_open(folder / FILE, framework="numpy") as file:
        header, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(arrays, folder / FILE, header | {"format": "5"})
    with pytest.raises(CheckpointError, match=r"is of format 5; .* Make it again with: interbert topics learn"):
        load_memory(folder, model_fingerprint(folder))


def test_columns_of_few_values_say_what_kind_a_product_is(tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(tmp_path / "one.png")
    rows = [
        {
            "file_name": "one.png",
            "name": f"thing {row}",
            "kind": ["shirt", "N/A"][row % 2],
            "use": "at home",
            "n": row % 2,
        }
        for row in range(40)
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    source = open_source(str(tmp_path), ColumnMapping(), need_texts=False)
    assert facet_columns_of(source).taken == ("kind",)
    values = attribute_values(source, ["kind", "use", "use"])
    assert values[:2] == [("shirt", "at home"), ("", "at home")]
    with pytest.raises(ColumnError, match="kind"):
        attribute_values(source, ["kinds"])
    with pytest.raises(SourceError, match="--columns"):
        facet_columns_of(source, ["kind"])


def test_a_model_that_was_not_taught_ranks_by_the_dual_encoder_alone(index_path: Path) -> None:
    recommender = opened(index_path)
    assert recommender.memory is None
    page = recommender.page(("red paper",), None, replace(FULL, diversity=0.0))
    _, (vector,) = recommender.encoder.texts(["red paper"])
    assert [item.id for item in page] == [hit.id for hit in recommender.index.vector_search(vector, 10)]
    assert {item.probability for item in page} == {None}


def test_the_verbs_build_judge_and_draw(
    taught: Path, index: Path, shop_regions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "topics.jsonl"
    lines = [
        {"topic_id": "red", "text": "red <paper>", "text_zh": "红色", "relevant": {"colour": ["red"]}},
        {"topic_id": "round", "text": "a circle", "text_zh": "圆形", "where": "price < 20"},
    ]
    file.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    out, page, metrics = tmp_path / "out", tmp_path / "topics.html", tmp_path / "metrics.json"
    assert main(["topics", "learn", str(taught), str(shop_regions), "--validation", str(shop_regions)]) == 0
    assert "24 examples with texts in title, title_zh" in capsys.readouterr().out
    given = ["--text-columns", "text,text_zh"]
    assert main(["topics", "build", str(index), str(file), str(out), *given, "--min-probability", "0"]) == 0
    assert "2 topics: 2 written" in capsys.readouterr().out
    assert main(["topics", "page", str(out), str(page)]) == 0
    drawn = page.read_text(encoding="utf-8")
    assert "red &lt;paper&gt; / 红色" in drawn
    assert "<paper>" not in drawn
    assert drawn.count('<li class="hit">') > 10
    assert main(["topics", "evaluate", str(index), str(file), *given, "--out", str(metrics)]) == 0
    judged = json.loads(metrics.read_text(encoding="utf-8"))["by_field"]
    assert set(judged) == {"text", "text_zh"}
    assert set(judged["text"]["methods"]["topics, page"]["topics"]) == {"red"}
    capsys.readouterr()
    for words, message in (
        (["topics", "build", str(tmp_path / "no"), str(file), str(out)], "there is no index here"),
        (["topics", "build", str(index), "no.jsonl", str(out)], "there is no such file"),
        (["topics", "build", str(index), str(file), str(out), "--diversity", "7"], "diversity must be at least 0"),
        (["topics", "page", str(tmp_path), str(page)], "there are no topic pages here"),
        (["topics", "page", str(out), str(tmp_path / "no" / "x.html")], "its folder does not exist"),
        (["topics", "evaluate", str(index), str(file), "--diversify-by", "brnad"], "there is no column"),
    ):
        assert main(words) == 2
        assert message in capsys.readouterr().err
