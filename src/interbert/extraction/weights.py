"""Where the weights of an extractor lie: a path, a folder named by INTERBERT_WEIGHTS, or a repository of the Hub.

An extractor's settings say where its weights were (``weights_from``, to look there again) and what they are (their
SHA-256, to refuse others).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from interbert.errors import ConfigError, first_line
from interbert.extraction.efficientnet import EFFICIENTNET_LITE0
from interbert.extraction.frcnn.config import object_names
from interbert.regions.schema import ExtractorInfo
from interbert.utils.files import file_sha256

VARIABLE = "INTERBERT_WEIGHTS"
"""Environment variable with folders in which weights are looked for too, separated as in PATH."""

_HUB_ID = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
_WANTED = ("*.json", "*.yaml", "*.safetensors")


def find_weights(where: str, option: str) -> tuple[Path, str]:
    """The file or folder of some weights, and where that is in words that find it again.

    Args:
        where: path, or Hub id (owner/name, owner/name@revision).
        option: what the user has to give, for messages: ``--weights``.

    Raises:
        ConfigError: there is nothing of that name here, and the Hub does not give it.
    """
    if not where.strip():
        raise ConfigError(
            f"No weights are named. Give {option} a file, a folder, or a Hub id such as owner/name; for a machine "
            "without a network copy the repository there first and give its folder."
        )
    path = Path(where).expanduser()
    if path.exists():
        return path, where
    for folder in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        for name in (where.partition("@")[0], path.name):
            inside = (Path(folder) / name).resolve()
            if inside.is_relative_to(Path(folder).resolve()) and inside.exists() and name not in ("", "."):
                return inside, where
    match = _HUB_ID.fullmatch(where)
    if match is None or where.startswith((".", "/", "~")):
        raise ConfigError(
            f"{where}: there are no weights at this path. Copy them there, give {option} where they are, or name a "
            f"folder that holds {path.name} in the environment variable {VARIABLE}."
        )
    return _from_hub(match.group(1), match.group(2), where, option)


def _from_hub(repository: str, revision: str | None, where: str, option: str) -> tuple[Path, str]:
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=list(_WANTED)))
        if not any(folder.glob("*.safetensors")):
            folder = Path(snapshot_download(repository, revision=revision, allow_patterns=["*.bin", *_WANTED[:2]]))
    except Exception as error:  # the hub's client raises its transport's errors too
        reason = first_line(error, 160)
        raise ConfigError(
            f"{where}: there is no such file or folder, and the Hub does not give it ({reason}). Copy the repository "
            f"to this machine and give {option} its folder, or name the folder above it in the environment variable "
            f"{VARIABLE}."
        ) from error
    return folder, f"{repository}@{folder.name}"  # a snapshot's folder is named after its commit


def weight_files(path: Path) -> list[Path]:
    """The files of weights at ``path``: itself, or those in a folder, the safe format first.

    Raises:
        ConfigError: the folder holds none.
    """
    files = [path]
    if path.is_dir():
        for pattern in ("*.safetensors", "pytorch_model*.bin", "*.pth", "*.pkl"):
            files = sorted(path.glob(pattern))
            if files:
                break
        else:
            raise ConfigError(
                f"{path}: holds no weights (.safetensors, pytorch_model.bin, .pth or .pkl). Copy them there."
            )
    return files


def files_sha256(files: Sequence[Path]) -> str:
    """SHA-256 of one file, or of the digests of several in their order."""
    digests = [file_sha256(file) for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def pick_device(device: str | None) -> str:
    """The device to compute on: what was asked for, else CUDA where there is one.

    Raises:
        ConfigError: it is not there.
    """
    import torch

    if device is None or device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error, 160)
        raise ConfigError(
            f"The device {device!r} cannot be used ({reason}). Use cpu, or cuda where there is one."
        ) from error
    return device


_IMAGENET_CLASSES = 1000


def class_names(info: ExtractorInfo) -> Sequence[str] | None:
    """Name of each region class; None when nothing installed knows them.

    The default backbone and timm's with 1,000 classes are ImageNet's, in its order; torchvision's and transformers'
    say themselves. The paper's detector has Visual Genome's, with the background first.
    """
    named = _detector_names(info)
    if named is not None:
        return named if len(named) == info.num_classes else None
    backbone = str(info.settings.get("backbone", ""))
    hub, _, model = backbone.partition(":")
    names: Sequence[str] | None = None
    if hub == "torchvision":
        names = _torchvision_names(model)
    elif hub == "transformers":
        names = _transformers_names(model)
    elif backbone.partition("@")[0] == EFFICIENTNET_LITE0 or (hub == "timm" and info.num_classes == _IMAGENET_CLASSES):
        names = _torchvision_names("efficientnet_b0")
    return names if names is not None and len(names) == info.num_classes else None


def _detector_names(info: ExtractorInfo) -> Sequence[str] | None:
    """Names with "nothing" first, when a detector made the distribution."""
    if info.name == "frcnn" or info.settings.get("described_by") == "frcnn":
        return object_names()
    if info.name == "detector":
        model, _, revision = str(info.settings.get("weights_from", "")).partition("@")
        names = _transformers_names(model, revision or None)
        return None if names is None else ("nothing", *names)
    return None


def _torchvision_names(model: str) -> Sequence[str] | None:
    try:
        from torchvision.models import get_model_weights

        names: Sequence[str] = get_model_weights(model)["DEFAULT"].meta["categories"]
    except (ImportError, ValueError, KeyError, AttributeError):
        return None
    return names


def _transformers_names(model: str, revision: str | None = None) -> Sequence[str] | None:
    from transformers import AutoConfig

    from interbert.checkpoints.foreign_files import require_own_files

    try:
        require_own_files(model)
        labels = AutoConfig.from_pretrained(
            model, revision=revision, local_files_only=True, trust_remote_code=False
        ).id2label
        return [str(labels[place]) for place in sorted(labels)]
    except Exception:  # a store says where: whatever lies there now, its images can be shown without names
        return None
