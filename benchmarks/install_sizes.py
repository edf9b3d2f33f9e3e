"""What an installation takes on the disk, by extra: the files of all packages that it needs.

    python benchmarks/install_sizes.py

Run it in an environment that has every extra (``make install``). A package that is not there is named, not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = (
    *("", "extraction,networks", "extraction,networks,search", "networks,serve", "curation,extraction"),
    *("import", "export", "topics", "timm", "heic", "ray", "postgres", "tensorboard", "demo", "docs", "dev"),
)


def requirements(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """Packages that a package needs directly, with their extras."""
    for line in metadata.requires(name) or []:
        needed = Requirement(line)
        wanted = [{"extra": extra} for extra in ("", *extras)]
        if needed.marker is None or any(needed.marker.evaluate(one) for one in wanted):
            yield canonicalize_name(needed.name), frozenset(needed.extras)


def closure(name: str, extras: frozenset[str]) -> tuple[set[str], set[str]]:
    """All packages that a package with its extras needs, itself among them; and those that are not installed."""
    found: dict[str, frozenset[str]] = {}
    missing: set[str] = set()
    waiting = [(name, extras)]
    while waiting:
        one, wanted = waiting.pop()
        if one in missing or (one in found and wanted <= found[one]):
            continue
        found[one] = found.get(one, frozenset()) | wanted
        try:
            waiting += requirements(one, found[one])
        except metadata.PackageNotFoundError:
            missing.add(one)
    return found.keys() - missing, missing


def size(name: str) -> int:
    """Bytes of a package's files."""
    return sum(file.size or 0 for file in metadata.files(name) or [])


def main() -> None:
    sizes: dict[str, int] = {}
    print("| extras | packages | on the disk | without NVIDIA's libraries and Triton |\n| --- | --- | --- | --- |")
    for extras in EXTRAS:
        packages, missing = closure("interbert", frozenset(extras.split(",")) - {""})
        for one in packages - sizes.keys():
            sizes[one] = size(one)
        cuda = {one for one in packages if one.startswith(("nvidia-", "cuda-")) or one == "triton"}
        whole, rest = (sum(sizes[one] for one in part) / 1e6 for part in (packages, packages - cuda))
        note = f" (not installed here: {', '.join(sorted(missing))})" if missing else ""
        print(f"| {extras or 'none'} | {len(packages)} | {whole:,.0f} MB | {rest:,.0f} MB |{note}")


if __name__ == "__main__":
    main()
