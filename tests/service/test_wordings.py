"""The words of a search over HTTP: wrong letters, synonyms, and that nothing is changed without a word."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from tests.service.conftest import MakeClient
from tests.service.test_search_api import ids, searched

from interbert.errors import UsageError
from interbert.service.wordings import SynonymsFile


def test_a_wrong_letter_is_corrected_and_told(client: TestClient) -> None:
    reply = searched(client, text="a purpel circle")
    assert ids(reply) == ids(searched(client, text="a purple circle"))
    (rewrite,) = reply["rewrites"]
    assert (rewrite["typed"], rewrite["searched"]) == ("a purpel circle", "a purple circle")
    assert rewrite["corrections"] == [{"typed": "purpel", "searched": "purple"}]
    assert searched(client, text="a purple circle")["rewrites"] == []
    assert searched(client, text="a purpel circle", spelling=False)["rewrites"] == []


def test_pages_have_the_words_of_the_first(client: TestClient) -> None:
    first = searched(client, text="a purpel circle", top_k=3)
    second = searched(client, text="a purpel circle", top_k=3, cursor=first["next_cursor"])
    assert second["rewrites"][0]["searched"] == "a purple circle"
    whole = searched(client, text="a purple circle", top_k=6)
    assert ids(first) + ids(second) == ids(whole)


def test_a_merchants_synonyms_are_read_again_when_they_change(make_client: MakeClient, tmp_path: Path) -> None:
    path = tmp_path / "synonyms.txt"
    path.write_text("aubergine, purple\n", encoding="utf-8")
    client = make_client(synonyms=SynonymsFile(str(path)))
    found = searched(client, text="aubergine circle")
    assert found["rewrites"][0]["wordings"] == [{"typed": "aubergine", "searched": "purple"}]
    assert ids(found) == ids(searched(client, text="purple circle"))
    path.write_text("aubergine, purple\nscarlet, red\n", encoding="utf-8")
    ends = time.monotonic() + 20
    while not searched(client, text="scarlet circle", spelling=False)["rewrites"]:
        assert time.monotonic() < ends
        time.sleep(0.1)


def test_a_wrong_file_leaves_the_synonyms_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "synonyms.txt"
    with pytest.raises(UsageError, match=r"synonyms\.txt"):
        SynonymsFile(str(path))
    path.write_text("aubergine, purple\n", encoding="utf-8")
    file = SynonymsFile(str(path))
    before = file.synonyms
    assert not file.changed()
    path.write_text("a => b => c\n", encoding="utf-8")
    assert not file.changed()
    assert file.synonyms is before
    assert "line 1" in caplog.text
