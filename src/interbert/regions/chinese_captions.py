"""Captions of COCO-CN and Flickr30K-CN: lines of ``image#number`` or ``image#language#number``, and a text.

- COCO-CN, ``imageid.human-written-caption.txt``: ``COCO_val2014_000000000042#0<TAB>text``. The images of its splits are
  in ``coco-cn_train.txt``, ``coco-cn_val.txt`` and ``coco-cn_test.txt``; where they lie beside it, they are the splits.
- Flickr30K-CN, ``seg.flickr30kzhbbosontrain.caption.txt``: ``1000092795#zhb#0 word word``. Its texts are cut into
  words, and those that people translated (``zhm``) have each word's part of speech behind it (``word:n``): both are
  undone. Flickr8K-CN's lines are alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from interbert.errors import SourceError
from interbert.regions.caption_records import Caption, PassedOver, caption_lines, is_caption

_COCO = r"COCO_(?:train|val|test)\d{4}_\d{12}(?:\.jpg)?(?:#zh[a-z]*)?#\d+"
_TAGGED = r"[^\s#]+#zh[a-z]*#\d+"
_LINE = re.compile(rf"\s*(?P<name>{_COCO}|{_TAGGED})(?P<between>\s+)(?P<text>\S.*)", re.DOTALL)
_HAN = r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]"
"""Han characters and what stands beside them: Chinese punctuation, full-width letters."""
_CUT = re.compile(rf"(?<={_HAN})\s+|\s+(?={_HAN})")
_PART_OF_SPEECH = re.compile(r"(?P<word>\S+):[A-Za-z]+")
_SPLITS = ("train", "val", "test")
_LOOKED_AT = 20


def is_chinese_captions(file: Path) -> bool:
    """Whether one of a file's first lines is one of these data sets'."""
    return any(_LINE.fullmatch(line.rstrip("\r\n")) for _, line in islice(caption_lines(file), _LOOKED_AT))


def read_chinese_captions(file: Path, passed: list[PassedOver]) -> Iterator[Caption]:
    """Every caption of a file; ``passed`` takes lines that give none.

    Raises:
        SourceError: the file is no text in UTF-8.
    """
    splits = _split_of(file.parent)
    for number, line in caption_lines(file):
        if not line.strip():
            continue
        found = _LINE.fullmatch(line.rstrip("\r\n"))
        if found is None:
            reason = f"{file}, line {number}: is no image#number and text."
            passed.append(PassedOver(number, "", reason))
            continue
        image = found["name"].partition("#")[0]
        text = _plain(found["text"], cut="\t" not in found["between"])
        if is_caption(text, image, f"{file}, line {number}", number, passed):
            yield Caption(image, text, "caption", splits.get(image.removesuffix(".jpg"), ""))


def _plain(text: str, cut: bool) -> str:
    """A text without what a program that finds words put into it."""
    words = text.split()
    tagged = [_PART_OF_SPEECH.fullmatch(word) for word in words]
    if all(tagged):
        words, cut = [one["word"] for one in tagged if one is not None], True
    return _CUT.sub("", " ".join(words)) if cut else " ".join(words)


def _split_of(folder: Path) -> dict[str, str]:
    """Split of each image, by COCO-CN's lists beside the captions.

    Raises:
        SourceError: an image is in two of them.
    """
    found: dict[str, str] = {}
    for split in _SPLITS:
        file = folder / f"coco-cn_{split}.txt"
        for number, line in caption_lines(file) if file.is_file() else ():
            image = line.strip()
            if image and found.setdefault(image, split) != split:
                raise SourceError(
                    f"{file}, line {number}: {image[:60]!r} is in coco-cn_{found[image]}.txt too. Remove it from one."
                )
    return found


def chinese_captions_text(captions: Iterable[Caption]) -> str:
    """Captions as COCO-CN has them: a line ``image#number<TAB>text`` each, numbered by image."""
    numbers: dict[str, int] = {}
    lines = []
    for one in captions:
        number = numbers[one.image] = numbers.get(one.image, -1) + 1
        lines.append(f"{one.image}#{number}\t{one.text}\n")
    return "".join(lines)
