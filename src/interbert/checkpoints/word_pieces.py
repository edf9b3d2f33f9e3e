"""WordPiece tokenizers without a model: learnt from texts, or made from a vocabulary that is given."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from interbert.checkpoints.bert import published_tokenizer
from interbert.errors import CheckpointError, ConfigError, first_line
from interbert.utils.bounded_files import read_small_text

_SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_FEWEST = 100
"""Tokens of a real vocabulary, as :func:`~interbert.checkpoints.bert.published_tokenizer` wants it."""
_BLOCK = 1000


def learn_word_pieces(texts: Sequence[str], size: int, positions: int) -> PreTrainedTokenizerBase:
    """A tokenizer whose word pieces are learnt from texts: NFKC, small letters, each Chinese character a word.

    Three quarters of the vocabulary at most are single characters, the most frequent ones; ASCII is among them. The
    same texts give the same vocabulary.

    Args:
        texts: to learn from.
        size: tokens at most.
        positions: longest text, in tokens.

    Raises:
        ConfigError: the texts hold too little to learn from.
    """
    letters, pieces = _alphabet(texts, size * 3 // 4)
    # a vocabulary's first tokens are those named special, in that order; others come in the order of a hash map
    first = dict.fromkeys([*_SPECIAL.values(), *letters, *pieces])
    tokenizer = _trained(
        texts, vocab_size=size, special_tokens=list(first), initial_alphabet=letters, limit_alphabet=len(letters)
    )
    # made anew, since letters that were named special are no special tokens
    tokenizer = _reading_usual_forms(models.WordPiece(tokenizer.get_vocab(), unk_token=_SPECIAL["unk_token"]))
    found = tokenizer.get_vocab_size()
    if found < _FEWEST:
        raise ConfigError(f"{len(texts)} texts give a vocabulary of {found} tokens. Give more texts, or --vocabulary.")
    return _finished(tokenizer, positions)


def _alphabet(texts: Sequence[str], most: int) -> tuple[list[str], list[str]]:
    """Single characters, the most frequent first, then by their code; and those of them that go on a word, with ##."""
    known = _trained(texts, vocab_size=0).get_vocab()
    plain = _reading_usual_forms(models.WordPiece()).normalizer
    counts: Counter[str] = Counter()
    for block in _blocks(texts):
        counts.update(plain.normalize_str("\n".join(block)))
    ascii_first = [*string.ascii_lowercase, *string.digits, *string.punctuation]
    others = sorted((one for one in known if len(one) == 1), key=lambda one: (-counts[one], one))
    letters = list(dict.fromkeys([*ascii_first, *others]))[: max(most, len(ascii_first))]
    return letters, [piece for piece in (f"##{letter}" for letter in letters) if piece in known]


def _trained(texts: Sequence[str], **options: Any) -> Tokenizer:
    tokenizer = _reading_usual_forms(models.WordPiece(unk_token=_SPECIAL["unk_token"]))
    trainer = trainers.WordPieceTrainer(min_frequency=2, show_progress=False, **options)
    tokenizer.train_from_iterator(_blocks(texts), trainer)
    return tokenizer


def _reading_usual_forms(model: models.WordPiece) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.BertNormalizer(lowercase=True)])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def given_word_pieces(source: str, positions: int) -> PreTrainedTokenizerBase:
    """The tokenizer of a BERT (minilm, a directory, a Hub id), or of a ``vocab.txt`` with a token a line.

    A vocabulary without capitals is read in small letters.

    Raises:
        CheckpointError: it cannot be read, or is no vocabulary.
    """
    file = Path(source).expanduser()
    if not file.is_file():
        return published_tokenizer(source)
    try:
        tokens = [line.removesuffix("\r") for line in read_small_text(file).split("\n")]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{source}: is no vocabulary ({first_line(error)}). It has a token a line.") from error
    if tokens[-1] == "":  # after the end of the last line
        tokens.pop()
    vocabulary = {token: place for place, token in enumerate(tokens)}
    missing = [token for token in _SPECIAL.values() if token not in vocabulary]
    if missing or len(vocabulary) < _FEWEST:
        why = f"lacks {missing[0]}" if missing else f"has only {len(vocabulary)} tokens"
        raise CheckpointError(f"{source}: {why}; a BERT's vocab.txt has a token a line.")
    if len(vocabulary) < len(tokens):
        again = next(token for place, token in enumerate(tokens) if vocabulary[token] != place)
        raise CheckpointError(f"{source}: has {again[:40]!r} twice, so that ids have no one meaning. Remove one line.")
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=_SPECIAL["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=False)  # fitted to the vocabulary by who calls
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _finished(tokenizer, positions)


def _finished(tokenizer: Tokenizer, positions: int) -> PreTrainedTokenizerBase:
    first, last = (_SPECIAL[name] for name in ("cls_token", "sep_token"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B:1 {last}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)],
    )
    tokenizer.decoder = decoders.WordPiece()
    # a BertTokenizer would make its normalizer anew when it is loaded; this class keeps the file's
    found: PreTrainedTokenizerBase = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=positions, **_SPECIAL
    )
    return found


def _blocks(texts: Sequence[str]) -> Iterator[list[str]]:
    for start in range(0, len(texts), _BLOCK):
        yield list(texts[start : start + _BLOCK])
