"""Build a data set of images and titles out of a raw crawl: clean, split by groups, documented.

SOURCE is what `interbert extract` reads (a parquet, csv, tsv, json or jsonl file, a glob of them, a folder, a tar file
of samples, a Hub id), or the folder that img2dataset or MUGE write; it may have titles alone. OUT gets parquet files
(or tar files of samples) for train, validation and test, dropped.parquet with every row that is left out and why,
report.json with the counts of each rule, and a manifest. Rows that are nearly the same are one group: groups are never
in two splits, and `interbert extract` takes them for one product, whose images are never each other's negatives.
Stopped at any moment, the same command goes on where it was; the same recipe, source and versions give the same bytes.

    interbert dataset build crawl.parquet data/shop --config recipes/dataset_chinese.yaml
    interbert dataset build 'shards/*.tar' data/shop --format webdataset --ray
    interbert extract 'data/shop/train-*.parquet' regions/train
"""

from __future__ import annotations

from interbert.curation.recipe import DatasetRecipe as Options
from interbert.utils.terminal import say


def run(options: Options) -> None:
    """Build and say what was done."""
    from interbert.curation.build import build_dataset

    report = build_dataset(options)
    counts = report.counts
    if report.already:
        say(f"{report.out}: complete with {counts['kept']:,} rows, nothing to do")
        return
    say(f"titles in {counts['columns']['title']!r}, images in {counts['columns']['image'] or 'no column'!r}")
    splits = ", ".join(f"{rows:,} {name}" for name, rows in counts["splits"].items())
    say(f"{options.source}: {counts['rows']:,} rows, {counts['kept']:,} kept, {counts['dropped']:,} dropped")
    dropped = {rule: found["dropped"] for rule, found in counts["rules"].items() if found["dropped"]}
    for rule, rows in sorted(dropped.items(), key=lambda one: -one[1]):
        say(f"  {rule}: {rows:,}")
    for name in counts["shards_unreadable"]:
        say(f"{name}: could not be read, see dropped.parquet")
    for name, why in counts["columns_left_out"].items():
        say(f"column {name[:60]!r} is left out: {why}")
    say(f"{report.out}: {splits}; {counts['groups']:,} groups, the largest has {counts['largest_group']:,} rows")


__all__ = ["Options", "run"]
