"""Texts of one or two parts as a model reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.model.processing import InterBertProcessor
from interbert.utils.texts import whole_text
from interbert.vl_tasks.example import Example


@dataclass(frozen=True)
class TokenizedText:
    """A text of one or two parts, [CLS] and [SEP] included."""

    ids: NDArray[np.int64]
    segments: NDArray[np.int64]
    """0 in the first part, 1 in the second."""


def tokenized(processor: InterBertProcessor, examples: Sequence[Example]) -> list[tuple[TokenizedText, ...]]:
    """Texts of each example, cut at the processor's ``max_text_tokens``: of two parts the longer one first."""
    pairs = [
        (text, one.second_texts[place] if one.second_texts else None)
        for one in examples
        for place, text in enumerate(one.texts)
    ]
    flat = iter(_tokenized(processor, pairs))
    return [tuple(next(flat) for _ in one.texts) for one in examples]


def _tokenized(processor: InterBertProcessor, pairs: Sequence[tuple[str, str | None]]) -> list[TokenizedText]:
    single = [text for text, second in pairs if second is None]
    double = [(text, second) for text, second in pairs if second is not None]
    alone = iter(processor.texts_to_ids(single) if single else ())
    most = processor.max_text_tokens
    encoded: Any = {"input_ids": [], "token_type_ids": []}
    if double:
        encoded = processor.tokenizer(
            [whole_text(text[: 64 * most]) for text, _ in double],  # what is cut anyway need not be tokenized
            [whole_text(second[: 64 * most]) for _, second in double],
            truncation="longest_first",
            max_length=most,
            return_token_type_ids=True,
            return_attention_mask=False,
        )
    both = iter(zip(encoded["input_ids"], encoded["token_type_ids"], strict=True))
    found = []
    for _, second in pairs:
        ids, segments = next(both) if second is not None else (one := next(alone), [0] * len(one))
        found.append(TokenizedText(np.array(ids, dtype=np.int64), np.array(segments, dtype=np.int64)))
    return found
