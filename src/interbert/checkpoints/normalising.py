"""What a tokenizer makes of a text before it looks tokens up, fitted to the tokens that its vocabulary has.

The published settings of Chinese BERTs keep capitals (``do_lower_case`` false) though their vocabulary has none: every
word with a capital is [UNK]. Quotes, dashes and dots as typesetters write them are [UNK] there, too, and so are most
full-width letters, circled numbers and units in one character, which NFKC writes as usual ones. All are mended in
the tokenizer's own normalizer, which is saved with it, so that training, search and evaluation read a text alike. What
the vocabulary knows as it is (， ① ㎡) stays.
"""

from __future__ import annotations

import json
import logging
import re
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

_logger = logging.getLogger(__name__)

_PLAIN = {'"': "“”„«»″", "'": "‘’‚′`´", "-": "‐‑‒–—―−", "...": "…"}
"""What stands for typographic signs where a vocabulary lacks them."""
_HAN = re.compile("[\u4e00-\u9fff]")
_CHINESE = 1000
"""A vocabulary with so many Chinese characters was made for Chinese; MiniLM's has 244."""
_OWN_SIGNS = "，！？：；（）～￥％＋－／．＆＂＇［］｛｝＝＜＞＠＃＊＿｜①②③④⑤⑥⑦⑧⑨⑩㎡㎥℃²³™№"
"""What Chinese texts are full of: a vocabulary that has one was trained with it, and NFKC would write another."""
_STAND_INS = 0x10F000
"""Characters that no text has: of the last plane, which is for private use."""
_FILE = "tokenizer.json"
SPECIAL = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def fitted_to_vocabulary(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """A tokenizer that lower-cases where its vocabulary has no capitals, and writes signs that it lacks as known ones.

    A Chinese one writes what NFKC maps as its usual form, too, but for signs that it knows. The same object where
    nothing is to do, as for MiniLM; ids of tokens stay. What is done is said in one line.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or type(backend.model).__name__ != "WordPiece":
        return tokenizer
    vocabulary = backend.get_vocab(with_added_tokens=False).keys()
    before = backend.normalizer
    steps = [normalizers.Replace(sign, plain) for sign, plain in _signs(vocabulary) if _written(before, sign) != plain]
    done = ["signs that it lacks are read as known ones"] if steps else []
    if not _writes_usual_forms(before) and sum(_HAN.fullmatch(token) is not None for token in vocabulary) >= _CHINESE:
        steps += _usual_forms(vocabulary)
        done.append("full-width letters, units and numbers in one character as usual ones (NFKC)")
    if _keeps_capitals(before) and _has_no_capitals(vocabulary):
        steps += _lower_casing(before, vocabulary)
        done.insert(0, "it has no capitals, texts are read in small letters")
    elif steps and before is not None:
        steps.append(before)
    if not steps:
        return tokenizer
    _logger.info(f"vocabulary: {'; '.join(done)}")
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


def _writes_usual_forms(normalizer: Any) -> bool:
    return _written(normalizer, "ﬁ") == "fi"


def _written(normalizer: Any, text: str) -> str:
    return text if normalizer is None else str(normalizer.normalize_str(text))


def _usual_forms(vocabulary: Collection[str]) -> list[Any]:
    """NFKC, but for signs that are known as they are: these are put aside and come back (0.1 ms a title)."""
    aside = [(sign, chr(_STAND_INS + place)) for place, sign in enumerate(_OWN_SIGNS) if sign in vocabulary]
    return [
        *(normalizers.Replace(sign, stand_in) for sign, stand_in in aside),
        normalizers.NFKC(),
        *(normalizers.Replace(stand_in, sign) for sign, stand_in in aside),
    ]


def _keeps_capitals(normalizer: Any) -> bool:
    return _written(normalizer, "A") == "A"


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
