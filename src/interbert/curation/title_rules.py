"""What of a clean title is kept, and why another is dropped: rules with a name each, in the order of :data:`RULES`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from interbert.curation.contacts import SIGNS, find_contact, find_link
from interbert.curation.normalise import MAX_RAW
from interbert.curation.offers import OFFER_SIGNS, without_offers
from interbert.curation.reasons import Reason
from interbert.curation.word_lists import Found, WordList, WordSearch, folded, packaged_words, read_words
from interbert.errors import ConfigError, require_range


class TitleRule(NamedTuple):
    """One rule, for reports and documents."""

    name: str
    effect: Literal["dropped", "flagged", "stripped"]
    about: str
    example: str
    """A title that the rule meets with the options' defaults."""
    near_miss: str
    """A title that looks like it, and that the rule leaves alone."""


RULES = (
    TitleRule(
        "damaged_text", "dropped", "characters that were lost in a wrong encoding", "纯棉锟斤拷T恤", "纯棉短袖T恤"
    ),
    TitleRule("blocked_word", "dropped", "a word of the user's block list", "", ""),
    TitleRule("no_product", "dropped", "a payment or a test, no product", "补差价专用链接", "请勿拍打警示牌"),
    TitleRule(
        "contact",
        "dropped",
        "a telephone number, an id of a messenger, an e-mail address",
        "进口车厘子 电话13812345678",
        "扫码枪 型号13812345678",
    ),
    TitleRule(
        "link", "dropped", "a web address or a code for a shop's app", "真皮女包 www.example.com", "Nike Air 2.0 男鞋"
    ),
    TitleRule(
        "promotional_word", "stripped", "words on the offer, not the product", "正品包邮补水面霜", "自封袋包邮件快递袋"
    ),
    TitleRule(
        "only_promotional", "dropped", "too short once promotional words are out", "正品现货面霜", "正品补水面霜"
    ),
    TitleRule("title_too_short", "dropped", "fewer than min_characters", "牛仔裤", "男牛仔裤"),
    TitleRule("title_too_long", "dropped", "more than max_characters", "面霜" * 41, "面霜" * 40),
    TitleRule("wrong_language", "dropped", "no letter of the language", "LEVIS 501", "LEVIS裤501"),
    TitleRule(
        "foreign_script",
        "dropped",
        "more letters of other scripts than max_foreign_share",
        "女性用スニーカー",
        "植村秀の洗颜油",
    ),
    TitleRule("too_many_digits", "dropped", "more digits than max_digit_share", "轴承6205 6206 6207", "深沟球轴承6205"),
    TitleRule("too_many_symbols", "dropped", "more symbols than max_symbol_share", "★☆【鞋】☆★◆", "【帆布】女鞋两双"),
    TitleRule(
        "superlative", "flagged", "a claim that needs proof: 最好, 第一", "全网销量第一保温杯", "苹果第一代平板电脑"
    ),
)


def rule_names() -> tuple[str, ...]:
    """Names of all rules, so that a report shows the ones that met no title."""
    return tuple(rule.name for rule in RULES)


@dataclass(frozen=True)
class TitleOptions:
    """Which titles are kept. Lengths are in characters, shares in parts of the characters that are no white space."""

    language: Literal["zh", "en", "any"] = "zh"
    """zh: at least one Han character; en: at least one Latin letter; any: at least one letter of any script."""
    min_characters: int = 4
    """Of a title without its promotional words."""
    max_characters: int | None = None
    """Of a title without its promotional words; by default 80 for zh and 250 for the others."""
    max_digit_share: float = 0.6
    """A title with more digits is a list of numbers."""
    max_symbol_share: float = 0.3
    """A title with more signs, emoji among them, is decoration."""
    max_foreign_share: float = 0.3
    """For zh and en: letters of scripts that are neither the language's nor, for zh, Latin."""
    contacts: Literal["drop", "flag"] = "drop"
    """What becomes of titles with contact data or a link."""
    strip_promotional: bool = True
    """Take promotional words out."""
    flag_superlatives: bool = True
    """Name superlatives in the flags of a title."""
    promotional_words: str | None = None
    """File with promotional words, a word a line, instead of the package's for the language."""
    superlatives: str | None = None
    """File with superlatives, a word a line, instead of the package's for the language."""
    block_list: str | None = None
    """File with words, a word a line, whose titles are dropped."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        require_range("min_characters", self.min_characters, 1, MAX_RAW)
        require_range("max_characters", self.max_characters, self.min_characters, MAX_RAW)
        for name in ("max_digit_share", "max_symbol_share", "max_foreign_share"):
            require_range(name, getattr(self, name), 0.0, 1.000001)
        for name, choices in (("language", ("zh", "en", "any")), ("contacts", ("drop", "flag"))):
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name} is one of {', '.join(choices)}, not {getattr(self, name)!r}.")

    @property
    def longest(self) -> int:
        """Characters of the longest title that is kept."""
        return self.max_characters or max(80 if self.language == "zh" else 250, self.min_characters)


class TitleJudgement(NamedTuple):
    """What the rules say about one title."""

    title: str
    """Without its promotional words."""
    dropped: Reason | None
    """The first rule that drops it; None for a title that is kept."""
    flags: tuple[Reason, ...]
    stripped: tuple[Reason, ...] = ()
    """Of the rule ``promotional_word``, with the words that were taken out; empty where there were none."""


_HAN = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LETTER = {
    "zh": re.compile(f"[{_HAN}]"),
    "en": re.compile(r"[A-Za-z\u00c0-\u024f]"),
    "any": re.compile(r"[^\W\d_]"),
}
# Greek to Indic and Korean alphabets, kana without the signs that Chinese titles borrow (の, ・, ー), Hangul.
_OTHER = "\u0370-\u1dff\u3041-\u306d\u306f-\u309f\u30a1-\u30fa\u3105-\u318e\uac00-\ud7af"
_FOREIGN = {"zh": re.compile(f"[{_OTHER}]"), "en": re.compile(f"[{_OTHER}\u306e{_HAN}]")}
_DIGIT = re.compile("[0-9]")
_SYMBOL = re.compile(r"[^\w\s]")


class TitleRules:
    """The rules, with their lists loaded once for all titles."""

    def __init__(self, options: TitleOptions) -> None:
        """Read the lists.

        Raises:
            ConfigError: a list of the user's cannot be read.
            MissingExtraError: ahocorasick-rs is not installed.
        """
        self.options = options
        self._longest = options.longest
        self._letter = _LETTER[options.language]
        self._foreign = _FOREIGN.get(options.language)
        language = options.language
        lists = [("no_product", one) for one in _lists("no_product", None, language)]
        lists += [("blocked_word", read_words(options.block_list))] if options.block_list else []
        lists += [("contact", SIGNS)]
        if options.strip_promotional:
            lists += [
                ("promotional_word", one) for one in _lists("promotional_words", options.promotional_words, language)
            ]
            lists += [("offer", OFFER_SIGNS)]
        if options.flag_superlatives:
            lists += [("superlative", one) for one in _lists("superlatives", options.superlatives, language)]
        self._lists = lists
        self._search = WordSearch([one for _, one in lists])

    def lists(self) -> dict[str, str]:
        """Versions of the lists of words by name, for a manifest."""
        return {one.name: one.version for _, one in self._lists if one not in (SIGNS, OFFER_SIGNS)}

    def judge(self, clean: str) -> TitleJudgement:
        """What the rules say about a title.

        Args:
            clean: as :func:`interbert.curation.normalise.normalise_title` writes it.
        """
        text = folded(clean)
        words: dict[str, list[Found]] = {}
        for word in self._search.find(text):
            words.setdefault(self._lists[word.list][0], []).append(word)
        dropped, flags = self._refused(clean, text, words)
        title = clean
        stripped: tuple[Reason, ...] = ()
        if "promotional_word" in words or "offer" in words:
            promotional = words.get("promotional_word", ())
            title, stripped = without_offers(clean, text, promotional, "offer" in words)
        if dropped is None:
            dropped = self._unfit(title, clean)
        if "superlative" in words:
            claims = (clean[one.start : one.end] for one in words["superlative"])
            flags += (Reason("superlative", ", ".join(claims)),)
        return TitleJudgement(title, dropped, flags, stripped)

    def _refused(
        self, clean: str, text: str, words: dict[str, list[Found]]
    ) -> tuple[Reason | None, tuple[Reason, ...]]:
        """Why nothing of a title can be kept, and what is flagged instead of it."""
        if "\ufffd" in clean or "锟斤拷" in clean:
            return Reason("damaged_text", "\ufffd" if "\ufffd" in clean else "锟斤拷"), ()
        for rule in ("blocked_word", "no_product"):
            if rule in words:
                return Reason(rule, clean[words[rule][0].start : words[rule][0].end]), ()
        contact, link = find_contact(text, "contact" in words), find_link(text)
        if contact is None and link is None:
            return None, ()
        reason = Reason("contact", contact) if contact is not None else Reason("link", link or "")
        return (reason, ()) if self.options.contacts == "drop" else (None, (reason,))

    def _unfit(self, title: str, clean: str) -> Reason | None:
        """Why what is left of a title is not kept."""
        if len(clean) > MAX_RAW:  # cut by normalise_title: nothing of it is kept, however short it got
            return Reason("title_too_long", f"more than {MAX_RAW} characters")
        options, length = self.options, len(title)
        if length < options.min_characters:
            short = len(clean) < options.min_characters
            return Reason("title_too_short" if short else "only_promotional", f"{length} characters")
        if length > self._longest:
            return Reason("title_too_long", f"{length} characters")
        if self._letter.search(title) is None:
            return Reason("wrong_language", f"not {options.language}")
        visible = length - title.count(" ")
        shares = [("too_many_digits", _DIGIT, options.max_digit_share)]
        shares.append(("too_many_symbols", _SYMBOL, options.max_symbol_share))
        if self._foreign is not None:
            shares.append(("foreign_script", self._foreign, options.max_foreign_share))
        for rule, signs, most in shares:
            count = len(signs.findall(title))
            if count > most * visible:
                return Reason(rule, f"{count} of {visible} characters")
        return None


def _lists(kind: str, path: str | None, language: str) -> list[WordList]:
    if path:
        return [read_words(path)]
    return [packaged_words(f"{kind}_{one}.txt") for one in ("zh", "en") if language in (one, "any")]
