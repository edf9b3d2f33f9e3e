"""What inputs beyond a limit cost: outcome, seconds and peak memory of the command that is given each.

    OMP_NUM_THREADS=1 python benchmarks/guards.py [WORD ...]

WORD: only the inputs whose names have one of them.
Every input is made here, in a temporary folder, and is small or plain on disk: what it would become is what is limited.
Each command runs in a process of its own; the first row, a sound catalogue, is what the command takes by itself.
Prints a Markdown table (docs/security.md has it).
"""

from __future__ import annotations

import io
import itertools
import json
import re
import resource
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from guards_of_tasks import CASES as TASKS
from guards_of_trust import CASES as TRUST
from guards_of_writing import CASES, Case, started
from PIL import Image

Words = list[str]


def image(folder: Path, size: tuple[int, int] = (60, 80)) -> Path:
    """A white PNG."""
    path = folder / f"{size[0]}.png"
    if not path.exists():
        Image.new("L", size, 255).save(path)
    return path


def sound(folder: Path) -> Words:
    path = folder / "sound.csv"
    path.write_text(f"id,title,image\n1,a shoe,{image(folder).name}\n")
    return ["extract", str(path), str(folder / "out"), "--input-size", "64"]


def long_title(folder: Path) -> Words:
    path = folder / "long.jsonl"
    path.write_text(json.dumps({"id": "1", "title": "x" * 50_000_000, "image": image(folder).name}))
    return ["extract", str(path), str(folder / "out")]


def dictionary(folder: Path) -> Words:
    path = folder / "dictionary.parquet"
    titles = pa.DictionaryArray.from_arrays(pa.array(np.zeros(100_000, np.int32)), pa.array(["shoe " * 19_000]))
    pq.write_table(pa.table({"title": titles, "image": pa.array([image(folder).name] * 100_000)}), path)
    return ["extract", str(path), str(folder / "out")]


def deep_json(folder: Path) -> Words:
    path = folder / "deep.jsonl"
    path.write_text('{"id": "1", "title": ' + "[" * 900 + "]" * 900 + "}\n")
    return ["extract", str(path), str(folder / "out")]


def long_cell(folder: Path) -> Words:
    path = folder / "cell.csv"
    path.write_text(f"id,title,image\n1,{'x' * 2_000_000},{image(folder).name}\n")
    return ["extract", str(path), str(folder / "out")]


def many_columns(folder: Path) -> Words:
    path = folder / "columns.csv"
    path.write_text(",".join(f"c{number}" for number in range(20_000)) + "\n")
    return ["extract", str(path), str(folder / "out")]


def many_pixels(folder: Path) -> Words:
    path = folder / "pixels.csv"
    path.write_text(f"id,title,image\n1,a wall,{image(folder, (12_000, 12_000)).name}\n")
    return ["extract", str(path), str(folder / "out")]


def large_images(folder: Path) -> Words:
    path = folder / "large.csv"
    name = image(folder, (9_000, 9_000)).name
    path.write_text("id,title,image\n" + "".join(f"{number},a wall,{name}\n" for number in range(8)))
    return ["extract", str(path), str(folder / "out"), "--input-size", "64"]


def shared_pickle(folder: Path) -> Words:
    value: Any = [0.0]
    for _ in range(40):
        value = [value, value]
    lines = {"feature": value, "bbox": np.zeros((2, 4), np.float32), "image_w": 10, "image_h": 10}
    (folder / "npy").mkdir()
    np.save(folder / "npy" / "1.npy", np.array(lines, dtype=object), allow_pickle=True)
    return ["import", "npy-folder", str(folder / "npy"), str(folder / "out")]


def equal_hashes(folder: Path) -> Words:
    """Whole numbers repeat their hash at 2^61 - 1, and a tuple's is made of them."""
    equal = [5 + ((1 << 61) - 1) * times for times in range(4)]
    keys = itertools.islice(itertools.product(equal, repeat=8), 40_000)
    raw = b"\x80\x04}(" + b"".join(b"(" + b"".join(map(whole, key)) + b"tN" for key in keys) + b"u."
    (folder / "npy").mkdir()
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|O", "fortran_order": False, "shape": ()})
    (folder / "npy" / "1.npy").write_bytes(head.getvalue() + raw)
    return ["import", "npy-folder", str(folder / "npy"), str(folder / "out")]


def whole(value: int) -> bytes:
    """A number in a pickle."""
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def fixed_lists(folder: Path) -> Words:
    path = folder / "fixed.parquet"
    titles = pa.array([["shoe " * 19_000] * 200] * 10, pa.list_(pa.string(), 200))
    part = pa.table({"title": titles, "image": pa.array([image(folder).name] * 10)})
    with pq.ParquetWriter(path, part.schema) as writer:
        for _ in range(10):
            writer.write_table(part)
    return ["extract", str(path), str(folder / "out")]


def icon(folder: Path) -> Words:
    png = image(folder, (12_000, 12_000)).read_bytes()
    head = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(png), 22)
    (folder / "icon.ico").write_bytes(head + png)
    (folder / "icon.csv").write_text("id,title,image\n1,a wall,icon.ico\n")
    return ["extract", str(folder / "icon.csv"), str(folder / "out"), "--image-column", "image"]


def npz_sum(folder: Path) -> Words:
    (folder / "npz").mkdir()
    part = np.zeros((1000, 10_000), np.float32)
    np.savez_compressed(folder / "npz" / "1.npz", features=part, bbox=np.zeros((1000, 4), np.float32), soft=part)
    return ["import", "npy-folder", str(folder / "npz"), str(folder / "out")]


def h5_link(folder: Path) -> Words:
    with h5py.File(folder / "other.h5", "w") as other:
        other["features"] = np.zeros((2, 8), np.float32)
    with h5py.File(folder / "link.h5", "w") as file:
        group = file.create_group("1")
        group["features"] = h5py.ExternalLink(str(folder / "other.h5"), "/features")
        group["boxes"] = np.array([[0, 0, 5, 5], [1, 1, 8, 8]], np.float32)
        group["image_w"], group["image_h"] = 10, 10
    return ["import", "h5", str(folder / "link.h5"), str(folder / "out")]


def recipe(folder: Path) -> Words:
    path = folder / "recipe.yaml"
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    path.write_text("\n".join([*lines, "texts: *a11"]) + "\n")
    return ["extract", "a.csv", str(folder / "out"), "--config", str(path)]


def own_code(folder: Path) -> Words:
    model = folder / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "interbert", "auto_map": {"AutoModel": "own.Own"}}))
    (model / "own.py").write_text("raise SystemExit('was run')\n")
    return ["search", str(model), "a shoe", "--source", sound(folder)[1]]


def made_by(folder: Path) -> Words:
    path = folder / "recipe.yaml"
    path.write_text(f"texts: [{'x' * 2_800_000}]\n")
    return ["extract", sound(folder)[1], str(folder / "out"), "--config", str(path)]


INPUTS: dict[str, Callable[[Path], Words | Case]] = {
    "a sound catalogue of one product": sound,
    "a title of 50 million characters (jsonl)": long_title,
    "100,000 equal titles of 95,000 characters, 9.5 GB of values in a small parquet file": dictionary,
    "100 equal lists of 200 titles of 95,000 characters, 1.9 GB in a small parquet file": fixed_lists,
    "900 levels of lists (jsonl)": deep_json,
    "a csv cell of 2 million characters": long_cell,
    "a csv header of 20,000 columns": many_columns,
    "an image of 144 million pixels": many_pixels,
    "8 images of 81 million pixels each": large_images,
    "an .ico file whose header says 16 x 16, with an image of 144 million pixels": icon,
    "a pickle of 40 lists, each twice the one before": shared_pickle,
    "a pickle of 40,000 keys of equal hashes": equal_hashes,
    "an npz record of two arrays of 40 MB, compressed": npz_sum,
    "HDF5 with a link to another file": h5_link,
    "a recipe whose aliases stand for 9^12 values": recipe,
    "a model directory that asks for code of its own": own_code,
    "a recipe with a column's name of 2.8 million characters": made_by,
    **CASES,
    **TRUST,
    **TASKS,
}


def measured(words: list[str]) -> Iterator[tuple[str, int, float, int, str]]:
    """Name, exit code, seconds, peak MiB and the last line of each command whose name has one of ``words``."""
    for name, make in ((name, make) for name, make in INPUTS.items() if any(word in name for word in words)):
        with tempfile.TemporaryDirectory() as folder:
            try:
                made = make(Path(folder))
            except RuntimeError as fault:
                yield name, -1, 0.0, -1, f"NOT RUN: {fault}"
                continue
            case = made if isinstance(made, Case) else Case(made)
            began = time.monotonic()
            process = started(case.words, **case.environment)
            out, error = process.communicate(timeout=900)
            seconds, code = time.monotonic() - began, process.returncode
            *_, said, peak = ["", *error.strip().splitlines()]
            printed = ["", *out.strip().splitlines()]
            # a damaged file that there is a way around is told before what the command prints
            said = said if code else next((line for line in printed if " is used. " in line), printed[-1])
            skipped = Path(folder, "out", "skipped.jsonl")
            if not isinstance(made, Case) and skipped.is_file() and skipped.stat().st_size:
                said = json.loads(skipped.read_text(encoding="utf-8").splitlines()[0])["reason"]
            number = int(peak.split()[-1]) if peak.startswith("peak ") else -1
            plain = re.sub(
                rf"{re.escape(tempfile.gettempdir())}/(interbert-[a-z]+)-\w+", r"TMP/\1", said.replace(folder, "FOLDER")
            )
            yield name, code, seconds, number, plain.replace("|", "\\|")[:200] + case.after()


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (20 << 30, 20 << 30))  # what is not limited ends here, not the machine
    print("| input | exit code | seconds | peak MiB | said |\n| --- | --- | --- | --- | --- |")
    for name, code, seconds, peak, said in measured(sys.argv[1:] or [""]):
        print(f"| {name} | {code} | {seconds:.1f} | {peak:,} | {said} |", flush=True)


if __name__ == "__main__":
    main()
