"""The present build beside an earlier one: time and memory of what users wait for, as ratios of one run.

    python benchmarks/against_build.py --base 008939d
    python benchmarks/against_build.py --base 008939d --only cli_cpu engine_rss --alternations 5

The earlier build is checked out in a worktree and has a virtual environment of its own, with the packages of the
present one, so that both meet the same versions and nothing is downloaded. A row is a script of
`benchmarks/build_rows`, which either build runs: it prepares what it needs once for each build (not timed), then
measures, base and ours in turn, each in a process of its own. What both builds compute is compared; a row whose results
disagree has no ratio.

Printed are medians and, in brackets, least and most; the last line is JSON of the ratios ours/base. Everything, with
machine and versions, is in WORK/against_build.json. Run it on a quiet machine; OMP_NUM_THREADS is passed on.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import platform
import statistics
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from interbert.search.runtime_choice import processor_name

ROWS = {
    "cascade": "at most 0.4",
    "recall": "at most 6 ms",
    "joint_batch": "at least 2",
    "cli_cpu": "at most 2 s, 500 MB",
    "engine_rss": "at most 600 MB",
    "extract": "at least 1.15",
    "train_step": "at least 1.3",
    "backbone": "at most 0.5",
    "rank_exact": "at most 0.5",
    "train_rss": "at most 2 GB a million rows",
}
"""Name -> goal: a ratio ours/base, or what ours takes. Rates are larger when better, everything else is smaller."""

_HERE = Path(__file__).resolve().parent
_SCRIPTS = _HERE / "build_rows"
_PACKAGES = ("torch", "transformers", "tokenizers", "openvino", "onnxruntime", "lancedb", "pylance", "numpy")
_LATEST_LINES = 12


@dataclass(frozen=True)
class Build:
    """A build that runs rows."""

    name: str
    python: str
    source: Path
    """What PYTHONPATH is."""


@dataclass
class Measured:
    """A row's results."""

    unit: str = ""
    base: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)
    equal: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Build -> results that must agree."""
    also: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Build -> whatever else each measurement says."""
    problem: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours/base of the medians; None where the row was not measured, or results disagree."""
        if self.problem or not self.base or not self.ours:
            return None
        return statistics.median(self.ours) / statistics.median(self.base)


class RowError(Exception):
    """A row's script failed; the message has its last lines."""


def base_build(revision: str, work: Path, python: str | None) -> Build:
    """The earlier build: its worktree under ``work``, and a virtual environment with the present packages."""
    folder = work / f"build-{revision}"
    if not (folder / "src" / "interbert").is_dir():
        command = ["git", "-C", str(_HERE.parent), "worktree", "add", "--force", "--detach", str(folder), revision]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return Build("base", python or str(environment(work / f"venv-{revision}", folder / "src")), folder / "src")


def environment(folder: Path, source: Path) -> Path:
    """A virtual environment that sees ``source`` and the packages of this interpreter; its interpreter."""
    if not (folder / "pyvenv.cfg").is_file():
        venv.create(folder, with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    lines = [str(source), *sorted(packages)]  # paths alone: what is installed there for editing is not followed
    (folder / "lib" / version / "site-packages" / "builds.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "bin" / "python"


def run_row(name: str, build: Build, work: Path, words: Sequence[str]) -> str:
    """What a row's script prints.

    Raises:
        RowError: it failed.
    """
    command = [build.python, str(_SCRIPTS / f"{name}.py"), "--work", str(work), "--build", build.name, *words]
    environ = os.environ | {"PYTHONPATH": str(build.source)}
    done = subprocess.run(command, env=environ, text=True, capture_output=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()[-_LATEST_LINES:]
        raise RowError(f"{name}, {build.name}: exit code {done.returncode}\n  " + "\n  ".join(lines))
    return done.stdout


def measure(name: str, builds: Sequence[Build], work: Path, alternations: int, words: Sequence[str]) -> Measured:
    """Prepare a row for each build, then measure them in turn."""
    found = Measured()
    try:
        for build in builds:
            run_row(name, build, work, [*words, "--prepare"])
        for _ in range(alternations):
            for build in builds:
                _read(found, build.name, run_row(name, build, work, words))
    except RowError as error:
        found.problem = str(error)
        return found
    differing = disagreements(found.equal["base"], found.equal["ours"], tolerances(name))
    found.problem = "; ".join(differing)
    return found


def _read(found: Measured, build: str, printed: str) -> None:
    said = json.loads(printed.strip().splitlines()[-1])
    getattr(found, build).append(float(said.pop("value")))
    found.unit = said.pop("unit")
    found.equal[build] = said.pop("equal", {})
    found.also.setdefault(build, []).append(said)


def tolerances(name: str) -> dict[str, float]:
    """What a row's script says results may differ by: its constant TOLERANCES."""
    for node in ast.parse((_SCRIPTS / f"{name}.py").read_text(encoding="utf-8")).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id == "TOLERANCES" and isinstance(value, ast.expr):
            return dict(ast.literal_eval(value))
    return {}


def disagreements(base: Mapping[str, Any], ours: Mapping[str, Any], allowed: Mapping[str, float]) -> list[str]:
    """Results that are not equal, in words.

    Numbers and lists of numbers may differ by their tolerance, and of lists of texts that share may differ. Without a
    tolerance they are the same.
    """
    problems = []
    for key in sorted({*base, *ours}):
        if key not in base or key not in ours:
            problems.append(f"{key}: only one build says it")
        elif key not in allowed:
            problems += [] if base[key] == ours[key] else [f"{key}: {base[key]!r:.200} and {ours[key]!r:.200}"]
        elif (largest := _difference(base[key], ours[key])) > allowed[key]:
            problems.append(f"{key}: differs by {largest:.2g}, above {allowed[key]:g}")
    return problems


def _difference(one: Any, other: Any) -> float:
    if isinstance(one, list) and any(isinstance(member, str) for member in one):
        return 1 - len(set(one) & set(other)) / max(len(one), len(other))
    first, second = np.asarray(one, float), np.asarray(other, float)
    return float(np.abs(first - second).max(initial=0)) if first.shape == second.shape else float("inf")


def line(name: str, found: Measured) -> str:
    """A row of the table."""
    if not found.base or not found.ours:
        return f"| {name} | | | | not measured: {found.problem.splitlines()[0]} |"
    ratio = "none: " + found.problem if found.ratio is None else f"{found.ratio:.3f}"
    return f"| {name} | {shown(found.base, found.unit)} | {shown(found.ours, found.unit)} | {ratio} | {ROWS[name]} |"


def shown(values: Sequence[float], unit: str) -> str:
    """As ``6.8 s [6.7, 7.1]``."""
    middle, least, most = (f"{one:.4g}" for one in (statistics.median(values), min(values), max(values)))
    return f"{middle} {unit} [{least}, {most}]"


def machine(builds: Sequence[Build]) -> dict[str, Any]:
    """Where it was measured, and by what."""
    script = (
        "import importlib.metadata as m, json, sys\nfound = {}\nfor name in sys.argv[1:]:\n"
        "    try: found[name] = m.version(name)\n    except m.PackageNotFoundError: pass\nprint(json.dumps(found))"
    )
    versions = {}
    for build in builds:
        command = [build.python, "-c", script, *_PACKAGES]
        versions[build.name] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "python": platform.python_version(),
        "versions": versions,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="008939d", help="commit of the earlier build")
    parser.add_argument("--only", nargs="+", choices=ROWS, help="rows to measure; all that have a script")
    parser.add_argument("--full", action="store_true", help="full sizes, which take hours")
    parser.add_argument("--alternations", type=int, default=3)
    parser.add_argument(
        "--work", type=Path, default=Path("runs/against_build"), help="folder for builds, data, results"
    )
    parser.add_argument("--base-python", help="interpreter of the base; a virtual environment is made when not given")
    parser.add_argument("--data", help="folder of real data, for rows that need some")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    base = base_build(arguments.base, work, arguments.base_python)
    builds = [base, Build("ours", sys.executable, _HERE.parent / "src")]
    words = [*(["--full"] if arguments.full else []), *(["--data", arguments.data] if arguments.data else [])]
    there = machine(builds)
    print(f"{there['processor']}, {there['cores']} cores, load {there['load'][0]:.1f}; {there['versions']['ours']}")
    print("| row | base | ours | ours/base | goal |\n| --- | --- | --- | --- | --- |")
    results: dict[str, Measured] = {}
    for name in arguments.only or ROWS:
        if not (_SCRIPTS / f"{name}.py").is_file():
            continue
        results[name] = measure(name, builds, work / name, arguments.alternations, words)
        print(line(name, results[name]), flush=True)
        content = {"base": arguments.base, "machine": there, "full": arguments.full}
        content["rows"] = {one: asdict(found) | {"ratio": found.ratio} for one, found in results.items()}
        (work / "against_build.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    failed = [found.problem for found in results.values() if found.problem]
    print("\n".join(failed), file=sys.stderr)
    print(
        json.dumps({name: None if (one := found.ratio) is None else round(one, 4) for name, found in results.items()})
    )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
