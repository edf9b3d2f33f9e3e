"""Traditional Chinese written in simplified characters: OpenCC, and a list of what it gets wrong in product words.

Of OpenCC's configurations ``hk2s`` is used. It changes characters and no vocabulary (``tw2sp`` makes 数字相机 of
數位相機), leaves simplified titles alone (``tw2s`` makes 原着 of 原著), and knows 粧 and 衞, which ``t2s`` leaves. It
keeps every 著: the list of mends holds where 着 is meant. ``benchmarks/title_rules.py`` compares them.
"""

from __future__ import annotations

from collections.abc import Callable

from interbert.curation.word_lists import packaged_text
from interbert.errors import MissingExtraError

CONFIGURATION = "hk2s"
MENDS = "simplified_mends.txt"


class Simplifier:
    """Writes Chinese text in simplified characters; other text and simplified text stay as they are."""

    def __init__(self) -> None:
        """Load the dictionaries, once for all titles.

        Raises:
            MissingExtraError: OpenCC or ahocorasick-rs is not installed.
        """
        self._convert = _converter()
        try:
            from ahocorasick_rs import MATCHKIND_LEFTMOST_LONGEST, AhoCorasick
        except ImportError as error:
            raise MissingExtraError.of("ahocorasick-rs", "curation") from error
        lines = [line for line in packaged_text(MENDS).split("\n") if line and not line.startswith("#")]
        mends = [line.split("\t") for line in lines]
        self._meant = [meant for _, meant in mends]
        self._wrong = AhoCorasick([wrong for wrong, _ in mends], matchkind=MATCHKIND_LEFTMOST_LONGEST)

    def __call__(self, text: str) -> str:
        """The text in simplified characters."""
        text = self._convert(text)
        pieces: list[str] = []
        done = 0
        for mend, start, end in self._wrong.find_matches_as_indexes(text):
            pieces += (text[done:start], self._meant[mend])
            done = end
        return "".join((*pieces, text[done:])) if done else text


def _converter() -> Callable[[str], str]:
    try:
        from opencc import OpenCC
    except ImportError as error:
        raise MissingExtraError.of("opencc", "curation") from error
    # characters that few fonts and no BERT know are no gain; a few come all the same, and the mends know two
    convert: Callable[[str], str] = OpenCC(CONFIGURATION, include_tofu_risk_dictionaries=False).convert
    return convert
