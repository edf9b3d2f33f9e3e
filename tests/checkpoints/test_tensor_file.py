import errno
import io
import os
import pickle
import tarfile

import pytest
import torch
from safetensors.torch import save_file

from interbert.checkpoints.foreign_files import read_tensors, write_tensors
from interbert.errors import CheckpointError, StorageError, UsageError

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "b.bias": torch.ones(2)}


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def same(tensors):
    return tensors.keys() == STATE.keys() and all(torch.equal(tensors[name], STATE[name]) for name in STATE)


def test_what_is_written_is_read(tmp_path):
    file = tmp_path / "state.bin"
    write_tensors(STATE, file)
    assert same(read_tensors(file))
    assert [path.name for path in tmp_path.iterdir()] == ["state.bin"]


def test_the_older_format_and_safetensors_are_read(tmp_path):
    torch.save(STATE, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    save_file(STATE, tmp_path / "new.safetensors")
    assert same(read_tensors(tmp_path / "old.bin"))
    assert same(read_tensors(tmp_path / "new.safetensors"))


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_weights_inside_a_training_checkpoint_are_found(tmp_path, wrapper):
    torch.save({wrapper: STATE, "epoch": 3}, tmp_path / "checkpoint.pt")
    assert same(read_tensors(tmp_path / "checkpoint.pt"))


def zip_payload(file, mark):
    torch.save(STATE | {"c": Payload(mark)}, file)


def old_payload(file, mark):
    torch.save(STATE | {"c": Payload(mark)}, file, _use_new_zipfile_serialization=False)


def bare_payload(file, mark):
    file.write_bytes(pickle.dumps(Payload(mark)))


def tar_payload(file, mark):
    """The format before 0.1.10: a tar of three pickles."""
    with tarfile.open(file, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickle.dumps(Payload(mark))
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))


@pytest.mark.parametrize("make", [zip_payload, old_payload, bare_payload, tar_payload])
def test_a_malicious_pickle_is_refused_and_not_executed(tmp_path, make):
    file, mark = tmp_path / "evil.bin", tmp_path / "executed"
    make(file, mark)
    with pytest.raises(CheckpointError, match=r"evil\.bin: was refused"):
        read_tensors(file)
    assert not mark.exists()


def test_the_payload_would_run_if_it_were_unpickled(tmp_path):
    file, mark = tmp_path / "evil.bin", tmp_path / "executed"
    bare_payload(file, mark)
    pickle.loads(file.read_bytes())
    assert mark.exists()


@pytest.mark.parametrize("format", ["zip", "old", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_file_is_named(tmp_path, format, share):
    file = tmp_path / ("cut.safetensors" if format == "safetensors" else "cut.bin")
    if format == "safetensors":
        save_file(STATE, file)
    else:
        torch.save(STATE, file, _use_new_zipfile_serialization=format == "zip")
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(CheckpointError, match="cut"):
        read_tensors(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.ones(1), "steps": 5}, "steps is no plain tensor"),
        ([torch.ones(1)], "no named tensors, but list"),
        ({}, "no named tensors"),
        (torch.ones(2), "no named tensors, but Tensor"),
    ],
)
def test_what_is_no_state_dict_is_refused(tmp_path, content, message):
    torch.save(content, tmp_path / "other.bin")
    with pytest.raises(CheckpointError, match=message):
        read_tensors(tmp_path / "other.bin")


def test_a_missing_file_and_text_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such file"):
        read_tensors(tmp_path / "absent.bin")
    (tmp_path / "text.bin").write_text("a page that says 404")
    with pytest.raises(CheckpointError, match=r"text\.bin"):
        read_tensors(tmp_path / "text.bin")


def test_nothing_is_left_of_a_file_that_cannot_be_written(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="its folder does not exist"):
        write_tensors(STATE, tmp_path / "absent" / "state.bin")
    assert list(tmp_path.iterdir()) == []

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(StorageError, match="the disk is full"):
        write_tensors(STATE, tmp_path / "state.bin")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "odd", [torch.ones(2, 2).to_sparse(), torch.ones(2, device="meta"), torch.ones(2, dtype=torch.complex64)]
)
def test_tensors_that_are_not_plain_numbers_are_named(tmp_path, odd):
    torch.save(STATE | {"odd": odd}, tmp_path / "odd.bin")
    with pytest.raises(CheckpointError, match="odd"):
        read_tensors(tmp_path / "odd.bin")
