import hashlib
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.conftest import shop_rows

from interbert.curation.leaks import EvaluationSets, leaked_rows, read_evaluation_sets
from interbert.curation.near_titles import NearTitleOptions, near_title_pairs
from interbert.errors import SourceError

ROWS = shop_rows()


def fingerprint(data):
    return hashlib.sha256(data).digest(), b"" if data == b"no image" else hashlib.md5(data).digest()


def read(*paths):
    return read_evaluation_sets([str(path) for path in paths], lambda text: text.strip().lower(), fingerprint)


def digest(row):
    return hashlib.sha256(ROWS[row]["image"]["bytes"]).digest()


@pytest.fixture
def shop_file(tmp_path):
    path = tmp_path / "test.parquet"
    rows = [{**row, "caption_long": f"Caption {place}"} for place, row in enumerate(ROWS[:3])]
    rows.append({**rows[0], "image": {"bytes": b"no image", "path": None}, "title": "Broken", "id": "broken"})
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_a_source_of_images_gives_every_text_and_every_image(shop_file):
    sets = read(shop_file)
    assert set(sets.texts) >= {ROWS[0]["title"].lower(), ROWS[2]["title_zh"], "caption 1", "broken"}
    assert "red-circle" not in sets.texts
    assert len(sets.digests) == 4
    assert sets.hashes.shape == (3, 16)
    assert sets.load(2) == ROWS[2]["image"]["bytes"]
    assert [one.split(": ")[0] for one in sets.problems] == [f"{shop_file}, row 3"]


@pytest.mark.parametrize(
    ("name", "content", "texts"),
    [
        ("queries.txt", "红色连衣裙\n\n Red Dress \n", ["红色连衣裙", "red dress"]),
        ("qrels.tsv", "query\tproduct_id\tgrade\nRed\t1\t2\nblue\t2\t0\nred\t3\t1\n", ["red", "blue"]),
        (
            "queries.jsonl",
            json.dumps({"query_id": 3, "query_text": "纯棉碎花吊带裙", "item_ids": [1]}),
            ["纯棉碎花吊带裙"],
        ),
        ("titles.csv", "item_id,title\n7,Shirt\n", ["shirt"]),
    ],
)
def test_files_of_texts_alone_are_read(tmp_path, name, content, texts):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    sets = read(file)
    assert sets.texts == texts
    assert all(place.startswith(f"{file}, line ") for place in sets.text_places)
    assert sets.hashes.shape[0] == 0


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.tsv", None, "missing.tsv"),
        ("ids.tsv", "query-id\tcorpus-id\tscore\nq1\t1\t2\n", "no column is of texts"),
        ("empty.txt", "\n", "holds no text and no image"),
        ("weights.bin", "x", "no evaluation set that can be read"),
    ],
)
def test_what_is_no_evaluation_set_is_said(tmp_path, name, content, says):
    file = tmp_path / name
    if content is not None:
        file.write_text(content)
    with pytest.raises(SourceError, match=says):
        read(file)


def test_rows_with_a_sets_image_or_title_are_named_with_their_place(shop_file):
    sets = read(shop_file)
    titles = ["a blue jumper", ROWS[1]["title"].lower(), "caption 2", ""]
    found = leaked_rows(titles, [digest(0), digest(9), None, None], sets)
    assert {row: (one.rule, one.detail) for row, one in found.items()} == {
        0: ("leak_image", f"image of {shop_file}, row 0"),
        1: ("leak_title", f"title of {shop_file}, row 1"),
        2: ("leak_title", f"title of {shop_file}, row 2"),
    }


def test_near_titles_leak_over_chains_and_others_stay():
    sets = EvaluationSets()
    sets.add_text("韩国ahc黄金套盒正品蜗牛玻尿酸水乳精华套装", "test.tsv, line 4")
    near = "韩国ahc黄金套盒正品蜗牛玻尿酸水乳精华套餐"
    chained = "韩国ahc黄金套盒正品蜗牛玻尿酸水乳霜华套餐"
    titles = ["纯棉碎花吊带裙", chained, near]
    pairs = near_title_pairs([*titles, *sets.texts], NearTitleOptions(jaccard=0.8))
    found = leaked_rows(titles, [None] * 3, sets, pairs)
    assert list(found) == [1, 2]
    assert found[2].detail == "near title of test.tsv, line 4"


def test_near_images_leak_by_the_pairs_that_are_given(shop_file):
    sets = read(shop_file)
    pairs = np.array([[0, 1], [1, 4 + 2]])  # rows 0 and 1, and row 1 with image 2 of the set
    found = leaked_rows(["a", "b", "c", "d"], [None] * 4, sets, image_pairs=pairs)
    assert {row: one.detail for row, one in found.items()} == dict.fromkeys((0, 1), f"near image of {shop_file}, row 2")
