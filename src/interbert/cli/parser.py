"""A verb's command line, made from its ``Options`` dataclass: one declaration gives options, help and recipes."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import json
import re
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, set_parsing_settings

from interbert.cli.renamed import current_words, read_renamed_recipes, spelled
from interbert.errors import UsageError, shortened
from interbert.utils.bounded_files import require_bounded_yaml

set_parsing_settings(docstring_parse_attribute_docstrings=True)

_MAX_REASON = 500


class _Formatter(DefaultHelpFormatter):  # type: ignore[misc]
    """Keeps the paragraphs and examples of a verb's docstring."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in text.splitlines())

    def _format_action_invocation(self, action: Any) -> str:
        """Options as they are written: with hyphens, where the fields of a dataclass have underscores."""
        shown: str = super()._format_action_invocation(action)
        return re.sub(r"--[\w.]+", lambda option: option.group().replace("_", "-"), shown)


class _Parser(ArgumentParser):  # type: ignore[misc]
    def error(self, message: str, exception: Exception | None = None) -> NoReturn:
        raise UsageError(message) from exception


def parse_options(verb: str, description: str, options: type, words: Sequence[str]) -> Any:
    """An ``options`` instance from the words after a verb.

    ``--config FILE`` (``--recipe`` for a verb with a ``config`` of its own) reads a YAML recipe; what follows on the
    command line overrides it. Options have hyphens, recipes underscores; a switch needs no value; a list may be given
    as ``a,b``, one of numbers or a required one as words.

    Raises:
        UsageError: a word is not understood; the message names the nearest option.
    """
    kinds = option_kinds(options)
    words = current_words(verb, words, kinds)
    read_renamed_recipes(verb)
    required = _required(options)
    recipe_option = _recipe_option(kinds)
    for before, word in itertools.pairwise(words):
        if before == recipe_option:
            _check_recipe(verb, word)
    parser = build_parser(verb, description, options)
    try:
        given = _joined_repeats(_normalised(_joined_numbers(words, kinds), kinds), kinds)
        if required and typing.get_origin(kinds[required[-1]]) is list:
            given = _gathered(given, len(required) - 1)
        read = parser.parse_args(given)
        _require_values(read.as_dict(), options)
        parsed = parser.instantiate(read)
    except UnicodeDecodeError as error:
        raise UsageError(f"{verb}: the recipe is no text in UTF-8.") from error
    except (TypeError, AttributeError) as error:  # a section of the recipe that is no section
        raise UsageError(f"{verb}: the recipe has a value where a group of options belongs, or the reverse.") from error
    except UsageError as error:
        message = _explained(str(error), verb, list(kinds))
        if re.search(r"(?i)problems parsing config|unexpected config", message):
            recipe = next((word for before, word in itertools.pairwise(words) if before == recipe_option), "")
            empty = _only_empty(recipe, kinds)
            if empty is not None:
                raise UsageError(f"{verb}: {_has_no_value(empty, kinds.get(empty))}") from error
            reason = shortened(message.removeprefix(f"{verb}: "), _MAX_REASON)
            message = f"{verb}: the recipe {shortened(recipe)} is no YAML of options ({reason})."
        raise UsageError(message) from error
    return options(**{field.name: getattr(parsed, field.name) for field in dataclasses.fields(options)})


def build_parser(verb: str, description: str, options: type) -> ArgumentParser:
    """The parser of a verb's options, each with its help; what the reference of the command line is made from."""
    required = _required(options)
    parser = _Parser(
        prog=f"interbert {verb}",
        description=description,
        usage=f"interbert {verb} {' '.join(name.upper() for name in required)} [options]".replace("  ", " "),
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        _recipe_option(option_kinds(options)), action="config", help="YAML recipe with any of the options below."
    )
    parser.add_class_arguments(options, as_positional=True)
    return parser


def _required(options: type) -> list[str]:
    return [field.name for field in dataclasses.fields(options) if _is_required(field)]


def _recipe_option(kinds: Mapping[str, Any]) -> str:
    return "--recipe" if "config" in kinds else "--config"


def _check_recipe(verb: str, word: str) -> None:
    """Check a recipe before it is parsed: a few lines of YAML that repeat each other are gigabytes when parsed.

    What is no YAML is left to the parser, which names the place.

    Raises:
        UsageError: there is none, it is too large, or stands for too much.
    """
    name = f"{verb}: the recipe {shortened(word)}"
    try:
        path = Path(word)
        if not path.is_file():
            raise UsageError(f"{verb}: there is no recipe {shortened(word)}.")
        require_bounded_yaml(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{name} {error}") from error


def option_kinds(options: type, prefix: str = "") -> dict[str, Any]:
    """Name -> type of every option, nested ones as ``training.epochs``."""
    hints = typing.get_type_hints(options)
    kinds: dict[str, Any] = {}
    for field in dataclasses.fields(options):
        kind = hints[field.name]
        name = prefix + field.name
        if dataclasses.is_dataclass(kind):
            kinds |= option_kinds(typing.cast(type, kind), f"{name}.")
        else:
            kinds[name] = kind
    return kinds


def _require_values(read: Mapping[str, Any], options: type, prefix: str = "") -> None:
    """Check that what may not be null is not (jsonargparse lets null through for every type), and that no text has NUL.

    Raises:
        UsageError: naming the option.
    """
    for name, kind in typing.get_type_hints(options).items():
        if name not in read:
            continue
        value = read[name]
        if value is not None and dataclasses.is_dataclass(kind):
            _require_values(value, typing.cast(type, kind), f"{prefix}{name}.")
        elif value is None and type(None) not in typing.get_args(kind):
            raise UsageError(_has_no_value(f"{prefix}{name}", kind))
        elif any(isinstance(one, str) and "\0" in one for one in (value if isinstance(value, list) else [value])):
            raise UsageError(f"{spelled(prefix + name)} holds the character NUL, which no path or name may have.")


def _only_empty(recipe: str, kinds: Mapping[str, Any]) -> str | None:
    """The first option of a recipe in which none has a value: jsonargparse takes it for a text. None for any other."""
    try:
        read: Any = yaml.safe_load(Path(recipe).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    empty = isinstance(read, dict) and all(value is None for value in read.values())
    names = [str(name) for name in read] if empty else []
    known = [name for name in names if name in kinds or any(kind.startswith(f"{name}.") for kind in kinds)]
    return known[0] if known and len(known) == len(names) else None


def _has_no_value(name: str, kind: Any) -> str:
    return f"{spelled(name)} has no value. Give it one{_wanted(kind)}, or leave the line out."


def _wanted(kind: Any) -> str:
    """What an option takes, in words: " (a number)"."""
    if typing.get_origin(kind) is typing.Literal:
        return f" ({', '.join(map(str, typing.get_args(kind)))})"
    name = getattr(typing.get_origin(kind) or kind, "__name__", "")
    return f" ({_PLAIN[name]})" if name in _PLAIN else ""


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _joined_numbers(words: Sequence[str], kinds: dict[str, Any]) -> list[str]:
    """``--cascade 10 50`` as ``--cascade 10,50``, for options that list whole numbers."""
    result: list[str] = []
    for word in words:
        name = result[-2] if len(result) > 1 else ""
        lists = kinds.get(name[2:].replace("-", "_")) == list[int] if name.startswith("--") else False
        if lists and word.isdecimal() and re.fullmatch(r"[\d,]+", result[-1]):
            result[-1] += f",{word}"
        else:
            result.append(word)
    return result


def _normalised(words: Sequence[str], kinds: dict[str, Any]) -> list[str]:
    """Spellings people use, in the one that the parser reads."""
    result: list[str] = []
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            name = "--" + name[2:].replace("-", "_")
        kind = kinds.get(name[2:]) if name.startswith("--") else None
        following = words[position + 1] if position + 1 < len(words) else ""
        if not equals and _is_bare_switch(kind, following):
            result += [f"{name}=true"] if kind is bool or not _is_given(name, words) else []
        elif equals and name.startswith("--"):
            result.append(f"{name}={_list(value, kind)}")
        else:
            before = result[-1] if result else ""
            is_value = before.startswith("--") and "=" not in before and not word.startswith("--")
            own = name if name.startswith("--") else word
            result.append(_list(word, kinds.get(before[2:])) if is_value else own)
    return result


_SWITCH = bool | str
"""Kind of a switch that may name an address instead."""
_ADDRESS = r"true|false|auto|local|(ray://)?[\w.-]+:\d+"


def _is_bare_switch(kind: Any, following: str) -> bool:
    """Whether a switch stands alone: the word after it is no value of it, but a word of its own, as a source is."""
    if kind == _SWITCH:
        return not re.fullmatch(_ADDRESS, following)
    return kind is bool and following not in ("true", "false")


def _is_given(name: str, words: Sequence[str]) -> bool:
    """Whether an option that may be a bare switch has a value elsewhere: that says more."""
    pairs = itertools.pairwise([*words, ""])
    return any(word.startswith(f"{name}=") or (word == name and re.fullmatch(_ADDRESS, after)) for word, after in pairs)


def _joined_repeats(words: Sequence[str], kinds: dict[str, Any]) -> list[str]:
    """``--names=["a"] --names=["b"]`` as ``--names=["a", "b"]``: the parser would take the last alone."""
    result: list[str] = []
    places: dict[str, int] = {}
    for word in words:
        before = result[-1] if result else ""
        if before.startswith("--") and kinds.get(before[2:]) == list[str] and word.startswith("["):
            word = f"{result.pop()}={word}"
        name, equals, value = word.partition("=")
        if equals and name.startswith("--") and kinds.get(name[2:]) == list[str]:
            both = _both_lists(result[places[name]].partition("=")[2], value) if name in places else None
            if both is not None:
                result[places[name]] = f"{name}={both}"
                continue
            places[name] = len(result)
        result.append(word)
    return result


def _both_lists(first: str, second: str) -> str | None:
    """Two lists as one; None where one of them is none, which the parser then tells."""
    try:
        mine, others = json.loads(first), json.loads(second)
    except ValueError:
        return None
    both = isinstance(mine, list) and isinstance(others, list)
    return json.dumps([*mine, *others], ensure_ascii=False) if both else None


def _gathered(words: Sequence[str], before: int) -> list[str]:
    """The words that are no options and no option's value, after the first ``before`` of them, as one list."""
    options: list[str] = []
    free: list[str] = []
    for word in words:
        expects_value = bool(options) and options[-1].startswith("--") and "=" not in options[-1]
        (options if expects_value or word.startswith("-") else free).append(word)
    listed = [json.dumps(free[before:], ensure_ascii=False)] if free[before:] else []
    return [*free[:before], *listed, *options]


def _list(value: str, kind: Any) -> str:
    if typing.get_origin(kind) is not list or value.startswith("["):
        return value
    if typing.get_args(kind) == (str,):  # quoted: a name may look like a number or like YAML
        return json.dumps([one.strip() for one in value.split(",")], ensure_ascii=False)
    return f"[{value}]"


def _explained(message: str, verb: str, names: Sequence[str]) -> str:
    """The parser's message as one line that says what to do."""
    message = re.sub(r"Group '([\w.]+)' does not accept option '([\w.]+)'", r"unrecognized arguments: \1.\2", message)
    unknown = re.search(r"unrecognized arguments: (\S+)", message)
    if unknown:
        word = unknown.group(1)
        close = difflib.get_close_matches(word.lstrip("-").split("=")[0], names, n=1, cutoff=0.5)
        hint = f" Did you mean {spelled(close[0])}?" if close else ""
        if close and f"--{close[0]}" == word.split("=")[0]:  # it has a place among the words
            hint = f" Give {close[0].upper()} without its name."
        kind = "option" if word.startswith("-") or "." in word or close else "word"
        shown = shortened(spelled(word[2:]) if word.startswith("--") else word)
        return f"{verb}: there is no {kind} {shown}.{hint} See: interbert {verb} --help"
    missing = re.search(r"the following arguments are required: (.*)", message)
    if missing:
        return f"{verb}: {missing.group(1).upper()} is missing. See: interbert {verb} --help"
    invalid = re.search(r'Parser key "([\w.]+)":', message)
    value = re.search(r"(?:Given value: |Got value: |but got )(.*)", message)
    if invalid and value:
        expected = re.findall(r"<class '(\w+)'>", message)
        wanted = next((kind for kind in expected if kind not in ("NoneType", "str")), None)
        choices = re.search(r"[Ll]iteral\[(.*?)\]", message) or re.search(r"Expected one of (\{.*?\})", message)
        wanted = choices.group(1) if choices else _PLAIN.get(wanted or "", wanted)
        text = f" It takes: {wanted}." if wanted else ""
        return f"{verb}: {spelled(invalid.group(1))} cannot be {shortened(value.group(1).strip())!r}.{text}"
    return f"{verb}: " + shortened(" ".join(message.split()), _MAX_REASON)


_PLAIN = {"int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list such as a,b"}
