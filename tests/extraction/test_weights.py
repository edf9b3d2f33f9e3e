from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from interbert.errors import ConfigError
from interbert.extraction.weights import files_sha256, find_weights, weight_files
from interbert.regions.schema import ExtractorInfo


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert find_weights(str(tmp_path), "--o") == (tmp_path, str(tmp_path))


@pytest.mark.parametrize("where", ["/gone/frcnn", "owner/frcnn", "owner/frcnn@v1"])
def test_a_folder_of_the_environment_variable_is_looked_through(
    tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERBERT_WEIGHTS", f"/nowhere:{tmp_path}")
    inside = tmp_path / where.partition("@")[0].lstrip("/").removeprefix("gone/")
    inside.mkdir(parents=True)
    assert find_weights(where, "--o") == (inside, where)


def test_the_variables_folders_are_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("weights", "secret", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("INTERBERT_WEIGHTS", str(tmp_path / "weights"))
    with pytest.raises(ConfigError, match="no weights at this path"):
        find_weights("gone/../../secret", "--o")


def test_a_hub_id_is_fetched_and_remembered_with_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None, Any]] = []

    def snapshot(repository: str, revision: str | None, allow_patterns: list[str]) -> str:
        asked.append((repository, revision, allow_patterns))
        folder = tmp_path / "a1b2c3"
        folder.mkdir(exist_ok=True)
        if "*.bin" in allow_patterns:
            (folder / "pytorch_model.bin").write_bytes(b"")
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert find_weights("owner/name@main", "--o") == (tmp_path / "a1b2c3", "owner/name@a1b2c3")
    assert [one[:2] for one in asked] == [("owner/name", "main")] * 2  # the safe format first, then the other
    assert "*.safetensors" in asked[0][2]
    assert "*.bin" not in asked[0][2]


def test_what_the_hub_does_not_give_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> str:
        raise RuntimeError("no route\nto host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(
        ConfigError, match=r"owner/name: .*the Hub does not give it \(no route\).*give --o its"
    ) as caught:
        find_weights("owner/name", "--o")
    assert "\n" not in str(caught.value)


def test_the_safe_format_is_taken_first_and_no_weights_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no weights"):
        weight_files(tmp_path)
    for name in ("pytorch_model.bin", "b.safetensors", "a.safetensors", "training_args.bin"):
        (tmp_path / name).write_bytes(name.encode())
    assert [one.name for one in weight_files(tmp_path)] == ["a.safetensors", "b.safetensors"]
    (tmp_path / "a.safetensors").unlink()
    (tmp_path / "b.safetensors").unlink()
    assert [one.name for one in weight_files(tmp_path)] == ["pytorch_model.bin"]


def test_a_digest_is_the_files_own_or_of_several(tmp_path: Path) -> None:
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_bytes(b"abc")
    two.write_bytes(b"def")
    assert files_sha256([one]) == hashlib.sha256(b"abc").hexdigest()
    assert len({files_sha256([one]), files_sha256([one, two]), files_sha256([two, one])}) == 3


def test_where_weights_lie_is_no_part_of_what_an_extractor_is() -> None:
    here, there, other = (
        ExtractorInfo("frcnn", {"weights_from": place, "weights_sha256": digest}, 4, 2)
        for place, digest in (("a", "1"), ("b", "1"), ("a", "2"))
    )
    assert here.fingerprint == there.fingerprint != other.fingerprint
    assert here.differences(there) == ""
    assert here.differences(other) == "weights_sha256 1, asked for 2"
    assert ExtractorInfo.from_json(there.to_json()) == there
