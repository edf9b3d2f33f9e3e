"""Files of vision-and-language tasks, of queries and of texts beyond a limit; what classifiers and searches write.

Rows of ``benchmarks/guards.py``.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from guards_of_trust import fields_of, lacks
from guards_of_writing import Case, done, full, killed, over_input, shop, unchanged
from PIL import Image

HALF = "red \ud83d"
"""A text that was cut in the middle of an emoji, which no tokenizer, database or file in UTF-8 takes."""
PIXELS = (9_900, 10_000)


def written(path: Path, *rows: Any) -> str:
    """A file of JSON lines; its path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def vcr_names(folder: Path) -> Case:
    """3,000 tags of one object whose class name has 100,000 characters."""
    four = [["a"]] * 4
    row: dict[str, Any] = {"annot_id": "val-0", "img_fn": "1.jpg", "objects": ["x" * 100_000], "question": [[0] * 3000]}
    row |= {"answer_choices": four, "rationale_choices": four, "answer_label": 0, "rationale_label": 0}
    (folder / "p.csv").write_text("annot_id\n")
    return Case(["score", "vcr", str(folder / "p.csv"), written(folder / "val.jsonl", row)])


def empty_sets(folder: Path) -> Case:
    """RefCOCO's pickle with 12 million empty sets, of 216 bytes each."""
    (folder / "refs(unc).p").write_bytes(b"\x80\x05](" + b"\x8f" * 12_000_000 + b"e.")
    thing = {"id": 1, "image_id": 1, "bbox": [0, 0, 1, 1]}
    images = [{"id": 1, "file_name": "1.jpg"}]
    (folder / "instances.json").write_text(json.dumps({"images": images, "annotations": [thing]}))
    (folder / "p.json").write_text('[{"sent_id": 1, "bbox": [0, 0, 1, 1]}]')
    return Case(["score", "refcoco", str(folder / "p.json"), str(folder)])


def many_cells(folder: Path) -> Case:
    (folder / "p.csv").write_text("12," * 10_000_000 + "\n")
    truth = written(folder / "dev.json", {"identifier": "dev-1-0-0", "sentence": "x", "label": "True"})
    return Case(["score", "nlvr2", str(folder / "p.csv"), truth])


def many_phrases(folder: Path) -> Case:
    for name, content in (
        ("Sentences/1.txt", "[/EN#1/people a] " * 600_000),
        ("Annotations/1.xml", "<annotation/>"),
        ("test.txt", "1"),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"{content}\n")
    return Case(["score", "flickr-entities", written(folder / "p.jsonl", {"id": "1#0#0", "boxes": []}), str(folder)])


def equal_titles(folder: Path) -> Case:
    titles = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array(["shoe " * 19_000]))
    pq.write_table(pa.table({"title": titles}), folder / "titles.parquet")
    return Case(["pretrain", "text", str(folder / "titles.parquet"), str(folder / "out")])


def query(folder: Path, text: str) -> Case:
    asked = written(folder / "queries.jsonl", {"id": HALF, "text": text})
    words = ["search", str(shop(folder) / "index"), "", "--queries", asked, "--results", str(folder / "found.jsonl")]
    return Case(words)


def rows_of(folder: Path) -> str:
    """A table of texts with labels."""
    rows = [{"key": f"r{n}", "text": f"a {'red' if n % 2 else 'blue'} disc", "label": n % 2} for n in range(24)]
    return written(folder / "rows.jsonl", *rows)


def trained(folder: Path, *more: str) -> list[str]:
    words = ["finetune", "classification", str(shop(folder) / "model"), rows_of(folder), str(folder / "kinds")]
    words += ["--text", "text", "--label", "label", "--max-text-tokens", "20", "--training.epochs", "1", *more]
    if done(words):
        raise RuntimeError("the classifier was not trained")
    return ["predict", str(folder / "kinds"), rows_of(folder)]


def half_a_character(folder: Path) -> Case:
    words = trained(folder)
    table = written(folder / "half.jsonl", {"key": HALF, "text": HALF})
    return Case([*words[:2], table, str(folder / "out.jsonl"), "--id-column", "key"])


def table_of_others(folder: Path) -> Case:
    other = folder / "other.parquet"
    pq.write_table(pa.table({"text": ["the answers have a probability, an answer has an id"]}), other)
    return Case([*trained(folder), str(other)], after=unchanged(other))


def nameless(folder: Path) -> Case:
    """A classifier whose tokenizer's settings name no token."""
    words = [*trained(folder), str(folder / "out.csv")]
    (folder / "kinds" / "tokenizer_config.json").write_text("{}")
    return Case(words)


def full_disk(folder: Path) -> Case:
    words = [*trained(folder), str(folder / "out.jsonl")]
    if done(words):
        raise RuntimeError("nothing was predicted")
    return Case(words, {"GUARD_MOST_BYTES": "1000"}, unchanged(folder / "out.jsonl"))


def questions(folder: Path) -> list[str]:
    """Words of a fine-tuning for GQA on the shop's images."""
    one = {"question": "what is it", "isBalanced": True}
    asked = {str(n): one | {"imageId": f"{n}", "answer": ["square", "disc"][n // 6]} for n in range(12)}
    (folder / "gqa.json").write_text(json.dumps(asked))
    words = ["finetune", "gqa", str(folder / "model"), str(folder / "gqa.json"), str(folder / "gqa"), "--regions"]
    return [*words, str(folder / "store"), "--validation-share", "0.3", "--training.epochs", "1"]


def published(folder: Path) -> Case:
    shop(folder, copied=False)
    made = [folder / "gqa" / name for name in ("README.md", "provenance.json", "processor_config.json", "config.json")]
    return Case(questions(folder), after=lambda: lacks(str(folder), *made))


def killed_questions(folder: Path) -> Case:
    shop(folder)
    words = questions(folder)
    if done(words, GUARD_KILL_AT="3") != -9:
        raise RuntimeError("finetune gqa ended before its third file")
    return Case(words)


def own_source(folder: Path) -> Case:
    """Pairs of SNLI-VE that have both a gold label and a label, so that they look like predictions."""
    shop(folder)
    labels = ("neutral", "entailment", "contradiction")
    rows = [
        {"pairID": f"{n}", "Flickr30K_ID": f"{n}", "sentence2": "a disc", "gold_label": labels[n % 3]}
        for n in range(12)
    ]
    source = written(folder / "pairs.jsonl", *(row | {"label": row["gold_label"]} for row in rows))
    words = ["finetune", "snli-ve", str(folder / "model"), source, str(folder / "ve"), "--regions"]
    if done([*words, str(folder / "store"), "--validation-share", "0.3", "--training.epochs", "1"]):
        raise RuntimeError("the model was not trained")
    words = ["evaluate", "snli-ve", str(folder / "ve"), source, "--regions", str(folder / "store")]
    return Case([*words, "--predictions", source], after=unchanged(Path(source)))


def queries_of_others(folder: Path) -> Case:
    other = folder / "queries.json"
    other.write_text('[\n{"query_id": 1, "query": "red"}\n]\n')
    return Case(["search", str(shop(folder) / "index"), "red", "--results", str(other)], after=unchanged(other))


def damaged_number(folder: Path) -> Case:
    fields_of("config.json", layer_norm_eps="small")(shop(folder) / "model")
    return Case(["search", str(folder / "model"), "red", "--source", str(folder / "shop.parquet")])


def pixels(folder: Path, mode: str, name: str) -> Case:
    """An image just below the limit, in a form that takes several bytes a pixel."""
    Image.new(mode, PIXELS, 9 if mode == "I;16" else (1, 2, 3, 9)).save(folder / name, compress_level=1)
    table = io.StringIO()
    csv.writer(table).writerows([("id", "title", "image"), (1, "a wall", name)])
    (folder / "wall.csv").write_text(table.getvalue())
    return Case(["extract", str(folder / "wall.csv"), str(folder / "out"), "--input-size", "64"])


def chunks(folder: Path) -> Case:
    """HDF5 that is stored in compressed chunks of 80 MB."""
    with h5py.File(folder / "c.h5", "w") as file:
        group = file.create_group("1")
        sizes = {"shape": (2, 8), "maxshape": (None, 8), "chunks": (2_500_000, 8)}
        group.create_dataset("features", dtype=np.float32, compression="gzip", **sizes)
        group["boxes"] = np.array([[0, 0, 5, 5], [1, 1, 8, 8]], np.float32)
        group["image_w"], group["image_h"] = 10, 10
    return Case(["import", "h5", str(folder / "c.h5"), str(folder / "out")])


CASES: dict[str, Callable[[Path], Case]] = {
    "an image of 99 million pixels with transparency": partial(pixels, mode="RGBA", name="wall.png"),
    "an image of 99 million pixels of 16 bits": partial(pixels, mode="I;16", name="wall.png"),
    "HDF5 in compressed chunks of 80 MB": chunks,
    "a line of VCR whose tags stand for 300 million characters": vcr_names,
    "RefCOCO's pickle with 12 million empty sets": empty_sets,
    "predictions of NLVR2 with 10 million cells in a line": many_cells,
    "a sentence of Flickr30K Entities with 600,000 phrases": many_phrases,
    "`pretrain text` on 100,000 equal titles of 95,000 characters": equal_titles,
    "a query of 20 million characters (jsonl)": partial(query, text="red " * 5_000_000),
    "a query with half of an emoji (jsonl)": partial(query, text=HALF),
    "`predict` of an id and a text with half of an emoji": half_a_character,
    "a classifier whose tokenizer's settings are empty": nameless,
    "a model whose layer_norm_eps is a word": damaged_number,
    "`predict` on a full disk, over predictions": full_disk,
    "`search --results` on a full disk": full(
        "search", "@index", "red", "--results", "@found.csv", kept="shop.parquet", most=50
    ),
    "`predict` writes over a table of others": table_of_others,
    "`evaluate snli-ve --predictions` names its source": own_source,
    "`search --results` names a list of queries": queries_of_others,
    "`explain --page` names its image": over_input(
        "explain", "@model", "@0.png", "red", "--page", "@0.png", kept="0.png"
    ),
    "`finetune gqa` again after kill -9 at its third file": killed_questions,
    "`search --results` again after kill -9": killed("search", "@index", "red", "--results", "@found.csv", at=1),
    "`finetune gqa`: folders in what it publishes": published,
}
