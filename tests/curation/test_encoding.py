# ruff: noqa: F811  -- fixtures are imported
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import shop_rows
from tests.search.conftest import make_model, model  # noqa: F401

from interbert.curation import encoding
from interbert.curation.encoding import encode_pairs
from interbert.errors import CheckpointError, DataError
from interbert.search.query_encoder import ProductEncoder

PAIRS = [(row["image"]["bytes"], row["title"]) for row in shop_rows()]


loaded = cache(ProductEncoder.load)  # a second each, with its extractor


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(encoding, "CHUNK_ROWS", 5)
    monkeypatch.setattr(ProductEncoder, "load", loaded)


@pytest.fixture
def encoded(monkeypatch):
    """Rows that were encoded, by chunk."""
    seen = []
    encode = encoding._encode

    def counted(encoder, content):
        seen.append(len(content))
        return encode(encoder, content)

    monkeypatch.setattr(encoding, "_encode", counted)
    return seen


def test_inner_products_are_the_scores_of_search(model: Path, tmp_path: Path):
    found = encode_pairs(PAIRS[:7], model, tmp_path / "vectors")
    encoder = ProductEncoder.load(model)
    _, text = encoder.texts([title for _, title in PAIRS[:7]])
    assert np.array(found.text) == pytest.approx(text, abs=1e-5)
    for row, (image, _) in enumerate(PAIRS[:7]):
        assert found.image[row] == pytest.approx(encoder.described(image, "image")[0][0], abs=1e-5)
    assert not found.problems


def test_the_same_call_goes_on_after_the_chunks_that_are_done(model: Path, tmp_path: Path, encoded):
    whole = encode_pairs(PAIRS[:12], model, tmp_path / "whole")
    encoded.clear()

    class Killed(list):
        def __getitem__(self, row):
            if row == 11:
                raise KeyboardInterrupt
            return super().__getitem__(row)

    with pytest.raises(KeyboardInterrupt):
        encode_pairs(Killed(PAIRS[:12]), model, tmp_path / "killed")
    journal = tmp_path / "killed" / "journal.jsonl"
    journal.write_text(journal.read_text() + '{"chunk": "cut')
    again = encode_pairs(PAIRS[:12], model, tmp_path / "killed")
    assert encoded == [5, 5, 2]
    assert (np.array(again.text) == whole.text).all()
    assert (np.array(again.image) == whole.image).all()
    encode_pairs(PAIRS[:12], model, tmp_path / "killed")
    assert encoded == [5, 5, 2]


def test_rows_that_changed_are_encoded_anew_and_so_are_all_of_another_model(
    model: Path,
    make_model,
    tmp_path: Path,
    encoded,
):
    encode_pairs(PAIRS[:12], model, tmp_path)
    encoded.clear()
    changed = [*PAIRS[:7], (PAIRS[7][0], "another title"), *PAIRS[8:12]]
    found = encode_pairs(changed, model, tmp_path)
    assert encoded == [5, 2]
    assert found.text[7] != pytest.approx(ProductEncoder.load(model).texts([PAIRS[7][1]])[1][0], abs=1e-4)
    encoded.clear()
    other = make_model(seed=1)
    assert encode_pairs(changed, other, tmp_path).text.shape == (12, 8)
    assert encoded == [5, 5, 2]


def test_rows_without_vectors_are_named_also_by_a_run_that_finds_them_done(model: Path, tmp_path: Path):
    pairs = [PAIRS[0], (b"no image", "a red circle"), (PAIRS[1][0], " "), (PAIRS[2][0], "a blue circle")]
    for _ in range(2):
        found = encode_pairs(pairs, model, tmp_path)
        assert sorted(found.problems) == [1, 2]
        assert "image: " not in found.problems[1]
        assert found.problems[2] == "the title holds no word that the model knows"
        assert np.isnan(found.image).any(axis=1).tolist() == [False, True, False, False]
        assert np.isnan(found.text).any(axis=1).tolist() == [False, False, True, False]


def test_a_missing_file_of_vectors_and_a_model_without_vectors_are_said(model: Path, make_model, tmp_path: Path):
    encode_pairs(PAIRS[:3], model, tmp_path)
    (tmp_path / "image.npy").write_bytes(b"cut")
    with pytest.raises(DataError, match=r"image\.npy: is missing or damaged\. Remove its folder"):
        encode_pairs(PAIRS[:3], model, tmp_path)
    with pytest.raises(CheckpointError, match="cannot recall"):
        encode_pairs(
            PAIRS[:3], make_model(contrastive_size=None, dual_score_weight=None, fusion="sum"), tmp_path / "other"
        )
