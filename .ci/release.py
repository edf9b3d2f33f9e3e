"""Build a release into dist/: wheel, sdist, a model directory as an archive, and the SHA-256 of all three.

    python .ci/release.py demo/models/retrieval [--out dist]

The archive holds the files of the model directory, card and provenance among them, and ``numbers.json`` with what was
measured. The same files give the same bytes, whenever and by whomever it is made. Checkpoints, optimiser states and
other folders inside the directory are left out, and named.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interbert import __version__
from interbert.errors import InterBertError, SourceError, UsageError
from interbert.training.model_card import CARD, PROVENANCE
from interbert.utils.bounded_files import read_json
from interbert.utils.files import atomic_write, file_sha256, replacing

ROOT = Path(__file__).resolve().parent.parent
SUMS = "SHA256SUMS"
NUMBERS = "numbers.json"
NEEDED = ("config.json", CARD, PROVENANCE)
_WEIGHTS = ".safetensors"
_RESULTS = "results.json"


def build_packages(out: Path, epoch: int) -> list[Path]:
    """Build wheel and sdist.

    Raises:
        UsageError: hatchling is not installed, or refuses.
    """
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    told = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch)}
    done = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(f"hatchling could not build the packages ({last}). It is part of: pip install -e '.[dev]'")
    made = [*out.glob(f"interbert-{__version__}*.whl"), *out.glob(f"interbert-{__version__}.tar.gz")]
    assert len(made) == 2
    return sorted(made)


def model_files(model: Path) -> tuple[list[Path], list[str]]:
    """Files of a model directory that are published, and the names of what is not.

    Raises:
        SourceError: it is no model directory with weights, card and provenance.
    """
    if not model.is_dir():
        raise SourceError(f"{model}: there is no such model directory. Train one with: make demo")
    entries = sorted(one for one in model.iterdir() if not one.name.startswith("."))
    files = [one for one in entries if one.is_file() and not one.is_symlink()]
    names = {one.name for one in files}
    missing = [name for name in NEEDED if name not in names]
    if not any(name.endswith(_WEIGHTS) for name in names):
        missing.append(f"weights (*{_WEIGHTS})")
    if missing:
        raise SourceError(f"{model}: lacks {', '.join(missing)}. Give a directory that interbert wrote at a run's end.")
    return files, [one.name for one in entries if one not in files]


def numbers(model: Path) -> dict[str, Any]:
    """What was measured of a model: what its run reached, and the results of the demo that trained it."""
    found: dict[str, Any] = {"version": __version__}
    provenance = read_json(model / PROVENANCE)
    found["reached"] = dict(provenance.get("reached", {}))
    results = model.parent.parent / _RESULTS
    if results.is_file():
        found["results"] = read_json(results)
    return found


def write_archive(files: Sequence[tuple[str, bytes | Path]], folder: str, epoch: int, target: Path) -> None:
    """Write files below one folder as a .tar.gz whose bytes depend on names and contents alone."""
    with (
        replacing(target) as part,
        part.open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, mtime=epoch) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, content in sorted(files):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.mtime, entry.mode = epoch, 0o644
            entry.size = content.stat().st_size if isinstance(content, Path) else len(content)
            with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as stream:
                archive.addfile(entry, stream)


def pack_model(model: Path, out: Path, epoch: int) -> tuple[Path, list[str]]:
    """Write the archive of a model directory; returns it, and the names of what it leaves out.

    Raises:
        SourceError: as :func:`model_files`.
        StorageError: the disk is full or not writable.
    """
    files, left_out = model_files(model)
    measured = json.dumps(numbers(model), ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    whole: dict[str, bytes | Path] = {one.name: one for one in files} | {NUMBERS: measured.encode()}
    folder = f"interbert-{__version__}-model"
    target = out / f"{folder}.tar.gz"
    write_archive(list(whole.items()), folder, epoch, target)
    return target, left_out


def source_date() -> int:
    """Seconds since 1970 that files of the release carry: SOURCE_DATE_EPOCH, or the last commit's."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    if given.isdigit():
        return int(given)
    done = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True)
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip() else 0


def release(model: Path, out: Path) -> list[Path]:
    """Make everything; returns the files, the one of checksums last.

    Raises:
        InterBertError: something is missing, or cannot be written.
    """
    out.mkdir(parents=True, exist_ok=True)
    epoch = source_date()
    archive, left_out = pack_model(model, out, epoch)
    made = [*build_packages(out, epoch), archive]
    sums = out / SUMS
    atomic_write(sums, "".join(f"{file_sha256(one)}  {one.name}\n" for one in made))
    if left_out:
        print(f"left out of the model's archive: {', '.join(left_out)}")
    return [*made, sums]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path, help="model directory, such as demo/models/retrieval")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the files (default: dist)")
    given = parser.parse_args(words)
    try:
        for one in release(given.model, given.out):
            print(f"{one}  {one.stat().st_size / 1e6:.1f} MB")
    except InterBertError as error:
        print(f"release: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
