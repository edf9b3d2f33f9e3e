"""Where the word-embedding rows of new tokens start.

A catalogue with titles in two languages is a small dictionary: 鱼 stands in the texts of images that English texts
call fish. A new token starts at the mean of the known tokens it keeps company with, so that a BERT that never read
Chinese begins with an idea of it; a token without company starts at random.

Shapes: V tokens, H hidden size.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

_COMPANIONS = 3
"""Known tokens that a new token starts from."""
_LEAST = 2
"""Images at which the two must have met."""
_CLOSE = 0.05
"""Smallest weight of a companion."""


@torch.no_grad()
def fill_new_rows(
    embedding: Tensor,
    known: int,
    ids: Sequence[Sequence[int]] = (),
    groups: Sequence[int] = (),
    words: Collection[int] = (),
    seed: int = 0,
) -> int:
    """Fill rows ``known..`` of a word embedding [V,H] in place.

    Every new row gets the mean of the known rows plus noise of their spread; where companions are found, their
    weighted mean plus a tenth of that noise.

    Args:
        embedding: [V,H].
        known: rows that a BERT filled.
        ids: token ids of texts.
        groups: for each text, which image it describes; texts of one image keep each other company.
        words: known tokens that may be companions.
        seed: of the noise.

    Returns:
        how many new rows have companions.
    """
    if known >= len(embedding):
        return 0
    mean, std = embedding[:known].mean(dim=0), embedding[:known].std(dim=0)
    generator = torch.Generator().manual_seed(seed)
    noise = std * torch.randn(embedding[known:].shape, generator=generator).to(embedding)
    embedding[known:] = mean + noise
    found = companions(known, ids, groups, words)
    for token, members in found.items():
        weights = torch.tensor([weight for _, weight in members], dtype=embedding.dtype, device=embedding.device)
        rows = embedding[[other for other, _ in members]]
        embedding[token] = (weights / weights.sum()) @ rows + 0.1 * noise[token - known]
    return len(found)


def companions(
    known: int, ids: Sequence[Sequence[int]], groups: Sequence[int], words: Collection[int]
) -> dict[int, list[tuple[int, float]]]:
    """Known tokens among ``words`` that describe the same images as each new token (id >= ``known``), best first.

    The weight of a companion is n(both)^2 / (n(new) n(known)) over images: 1 when the two always come together.
    """
    word_tokens: dict[int, set[int]] = defaultdict(set)
    for text, group in zip(ids, groups, strict=True):
        word_tokens[group].update(text[1:-1])  # [CLS] and [SEP] are in every text
    seen: Counter[int] = Counter(token for tokens in word_tokens.values() for token in tokens)
    together: dict[int, Counter[int]] = defaultdict(Counter)
    for tokens in word_tokens.values():
        old = [token for token in tokens if token < known and token in words]
        for token in tokens:
            if token >= known:
                together[token].update(old)
    result: dict[int, list[tuple[int, float]]] = {}
    for token, met in sorted(together.items()):
        weighed = [(other, count * count / (seen[token] * seen[other])) for other, count in met.items()]
        close = [(other, weight) for other, weight in weighed if met[other] >= _LEAST and weight >= _CLOSE]
        if close:
            result[token] = sorted(close, key=lambda item: (-item[1], item[0]))[:_COMPANIONS]
    return result
