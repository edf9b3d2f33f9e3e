"""What a tokenizer makes of a text before it looks tokens up, fitted to the tokens that its vocabulary has.

The published settings of Chinese BERTs keep capitals (``do_lower_case`` false) though their vocabulary has none: every
word with a capital is [UNK]. Quotes, dashes and dots as typesetters write them are [UNK] there, too. Both are mended in
the tokenizer's own normalizer, which is saved with it, so that training, search and evaluation read a text alike.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

_PLAIN = {'"': "“”„«»″", "'": "‘’‚′`´", "-": "‐‑‒–—―−", "...": "…"}
"""What stands for typographic signs where a vocabulary lacks them."""
_FILE = "tokenizer.json"
SPECIAL = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def fitted_to_vocabulary(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A tokenizer that lower-cases where its vocabulary has no capitals, and writes signs that it lacks as known ones.

    The same object where nothing is to do, as for MiniLM; ids of tokens stay.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or type(backend.model).__name__ != "WordPiece":
        return tokenizer
    vocabulary = backend.get_vocab(with_added_tokens=False).keys()
    before = backend.normalizer
    steps = [normalizers.Replace(sign, plain) for sign, plain in _signs(vocabulary)]
    if _keeps_capitals(before) and _has_no_capitals(vocabulary):
        steps += _lower_casing(before, vocabulary)
    elif steps and before is not None:
        steps.append(before)
    if not steps:
        return tokenizer
    fields = json.loads(backend.to_str())
    fields["truncation"] = fields["padding"] = None
    changed = Tokenizer.from_str(json.dumps(fields))
    changed.normalizer = normalizers.Sequence(steps)
    # a BertTokenizer makes its normalizer anew whenever it is loaded, from three settings; this class keeps the file's
    fitted: PreTrainedTokenizerBase = PreTrainedTokenizerFast(
        tokenizer_object=changed,
        model_max_length=tokenizer.model_max_length,
        **{name: getattr(tokenizer, name) for name in SPECIAL},
    )
    assert len(fitted) == len(tokenizer), (len(fitted), len(tokenizer))
    return fitted


def normalising_settings(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What a tokenizer of the same class needs to be told to normalise alike; a BertTokenizer lower-cases otherwise."""
    names = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")
    return {name: getattr(tokenizer, name) for name in names if hasattr(tokenizer, name)}


def restore_normalizer(tokenizer: Any, directory: str | Path) -> None:
    """Give a tokenizer, in place, the normalizer that a model directory's file says, with which it was trained.

    Models that earlier versions trained from a cased BERT say ``do_lower_case`` in their settings by mistake.
    """
    file = Path(directory) / _FILE
    if file.is_file():
        tokenizer.backend_tokenizer.normalizer = Tokenizer.from_file(str(file)).normalizer


def _signs(vocabulary: Collection[str]) -> Iterator[tuple[str, str]]:
    """Signs that are not known, each with what stands for it, of what is known."""
    for plain, signs in _PLAIN.items():
        if all(character in vocabulary for character in plain):
            yield from ((sign, plain) for sign in signs if sign not in vocabulary)


def _keeps_capitals(normalizer: Any) -> bool:
    return normalizer is None or normalizer.normalize_str("A") == "A"


def _has_no_capitals(vocabulary: Collection[str]) -> bool:
    """Whether words can only be spelt in small letters; names in brackets such as [CLS] and <S> are no words."""
    words = [token.removeprefix("##") for token in vocabulary]
    return any(word == "a" for word in words) and not any(word.isalnum() and word != word.lower() for word in words)


def _lower_casing(normalizer: Any, vocabulary: Collection[str]) -> list[Any]:
    """The steps of a normalizer, and small letters; accents go, as in uncased BERTs, where no token has one."""
    if not isinstance(normalizer, normalizers.BertNormalizer):
        return [*([] if normalizer is None else [normalizer]), normalizers.Lowercase()]
    accented = any(
        unicodedata.category(one) == "Mn" for token in vocabulary for one in unicodedata.normalize("NFD", token)
    )
    return [
        normalizers.BertNormalizer(
            clean_text=normalizer.clean_text,
            handle_chinese_chars=normalizer.handle_chinese_chars,
            strip_accents=normalizer.strip_accents if normalizer.strip_accents is not None else not accented,
            lowercase=True,
        )
    ]
