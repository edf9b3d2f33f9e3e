import os

import numpy as np
import pytest

from interbert.errors import StorageError
from interbert.utils.row_file import Changed, Chosen, RowFile, blocks_of


@pytest.fixture
def numbers():
    return np.arange(60, dtype=np.float32).reshape(20, 3)


def filled(folder, numbers, size=7):
    order = np.random.default_rng(0).permutation(len(numbers))
    parts = [order[start : start + size] for start in range(0, len(order), size)]
    return RowFile.of(folder, len(numbers), ((part, numbers[part]) for part in parts))


def test_rows_are_read_in_the_asked_order_and_as_often(tmp_path, numbers):
    rows = filled(tmp_path, numbers)
    assert rows.shape == (20, 3)
    assert len(rows) == 20
    for asked in ([3, 4, 5, 4, 19, 0, 0, 1], list(range(20)), [7], []):
        wanted = np.array(asked, dtype=np.int64)
        np.testing.assert_array_equal(rows[wanted], numbers[wanted].reshape(-1, 3))


def test_nothing_lies_in_the_folder(tmp_path, numbers):
    rows = filled(tmp_path, numbers)
    assert list(tmp_path.iterdir()) == []
    assert len(rows[np.arange(20)]) == 20


def test_a_row_that_is_not_there_is_no_other_row(tmp_path, numbers):
    rows = filled(tmp_path, numbers)
    for wrong in ([20], [-1], [19, 20]):
        with pytest.raises(AssertionError):
            rows[np.array(wrong)]


def test_chosen_and_changed_rows(tmp_path, numbers):
    rows = Changed(Chosen(filled(tmp_path, numbers), np.array([5, 5, 2])), lambda block: 2 * block)
    assert rows.shape == (3, 3)
    np.testing.assert_array_equal(rows[np.array([2, 1])], 2 * numbers[[2, 5]])


def test_blocks_are_all_rows_once(tmp_path, numbers, monkeypatch):
    monkeypatch.setattr("interbert.utils.row_file._BLOCK_BYTES", 4 * 3 * 8)
    blocks = list(blocks_of(filled(tmp_path, numbers)))
    assert [len(part) for part, _ in blocks] == [8, 8, 4]
    np.testing.assert_array_equal(np.concatenate([block for _, block in blocks]), numbers)
    assert np.concatenate([part for part, _ in blocks]).tolist() == list(range(20))


def test_no_rows_are_none(tmp_path):
    rows = RowFile.of(tmp_path, 0, ())
    assert rows.shape == (0, 0)
    assert rows[np.array([], dtype=np.int64)].shape == (0, 0)


def test_a_full_disk_is_said(tmp_path, numbers, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    rows = RowFile(tmp_path, 20, 3)
    monkeypatch.setattr(os, "pwritev", full)
    with pytest.raises(StorageError, match=str(tmp_path)):
        rows.write(np.arange(20), numbers)


def test_its_file_goes_with_it(tmp_path, numbers):
    rows = filled(tmp_path, numbers)
    number = rows._file.fileno()
    assert os.fstat(number).st_size == 240
    del rows
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)
