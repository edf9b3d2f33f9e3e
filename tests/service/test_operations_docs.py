"""docs/operations.md: its commands, errors, alerts, numbers and links are those of the service."""

from __future__ import annotations

import dataclasses
import re
import shlex

import yaml
from tests.deployed import DEPLOY, ROOT, serve_options
from tests.documented import blocks, commands

from interbert.cli.parser import parse_options
from interbert.cli.verbs import find_verb, verb_module
from interbert.service.errors import CODES
from interbert.service.metrics import Metrics
from interbert.service.settings import Limits, Queues

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def table(*header: str) -> dict[str, str]:
    """Second cells of the rows of the tables with such a header, by the names in their first."""
    found: dict[str, str] = {}
    lines = iter(PAGE.splitlines())
    for line in lines:
        if tuple(cell.strip() for cell in line.strip("|").split("|")) == header:
            for row in lines:
                if not row.startswith("|"):
                    break
                names, cell = row.strip("|").split(" | ", 1)
                found |= dict.fromkeys(re.findall(r"`(.+?)`", names), cell)
    return found


def test_every_error_has_somebody_who_acts() -> None:
    assert table("code", "who acts, and how").keys() == CODES.keys()


def test_every_alert_has_something_to_do() -> None:
    (group,) = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    assert table("alert", "what to do").keys() == {rule["alert"] for rule in group["rules"]}


def test_commands_and_options_are_real() -> None:
    serves = 0
    for line in commands(PAGE):
        words = shlex.split(line)
        if words[:2] == ["interbert", "serve"]:
            serve_options(words)
            serves += 1
        elif words[0] == "interbert":
            verb, rest = find_verb(words[1:])
            parse_options(verb, "", verb_module(verb).Options, rest)
        else:
            assert words[0] == "python"
            assert (ROOT / words[1]).is_file()
    assert serves == 3
    fields = {f"limits.{one.name}" for one in dataclasses.fields(Limits)}
    fields |= {f"queues.{one.name}" for one in dataclasses.fields(Queues)}
    told = {name.replace("-", "_") for name in re.findall(r"--((?:limits|queues)\.[\w-]+)", PAGE)}
    assert told <= fields
    names = {collector._name for collector in Metrics().registry._collector_to_names}
    assert set(re.findall(r"`(interbert_[a-z_]+)`", PAGE)) <= names


def test_examples_are_read_and_links_lead_somewhere() -> None:
    for block in blocks("yaml", PAGE):
        assert yaml.safe_load(block)
    for target in re.findall(r"\]\((?!http)([^)]*)\)", PAGE):
        path, _, place = target.partition("#")
        text = (ROOT / "docs" / path).read_text(encoding="utf-8") if path.endswith(".md") else PAGE
        assert (ROOT / "docs" / path).exists(), target
        titles = {
            re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in text.splitlines()
            if line.startswith("#")
        }
        assert not place or place in titles, target
