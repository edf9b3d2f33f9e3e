from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import yaml

from interbert.cli.parser import parse_options
from interbert.cli.verbs import find_verb, verb_module

RECIPES = sorted((Path(__file__).parent.parent / "recipes").glob("*.yaml"))


def test_there_are_recipes() -> None:
    assert len(RECIPES) >= 4


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_by_the_command_in_its_first_line(recipe: Path) -> None:
    first = recipe.read_text(encoding="utf-8").splitlines()[0]
    words = first.removeprefix("# interbert ").split()
    verb, rest = find_verb(words)
    assert rest[-2:] == ["--config", f"recipes/{recipe.name}"]
    options = parse_options(verb, "", verb_module(verb).Options, [*rest[:-1], str(recipe)])
    given = yaml.safe_load(recipe.read_text(encoding="utf-8"))

    def check(values: dict, parsed: dict) -> None:
        for name, value in values.items():
            if isinstance(value, dict):
                check(value, parsed[name])
            else:
                assert parsed[name] == value, name

    check(given, asdict(options))
