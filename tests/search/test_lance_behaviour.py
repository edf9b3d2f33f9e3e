"""What LanceDB does with keys, scalar indexes and filters where a good guess is wrong, and that our index is right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from lancedb.index import BTree, IvfSq
from tests.conftest import draw, file_bytes

from interbert.search.ann_parameters import Probing
from interbert.search.index import ProductIndex
from interbert.search.index_model import index_encoder
from interbert.search.row_changes import ProductRow, write_rows
from interbert.search.writer import IndexWriter
from interbert.utils.files import only_writer


@pytest.fixture
def index(index_path: Path) -> ProductIndex:
    return ProductIndex.open(index_path)


def waiting(index: ProductIndex, name: str) -> int:
    """Rows that an index of a column does not know."""
    found = index.table.index_stats(name)
    assert found is not None
    return int(found.num_unindexed_rows)


def test_after_one_new_price_every_image_is_found_by_id_and_by_price(index: ProductIndex) -> None:
    index.table.create_index("m_price", config=BTree(), name="m_price_idx")
    writer, ids = IndexWriter(index), index.ids()
    assert (waiting(index, "picture_id_idx"), waiting(index, "m_price_idx")) == (0, 0)
    assert writer.update({"picture_id": pa.array([ids[0]]), "m_price": pa.array([1.5])}) == 1
    unknown = [waiting(index, name) for name in ("picture_id_idx", "m_price_idx")]
    assert unknown == [len(ids)] * 2, "one price was written, and LanceDB's indexes know no row any more"
    assert index.ids("price = 1.5") == [ids[0]]
    assert sorted(index.ids("price >= 0")) == sorted(ids)
    assert [one for name in ids for one in index.ids(f"picture_id = '{name}'")] == ids
    writer.maintain(finished=True)
    assert (waiting(index, "picture_id_idx"), waiting(index, "m_price_idx")) == (0, 0)


def test_a_new_key_that_is_repeated_is_one_row(index_path: Path, index: ProductIndex) -> None:
    rows = index.table.search().limit(1).to_arrow().drop_columns(["picture_id"])
    rows = pa.concat_tables([rows, rows]).append_column("picture_id", pa.array(["new", "new"]))
    merge = index.table.merge_insert("picture_id").when_matched_update_all().when_not_matched_insert_all()
    merge.execute(rows.select(index.table.schema.names))
    assert index.ids().count("new") == 2, "LanceDB inserts both"
    index.table.delete("picture_id = 'new'")

    photo = file_bytes(draw("red", "circle"))
    with only_writer(index_path):
        pinned = ProductIndex.open(index_path).pinned()
        done = write_rows(
            pinned,
            index_encoder(pinned),
            [ProductRow("new", image=photo, columns={"price": price}) for price in (1.0, 2.0)],
        )
    assert [one.status for one in done] == ["added", "updated"]
    again = ProductIndex.open(index_path)
    assert again.ids().count("new") == 1
    assert again.ids("price = 2").count("new") == 1


def test_a_filter_over_an_approximate_index_gives_as_many_as_pass(index: ProductIndex) -> None:
    index.table.create_index("vector", config=IvfSq(distance_type="l2", num_partitions=6), name="vector_idx")
    query = index.vectors(index.ids()[:1])[0]
    passing = index.ids("price >= 10")
    stored = index.table.search().limit(1).to_arrow()["vector"][0].as_py()
    foreign = index.table.search(np.asarray(stored, np.float32), vector_column_name="vector").nprobes(1)
    few = foreign.where("m_price >= 10", prefilter=True).limit(len(passing)).to_arrow()
    assert len(few) < len(passing), "LanceDB looks into one partition, and gives what passes there"
    found = index.vector_search(query, len(passing), "price >= 10", probes=Probing(1), every_image=True)
    assert sorted(hit.id for hit in found) == sorted(passing)
