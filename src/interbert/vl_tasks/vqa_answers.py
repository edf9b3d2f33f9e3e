"""Answers of VQA as its organisers compare them: their normalisation, quirks included, and the accuracy of ten answers.

Antol et al. 2015, section 5, and the published evaluation code of VQA v2.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

_SIGNS = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
"""Meant to spare points of numbers alone, but its look-behind is mistyped and always holds: ``5.`` loses its point."""
_MOST_PERIODS = int(re.UNICODE)
"""The flag is passed where ``sub`` takes a count: from the 33rd on, periods stay."""
_NUMBERS = {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6"} | {
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}
_ARTICLES = frozenset(("a", "an", "the"))
_SHORT_FORMS = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd "
    "he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've "
    "needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've "
    "somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll "
    "that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've "
    "weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll "
    "why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've"
)
_SPELLED = {
    form[:place] + form[place + 1 :]: form
    for form in _SHORT_FORMS.split()
    for place, sign in enumerate(form)
    if sign == "'"
} | {"somebody'd": "somebodyd"}
"""Forms that lack one apostrophe -> the right one; the organisers' table turns one pair around."""


def stripped(answer: str) -> str:
    """An answer before anything is compared: line ends and tabs are spaces, none at its ends."""
    return answer.replace("\n", " ").replace("\t", " ").strip()


@lru_cache(maxsize=1 << 16)  # people's answers repeat
def normalised(answer: str) -> str:
    """An answer as the organisers normalise it: signs, then case, numbers, articles and short forms.

    A sign goes when a space is beside it anywhere in the answer, or when the answer has a comma between two digits
    anywhere; otherwise a space takes its place.
    """
    kept = answer
    joins = _COMMA_IN_NUMBER.search(answer) is not None
    for sign in filter(answer.__contains__, _SIGNS):
        beside = f"{sign} " in answer or f" {sign}" in answer
        kept = kept.replace(sign, "" if joins or beside else " ")
    kept = _PERIOD.sub("", kept, count=_MOST_PERIODS)
    words = (_NUMBERS.get(word, word) for word in kept.lower().split())
    return " ".join(_SPELLED.get(word, word) for word in words if word not in _ARTICLES)


def accuracy(predicted: str, answers: Sequence[str]) -> float:
    """Accuracy of an answer by those of people: the mean, over leaving each of them out, of min(1, equal others / 3).

    Of ten people 1, 2, 3 and 4 or more equal answers give 0.3, 0.6, 0.9 and 1. Only where people differ are answers
    normalised; where all agree, the prediction has to be the same as it is.
    """
    people, one = [stripped(answer) for answer in answers], stripped(predicted)
    if len(set(people)) > 1:
        people, one = [normalised(answer) for answer in people], normalised(one)
    equal = people.count(one)
    return accuracy_of_count(equal, len(people))


def accuracy_of_count(equal: int, people: int) -> float:
    """Accuracy of an answer that so many of the people gave."""
    without_one, with_all = min(1.0, (equal - 1) / 3), min(1.0, equal / 3)
    return (equal * without_one + (people - equal) * with_all) / people if equal else 0.0


def label_scores(answers: Iterable[str], listed: Mapping[str, int] | None) -> dict[str, float]:
    """Accuracy of each answer that people gave, all counted after normalising.

    Args:
        answers: of people.
        listed: answers that a model can give; others are left out, so that none may be left. None takes all.
    """
    people = [normalised(stripped(answer)) for answer in answers]
    counts = Counter(people)
    return {
        answer: accuracy_of_count(count, len(people))
        for answer, count in counts.items()
        if listed is None or answer in listed
    }
