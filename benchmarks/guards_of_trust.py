"""What is never run, followed or shown: a model's code, paths out of a folder, markup, secrets; damaged files.

Rows of ``benchmarks/guards.py``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from guards_of_writing import Case, done, shop
from PIL import Image

from interbert.search.index import ProductIndex
from interbert.search.manifest import connect

MARKED = "[/b] <script>alert(1)</script> \x1b[31m\u202e"
"""A title that would end rich's markup, run in a page, colour a terminal and turn its text round."""
SECRET = "s3://key:wJalr@bucket/shop?token=wJalr"


def lacks(mark: str, *places: Path) -> str:
    """For the table: whether files, or all below folders, hold a text that they must not."""
    files = [file for place in places for file in (place.rglob("*") if place.is_dir() else [place]) if file.is_file()]
    found = any(mark.encode() in file.read_bytes() for file in files)
    called = "its folder" if mark.startswith("/") else f"`{mark}`"
    return f"; IN IT: {called}" if found else f"; not in it: {called}"


def shards(folder: Path) -> Case:
    """A model directory whose list of weights names a file outside of it."""
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "interbert"}))
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../outside.safetensors"}}))
    return Case(["convert", "to-reference", str(model), str(folder / "a.bin")])


def quantised(folder: Path) -> Case:
    """A model directory whose settings need a package that is not there."""
    settings = shop(folder) / "model" / "config.json"
    fields = json.loads(settings.read_text()) | {"quantization_config": {"quant_method": "awq", "bits": 4}}
    settings.write_text(json.dumps(fields))
    return Case(["search", str(folder / "model"), "red", "--source", str(folder / "shop.parquet")])


def saved(folder: Path, packed: bool = False) -> Case:
    """A folder that ``datasets`` saved, which names a file outside of it, or holds 50 MB in some kB."""
    import datasets

    rows = datasets.Dataset.from_dict({"image": ["a.png"], "title": ["x" * 50_000_000 if packed else "a"]})
    rows.save_to_disk(str(folder / "saved"))
    (file,) = (folder / "saved").glob("*.arrow")
    if packed:
        table = rows.data.table
        with pa.ipc.new_stream(str(file), table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
            stream.write_table(table)
    else:
        file.rename(folder / "outside.arrow")
        state = json.loads((folder / "saved" / "state.json").read_text())
        state["_data_files"] = [{"filename": "../outside.arrow"}]
        (folder / "saved" / "state.json").write_text(json.dumps(state))
    return Case(["extract", str(folder / "saved"), str(folder / "out")])


def saved_link(folder: Path) -> Case:
    """A folder that ``datasets`` saved, whose file is a link out of it."""
    case = saved(folder)
    (folder / "saved" / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    (folder / "saved" / "data.arrow").symlink_to(folder / "outside.arrow")
    return case


def h5(folder: Path, virtual: bool = False) -> Case:
    """HDF5 whose numbers lie in another file."""
    (folder / "numbers.bin").write_bytes(bytes(64))
    with h5py.File(folder / "other.h5", "w") as other:
        other["features"] = np.zeros((2, 8), np.float32)
    with h5py.File(folder / "a.h5", "w") as file:
        group = file.create_group("1")
        if virtual:
            layout = h5py.VirtualLayout((2, 8), np.float32)
            layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "features", (2, 8))
            group.create_virtual_dataset("features", layout)
        else:
            place = [(str(folder / "numbers.bin"), 0, 64)]
            group.create_dataset("features", (2, 8), np.float32, external=place)
        group["boxes"] = np.array([[0, 0, 5, 5], [1, 1, 8, 8]], np.float32)
        group["image_w"], group["image_h"] = 10, 10
    return Case(["import", "h5", str(folder / "a.h5"), str(folder / "out")])


def outside(folder: Path) -> Case:
    """A catalogue whose cell names a file outside of its folder."""
    (folder / "shop").mkdir()
    Image.new("L", (60, 80)).save(folder / "private.png")
    (folder / "shop" / "shop.csv").write_text("id,title,image\n1,a shoe,../private.png\n")
    return Case(["extract", str(folder / "shop" / "shop.csv"), str(folder / "out")])


def lock_taken(folder: Path, link: bool = True) -> Case:
    """The place of locks is a link of somebody else, or a file."""
    place = folder / f"interbert-locks-{os.getuid()}"
    if link:
        (folder / "elsewhere").mkdir()
        place.symlink_to(folder / "elsewhere")
    else:
        place.write_text("mine")
    return Case(["extract", str(shop(folder) / "shop.parquet"), str(folder / "out")], {"TMPDIR": str(folder)})


def marked_titles(folder: Path) -> Case:
    """Search over titles, ids and columns with markup."""
    rows = pq.read_table(shop(folder) / "shop.parquet").to_pylist()
    marked = [row | {"id": f"{row['id']}{MARKED}", "title": f"{MARKED} {row['title']}", MARKED: "a"} for row in rows]
    pq.write_table(pa.Table.from_pylist(marked), folder / "marked.parquet")
    page = folder / "page.html"
    words = ["search", str(folder / "model"), "red", "--source", str(folder / "marked.parquet"), "--page", str(page)]
    return Case(words, after=partial(lacks, "<script>alert", page))


def made_by(folder: Path) -> Case:
    """Regions whose maker is markup, a secret and a path; the page shows the maker."""
    (folder / "npy").mkdir()
    record = {"features": np.ones((2, 8), np.float32), "bbox": np.array([[0, 0, 5, 5], [1, 1, 8, 8]], np.float32)}
    np.save(folder / "npy" / "1.npy", np.array(record | {"image_width": 10, "image_height": 10}, dtype=object))
    maker = f"{MARKED} {SECRET} {folder}/net.pth"
    if done(["import", "npy-folder", str(folder / "npy"), str(folder / "store"), "--made-by", maker]):
        raise RuntimeError("the regions were not imported")
    page = folder / "page.html"

    def after() -> str:
        private = (lacks(mark, page, folder / "store") for mark in ("wJalr", str(folder)))
        return "".join(private) + lacks("<script>alert", page)

    return Case(["regions", "show", str(folder / "store"), "--out", str(page)], after=after)


def run(folder: Path) -> Case:
    """A training run, and what it publishes."""
    words = [
        "finetune",
        "retrieval",
        str(shop(folder, copied=False) / "model"),
        str(folder / "store"),
        str(folder / "run"),
    ]
    words += ["--training.epochs", "1", "--training.batch-size", "4", "--validation-share", "0.3"]
    published = [folder / "run" / name for name in ("README.md", "provenance.json", "processor_config.json")]
    return Case(words, after=lambda: lacks(str(folder), *published))


def damaged(name: str, *words: str, content: str = "[" * 900 + "]" * 900) -> Callable[[Path], Case]:
    """A command that reads a damaged file of another."""

    def make(folder: Path) -> Case:
        target = shop(folder) / name
        target.parent.mkdir(exist_ok=True)
        target.write_text(content)
        (target.parent / "log_history.jsonl").touch()  # a run that has begun
        return Case([word.replace("@", f"{folder}/") for word in words])

    return make


def missing_page(folder: Path) -> Case:
    """Topic pages of which one is missing."""
    shop(folder)
    if done(["topics", "build", str(folder / "index"), str(folder / "topics.jsonl"), str(folder / "out")]):
        raise RuntimeError("the pages were not built")
    next((folder / "out" / "pages").glob("*.json")).unlink()
    return Case(["topics", "page", str(folder / "out"), str(folder / "topics.html")])


def pages_outside(folder: Path) -> Case:
    """A list of topic pages that names a file outside of its folder."""
    case = missing_page(folder)
    fields_of("topics.json", topics=["../../shop"])(folder / "out")
    return case


def exported(damage: Callable[[Path], object]) -> Callable[[Path], Case]:
    """An index whose exported model was damaged."""

    def make(folder: Path) -> Case:
        (place,) = (shop(folder) / "index" / "models").glob("*/exported")
        damage(place)
        return Case(["search", str(folder / "index"), "red"])

    return make


def fields_of(name: str, **wrong: object) -> Callable[[Path], object]:
    """Change fields of a folder's JSON file."""

    def change(place: Path) -> None:
        fields = json.loads((place / name).read_text())
        (place / name).write_text(json.dumps(fields | wrong))

    return change


def halved(name: str) -> Callable[[Path], object]:
    return lambda place: (place / name).write_bytes((place / name).read_bytes()[:1000])


def no_numbers(place: Path) -> None:
    """Damage the word embeddings of an exported model."""
    words = np.load(place / "words.npy")
    np.save(place / "words.npy", np.full_like(words, np.nan))


def going_on(damage: Callable[[Path], object]) -> Callable[[Path], Case]:
    """Pretraining from an InterBERT whose directory was damaged."""

    def make(folder: Path) -> Case:
        damage(shop(folder) / "model")
        words = ["pretrain", str(folder / "store"), str(folder / "run"), "--init-from", str(folder / "model")]
        return Case([*words, "--training.max-steps", "1", "--validation-share", "0.3"])

    return make


def manifest(**wrong: object) -> Callable[[Path], Case]:
    """An index whose manifest was changed."""

    def make(folder: Path) -> Case:
        fields = json.loads(ProductIndex.open(str(shop(folder) / "index")).manifest.to_json()) | wrong
        connect(folder / "index").open_table("manifest").update(values={"manifest": json.dumps(fields)})
        return Case(["search", str(folder / "index"), "red"])

    return make


CASES: dict[str, Callable[[Path], Case]] = {
    "a list of a model's weights that names a file outside its folder": shards,
    "a model whose settings need a package that is not there": quantised,
    "a saved `datasets` folder that names a file outside of it": saved,
    "a saved `datasets` folder with 50 MB in some kB (compressed Arrow)": partial(saved, packed=True),
    "a catalogue's cell that names a file outside its folder": outside,
    "a saved `datasets` folder whose file is a link out of it": saved_link,
    "HDF5 whose numbers lie in another file (external storage)": h5,
    "HDF5 whose numbers are of another file (virtual dataset)": partial(h5, virtual=True),
    "the folder of locks is a link of somebody else": lock_taken,
    "the folder of locks is a file": partial(lock_taken, link=False),
    "`search` over titles, ids and columns with markup, HTML and control characters": marked_titles,
    "`regions show` of regions made by HTML, an address with a secret, and a path": made_by,
    "`finetune retrieval`: folders in what it publishes": run,
    "`finetune retrieval` over settings of a run that are 900 levels deep": damaged(
        "run/recipe.json", "finetune", "retrieval", "@model", "@store", "@run"
    ),
    "`topics page` when a listed page is missing": missing_page,
    "a list of topic pages that names a file outside its folder": pages_outside,
    "an index whose exported model lacks its joint pass": exported(lambda place: (place / "joint.xml").unlink()),
    "an index whose exported model has settings of other types": exported(
        fields_of("exported.json", contrastive_size="x")
    ),
    "an index whose exported model has settings 900 levels deep": exported(
        lambda place: (place / "exported.json").write_text("[" * 900 + "]" * 900)
    ),
    "an index whose exported model has half of its weights": exported(halved("joint.bin")),
    "an index whose exported model has another size than its model": exported(
        fields_of("exported.json", contrastive_size=7)
    ),
    "an index whose exported model has words that are no numbers": exported(no_numbers),
    "`pretrain --init-from` an InterBERT whose hidden_size is a word": going_on(
        fields_of("config.json", hidden_size="large")
    ),
    "`pretrain --init-from` an InterBERT with other sizes than its weights": going_on(
        fields_of("config.json", hidden_size=64)
    ),
    "`pretrain --init-from` an InterBERT without weights": going_on(
        lambda model: (model / "model.safetensors").unlink()
    ),
    "`pretrain --init-from` an InterBERT with half of its weights": going_on(halved("model.safetensors")),
    "`pretrain --init-from` an InterBERT whose settings are no object": going_on(
        lambda model: (model / "config.json").write_text("[]")
    ),
    "an index whose manifest has a wrong size": manifest(vector_size=9, hidden_size=7),
    "an index whose manifest names a table outside its folder": manifest(table="../other"),
}
