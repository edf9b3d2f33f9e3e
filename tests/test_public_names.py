from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import interbert
from interbert import errors

PUBLIC = [
    "Cascade",
    "Explanation",
    "Hit",
    "InterBertConfig",
    "InterBertForImageTextRetrieval",
    "InterBertForMultipleChoice",
    "InterBertForPreTraining",
    "InterBertForSequenceClassification",
    "InterBertForVLTasks",
    "InterBertModel",
    "InterBertProcessor",
    "InterBertScorer",
    "Part",
    "Query",
    "QueryRewriter",
    "SearchEngine",
    "Synonyms",
    "TopicRecommender",
    "__version__",
    "add_to_index",
    "build_index",
    "open_source",
    "remove_from_index",
    "update_columns",
]


def test_the_public_surface_is_what_was_promised() -> None:
    assert sorted(interbert.__all__) == sorted(PUBLIC)
    for name in PUBLIC:
        assert getattr(interbert, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'InterBert'"):
        interbert.InterBert  # noqa: B018


def test_every_error_stands_in_the_drawing_and_has_an_exit_code() -> None:
    assert errors.__doc__ is not None
    classes = [one for _, one in inspect.getmembers(errors, inspect.isclass) if issubclass(one, errors.InterBertError)]
    assert len(classes) > 8
    for one in classes:
        assert one.__name__ in errors.__doc__
        assert one.exit_code in (1, 2)


def test_the_installed_version_is_the_package_version() -> None:
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    assert f'version = "{interbert.__version__}"' in text
