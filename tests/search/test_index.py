from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from tests.conftest import draw, file_bytes
from tests.forked import Fork
from tests.search.conftest import MAPPING, priced_rows, source_of, write_table

from interbert.checkpoints.directory import load_model
from interbert.cli.main import main
from interbert.errors import CheckpointError, SourceError, StorageError, UsageError, VectorIndexError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.sources import open_source
from interbert.search import build as build_module
from interbert.search import products as products_module
from interbert.search import query_encoder as encoder_module
from interbert.search import table as table_module
from interbert.search import writer as writer_module
from interbert.search.build import build_index
from interbert.search.changes import add_to_index, remove_from_index, update_columns
from interbert.search.engine import SearchEngine
from interbert.search.index import ProductIndex
from interbert.search.index_model import index_encoder, model_has_changed
from interbert.search.manifest import Manifest
from interbert.search.query_encoder import ProductEncoder
from interbert.search.verify import verify_index
from interbert.utils.files import only_writer


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each call of the encoder gets."""
    counts: list[int] = []
    plain = ProductEncoder.images

    def counting(self: ProductEncoder, regions, where):  # type: ignore[no-untyped-def]
        counts.append(len(regions))
        return plain(self, regions, where)

    monkeypatch.setattr(encoder_module.ProductEncoder, "images", counting)
    return counts


def plain_vectors(model: Path, path: Path, ids: list[str]) -> np.ndarray:
    """Vectors of the shop's images, encoded one after the other."""
    encoder = ProductEncoder.load(model)
    rows = {str(row["id"]): row for row in priced_rows()}
    vectors = []
    for name in ids:
        regions = encoder.processor.feature_extractor.regions([rows[name]["image"]["bytes"]])
        inputs = encoder.processor(regions=list(regions))
        vectors.append(encoder.model.eval().encode_image(**inputs).detach().numpy()[0])
    return np.stack(vectors)


def test_an_index_has_every_product_with_vectors_regions_and_columns(built: Path, model: Path, priced: Path) -> None:
    index = ProductIndex.open(built)
    ids = index.ids()
    assert ids == sorted(str(row["id"]) for row in priced_rows())
    expected = plain_vectors(model, priced, ids)
    np.testing.assert_allclose(index.vectors(ids), expected, atol=2e-3)
    assert expected.shape == (24, 9)
    again = index_encoder(index).vectors_of_tokens(index.regions(ids))
    np.testing.assert_allclose(again, expected, atol=0.03)
    assert {one.name: one.kind for one in index.metadata_columns} == {
        "price": "number",
        "colour": "text",
        "stock": "integer",
        "sale": "boolean",
    }
    (hit,) = index.hits(["red-square"])
    assert hit.metadata == {"price": 13.0, "colour": "red", "stock": 0, "sale": True}
    assert hit.texts == ("a red square on white paper", "白纸上的红色方形")
    assert index.thumbnails(["red-square"])[0].startswith(b"\xff\xd8")


def test_recall_orders_by_the_exact_inner_product(built: Path) -> None:
    index = ProductIndex.open(built)
    vector = index_encoder(index).texts(["a red circle"])[1][0]
    ids = index.ids()
    scores = index.vectors(ids) @ vector
    hits = index.vector_search(vector, 7)
    assert [hit.id for hit in hits] == [ids[place] for place in np.argsort(-scores)[:7]]
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(-scores)[:7] * -1, atol=1e-5)
    assert len(index.vector_search(vector, 100)) == 24
    assert hits[0].tokens is None
    assert index.vector_search(vector, 1, tokens=True)[0].tokens.shape == (6, 24)


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("price < 9 and sale = true", {"red-circle", "blue-circle"}),
        ("colour = 'grey' and price >= 20", {"grey-square", "grey-triangle"}),
        ("id = 'red-square' or product_id = 'red-circle'", {"red-square", "red-circle"}),
        ("price > 1000", set()),
        (
            "colour contains 'RE' and not colour in ('green','grey') and stock = 0",
            {"red-circle", "red-square", "red-triangle"},
        ),
    ],
)
def test_filters_keep_recall(built: Path, where: str, wanted: set[str]) -> None:
    index = ProductIndex.open(built)
    hits = index.vector_search(np.ones(9, dtype=np.float32), 24, where)
    assert {hit.id for hit in hits} == wanted == set(index.ids(where))


def test_without_a_contrastive_head_the_matching_heads_product_recalls(
    make_model: Callable[..., Path], priced: Path, tmp_path: Path
) -> None:
    model = make_model(contrastive_size=None, dual_score_weight=None)
    build_index(model, source_of(priced), tmp_path / "index")
    index = ProductIndex.open(tmp_path / "index")
    encoder = index_encoder(index)
    vector = encoder.texts(["a red circle"])[1][0]
    (first, *_, last) = index.vector_search(vector, 24)
    rows = {str(row["id"]): row for row in priced_rows()}
    differences = []
    for hit in (first, last):
        image = encoder.processor(images=[rows[hit.id]["image"]["bytes"]])
        text = encoder.processor(text=["a red circle"])
        trunk = encoder.model.eval().interbert
        fused = trunk(**text).text_pooled * trunk(**image).image_pooled
        logits = encoder.model.matching_head(fused).detach()[0]
        bias = encoder.model.matching_head.bias.detach()
        differences.append(float(logits[0] - logits[1] - (bias[0] - bias[1])))
    np.testing.assert_allclose([first.score, last.score], differences, rtol=0.02, atol=0.02)
    assert first.score > last.score


def test_a_model_that_cannot_recall_says_why(make_model: Callable[..., Path], priced: Path, tmp_path: Path) -> None:
    model = make_model(contrastive_size=None, dual_score_weight=None, fusion="sum")
    with pytest.raises(CheckpointError, match="cannot recall: with fusion 'sum'"):
        build_index(model, source_of(priced), tmp_path / "index")
    assert not (tmp_path / "index").exists()


def test_adding_encodes_only_what_is_new(index_path: Path, tmp_path: Path, encoded: list[int]) -> None:
    rows = priced_rows()
    rows[0]["price"] = 99.0  # a price
    rows[1]["title"] = "an emerald circle"  # a text
    rows[2]["image"] = {"bytes": file_bytes(draw("navy", "circle")), "path": "new.png"}  # an image
    rows.append(rows[3] | {"id": "new-one"})
    before = ProductIndex.open(index_path).vectors(["blue-circle", "red-circle"])
    changes = add_to_index(index_path, source_of(write_table(tmp_path / "new.parquet", rows)))
    assert (changes.added, changes.replaced, changes.updated, changes.unchanged) == (1, 1, 2, 21)
    assert encoded == [2]
    index = ProductIndex.open(index_path)
    assert len(index) == 25
    after = index.vectors(["blue-circle", "red-circle"])
    assert np.abs(after[0] - before[0]).max() > 1e-3
    assert np.array_equal(after[1], before[1])
    assert index.hits(["red-circle"])[0].metadata["price"] == 99.0
    assert index.hits(["green-circle"])[0].texts[0] == "an emerald circle"
    assert [hit.id for hit in index.full_text_search("emerald", 3)] == ["green-circle"]
    again = add_to_index(index_path, source_of(tmp_path / "new.parquet"))
    assert (again.unchanged, encoded) == (25, [2])


def test_prices_and_stock_change_without_an_image(index_path: Path, tmp_path: Path, encoded: list[int]) -> None:
    prices = tmp_path / "prices.csv"
    prices.write_text("id,price,stock,colour_of_box\nred-circle,1.25,7,x\nblue-square,,0,x\nnobody,3,3,x\n")
    changes = update_columns(index_path, str(prices), "id")
    assert (changes.updated, [name for name, _ in changes.skipped]) == (2, ["nobody"])
    index = ProductIndex.open(index_path)
    red, blue = (hit.metadata for hit in index.hits(["red-circle", "blue-square"]))
    assert (red["price"], red["stock"], red["colour"]) == (1.25, 7, "red")
    assert (blue["price"], blue["stock"]) == (None, 0)
    assert encoded == []
    assert index.ids("price < 2") == ["red-circle"]
    prices.write_text("id,price\nred-circle,cheap\n")
    with pytest.raises(SourceError, match="row 0: 'price' is 'cheap', but this column holds numbers"):
        update_columns(index_path, str(prices), "id")
    prices.write_text("id,cost\nred-circle,1\n")
    with pytest.raises(SourceError, match="has no column of the index"):
        update_columns(index_path, str(prices), "id")
    prices.write_text("id,price\nnobody,1\n")
    with pytest.raises(SourceError, match="none of its 1 ids"):
        update_columns(index_path, str(prices), "id")


def test_removed_products_are_gone_at_once(index_path: Path, tmp_path: Path) -> None:
    searching = ProductIndex.open(index_path)
    assert remove_from_index(index_path, ids=["red-circle", "it's"]).removed == 1
    assert "red-circle" not in {hit.id for hit in searching.vector_search(np.ones(9, dtype=np.float32), 30)}
    assert remove_from_index(index_path, where="colour = 'blue'").removed == 3
    kept = write_table(tmp_path / "kept.parquet", priced_rows()[-2:])
    assert remove_from_index(index_path, keep=source_of(kept)).removed == 18
    assert searching.ids() == ["black-triangle", "grey-triangle"]


def test_several_images_of_a_product_are_one_result(model: Path, tmp_path: Path) -> None:
    rows = priced_rows()[:6]
    for row in rows[:4]:
        row["id"] = "set"
    build_index(model, source_of(write_table(tmp_path / "sets.parquet", rows)), tmp_path / "index")
    index = ProductIndex.open(tmp_path / "index")
    assert index.ids() == ["orange-circle", "purple-circle", "set", "set#2", "set#3", "set#4"]
    vector = index.vectors(["set#3"])[0]
    hits = index.vector_search(vector, 3)
    assert sorted(hit.product_id for hit in hits) == ["orange-circle", "purple-circle", "set"]
    assert len(index.vector_search(vector, 6, every_image=True)) == 6
    best = max(("set", "set#2", "set#3", "set#4"), key=lambda name: float(index.vectors([name])[0] @ vector))
    assert next(hit.id for hit in hits if hit.product_id == "set") == best
    assert remove_from_index(tmp_path / "index", ids=["set"]).removed == 4


def test_row_numbers_are_no_ids_to_add_by(model: Path, priced: Path, tmp_path: Path) -> None:
    rows = [{"image": row["image"], "title": row["title"]} for row in priced_rows()[:3]]
    nameless = open_source(str(write_table(tmp_path / "nameless.parquet", rows)), ColumnMapping("image", ("title",)))
    build_index(model, nameless, tmp_path / "index")
    with pytest.raises(SourceError, match="have no ids, only row numbers"):
        add_to_index(tmp_path / "index", nameless)


def test_an_index_is_not_overwritten_but_rebuilt(
    index_path: Path, make_model: Callable[..., Path], model: Path, priced: Path, tmp_path: Path
) -> None:
    other = make_model(seed=3, query_bank_size=5)
    with pytest.raises(UsageError, match="there is an index already"):
        build_index(other, source_of(priced), index_path)
    searching = SearchEngine.open(index_path)
    before = searching.index.vectors(["red-circle"])
    errors: list[BaseException] = []
    seen: set[str] = set()
    done = threading.Event()

    def search() -> None:
        try:
            while not done.is_set():
                assert len(searching.search("a red circle", top_k=3, full_text=False)) == 3
                seen.add(searching.index.manifest.model_fingerprint)
        except BaseException as error:
            errors.append(error)

    table_module._REFRESH_SECONDS, was = 0.0, table_module._REFRESH_SECONDS
    thread = threading.Thread(target=search)
    thread.start()
    try:
        build_index(other, source_of(priced), index_path, rebuild=True)
        time.sleep(0.5)
    finally:
        done.set()
        thread.join()
        table_module._REFRESH_SECONDS = was
    assert not errors
    assert len(seen) == 2
    searching.search("a red circle")
    assert np.abs(searching.index.vectors(["red-circle"]) - before).max() > 0.01
    assert verify_index(ProductIndex.open(index_path), SearchEngine.open(index_path).encoder).problems == []


def test_another_model_is_refused_and_a_changed_one_noticed(
    index_path: Path, make_model: Callable[..., Path], priced: Path, model: Path
) -> None:
    other = make_model(seed=4)
    with pytest.raises(CheckpointError, match=r"is not the model that .* was built with"):
        SearchEngine.open(index_path, other)
    with pytest.raises(CheckpointError, match="--rebuild"):
        add_to_index(index_path, source_of(priced), model=other)
    index = ProductIndex.open(index_path)
    assert not model_has_changed(index)
    weights = model / "model.safetensors"
    kept = weights.read_bytes()
    try:
        weights.write_bytes((other / "model.safetensors").read_bytes())
        assert model_has_changed(index)
    finally:
        weights.write_bytes(kept)


def test_a_build_that_is_killed_goes_on_after_the_last_commit(model: Path, priced: Path, tmp_path: Path) -> None:
    path = tmp_path / "index"
    script = (
        "import os, signal, sys\n"
        "from interbert.search import products, writer\n"
        "from tests.search.conftest import source_of\n"
        "from interbert.search.build import build_index\n"
        "from interbert.extraction import decoding\n"
        "decoding._CHUNK = products.COMMIT_ROWS = 8\n"
        "commits = []\n"
        "plain = writer.IndexWriter.put\n"
        "def put(self, *rest):\n"
        "    plain(self, *rest)\n"
        "    commits.append(1)\n"
        "    if len(commits) == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "writer.IndexWriter.put = put\n"
        f"build_index({str(model)!r}, source_of({str(priced)!r}), {str(path)!r})\n"
    )
    killed = Fork(script)
    assert killed.wait() == -signal.SIGKILL, killed.communicate()[1][-600:]
    with pytest.raises(VectorIndexError, match="first build is not complete"):
        ProductIndex.open(path)
    changes = build_index(model, source_of(priced), path)
    assert (changes.unchanged, changes.added) == (16, 8)
    index = ProductIndex.open(path)
    assert verify_index(index, index_encoder(index)).problems == []


@pytest.mark.parametrize("begun", ["manifest", "products"])
def test_a_table_that_had_no_room_for_its_first_version_is_made_again(
    begun: str, model: Path, priced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "index"
    if begun == "manifest":
        (place / "manifest.lance" / "data").mkdir(parents=True)
        (place / "manifest.lance" / "data" / "0.lance").write_bytes(b"")
    else:
        with monkeypatch.context() as patch:
            patch.setattr(build_module, "keep_model", Mock(side_effect=StorageError("full")))
            with pytest.raises(StorageError):
                build_index(model, source_of(priced), place)
        (table,) = place.glob("products_*")
        for version in (table / "_versions").iterdir():
            version.unlink()
    assert build_index(model, source_of(priced), place).added == 24
    assert len(ProductIndex.open(place)) == 24
    assert len(list(place.glob("products_*"))) == 1


def test_ctrl_c_keeps_what_was_encoded(
    model: Path, priced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interbert.extraction import decoding

    monkeypatch.setattr(decoding, "_CHUNK", 8)
    plain = products_module._encoded
    calls = []

    def stopping(*given):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(*given)

    monkeypatch.setattr(products_module, "_encoded", stopping)
    with pytest.raises(KeyboardInterrupt):
        build_index(model, source_of(priced), tmp_path / "index")
    monkeypatch.setattr(products_module, "_encoded", plain)
    assert build_index(model, source_of(priced), tmp_path / "index").added == 8


def test_two_writers_do_not_mix(index_path: Path, priced: Path) -> None:
    with only_writer(index_path):
        for act in (
            lambda: add_to_index(index_path, source_of(priced)),
            lambda: remove_from_index(index_path, ids=["red-circle"]),
        ):
            with pytest.raises(UsageError, match="another command is writing it"):
                act()
    assert len(ProductIndex.open(index_path)) == 24


def test_a_disk_that_is_full_or_read_only_is_said_and_nothing_is_lost(
    index_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [priced_rows()[0] | {"id": "new"}]
    new = source_of(write_table(tmp_path / "new.parquet", rows))
    for words, said in (
        ("LanceError(IO): No space left on device (os error 28)", "the disk is full. What was finished stays"),
        ("LanceError(IO): Read-only file system (os error 30)", "cannot be written (Read-only file system)"),
    ):

        def fail(*_: object, words: str = words) -> None:
            raise RuntimeError(words)

        class Table:
            add = fail

            def __getattr__(self, name: str) -> object:
                return getattr(ProductIndex.open(index_path).table, name)

        plain = writer_module.IndexWriter.__init__

        def broken(self: writer_module.IndexWriter, index: ProductIndex, start=plain, table=Table) -> None:  # type: ignore[no-untyped-def]
            start(self, index)
            self._table = table()

        with monkeypatch.context() as patch:
            patch.setattr(writer_module.IndexWriter, "__init__", broken)
            with pytest.raises(StorageError) as caught:
                add_to_index(index_path, new)
        assert said in str(caught.value)
        assert len(ProductIndex.open(index_path)) == 24


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written_is_said(model: Path, priced: Path, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StorageError, match="cannot be written"):
            build_index(model, source_of(priced), tmp_path / "index")
    finally:
        tmp_path.chmod(0o700)


def test_what_is_no_index_is_named(tmp_path: Path, model: Path, priced: Path) -> None:
    with pytest.raises(VectorIndexError, match=r"there is no index here\. Make one with"):
        ProductIndex.open(tmp_path / "gone")
    assert not (tmp_path / "gone").exists()
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty and is no index"):
        build_index(model, source_of(priced), tmp_path)
    with pytest.raises(UsageError, match="is a file, or lies below one"):
        build_index(model, source_of(priced), tmp_path / "mine.txt" / "index")


def test_images_that_cannot_be_used_are_listed(model: Path, tmp_path: Path) -> None:
    rows = priced_rows()[:3]
    rows[1]["image"] = {"bytes": b"no image", "path": "x.png"}
    changes = build_index(model, source_of(write_table(tmp_path / "bad.parquet", rows)), tmp_path / "index")
    assert changes.added == 2
    ((name, reason),) = changes.skipped
    assert name == "blue-circle" or name == str(rows[1]["id"])
    assert "row 1: not a readable image" in reason
    rows = [row | {"image": {"bytes": b"no image", "path": "x.png"}} for row in rows]
    with pytest.raises(SourceError, match="none of its images could be used"):
        build_index(model, source_of(write_table(tmp_path / "worse.parquet", rows)), tmp_path / "other")


def test_regions_of_a_store_are_not_extracted_again(
    model: Path, priced: Path, built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = ProductEncoder.load(model)
    source = open_source(str(priced), MAPPING)
    extract_to_store(source, tmp_path / "regions", encoder.extractor, progress=False)
    monkeypatch.setattr(type(encoder.extractor), "detect", None)
    build_index(model, source_of(priced), tmp_path / "index", regions=str(tmp_path / "regions"))
    ours, theirs = ProductIndex.open(tmp_path / "index"), ProductIndex.open(built)
    np.testing.assert_allclose(ours.vectors(ours.ids()), theirs.vectors(ours.ids()), atol=2e-3)


def test_verify_finds_damage(index_path: Path) -> None:
    index = ProductIndex.open(index_path)
    encoder = index_encoder(index)
    found = verify_index(index, encoder)
    assert (found.problems, found.images, found.products) == ([], 24, 24)
    assert found.cosine is not None
    assert found.cosine > 0.99
    table = index.table
    table.update(where="picture_id = 'red-circle'", values={"regions": b"xyz"})
    assert "red-circle: its regions are damaged" in verify_index(ProductIndex.open(index_path), encoder).problems[0]
    with pytest.raises(VectorIndexError, match="red-circle: its regions are damaged"):
        ProductIndex.open(index_path).regions(["red-circle"])
    with pytest.raises(VectorIndexError, match="has no image 'nobody'"):
        index.regions(["nobody"])


def test_vectors_that_skip_the_layers_are_made_again_from_stored_regions(
    make_model: Callable[..., Path], priced: Path, tmp_path: Path
) -> None:
    folder = make_model(query_bank_size=5, contrastive_lexical=True, contrastive_skip_size=3)
    build_index(folder, source_of(priced), tmp_path / "index")
    index = ProductIndex.open(tmp_path / "index")
    found = verify_index(index, index_encoder(index))
    assert found.problems == []
    assert found.cosine is not None
    assert found.cosine > 0.99


def test_images_are_compared_by_what_the_extractor_saw_too(
    make_model: Callable[..., Path], priced: Path, tmp_path: Path
) -> None:
    folder = make_model(query_bank_size=5, hub_correction=0.4, likeness_size=6, likeness_share=0.75)
    model = load_model(folder)
    assert model.likeness is not None
    torch.nn.init.normal_(model.likeness.components)
    model.save_pretrained(folder)
    build_index(folder, source_of(priced), tmp_path / "index")
    engine = SearchEngine.open(tmp_path / "index", bf16=False)
    index, encoder = engine.index, engine.encoder
    assert isinstance(index, ProductIndex)
    assert (encoder.direction_size, encoder.vector_size) == (8, 15)
    vectors = index.vectors(index.ids())
    np.testing.assert_allclose(np.linalg.norm(vectors[:, 9:], axis=1), 0.25, atol=1e-3)
    image = draw("green", "triangle")
    own, _ = encoder.described(image, "the image")
    query = encoder.image_query(own)[0]
    expected = 0.25 * vectors[:, :8] @ own[0, :8] + 0.75 * 16 * vectors[:, 9:] @ own[0, 9:]
    np.testing.assert_allclose(vectors @ query, expected, atol=2e-3)
    hits = engine.search(image=image, duplicates=None, top_k=5)
    best = [index.ids()[place] for place in np.argsort(-expected)[:5]]
    assert [hit.id for hit in hits] == best
    (text,) = encoder.texts(["a red circle"])[1]
    assert not text[9:].any()
    assert text[8] == 1.0
    found = verify_index(index, encoder)
    assert found.problems == []
    assert found.cosine is not None
    assert found.cosine > 0.99


MORE = {"name": "more", "field": "m_more", "kind": "text", "unit": "", "decimal": ""}
WRONG = [
    ("table", "manifest"),
    ("table", "../other"),
    ("table", 3),
    ("model_fingerprint", "../../elsewhere"),
    ("stored_size", 8),
    ("stored_size", "16"),
    ("vector_size", -3),
    ("hidden_size", 0),
    ("hidden_size", 1.5),
    ("largest_norm", float("nan")),
    ("largest_norm", None),
    ("coding", "int4"),
    ("columns", [MORE | {"kind": "colour"}]),
    ("columns", 7),
    ("aliases", {"id": 3}),
    ("mapping", {}),
    ("mirrored", "yes"),
]


def test_an_index_whose_sizes_are_not_its_model_s_is_named(
    index_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = json.loads(ProductIndex.open(index_path).manifest.to_json()) | {"vector_size": 9, "hidden_size": 7}
    table_module.connect(index_path).open_table("manifest").update(values={"manifest": json.dumps(fields)})
    assert main(["search", str(index_path), "red"]) == 2
    assert "says that its model has vectors of 9 numbers and hidden size 7" in capsys.readouterr().err


def test_a_manifest_of_the_future_and_a_damaged_one_are_named(index_path: Path) -> None:
    index = ProductIndex.open(index_path)
    fields = json.loads(index.manifest.to_json()) | {"complete": True}
    manifests = table_module.connect(index_path).open_table("manifest")
    for content, said in (
        (json.dumps(fields | {"format": 9}), "is an index of format 9"),
        ("{", "does not say how it was built"),
        *((json.dumps(fields | {name: value}), "does not say how it was built") for name, value in WRONG),
        (json.dumps(fields | {"table": "products_0007_gone"}), "its table products_0007_gone cannot be opened"),
        (json.dumps(fields | {"vector_size": 20, "stored_size": 32}), "has vectors of 16 numbers, not what"),
        (json.dumps(fields | {"columns": [*fields["columns"], MORE]}), "has no column m_more, not what"),
    ):
        manifests.update(values={"manifest": content})
        with pytest.raises(VectorIndexError, match=said):
            ProductIndex.open(index_path)


def test_many_products_get_an_approximate_index_that_finds_nearly_all(
    index_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interbert.search import ann_parameters

    rng = np.random.default_rng(0)
    index = ProductIndex.open(index_path)
    monkeypatch.setattr(ann_parameters, "INDEX_FROM", 500)
    monkeypatch.setattr(ann_parameters, "_EXACT_UP_TO", 100)
    vectors = rng.normal(size=(1000, 9)).astype(np.float32)
    vectors[:, :8] /= np.linalg.norm(vectors[:, :8], axis=1, keepdims=True)
    vectors[:, 8] *= 0.1
    products = [
        writer_module.Product(f"n{i}", f"n{i}", "", (f"number {i}",), b"", vector, np.ones((2, 24), np.float32))
        for i, vector in enumerate(vectors)
    ]
    import pyarrow as pa

    price = pa.array(np.arange(1000, dtype=np.float64))
    empty = {"m_colour": pa.nulls(1000, pa.string()), "m_stock": pa.nulls(1000, pa.int64())}
    writer = writer_module.IndexWriter(index)
    writer.put(products, {"m_price": price, **empty, "m_sale": pa.nulls(1000, pa.bool_())}, known=False)
    writer.maintain(finished=True)
    index = ProductIndex.open(index_path)
    assert index.indexed_rows() == 1024
    assert 1 <= index.partitions() <= 8

    def share(where: str | None) -> float:
        shares = []
        for query in rng.normal(size=(10, 9)).astype(np.float32):
            exact = [hit.id for hit in index.vector_search(query, 20, where, exact=True)]
            shares.append(len(set(exact) & {hit.id for hit in index.vector_search(query, 20, where)}) / 20)
        return float(np.mean(shares))

    assert share(None) > 0.9
    assert share("price < 300") > 0.9
    found = verify_index(index, index_encoder(index))
    assert found.recall is not None
    axis = np.eye(9, dtype=np.float32)[0]
    add = writer_module.Product("late", "late", "", ("late",), b"", axis, np.ones((2, 24), np.float32))
    one = {"m_price": pa.array([1.0]), "m_colour": pa.nulls(1, pa.string())}
    writer.put([add], one | {"m_stock": pa.nulls(1, pa.int64()), "m_sale": pa.nulls(1, pa.bool_())}, known=False)
    assert index.vector_search(axis, 1)[0].id == "late", "what waits to be indexed is found all the same"
    writer.maintain(finished=True)
    assert index.indexed_rows() == 1025
    assert share(None) > 0.9


def test_an_index_keeps_no_credentials_and_goes_on_with_one_that_did(built: Path) -> None:
    now = ProductIndex.open(built).manifest
    uri = "s3://key:hidden@bucket/shop?token=hidden"
    before = json.loads(now.to_json()) | {"source": uri, "model": uri}
    read = Manifest.from_json(json.dumps(before), "x")
    assert (read.source, read.model) == ("s3://bucket/shop", "s3://bucket/shop")
    assert read.same_build(replace(now, source="s3://bucket/shop", model="s3://bucket/shop"))
