"""Read a whole region store and say what is wrong with it.

Every row is read, compared with its checksums (stores of before they came have none) and looked at: values that are
not finite, rows that stand twice, boxes outside their image, distributions that do not sum to 1. Exit code 2 when
rows are damaged or stand twice. --remove takes exactly those out, in one atomic step; the same `interbert extract` as
before then makes them anew.

    interbert regions verify regions/train
    interbert regions verify regions/train --out findings.jsonl
    interbert regions verify regions/train --remove
"""

from __future__ import annotations

from dataclasses import dataclass

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert regions verify``."""

    store: str
    """Folder or URI of the region store."""
    remove: bool = False
    """Take damaged rows, and rows that stand twice, out of the store."""
    out: str | None = None
    """File for all findings, one JSON line each; only the first few are printed."""


_SHOWN = 10


def run(options: Options) -> None:
    """Read, print, perhaps remove."""
    import contextlib
    import json
    from dataclasses import asdict

    from interbert.errors import StoreError
    from interbert.regions.store import RegionStore
    from interbert.regions.verify import verify
    from interbert.utils.files import FINDINGS, only_writer, require_replaceable, write_output
    from interbert.utils.terminal import progress_bar

    require_replaceable(options.out, FINDINGS)
    with only_writer(options.store) if options.remove else contextlib.nullcontext():
        store = RegionStore.open(
            options.store
        )  # while it is held: rows that another command removes change the others'
        with progress_bar("verifying", len(store), "rows", bool(len(store))) as advance:
            result = verify(store, advance)
        wrong, unusual = result.of("damaged", "twice"), result.of("unusual")
        if options.out is not None:  # first: rows that are gone cannot be listed any more
            findings = result.of("damaged", "twice", "unusual")
            lines = [json.dumps(asdict(one), ensure_ascii=False) + "\n" for one in findings]
            write_output(options.out, "".join(lines), FINDINGS)
        if options.remove:
            store.remove([one.row for one in wrong])
    for one in [*wrong[:_SHOWN], *unusual[:_SHOWN]]:
        say(f"row {one.row}: {one.kind}: {one.reason}")
    checked = "compared with their checksums" if result.has_checksums else "read; the store is older than checksums"
    say(f"{options.store}: {result.rows} rows {checked}, {len(wrong)} of them wrong, {len(unusual)} unusual")
    if options.remove and wrong:
        say(f"{len(wrong)} rows removed; interbert extract with the same source makes them anew")
    elif wrong:
        raise StoreError(
            f"{options.store}: {len(wrong)} rows are damaged or stand twice. --remove takes them out; the same "
            "interbert extract as before then makes them anew."
        )
