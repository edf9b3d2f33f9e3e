"""Pages of the command line, made from the verbs and their options when the site is built."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from interbert.cli.parser import build_parser, option_kinds
from interbert.cli.renamed import spelled
from interbert.cli.verbs import VERBS, verb_module

_INTRODUCTION = """# Command line

Every command has the form `interbert VERB ... [options]`. `interbert VERB --help` prints the options of a verb in the
terminal; the same options are listed here.

`--config FILE` reads options from a YAML file (a recipe), in which names have underscores in place of hyphens. What
stands on the command line overrides the file. A nested option such as `--training.epochs 5` stands in a recipe as
`training: {epochs: 5}`. Exit codes: 0 done, 1 failed, 2 wrong input, 130 stopped by Ctrl-C, 143 stopped by SIGTERM.

| command | what it does |
| --- | --- |"""

_WORDS = {str: "text", int: "whole number", float: "number", bool: "switch"}


def groups() -> dict[str, list[str]]:
    """First word of a verb -> the verbs that begin with it."""
    found: dict[str, list[str]] = {}
    for verb in VERBS:
        found.setdefault(verb.split()[0], []).append(verb)
    return found


def overview() -> str:
    """The page that lists all verbs."""
    rows = [
        f"| [`interbert {verb}`](command_line/{word}.md#{_anchor(verb)}) | {VERBS[verb][1]} |"
        for word, verbs in groups().items()
        for verb in verbs
    ]
    return f"{_INTRODUCTION}\n" + "\n".join(rows) + "\n"


def page(word: str, verbs: Sequence[str]) -> str:
    """The page of the verbs that begin with ``word``."""
    parts = [f"# interbert {word}", ""]
    for verb in verbs:
        parts += [f"## interbert {verb}", "", *_verb(verb), ""]
    return "\n".join(parts)


def _anchor(verb: str) -> str:
    return f"interbert-{verb.replace(' ', '-')}"


def _verb(verb: str) -> Iterator[str]:
    module = verb_module(verb)
    for line in inspect.cleandoc(module.__doc__ or "").splitlines():
        yield line if line.startswith("    ") else _plain(line)
    parser = build_parser(verb, "", module.Options)
    kinds = option_kinds(module.Options)
    for group in parser._action_groups:
        options = [_option(action, kinds[action.dest]) for action in group._group_actions if action.dest in kinds]
        if not options:
            continue
        nested = not (group.title or "").startswith("Options of")
        yield f"\n{_plain((group.title or '').rstrip(':.'))}:\n" if nested else ""
        yield from options


def _option(action: Any, kind: Any) -> str:
    """An entry of a definition list."""
    option = spelled(action.dest) if action.option_strings else action.dest.upper()
    default = _default(action.default)
    said = f"{_kind(kind)}, default {default}" if default else _kind(kind)
    said = said if action.option_strings else f"{_kind(kind)}, required"
    return f"`{option}` ({said})\n:   {_plain(' '.join((action.help or '').split()))}\n"


def _kind(kind: Any) -> str:
    """What an option takes, in words."""
    if kind in _WORDS:
        return _WORDS[kind]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return ", ".join(f"`{one}`" for one in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(one) for one in arguments if one is not type(None))
    if origin in (list, tuple):
        return f"list of {_kind(arguments[0])}s" if arguments and arguments[0] in _WORDS else "list"
    if origin is dict:
        return f"{_kind(arguments[0])} to {_kind(arguments[1])}"
    return "any value" if kind is Any else f"`{getattr(kind, '__name__', kind)}`"


def _default(value: Any) -> str:
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return f"`{','.join(map(str, value))}`"
    return f"`{getattr(value, 'value', value)}`"


def _plain(text: str) -> str:
    """A text in which Markdown finds nothing of its own but code."""
    parts = re.split(r"(``?[^`]+``?)", text)
    for place in range(0, len(parts), 2):
        parts[place] = re.sub(r"([*\[\]|\\])", r"\\\1", parts[place]).replace("<", "&lt;")
    return "".join(part.replace("|", r"\|") if place % 2 else part for place, part in enumerate(parts))
