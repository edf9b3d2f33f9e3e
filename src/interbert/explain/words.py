"""A text's words as the tokenizer knows them, each with its word pieces.

Shapes: T text tokens, [CLS] and [SEP] included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from interbert.errors import ConfigError, UsageError
from interbert.model.processing import InterBertProcessor


@dataclass(frozen=True)
class Word:
    """A word of a text."""

    text: str
    """As typed."""
    start: int
    """Of its first character in the text."""
    end: int
    """Behind its last character."""
    pieces: tuple[int, ...]
    """Positions of its word pieces among the text tokens."""


@dataclass(frozen=True)
class TokenizedText:
    """A text as the model reads it."""

    text: str
    ids: tuple[int, ...]
    """[T] token ids."""
    words: tuple[Word, ...]
    """In their order; special tokens are no words."""

    @property
    def unread(self) -> str:
        """The end of the text that the model does not read, since it is longer than ``max_text_tokens``."""
        return self.text[self.words[-1].end :].strip()

    def without(self, words: Sequence[int]) -> list[int]:
        """Token ids of the text from which some of its words are removed."""
        removed = {piece for word in words for piece in self.words[word].pieces}
        return [token for place, token in enumerate(self.ids) if place not in removed]


def tokenized(processor: InterBertProcessor, text: str) -> TokenizedText:
    """Token ids of a text and the words that they make.

    What a word is the tokenizer says: pieces that it cut from one word are folded into it. BERT's cuts texts at
    spaces, around punctuation and around every Chinese character, so a character is a word by itself there; a
    tokenizer that keeps several characters together makes them one.

    Raises:
        UsageError: the text is empty, or holds no word that the model knows.
        ConfigError: the tokenizer does not tell where its pieces come from.
    """
    if not text.strip():
        raise UsageError("the text to explain is empty. Give the words that the image is to match.")
    tokenizer = processor.tokenizer
    if not tokenizer.is_fast:
        raise ConfigError("the model's tokenizer does not say where in a text its pieces are. Use a fast tokenizer.")
    (ids,) = processor.texts_to_ids([text])
    if not set(ids) - set(tokenizer.all_special_ids):  # [UNK] among them
        raise UsageError(
            f"the text {text[:40]!r} holds no word that the model knows. Give other words for what the image shows."
        )
    most = processor.max_text_tokens
    encoded = tokenizer(text[: 64 * most], truncation=True, max_length=most, return_offsets_mapping=True)
    assert list(encoded["input_ids"]) == ids
    return TokenizedText(text, tuple(ids), _words(text, encoded.word_ids(), encoded["offset_mapping"]))


def _words(text: str, word_ids: Sequence[int | None], offsets: Sequence[tuple[int, int]]) -> tuple[Word, ...]:
    """Words of pieces: the number of the word that each belongs to (None: special), and where it lies in the text."""
    pieces: dict[int, list[int]] = {}
    for place, word in enumerate(word_ids):
        if word is not None:
            pieces.setdefault(word, []).append(place)
    words = []
    for places in pieces.values():
        start, end = offsets[places[0]][0], offsets[places[-1]][1]
        words.append(Word(text[start:end], start, end, tuple(places)))
    return tuple(words)
