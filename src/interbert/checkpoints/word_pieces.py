"""WordPiece tokenizers without a model: learnt from texts, or made from a vocabulary that is given."""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from interbert.checkpoints.bert import published_tokenizer
from interbert.errors import CheckpointError, ConfigError, first_line

_SPECIAL = {
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
_FEWEST = 100
"""Tokens of a real vocabulary, as :func:`~interbert.checkpoints.bert.published_tokenizer` wants it."""
_MAX_VOCABULARY_FILE = 1 << 26
_BLOCK = 1000


def learn_word_pieces(texts: Sequence[str], size: int, positions: int) -> PreTrainedTokenizerBase:
    """A tokenizer whose word pieces are learnt from texts: NFKC, small letters, each Chinese character a word.

    Three quarters of the vocabulary at most are single characters, the most frequent ones; ASCII is among them.

    Args:
        texts: to learn from.
        size: tokens at most.
        positions: longest text, in tokens.

    Raises:
        ConfigError: the texts hold too little to learn from.
    """
    tokenizer = Tokenizer(models.WordPiece(unk_token=_SPECIAL["unk_token"]))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.BertNormalizer(lowercase=True)])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=2,
        limit_alphabet=size * 3 // 4,
        initial_alphabet=[*string.ascii_lowercase, *string.digits, *string.punctuation],
        special_tokens=list(_SPECIAL.values()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_blocks(texts), trainer)
    found = tokenizer.get_vocab_size()
    if found < _FEWEST:
        raise ConfigError(f"{len(texts)} texts give a vocabulary of {found} tokens. Give more texts, or --vocabulary.")
    return _finished(tokenizer, positions)


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
        if file.stat().st_size > _MAX_VOCABULARY_FILE:
            raise ValueError(f"more than {_MAX_VOCABULARY_FILE:,} bytes")
        tokens = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{source}: is no vocabulary ({first_line(error)}). It has a token a line.") from error
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
