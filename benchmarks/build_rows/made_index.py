"""A model of the mini size with random weights, and an index of made products, which either build makes and reads.

A few hundred images are drawn and indexed by the build's own `build_index`; the other rows are copies of those, each
vector moved by noise, so that an index of 100,000 products takes seconds. Regions and thumbnail of a copy are those of
its original, its title is that of another image.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import row

MODEL_SIZES: dict[str, Any] = {
    **row.MINI,
    "contrastive_size": 256,
    "initializer_range": 0.06,  # scores of a random model then differ
}
DRAWN = 200
_WORDS = (
    *(
        "red",
        "green",
        "blue",
        "yellow",
        "black",
        "white",
        "pink",
        "brown",
        "cotton",
        "leather",
        "wool",
        "silk",
        "summer",
    ),
    *(
        "winter",
        "dress",
        "shoes",
        "shirt",
        "jacket",
        "bag",
        "hat",
        "scarf",
        "boots",
        "skirt",
        "belt",
        "women",
        "men",
        "kids",
    ),
    *("long", "short", "slim", "sleeve", "print", "striped", "plain", "sport", "running", "casual", "vintage", "soft"),
)
QUERIES = ("red cotton summer dress", "black leather winter boots", "blue striped shirt men", "soft wool scarf women")
_BLOCK = 20_000
_NOISE = 0.25
_HEAD = 3.0
"""What the matching head is multiplied by, so that scores of random weights are not all 0."""


def made_model(folder: Path) -> Path:
    """A retrieval model, MiniLM's tokenizer, the default grid extractor; made by the build that comes first."""
    if (folder / "config.json").is_file():
        return folder
    import torch

    from interbert import InterBertConfig, InterBertForImageTextRetrieval, InterBertProcessor
    from interbert.checkpoints.bert import bert_tokenizer
    from interbert.extraction.grid import GridExtractor
    from interbert.model.region_inputs import InterBertRegionFeatureExtractor

    extractor, tokenizer = GridExtractor(), bert_tokenizer("minilm")
    torch.manual_seed(0)
    sizes = MODEL_SIZES | {"vocab_size": len(tokenizer), "region_feature_size": extractor.info.feature_size}
    model = InterBertForImageTextRetrieval(InterBertConfig(**sizes))
    with torch.no_grad():
        model.matching_head.weight *= _HEAD
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    model.save_pretrained(part)
    InterBertProcessor(InterBertRegionFeatureExtractor(extractor.info.to_dict()), tokenizer).save_pretrained(part)
    part.rename(folder)
    return folder


def made_catalogue(file: Path, images: int = DRAWN, side: int = 192) -> Path:
    """A parquet file of drawn images with titles and prices: columns id, image, title, price."""
    if file.is_file():
        return file
    import pyarrow as pa
    import pyarrow.parquet as pq

    generator = np.random.default_rng(0)
    rows = []
    for place in range(images):
        words = generator.choice(_WORDS, int(generator.integers(4, 9)), replace=False)
        image = {"bytes": _drawn(generator, side), "path": f"{place}.jpg"}
        price = float(generator.integers(5, 200))
        rows.append({"id": f"d{place}", "image": image, "title": " ".join(words), "price": price})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file


def _drawn(generator: np.random.Generator, side: int) -> bytes:
    """Rectangles of random colours, as a JPEG file."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (side, side * 4 // 3), tuple(generator.integers(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(8):
        left, right = sorted(generator.integers(0, image.width, 2).tolist())
        top, bottom = sorted(generator.integers(0, image.height, 2).tolist())
        pen.rectangle((left, top, right, bottom), fill=tuple(generator.integers(0, 256, 3).tolist()))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()


def made_index(path: Path, common: Path, products: int, model: Path | None = None) -> Path:
    """An index of so many products, with the catalogue and, unless one is given, the model in ``common``.

    What is there whole is left as it is.
    """
    finished = path.with_name(path.name + f".{products}.done")
    if finished.is_file():
        return path
    from interbert.extraction.sources import open_source
    from interbert.search.build import build_index
    from interbert.search.index import ProductIndex
    from interbert.search.writer import IndexWriter

    shutil.rmtree(path, ignore_errors=True)
    source = open_source(str(made_catalogue(common / "catalogue.parquet")), need_texts=False)
    build_index(model or made_model(common / "model"), source, path)
    index = ProductIndex(path)
    rows = index.table.to_arrow()
    order = np.argsort(rows["picture_id"].to_pylist(), kind="stable")
    rows = rows.take(order)
    generator = np.random.default_rng(1)
    for start in range(len(rows), products, _BLOCK):
        index.table.add(_copies(rows, range(start, min(start + _BLOCK, products)), generator))
    IndexWriter(index).maintain(finished=True)
    finished.touch()
    return path


def _copies(rows: Any, places: range, generator: np.random.Generator) -> Any:
    """Rows of the drawn images with other ids, whose vectors lie beside the originals'."""
    import pyarrow as pa

    origins = generator.integers(0, len(rows), len(places))
    block = rows.take(pa.array(origins))
    size = block.schema.field("vector").type.list_size
    stored = np.stack(block["vector"].to_numpy(zero_copy_only=False)).astype(np.float32)
    lengths = np.linalg.norm(stored, axis=1, keepdims=True)
    stored += generator.normal(size=stored.shape).astype(np.float32) * (lengths * _NOISE / np.sqrt(size))
    stored *= lengths / np.linalg.norm(stored, axis=1, keepdims=True)
    names = pa.array([f"n{place}" for place in places])
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(stored.astype(np.float16).reshape(-1)), size)
    titles = rows.take(pa.array(generator.integers(0, len(rows), len(places))))
    changed = {"picture_id": names, "product_id": names, "vector": vectors}
    changed |= {name: titles[name] for name in ("texts", "fulltext")}
    for name, values in changed.items():
        block = block.set_column(block.column_names.index(name), name, values)
    return block
