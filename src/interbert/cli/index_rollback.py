"""Bring yesterday's answers back: search an earlier version of an index again.

Without --to it lists the versions that are kept and changes nothing. VERSION is one of them, or a date or time: what
was searched then, at the day's end. It becomes a new version, in one commit, with the model that it had; what was
searched until now is kept too, so that a rollback can be rolled back. A running `interbert serve` changes over by
itself. Changes that were made since are not in it: make them again where they are wanted.

    interbert index rollback indexes/shop
    interbert index rollback indexes/shop --to products_0001_ab12cd34@17
    interbert index rollback indexes/shop --to 2026-01-05 --dry-run
    interbert index rollback indexes/shop --keep-days 30 --keep-builds 5
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert index rollback``."""

    index: str
    """Folder or URI of the index."""
    to: str | None = None
    """The version, or a date or time, such as 2026-01-05 or 2026-01-05T18:00."""
    dry_run: bool = False
    """Say what --to means, and change nothing."""
    keep_days: int | None = None
    """From now on keep versions for so many days: of the last hours and days one each; 7 to begin with."""
    keep_builds: int | None = None
    """From now on keep so many builds, with their models, when the index is built anew; 2 to begin with."""


def run(options: Options) -> None:
    """List, or go back."""
    from interbert.cli.index_output import print_versions
    from interbert.search.rollback import find_version, kept_versions, roll_back

    if options.keep_days is not None or options.keep_builds is not None:
        _keep(options)
    if options.to is not None and not options.dry_run:
        found = roll_back(options.index, options.to)
        (now,) = (one for one in kept_versions(options.index) if one.current)
        model = found.build.origin[1]
        say(f"{options.index}: {found.name} is searched again, as {now.name}: {now.images} images, model {model}")
        return
    kept = kept_versions(options.index)
    print_versions(options.index, kept)
    if options.to is not None:
        found = find_version(kept, options.to, options.index)
        model = found.build.origin[1]
        say(f"--to {options.to} is {found.name}: {found.images} images, model {model}. Nothing was changed.")


def _keep(options: Options) -> None:
    """Set how much is kept."""
    from dataclasses import replace

    from interbert.errors import writing
    from interbert.search.index import ProductIndex
    from interbert.search.manifest import connect
    from interbert.search.restore_points import read_retention, write_retention
    from interbert.utils.files import WRITER_SECONDS, only_writer

    given = {"days": options.keep_days, "builds": options.keep_builds}
    with only_writer(options.index, WRITER_SECONDS):
        database = connect(ProductIndex.open(options.index).path)
        retention = replace(read_retention(database), **{k: v for k, v in given.items() if v is not None}).check()
        with writing(options.index):
            write_retention(database, retention)
    say(f"{options.index}: keeps versions for {retention.days} days, and {retention.builds} builds")
