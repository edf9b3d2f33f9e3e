"""Rules for titles: precision and recall by rule with 95% intervals (Wilson), on planted and on real titles; speed.

    python benchmarks/title_rules.py --titles ../shared/data/titles_zh/product1m_dev.tsv

The real titles are labelled by hand (title_labels.csv, by item_id; places of promotional words are in the raw title).
Sample 1 are 300 that were labelled before there was a rule; their errors led to version 2 of the lists. Sample 2 are
120 others, labelled before version 2 had seen them. Speed is of CPU time, so that other work counts little.
"""

from __future__ import annotations

import argparse
import csv
import math
import platform
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from simplified_words import FULL_TITLES, WORDS
from title_cases import Case, all_cases
from title_words import BLOCKED

from interbert.curation.normalise import NormaliseOptions, normalise_title
from interbert.curation.simplify import Simplifier
from interbert.curation.title_rules import TitleJudgement, TitleOptions, TitleRules, rule_names

LABELS = Path(__file__).with_name("title_labels.csv")
ROWS = 300_000


def wilson(hits: int, total: int) -> str:
    """A share with its 95% interval."""
    if total == 0:
        return "none"
    z, share = 1.959964, hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return f"{share:.3f} ({max(0.0, middle - half):.3f} to {min(1.0, middle + half):.3f}), {hits} of {total}"


def met(judgement: TitleJudgement) -> set[str]:
    dropped = (judgement.dropped,) if judgement.dropped else ()
    return {reason.rule for reason in (*dropped, *judgement.flags, *judgement.stripped)}


def compact(text: str) -> str:
    """Without white space: whether a space stands where a word was taken out is a matter of taste."""
    return "".join(text.split())


def planted(rules: TitleRules) -> None:
    plain = NormaliseOptions()
    results: dict[str, Counter[str]] = defaultdict(Counter)
    wrong: dict[tuple[str, str, bool], list[str]] = defaultdict(list)
    sizes: Counter[tuple[str, str, bool]] = Counter()
    for case in all_cases():
        clean = normalise_title(case.raw, plain)
        judgement = rules.judge(clean)
        meets = case.rule in met(judgement)
        group = "hidden" if case.group == "written to hide" else case.rule
        right = is_right(case, clean, judgement, meets, plain)
        results[group][f"{case.meets}{right if case.meets else not meets}"] += 1
        key = (case.rule, case.group, case.meets)
        sizes[key] += 1
        if not (right if case.meets else not meets):
            wrong[key].append(case.raw)
    print("\n## Planted cases\n\n| rule | precision | recall |\n| --- | --- | --- |")
    for rule in [*rule_names(), "hidden"]:
        counts = results[rule]
        hits, misses, false = counts["TrueTrue"], counts["TrueFalse"], counts["FalseFalse"]
        name = "contact, written to hide" if rule == "hidden" else rule
        print(f"| {name} | {wilson(hits, hits + false)} | {wilson(hits, hits + misses)} |")
    print("\nWhat goes wrong, by form:\n")
    for (rule, form, should), titles in wrong.items():
        what = "missed" if should else "taken for it"
        print(f"- {rule}, {form}: {len(titles)} of {sizes[rule, form, should]} {what}, such as `{titles[0]}`")


def is_right(case: Case, clean: str, judgement: TitleJudgement, meets: bool, options: NormaliseOptions) -> bool:
    if case.title is None or not case.meets:
        return meets == case.meets
    return meets and compact(judgement.title) == compact(normalise_title(case.title, options))


def read_titles(path: Path) -> dict[str, str]:
    with path.open(encoding="utf-8") as stream:
        return {row["item_id"]: row["title"] for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)}


def labelled(rules: TitleRules, titles: dict[str, str], sample: str, about: str) -> None:
    """Words by hand against words of the rules, each by its place; the rest by title."""
    plain = NormaliseOptions()
    found_right = found = wanted_right = wanted = 0
    missed: Counter[str] = Counter()
    extra: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    with LABELS.open(encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["sample"] == sample]
    for row in rows:
        raw = titles[row["item_id"]]
        judgement = rules.judge(normalise_title(raw, plain))
        by_hand = [tuple(map(int, place.split("-"))) for place in row["promotional"].split()]
        taken = judgement.stripped[0].detail.split(", ") if judgement.stripped else []
        places = located(raw, taken)
        for start, end in places:
            right = all(any(a <= one < b for a, b in by_hand) for one in range(start, end))
            found, found_right = found + 1, found_right + right
            extra[raw[start:end]] += not right
        for start, end in by_hand:
            right = all(any(a <= one < b for a, b in places) for one in range(start, end))
            wanted, wanted_right = wanted + 1, wanted_right + right
            missed[raw[start:end]] += not right
        names = met(judgement)
        errors["contact"] += ("contact" in names or "link" in names) != (row["contact"] == "yes")
        errors["superlative"] += ("superlative" in names) != (row["superlative"] == "yes")
        errors["dropped"] += (judgement.dropped is not None) != (row["decision"] == "drop")
    print(f"\n## {len(rows)} real titles, {about}\n")
    print(f"- words taken out that were labelled promotional (precision): {wilson(found_right, found)}")
    print(f"- labelled words that were taken out whole (recall): {wilson(wanted_right, wanted)}")
    for name, count in errors.items():
        print(f"- {name}: titles on which rule and hand differ: {wilson(count, len(rows))}")
    print(f"- missed: {shown(missed)}\n- taken out, and not labelled: {shown(extra)}")


def located(raw: str, words: Sequence[str]) -> list[tuple[int, int]]:
    """Places of words in a raw title, in order; the sampled titles write these words as the clean ones do."""
    places, done = [], 0
    for word in words:
        start = raw.index(word, done)
        done = start + len(word)
        places.append((start, done))
    return places


def shown(counts: Counter[str]) -> str:
    return ", ".join(f"{word} {count}" for word, count in counts.most_common() if count) or "none"


def whole_file(rules: TitleRules, titles: Iterable[str]) -> None:
    counts: Counter[str] = Counter()
    words: Counter[str] = Counter()
    plain = NormaliseOptions()
    total = changed = genuine = 0
    for raw in titles:
        clean = normalise_title(raw, plain)
        judgement = rules.judge(clean)
        total, changed, genuine = total + 1, changed + (clean != raw), genuine + ("正品" in raw)
        counts.update(met(judgement))
        for reason in judgement.stripped:
            words.update(reason.detail.split(", "))
    print(f"\n## The whole file, {total:,} titles\n\n- normalised into something else: {changed:,}")
    print(f"- with 正品: {genuine:,} ({genuine / total:.1%})")
    for rule in rule_names():
        print(f"- {rule}: {counts[rule]:,}")
    print(f"- words taken out: {shown(Counter(dict(words.most_common(25))))}")


def simplified() -> None:
    """OpenCC's configurations on words of products, and on titles that are simplified already."""
    from opencc import OpenCC

    print("\n## Traditional to simplified\n\n| configuration | words wrong | simplified titles changed | which |")
    print("| --- | --- | --- | --- |")
    ways: dict[str, Callable[[str], str]] = {one: OpenCC(one).convert for one in ("t2s", "tw2s", "tw2sp", "hk2s")}
    ways["hk2s and the list of mends"] = Simplifier()
    for name, convert in ways.items():
        bad = [f"{word} {convert(word)}" for word, meant in WORDS.items() if convert(word) != meant]
        harmed = [f"{title} {convert(title)}" for title in FULL_TITLES if convert(title) != title]
        examples = ", ".join((*bad[:6], *harmed[:4]))
        print(f"| {name} | {len(bad)} of {len(WORDS)} | {len(harmed)} of {len(FULL_TITLES)} | {examples} |")


def speed(titles: Sequence[str]) -> None:
    rows = [titles[number % len(titles)] for number in range(ROWS)]
    print(f"\n## Speed, {ROWS:,} titles\n\n| what | titles per second and core |\n| --- | --- |")
    plain, simple = NormaliseOptions(), NormaliseOptions(simplify=True)
    rules = TitleRules(TitleOptions())
    rate("normalise", rows, lambda raw: normalise_title(raw, plain))
    clean = [normalise_title(raw, plain) for raw in rows]
    rate("judge", clean, rules.judge)
    rate("both", rows, lambda raw: rules.judge(normalise_title(raw, plain)))
    rate("both, with OpenCC", rows, lambda raw: rules.judge(normalise_title(raw, simple)))


HARD = {
    "entities in entities": "&" + "amp;" * 1000,
    "tags that do not end": "<b " * 1400,
    "comments that do not end": "<!--" * 1000,
    "brackets in brackets": "正品" + "(" * 1999 + ")" * 1999,
    "signs and spaces": "- " * 2000,
    "digits": "138" * 1333,
    "digits and hyphens": "400-" * 1000,
    "an address without an end": "a@" + "a." * 2000,
    "letters and no domain": "a" * 4000,
    "names of a domain": "a.b" * 1333,
    "ids of a messenger": "微信" + "a_" * 1999,
    "messengers": "qq:" * 1333,
    "offers": "满1减" * 1000,
    "combining marks": "\u0301\u0327" * 2000,
    "one character of eighteen": "\ufdfa" * 4000,
}
"""Raw titles of 4,000 characters, the most that are normalised, on which a careless pattern takes quadratic time."""


def hard(rules: TitleRules) -> None:
    print(
        "\n## Titles made to be slow\n\n| 4,000 characters of | milliseconds | by half of them |\n| --- | --- | --- |"
    )
    plain = NormaliseOptions()
    for name, raw in HARD.items():
        times = []
        for text in (raw, raw[: len(raw) // 2]):
            start = time.process_time()
            for _ in range(5):
                rules.judge(normalise_title(text, plain))
            times.append((time.process_time() - start) / 5 * 1000)
        print(f"| {name} | {times[0]:.1f} | {times[1]:.1f} |")


def rate(name: str, rows: Sequence[str], work: Callable[[str], object]) -> None:
    start = time.process_time()
    for row in rows:
        work(row)
    print(f"| {name} | {len(rows) / (time.process_time() - start):,.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--titles", type=Path, required=True)
    titles = read_titles(parser.parse_args().titles)
    versions = ", ".join(f"{name} {version(name)}" for name in ("ahocorasick-rs", "opencc"))
    print(f"Python {platform.python_version()}, {versions}")
    with tempfile.TemporaryDirectory() as folder:
        block_list = Path(folder, "blocked.txt")
        block_list.write_text("\n".join(BLOCKED), encoding="utf-8")
        planted(TitleRules(TitleOptions(block_list=str(block_list))))
    rules = TitleRules(TitleOptions())
    print(f"\nLists: {rules.lists()}")
    labelled(rules, titles, "1", "labelled by hand before the rules were written")
    labelled(rules, titles, "2", "labelled by hand before the rules, as they are, had seen them")
    whole_file(rules, titles.values())
    simplified()
    hard(rules)
    speed(list(titles.values()))


if __name__ == "__main__":
    main()
