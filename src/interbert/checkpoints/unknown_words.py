"""Which words of texts a tokenizer reads as [UNK]: before a vocabulary is fitted to them, and after."""

from __future__ import annotations

import csv
import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from interbert.utils.bounded_files import read_small_text
from interbert.utils.files import atomic_write

_logger = logging.getLogger(__name__)

UNKNOWN_WORDS = "unknown_words.csv"
"""In the model directory."""
_TEXTS = 200_000
"""Texts that are looked at: evenly over all, when there are more."""
_BATCH = 1000
_EXAMPLES = 2
_SHOWN = 8
_CUT = 40
"""Characters of a word and of an example in the table."""


@dataclass(frozen=True)
class UnknownWord:
    """A word as texts have it.

    Attributes:
        word: as written.
        before: how often it is [UNK] to the published tokenizer.
        after: the same of the one that is trained with.
        examples: some of the texts.
    """

    word: str
    before: int
    after: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class UnknownWords:
    """What [UNK] stands for.

    Attributes:
        words: all of them, what stays unknown first, then the most frequent.
        texts: that were looked at.
        of: texts that there are.
        share_before: of [UNK] among all tokens, by the published tokenizer.
        share_after: by the one that is trained with.
    """

    words: tuple[UnknownWord, ...]
    texts: int
    of: int
    share_before: float
    share_after: float

    def lines(self) -> list[str]:
        """One line, and a short table of the words that are still [UNK], if there are any."""
        among = f"{self.texts:,} texts" if self.texts == self.of else f"{self.texts:,} of {self.of:,} texts"
        was = "" if all(one.before == one.after for one in self.words) else f"{self.share_before:.2%} as published, "
        lines = [f"[UNK] among the tokens: {was}{self.share_after:.2%} now ({among})"]
        still = [one for one in self.words if one.after]
        if still:
            lines.append(f"  {'times before':>12}  {'now':>7}  word, and a text that has it")
        for one in still[:_SHOWN]:
            example = one.examples[0][:_CUT] if one.examples else ""
            lines.append(f"  {one.before:>12,}  {one.after:>7,}  {one.word[:_CUT]}: {example}")
        if len(self.words) > len(still[:_SHOWN]):
            lines.append(f"  all {len(self.words):,} words that are or were [UNK]: {UNKNOWN_WORDS}")
        return lines

    def write(self, folder: Path) -> None:
        """Write all words as a table into a model directory.

        Raises:
            StorageError: it cannot be written.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["word", "before", "now", *(f"example {number + 1}" for number in range(_EXAMPLES))])
        for one in self.words:
            writer.writerow([one.word, one.before, one.after, *one.examples])
        atomic_write(folder / UNKNOWN_WORDS, text.getvalue())


def read_unknown_words(folder: Path, most: int) -> list[UnknownWord]:
    """The first words of a model directory's table; none where it has no table.

    Raises:
        ValueError: the table is damaged.
    """
    file = folder / UNKNOWN_WORDS
    if not file.is_file():
        return []
    rows = list(csv.reader(io.StringIO(read_small_text(file), newline="")))[1 : most + 1]
    return [UnknownWord(word, int(before), int(after), tuple(texts)) for word, before, after, *texts in rows]


def unknown_words(
    published: PreTrainedTokenizerBase, trained: PreTrainedTokenizerBase, texts: Sequence[str]
) -> UnknownWords:
    """Words that are [UNK] to a published tokenizer, to the one that is trained with, or to both.

    Args:
        published: as a BERT comes.
        trained: fitted to its vocabulary, and grown.
        texts: to read; of more than 200,000 that many, evenly.
    """
    step = max(1, -(-len(texts) // _TEXTS))
    chosen = texts[::step]
    examples: dict[str, list[str]] = {}
    before, share_before = _unknown(published, chosen, examples)
    after, share_after = (before, share_before) if trained is published else _unknown(trained, chosen, examples)
    names = sorted(before.keys() | after.keys(), key=lambda word: (-after[word], -before[word], word))
    words = tuple(UnknownWord(word, before[word], after[word], tuple(examples[word])) for word in names)
    return UnknownWords(words, len(chosen), len(texts), share_before, share_after)


def report_unknown_words(
    published: PreTrainedTokenizerBase, trained: PreTrainedTokenizerBase, texts: Sequence[str], folder: Path
) -> None:
    """Log what :func:`unknown_words` finds, and write it into a model directory; one process of a run is enough.

    Raises:
        StorageError: it cannot be written.
    """
    found = unknown_words(published, trained, texts)
    for line in found.lines():
        _logger.info(line)
    found.write(folder)


def _unknown(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], examples: dict[str, list[str]]
) -> tuple[Counter[str], float]:
    """How often each word is [UNK], and the share of [UNK] among the tokens; examples are added."""
    counts: Counter[str] = Counter()
    tokens = 0
    for text, ids, offsets in _read(tokenizer, texts):
        tokens += len(ids)
        for token, (start, end) in zip(ids, offsets, strict=True):
            if token != tokenizer.unk_token_id:
                continue
            word = text[start:end]
            counts[word] += 1
            shown = examples.setdefault(word, [])
            if len(shown) < _EXAMPLES and text not in shown:
                shown.append(text)
    return counts, counts.total() / tokens if tokens else 0.0


def _read(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> Iterator[tuple[str, list[int], list[tuple[int, int]]]]:
    """Token ids of each text, and from where to where in it each token stands."""
    if not tokenizer.is_fast:  # tells no places, and is none that a BERT comes with
        return
    for start in range(0, len(texts), _BATCH):
        part = list(texts[start : start + _BATCH])
        read = tokenizer(part, add_special_tokens=False, return_offsets_mapping=True)
        yield from zip(part, read["input_ids"], read["offset_mapping"], strict=True)
