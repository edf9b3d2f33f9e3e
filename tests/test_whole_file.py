from pathlib import Path

import pytest

from interbert.whole_file import write_whole


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("dies_in", ["write_text", "replace"])
def test_a_kill_leaves_the_file_as_it_was(
    before: str | None, dies_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "training.json"
    if before is not None:
        file.write_text(before)

    def killed(self: Path, *_: object, **__: object) -> None:
        if dies_in == "write_text":
            self.touch()
            with self.open("w"):  # opened for writing, nothing written yet
                raise KeyboardInterrupt
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, dies_in, killed)
        with pytest.raises(KeyboardInterrupt):
            write_whole(file, "new")
    assert (file.read_text() if file.exists() else None) == before
    write_whole(file, "new 新")
    assert file.read_text(encoding="utf-8") == "new 新"
    assert [one.name for one in tmp_path.iterdir()] == [file.name]
