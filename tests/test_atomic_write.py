import subprocess
import sys
from pathlib import Path

import pytest

import interbert
from interbert.utils.files import atomic_write, replacing


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
            atomic_write(file, "new")
    assert (file.read_text() if file.exists() else None) == before
    atomic_write(file, "new 新")
    assert file.read_text(encoding="utf-8") == "new 新"
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


FULL = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models
from interbert.errors import StorageError
from interbert.utils.files import replacing, atomic_write

resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
big = torch.zeros(100_000)
words = Tokenizer(models.WordLevel({f"word{number}": number for number in range(9000)}, unk_token="word0"))
for name, write in {
    "safetensors": lambda part: save_file({"a": big}, part),
    "torch": lambda part: torch.save({"a": big}, part),
    "torch, many": lambda part: torch.save({str(number): big[:9].clone() for number in range(900)}, part),
    "torch, stream": lambda part: torch.save({"a": big}, part.open("wb")),
    "numpy": lambda part: big.numpy().tofile(part),
    "tokenizers": lambda part: words.save(str(part)),
    "text": lambda part: part.write_text("x" * 100_000),
}.items():
    file = Path(sys.argv[1], name)
    file.write_text("the last good one")
    try:
        with replacing(file) as part:
            write(part)
    except StorageError as error:
        assert str(error).startswith(f"{file}: the disk is full."), error
        assert "\\n" not in str(error)
    else:
        raise AssertionError(name)
    assert file.read_text() == "the last good one"
assert len(list(Path(sys.argv[1]).iterdir())) == 7
"""


def test_a_full_disk_is_recognised_in_every_library_s_words_and_costs_nothing(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-800:]


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    def fail(part: Path) -> None:
        part.write_text("half")
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"), replacing(tmp_path / "file") as part:
        fail(part)
    assert list(tmp_path.iterdir()) == []


def test_text_is_written_by_one_helper() -> None:
    """A new file that is written at its place would be half there after a full disk or a kill."""
    root = Path(interbert.__file__).parent
    found = {str(path.relative_to(root)) for path in root.rglob("*.py") if ".write_text(" in path.read_text("utf-8")}
    assert found == {
        "utils/files.py",
        "checkpoints/convert.py",
    }  # the second by replacing(), with the tensors beside it
