"""Commands that lose nothing: a full disk, kill -9, a rebuild beside an addition, outputs that name inputs.

Rows of ``benchmarks/guards.py``. Run by itself with a folder, it makes there what the commands are given: a shop of 12
products, a random model of hidden size 32, a region store and an index.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

CHILD = """
import os, resource, signal, sys
from pathlib import Path
sys.argv = ['/usr/bin/interbert', *sys.argv[1:]]
from interbert.cli.main import main
most, kill = os.environ.get('GUARD_MOST_BYTES'), int(os.environ.get('GUARD_KILL_AT', 0))
name = os.environ.get('GUARD_KILL_NAME')
if most: resource.setrlimit(resource.RLIMIT_FSIZE, (int(most), int(most)))
place, seen = Path.replace, []
def killed(self, target):
    if name is None or str(target).endswith(name): seen.append(target)
    if seen and seen[-1] is target and len(seen) == kill: os.kill(os.getpid(), signal.SIGKILL)
    return place(self, target)
Path.replace = killed
code = main(sys.argv[1:])
known = dict(line.split(':', 1) for line in open('/proc/self/status'))  # ru_maxrss begins at the parent's
print('peak', int(known['VmHWM'].split()[0]) // 1024, file=sys.stderr)
sys.exit(code)
"""
"""A command on a disk that takes files of so many bytes, or killed when its n-th file, of a name, takes its place."""


@dataclass
class Case:
    """A command, and what must be so after it."""

    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    after: Callable[[], str] = lambda: ""
    """Says what there is, for the table."""


def started(words: list[str], **environment: str) -> subprocess.Popen[str]:
    given = [sys.executable, "-c", CHILD, *words]
    return subprocess.Popen(
        given, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def done(words: list[str], **environment: str) -> int:
    """Run a command before the one that is measured; returns its exit code."""
    process = started(words, **environment)
    process.communicate(timeout=600)
    return process.returncode


@cache
def first_shop() -> Path:
    """What :func:`main` makes, made once, in another process: its memory would count as the command's.

    GUARDS_SHOP in the environment names one that was made before.
    """
    if "GUARDS_SHOP" in os.environ:
        return Path(os.environ["GUARDS_SHOP"])
    folder = Path(tempfile.mkdtemp(prefix="guards-shop-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    subprocess.run([sys.executable, __file__, str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder


def shop(folder: Path, copied: bool = True) -> Path:
    """A shop in a folder: a copy, or one that was made there, so that its files have the folder's own path."""
    if copied:
        shutil.copytree(first_shop(), folder, dirs_exist_ok=True)
    else:
        subprocess.run([sys.executable, __file__, str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder


def unchanged(file: Path) -> Callable[[], str]:
    before = file.read_bytes()
    return lambda: "; the file is as it was" if file.read_bytes() == before else "; THE FILE IS LOST"


def full(name: str, *words: str, kept: str, most: int = 3000) -> Callable[[Path], Case]:
    def make(folder: Path) -> Case:
        shop(folder)
        target = folder / kept
        if not target.exists():
            target.write_text("<html>the last good one")
        given = [word.replace("@", f"{folder}/") for word in (*name.split(), *words)]
        return Case(given, {"GUARD_MOST_BYTES": str(most)}, unchanged(target))

    return make


def over_input(name: str, *words: str, kept: str) -> Callable[[Path], Case]:
    return lambda folder: Case(
        [word.replace("@", f"{folder}/") for word in (*name.split(), *words)],
        after=unchanged(shop(folder) / kept),
    )


def index_without_room(folder: Path) -> Case:
    words = ["index", "build", str(shop(folder) / "model"), str(folder / "shop.parquet"), str(folder / "new")]
    done(words, GUARD_MOST_BYTES="0")
    return Case(words)


def beside(folder: Path, again: bool = False) -> Case:
    shop(folder)
    build = ["index", "build", str(folder / "model"), str(folder / "shop.parquet"), str(folder / "index"), "--rebuild"]
    other = started(build)
    tables = len(list((folder / "index").glob("products_*")))
    while other.poll() is None and len(list((folder / "index").glob("products_*"))) == tables:
        time.sleep(0.01)
    if again:
        other.communicate(timeout=600)
    return Case(["index", "add", str(folder / "index"), str(folder / "more.parquet")], after=partial(held, folder))


def two_writers(folder: Path, words: tuple[str, ...]) -> Case:
    """Two commands that write an index at once: one adds 4 of 16 products; the row is of the other."""
    shop(folder)
    other = started(["index", "add", str(folder / "index"), str(folder / "more.parquet")])

    def after() -> str:
        _, error = other.communicate(timeout=600)
        said = [line for line in error.splitlines() if line.startswith("interbert:")]
        told = "".join(said).replace(str(folder), "FOLDER")
        return f"; beside it `index add` of 4: exit code {other.returncode} {told}{held(folder)}"

    return Case([word.replace("@", f"{folder}/") for word in words], after=after)


def held(folder: Path) -> str:
    code = "import sys; from interbert.search.index import ProductIndex; print(len(ProductIndex.open(sys.argv[1])))"
    given = [sys.executable, "-c", code, str(folder / "index")]
    return f"; {subprocess.run(given, capture_output=True, text=True).stdout.strip()} products"


def backbone_on_a_full_disk(folder: Path) -> Case:
    """Fine-tuning of an extractor after one whose disk had no room for a checkpoint."""
    shop(folder)
    words = [word.replace("@", f"{folder}/") for word in ("finetune", "backbone", "@shop.parquet", "@out", *_SMALL)]
    if done(words, GUARD_KILL_AT="2", GUARD_KILL_NAME="out/log_history.jsonl") != -signal.SIGKILL:
        raise RuntimeError("finetune backbone ended before its second line of log")
    sizes = [file.stat().st_size for file in (folder / "out" / "checkpoints").rglob("optimizer.pt")]
    shutil.rmtree(folder / "out")
    if done(words, GUARD_MOST_BYTES=str(max(sizes) - 1)) != 1:
        raise RuntimeError("finetune backbone found room for its checkpoint")
    return Case(words)


def killed(name: str, *words: str, at: int, file: str | None = None) -> Callable[[Path], Case]:
    """The same command after one that was killed when its ``at``-th file, of a name, would take its place."""

    def make(folder: Path) -> Case:
        shop(folder)
        given = [word.replace("@", f"{folder}/") for word in (*name.split(), *words)]
        named = {} if file is None else {"GUARD_KILL_NAME": file}
        if done(given, GUARD_KILL_AT=str(at), **named) != -signal.SIGKILL:
            raise RuntimeError(f"{name}: ended before its file {at}")
        return Case(given)

    return make


_LEARN = ("--columns", "kind", "--catalogue", "@shop.parquet", "--phrases", "4")
_SMALL = ("--epochs", "1", "--head-epochs", "1", "--input-size", "64", "--batch-size", "4")

CASES: dict[str, Callable[[Path], Case]] = {
    "`index add` started while `index build --rebuild` writes": beside,
    "the same `index add` after the rebuild (12 products and 4)": partial(beside, again=True),
    "`index add` of 12 beside `index add` of 4": partial(
        two_writers, words=("index", "add", "@index", "@again.parquet")
    ),
    "`index remove` of 6 beside `index add` of 4": partial(
        two_writers, words=("index", "remove", "@index", "--where", "kind = 'disc'")
    ),
    "`extract` on a full disk": full("extract", "@shop.parquet", "@out", "--input-size", "64", kept="shop.parquet"),
    "`topics learn` on a full disk": full("topics learn", "@model", "@store", *_LEARN, kept="model/config.json"),
    "`convert to-reference` on a full disk": full("convert to-reference", "@model", "@a.bin", kept="model/config.json"),
    "`regions show` on a full disk, over a page": full(
        "regions show", "@store", "--source", "@shop.parquet", "--out", "@page.html", kept="page.html"
    ),
    "`index add` on a full disk": full("index add", "@index", "@more.parquet", kept="shop.parquet"),
    "`index build` again after a disk without any room": index_without_room,
    "`convert to-reference` again after kill -9": killed("convert to-reference", "@model", "@a.bin", at=1),
    "`finetune backbone` again after kill -9 at its third file": killed(
        "finetune backbone", "@shop.parquet", "@out", *_SMALL, at=3
    ),
    "`finetune backbone` again after kill -9 between its checkpoint and the line of log": killed(
        "finetune backbone", "@shop.parquet", "@out", *_SMALL, at=2, file="out/log_history.jsonl"
    ),
    "`finetune backbone` again after a disk without room for its checkpoint": backbone_on_a_full_disk,
    "`topics build` again after kill -9 at its second file": killed(
        "topics build", "@index", "@topics.jsonl", "@out", at=2
    ),
    "`regions show --out` names its source": over_input(
        "regions show", "@store", "--source", "@shop.parquet", "--out", "@shop.parquet", kept="shop.parquet"
    ),
    "`evaluate retrieval --out` names the model's settings": over_input(
        "evaluate retrieval", "@model", "@store", "--out", "@model/config.json", kept="model/config.json"
    ),
    "`finetune retrieval` writes into its model": over_input(
        "finetune retrieval", "@model", "@store", "@model", kept="model/model.safetensors"
    ),
    "`topics build` writes into a folder with files of others in `pages`": over_input(
        "topics build", "@index", "@topics.jsonl", "@site", kept="site/pages/contact.json"
    ),
}


def main(folder: Path) -> None:
    """Make the shop."""
    folder.mkdir(parents=True, exist_ok=True)
    import json

    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from PIL import Image

    from interbert.checkpoints.bert import bert_tokenizer
    from interbert.extraction.columns import ColumnMapping
    from interbert.extraction.extract import extract_to_store
    from interbert.extraction.grid import GridExtractor, GridSettings
    from interbert.extraction.sources import open_source
    from interbert.model.configuration import InterBertConfig
    from interbert.model.modeling import InterBertForImageTextRetrieval
    from interbert.model.processing import InterBertProcessor
    from interbert.model.region_inputs import InterBertRegionFeatureExtractor
    from interbert.search.build import build_index

    rows = []
    for number, colour in enumerate(("red", "green", "blue", "black", "white", "grey") * 2):
        image, kind = folder / f"{number}.png", ("square", "disc")[number // 6]
        Image.new("RGB", (64 + number, 64), colour).save(image)
        rows.append({"id": f"p{number}", "title": f"a {colour} {kind}", "kind": kind, "image": image.name})
    more = [row | {"id": f"more-{number}"} for number, row in enumerate(rows[:4])]
    again = [row | {"id": f"again-{number}"} for number, row in enumerate(rows)]
    for name, table in (("shop", rows), ("more", more), ("again", again)):
        pq.write_table(pa.Table.from_pylist(table), folder / f"{name}.parquet")
    (folder / "topics.jsonl").write_text('{"id": "a", "text": "red"}\n{"id": "b", "text": "a disc"}\n')
    (folder / "site" / "pages").mkdir(parents=True)
    (folder / "site" / "pages" / "contact.json").write_text(json.dumps({"street": "Long Lane"}))
    extractor, tokenizer = GridExtractor(GridSettings(input_size=64, scales=(1, 2))), bert_tokenizer("minilm")
    torch.manual_seed(0)
    config = InterBertConfig(
        vocab_size=len(tokenizer),
        region_feature_size=extractor.info.feature_size,
        contrastive_size=8,
        max_position_embeddings=40,
        num_interaction_layers=1,
        num_image_layers=1,
        num_text_layers=1,
        hidden_size=32,
        num_attention_heads=4,
        intermediate_size=64,
        image_intermediate_size=64,
        image_num_attention_heads=4,
    )
    InterBertForImageTextRetrieval(config).save_pretrained(folder / "model")
    scaling = InterBertRegionFeatureExtractor(extractor.info.to_dict())
    InterBertProcessor(scaling, tokenizer).save_pretrained(folder / "model")
    source = open_source(str(folder / "shop.parquet"), ColumnMapping("image", ("title",), None, "id"))
    extract_to_store(source, folder / "store", extractor, progress=False)
    build_index(folder / "model", source, folder / "index")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
