"""Grow a WordPiece vocabulary from training text, so that a BERT of one language can read another.

MiniLM knows 244 Chinese characters; the rest would all be [UNK]. Characters the training texts use are added to the
WordPiece vocabulary itself (not as added tokens, which match inside words), as a word start and, where they
continue words, as a continuation token.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from interbert.checkpoints.normalising import SPECIAL, normalising_settings
from interbert.errors import CheckpointError

UNKNOWN_TARGET = 0.01
"""Largest acceptable share of [UNK] among validation tokens, in each language."""

_CHINESE = re.compile("[\u3400-\u9fff]")
_LATIN = re.compile("(##)?[a-z\u00e0-\u024f]{2,}", re.IGNORECASE)


@dataclass(frozen=True)
class Growth:
    """What was added and what it changed."""

    added: tuple[str, ...]
    unknown_before: float
    """Share of [UNK] among validation tokens of the language that has most."""
    unknown_after: float

    def __str__(self) -> str:
        return (
            f"{len(self.added)} tokens added; [UNK] in validation texts, in the language that has most: "
            f"{self.unknown_before:.2%} before, {self.unknown_after:.2%} now"
        )


def unknown_share(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> float:
    """Share of [UNK] among the tokens of ``texts``; 0 for no tokens."""
    if not texts:
        return 0.0
    unknown = tokenizer.unk_token_id
    ids = [token for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"] for token in ids]
    return sum(token == unknown for token in ids) / len(ids) if ids else 0.0


def worst_unknown_share(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> float:
    """The larger :func:`unknown_share` of texts with Chinese characters and of those without."""
    chinese = [text for text in texts if _CHINESE.search(text)]
    other = [text for text in texts if not _CHINESE.search(text)]
    return max(unknown_share(tokenizer, chinese), unknown_share(tokenizer, other))


def grow_vocabulary(
    tokenizer: PreTrainedTokenizerBase,
    training_texts: Sequence[str],
    validation_texts: Sequence[str],
    min_count: int = 2,
) -> tuple[PreTrainedTokenizerBase, Growth]:
    """Add the characters of words the tokenizer cannot spell.

    Characters seen at least ``min_count`` times are added; if validation texts of a language then still hold more than
    1% [UNK], those seen less are added too, and then, for Chinese, the 3,755 and the 6,763 characters of GB 2312: few
    texts do not show all the characters that their language uses.

    Returns:
        the grown tokenizer (the old one is left as it is; tokens it has keep their ids) and what was done.

    Raises:
        CheckpointError: the tokenizer is not a WordPiece tokenizer of the ``tokenizers`` library.
    """
    before = worst_unknown_share(tokenizer, validation_texts)
    needed = _missing_tokens(tokenizer, training_texts)
    grown = tokenizer
    added: tuple[str, ...] = ()
    after = before
    chinese = any(_CHINESE.search(text) for text in training_texts)
    known = frozenset(tokenizer.get_vocab())
    for wanted in _candidates(needed, min_count, chinese, known):
        if wanted and wanted != added:
            grown, added = _with_tokens(tokenizer, wanted), wanted
            after = worst_unknown_share(grown, validation_texts)
        if after <= UNKNOWN_TARGET:
            break
    return grown, Growth(added, before, after)


def latin_tokens(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Ids of tokens that are letters of a Latin script: what a BERT of a western language knows well."""
    vocabulary = tokenizer.get_vocab()
    return frozenset(index for token, index in vocabulary.items() if _LATIN.fullmatch(token))


def _candidates(
    needed: Counter[str], min_count: int, chinese: bool, known: frozenset[str]
) -> Iterator[tuple[str, ...]]:
    """Sets of tokens to add, each larger than the one before."""
    for count in sorted({min_count, 1}, reverse=True):
        yield tuple(sorted(token for token, seen in needed.items() if seen >= count))
    if chinese:
        for rows in (range(0xB0, 0xD8), range(0xB0, 0xF8)):
            yield tuple(sorted({*needed, *_gb2312(rows)} - known))


def _gb2312(rows: Iterable[int]) -> Iterator[str]:
    """Chinese characters in rows of GB 2312, the first 40 of which hold the common ones."""
    for row in rows:
        for cell in range(0xA1, 0xFF):
            yield from bytes((row, cell)).decode("gb2312", errors="ignore")


def _missing_tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Counter[str]:
    """Single-character tokens missing from the vocabulary, with the number of words that want them."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or type(backend.model).__name__ != "WordPiece":
        raise CheckpointError(
            f"{type(tokenizer).__name__} is not a WordPiece tokenizer, its vocabulary cannot grow. "
            "Start from a BERT, or give a model whose tokenizer knows the texts' characters."
        )
    vocabulary = backend.get_vocab(with_added_tokens=True)
    words: Counter[str] = Counter()
    for text in texts:
        normal = backend.normalizer.normalize_str(text) if backend.normalizer else text
        words.update(word for word, _ in backend.pre_tokenizer.pre_tokenize_str(normal))
    unknown = backend.model.unk_token
    missing: Counter[str] = Counter()
    for word, count in words.items():
        if [token.value for token in backend.model.tokenize(word)] != [unknown]:
            continue
        tokens = {word[0], *("##" + character for character in word[1:])}
        for token in tokens - vocabulary.keys():
            missing[token] += count
    return missing


def _with_tokens(tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str]) -> PreTrainedTokenizerBase:
    backend = tokenizer.backend_tokenizer
    fields = json.loads(backend.to_str())
    vocabulary: dict[str, int] = fields["model"]["vocab"]
    start = max(vocabulary.values()) + 1
    vocabulary |= {token: start + offset for offset, token in enumerate(tokens)}
    fields["truncation"] = fields["padding"] = None
    grown: PreTrainedTokenizerBase = type(tokenizer)(
        tokenizer_object=Tokenizer.from_str(json.dumps(fields)),
        model_max_length=tokenizer.model_max_length,
        **{name: getattr(tokenizer, name) for name in SPECIAL},
        **normalising_settings(tokenizer),
    )
    # BertTokenizer of transformers 5.23 silently builds a 5-token vocabulary when it ignores what it is given
    assert len(grown) == len(tokenizer) + len(tokens), (len(grown), len(tokenizer), len(tokens))
    return grown


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
