"""Who reads texts and images jointly, ours and others over one model directory (benchmarks/peers.py starts them).

    python benchmarks/peers_joint.py prepare --work W       model, catalogue and index
    python benchmarks/peers_joint.py NAME --work W          answers a round for each line it reads

16 titles with 32 of 200 drawn images each; model of the mini size with random weights. "query" is one title with its 32
images, "many" are all 512 pairs. Others get regions that are described already, but for ``cross-encoder``, which takes
images as its users give them. Ours reads what an index holds: regions embedded, rounded to 8 bits where it does so.
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peers_process import Ready, serve

Float32 = NDArray[np.float32]
Score = Callable[[NDArray[np.int64], NDArray[np.int64]], Float32]
"""Logit differences of listed pairs, by the numbers of their texts and images."""

NAMES = ("cross-encoder", "transformers-fp32", "transformers-bf16", "batched-bf16", "ours-torch", "ours")
_TEXTS, _IMAGES = 16, 32
_BATCH = 32
_TOKENS_AT_ONCE = 16_384
"""Tokens of a batch, padding included, as text-embeddings-inference has them (``--max-batch-tokens``)."""


def prepare(work: Path) -> None:
    """An index of the drawn images and its model, as any user's: with what building an index measures and exports."""
    import made_index

    made_index.made_index(work / "drawn", work / "common", made_index.DRAWN)


def rows_of(work: Path) -> list[dict[str, Any]]:
    """The catalogue's rows."""
    import pyarrow.parquet as pq

    return list(pq.read_table(work / "common" / "catalogue.parquet").to_pylist())


def pairs_of(images: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Text and image of each pair [512]."""
    generator = np.random.default_rng(5)
    image_of = np.concatenate([generator.choice(images, _IMAGES, replace=False) for _ in range(_TEXTS)])
    return np.repeat(np.arange(_TEXTS), _IMAGES), image_of


def decoded(rows: Sequence[dict[str, Any]]) -> list[Any]:
    """Images of rows."""
    from PIL import Image

    return [Image.open(io.BytesIO(one["image"]["bytes"])).convert("RGB") for one in rows]


def cross_encoder(work: Path) -> Score:
    """Sentence-transformers' loop over pairs of a text and an image."""
    import torch
    from sentence_transformers import CrossEncoder

    import interbert  # noqa: F401

    model = CrossEncoder(str(work / "common" / "model"), device="cpu")
    rows = rows_of(work)
    images, texts = decoded(rows), [one["title"] for one in rows]

    def score(text_of: NDArray[np.int64], image_of: NDArray[np.int64]) -> Float32:
        pairs = [(texts[text], images[image]) for text, image in zip(text_of, image_of, strict=True)]
        found = model.predict(pairs, batch_size=_BATCH, activation_fn=torch.nn.Identity(), show_progress_bar=False)
        return np.asarray(found, np.float32)

    return score


def transformers_loop(work: Path, bf16: bool, tokens_at_once: int | None) -> Score:
    """The model's own classes in a loop: batches of 32, or as many as so many tokens hold, alike lengths together."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoProcessor

    import interbert  # noqa: F401

    folder = work / "common" / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    rows = rows_of(work)
    texts, images = [one["title"] for one in rows], decoded(rows)
    regions = [one for start in range(0, len(images), 64) for one in described(processor, images[start : start + 64])]
    lengths = np.array([len(one) for one in processor.texts_to_ids(texts)])
    seen = len(regions[0].boxes) + 1

    def score(text_of: NDArray[np.int64], image_of: NDArray[np.int64]) -> Float32:
        scores = np.empty(len(text_of), np.float32)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16) if bf16 else contextlib.nullcontext():
            for batch in batches(lengths[text_of] + seen, tokens_at_once):
                inputs = processor(
                    text=[texts[one] for one in text_of[batch]], regions=[regions[one] for one in image_of[batch]]
                )
                scores[batch] = model(**inputs).logits[:, -1].float().numpy()
        return scores

    return score


def described(processor: Any, images: Sequence[Any]) -> list[Any]:
    """Regions of images, by the extractor that the model directory names."""
    return list(processor.feature_extractor.regions(list(images)))


def batches(lengths: NDArray[np.int64], tokens_at_once: int | None) -> Iterator[NDArray[np.int64]]:
    """Places of pairs: 32 as they come, or by length as many as so many padded tokens hold."""
    if tokens_at_once is None:
        yield from (np.arange(start, min(start + _BATCH, len(lengths))) for start in range(0, len(lengths), _BATCH))
        return
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        padded = lengths[order[start:]] * np.arange(1, len(order) - start + 1)
        stop = start + max(1, int(np.searchsorted(padded, tokens_at_once, side="right")))
        yield order[start:stop]
        start = stop


def ours(work: Path, runtime: Any) -> tuple[Score, str]:
    """An engine's scorer over what its index holds, and who computes."""
    from interbert import SearchEngine

    engine: Any = SearchEngine.open(work / "drawn", joint_runtime=runtime)
    rows = rows_of(work)
    ids = engine.encoder.token_ids([one["title"] for one in rows])
    known = engine.index.table.search().select(["picture_id", "product_id"]).limit(len(rows)).to_arrow().to_pylist()
    image_of_product = {one["product_id"]: one["picture_id"] for one in known}
    tokens = engine.index.regions([image_of_product[one["id"]] for one in rows])
    scorer = engine.encoder.scorer
    return lambda text_of, image_of: scorer.pairs(ids, tokens, text_of, image_of), scorer.runtime


def contestant(name: str, work: Path) -> Ready:
    """Open it, score everything once and keep the scores."""
    setting = ""
    if name == "cross-encoder":
        score = cross_encoder(work)
    elif name.startswith("ours"):
        score, setting = ours(work, "torch" if name == "ours-torch" else None)
    else:
        score = transformers_loop(work, name.endswith("bf16"), _TOKENS_AT_ONCE if name.startswith("batched") else None)
    text_of, image_of = pairs_of(len(rows_of(work)))
    np.save(work / f"scores_{name}.npy", score(text_of, image_of))

    def query(place: int) -> Float32:
        part = slice(place * _IMAGES, (place + 1) * _IMAGES)
        return score(text_of[part], image_of[part])

    query(0)
    return Ready({"setting": setting}, {"query": (query, _TEXTS), "many": (lambda _: score(text_of, image_of), 1)})


def main() -> None:
    """Prepare or serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=("prepare", *NAMES))
    parser.add_argument("--work", type=Path, required=True)
    said = parser.parse_args()
    if said.name == "prepare":
        prepare(said.work)
    else:
        serve(lambda: contestant(said.name, said.work))


if __name__ == "__main__":
    main()
