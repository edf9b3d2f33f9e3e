"""What stands in the files of deploy/: the commands of the Dockerfile, the unit and the compose file."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from interbert.cli.parser import parse_options
from interbert.cli.serve import Options

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with their arguments, in order; one that goes on after a backslash is one."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name, arguments.strip()) for name, _, arguments in found]


def of_kind(name: str) -> list[str]:
    return [arguments for one, arguments in instructions() if one == name]


def container_start() -> list[str]:
    """What a container runs."""
    (entry,), (command,) = of_kind("ENTRYPOINT"), of_kind("CMD")
    return [*json.loads(entry), *json.loads(command)]


def health_check() -> list[str]:
    (check,) = of_kind("HEALTHCHECK")
    words: list[str] = json.loads(check.partition("CMD ")[2])
    return words


def unit() -> dict[str, list[str]]:
    """Settings of the unit, by name."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "interbert.service").read_text().splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def unit_start() -> list[str]:
    (command,) = unit()["ExecStart"]
    return shlex.split(command)


def unit_install() -> list[str]:
    """The commands of the unit's comment that install the package."""
    comment = re.findall(r"^#     (.*)", (DEPLOY / "interbert.service").read_text(), flags=re.MULTILINE)
    return [line for line in comment if line.startswith(("python3 -m venv", "/opt/interbert/bin/pip"))]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def serve_options(words: list[str]) -> Options:
    """Options of a command that serves, as the command line reads them."""
    assert Path(words[0]).name == "interbert"
    assert words[1] == "serve"
    options = parse_options("serve", "", Options, words[2:])
    assert isinstance(options, Options)
    return options
