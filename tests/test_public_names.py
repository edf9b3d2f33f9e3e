from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import yaml

import interbert
from interbert import errors

PUBLIC = [
    "Cascade",
    "Explanation",
    "Hit",
    "InterBertConfig",
    "InterBertForImagePairClassification",
    "InterBertForImageTextRetrieval",
    "InterBertForMultiTask",
    "InterBertForMultipleChoice",
    "InterBertForPreTraining",
    "InterBertForRegionChoice",
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


def test_the_version_is_the_same_everywhere() -> None:
    root = Path(__file__).parent.parent
    assert f'version = "{interbert.__version__}"' in (root / "pyproject.toml").read_text(encoding="utf-8")
    citation = yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == interbert.__version__
    assert citation["license"] == "Apache-2.0"
    for form in (root / ".github/ISSUE_TEMPLATE").glob("*.yml"):
        assert yaml.safe_load(form.read_text(encoding="utf-8")), form
