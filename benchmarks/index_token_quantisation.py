"""What the compact form of an index costs in R@1: regions as float32, fp16 and int8, vectors as float32 and as stored.

    interbert extract held_out.parquet regions/test --text-columns title
    python benchmarks/index_token_quantisation.py models/retrieval regions/test --text-columns title

The dual encoder recalls K candidates of every text among all images; the joint pass reranks them from tokens that
went through each coding. R@1 in percent of recall alone, of the joint pass alone over the candidates, and of both as
the model mixes them; and how many texts get another first image than with float32.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.data.pairs import PairTable
from interbert.regions.store import RegionStore
from interbert.search.query_encoder import ProductEncoder
from interbert.search.vectors import (
    TokenQuantisation,
    decode_tokens,
    encode_tokens,
    from_stored,
    stored_size,
    to_stored,
)
from interbert.tasks.retrieval import RetrievalSet
from interbert.utils.terminal import progress_bar

Float32 = NDArray[np.float32]


def joint_scores(
    encoder: ProductEncoder,
    ids: list[list[int]],
    tokens: list[Float32],
    candidates: NDArray[np.int64],
    recalled: Float32,
    label: str,
) -> Float32:
    """Log-odds [texts, k] of each text's candidates."""
    scores = np.empty(candidates.shape, dtype=np.float32)
    with progress_bar(label, candidates.size, "pairs") as advance:
        for place, chosen in enumerate(candidates):
            one = slice(place, place + 1)
            scores[one] = encoder.joint(ids[one], [tokens[image] for image in chosen], recalled[one], advance)
    return scores


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("regions", help="store of held-out images")
    parser.add_argument("--text-columns", required=True, help="source column of the texts")
    parser.add_argument("--candidates", type=int, default=32)
    options = parser.parse_args()
    encoder = ProductEncoder.load(options.model)
    encoder.model.config.dual_score_offset = (
        None  # the joint pass is what is measured, whether the model uses it or not
    )
    store = RegionStore.open(options.regions)
    table = PairTable.from_captions(store.captions(), [options.texts], options.regions)
    data = RetrievalSet.from_table(table)
    regions = store.take(data.image_rows)
    vectors, tokens = encoder.images(regions, [options.regions] * len(regions))
    ids, texts = encoder.texts(data.texts)
    size = stored_size(encoder.vector_size)
    norm = encoder.largest_norm or float(np.linalg.norm(vectors, axis=1).max())
    kept = from_stored(to_stored(vectors, size, norm).astype(np.float16), encoder.vector_size)

    def right_first(scores: Float32, relevant: NDArray[np.bool_]) -> float:
        return 100 * float(relevant[np.arange(len(scores)), scores.argmax(axis=1)].mean())

    recalled = {"float32": texts @ vectors.T, "as stored": texts @ kept.T}
    print(f"{len(data.texts)} texts, {len(regions)} images, {options.candidates} candidates\n")
    print("| vectors | R@1 of recall | other first |\n| --- | --- | --- |")
    for label, scores in recalled.items():
        moved = int((scores.argmax(axis=1) != recalled["float32"].argmax(axis=1)).sum())
        print(f"| {label} | {right_first(scores, data.relevant):.2f} | {moved} |")
    candidates = np.argsort(-recalled["float32"], axis=1, kind="stable")[:, : options.candidates]
    relevant = np.take_along_axis(data.relevant, candidates, axis=1)
    near = np.take_along_axis(recalled["float32"], candidates, axis=1)
    weight = np.float32(encoder.model.config.dual_score_weight or 0.0)
    print("\n| regions | bytes per product | joint alone | other first | mixed | other first |\n" + "| --- " * 6 + "|")
    first: dict[str, Any] = {}
    codings: list[TokenQuantisation | None] = [None, "fp16", "int8"]
    for token_quantisation in codings:
        coded = tokens
        bytes_each = float(np.mean([one.nbytes for one in tokens]))
        if token_quantisation is not None:
            files = [encode_tokens(one, token_quantisation) for one in tokens]
            bytes_each = float(np.mean([len(file) for file in files]))
            coded = [decode_tokens(file, encoder.hidden_size, token_quantisation, "an image") for file in files]
        mixed = joint_scores(encoder, ids, coded, candidates, near, token_quantisation or "float32")
        cells = [token_quantisation or "float32", f"{bytes_each:,.0f}"]
        for name, scores in (("joint", mixed - weight * near), ("mixed", mixed)):
            best = scores.argmax(axis=1)
            first.setdefault(name, best)
            cells += [f"{right_first(scores, relevant):.2f}", str(int((best != first[name]).sum()))]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
