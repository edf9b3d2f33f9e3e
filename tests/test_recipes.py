from __future__ import annotations

import re
import shlex
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


def test_the_way_to_a_chinese_model_is_made_of_commands_that_there_are() -> None:
    """recipes/chinese.sh runs for minutes; that every word of it is understood is seen without running it."""
    script = (RECIPES[0].parent / "chinese.sh").read_text(encoding="utf-8").replace("\\\n", " ")
    arrays: dict[str, str] = {}
    for name, options in re.findall(r"(MORE_\w+)\+?=\((--.*?)\)", script):
        arrays[name] = f"{arrays.get(name, '')} {options}"
    lines = [line.strip() for line in script.splitlines() if line.strip().startswith("interbert ")]
    assert len(lines) == 10
    for line in lines:
        filled = re.sub(r'"\$\{(MORE_\w+)\[@\]\}"', lambda found: arrays[found[1]].strip(), line)
        words = shlex.split(filled.replace("$DATASET", str(RECIPES[0].parent / "dataset_chinese_small.yaml")))
        verb, rest = find_verb(words[1:])
        assert " ".join([verb, *rest]) == " ".join(words[1:])
        recipe_at = [place for place, word in enumerate(rest) if word.startswith("recipes/")]
        for place in recipe_at:
            rest[place] = str(RECIPES[0].parent / Path(rest[place]).name)
        parse_options(verb, "", verb_module(verb).Options, rest)
