"""What the region classes of an extractor are called, found without a network."""

from __future__ import annotations

from collections.abc import Sequence

from interbert.extraction.efficientnet import EFFICIENTNET_LITE0
from interbert.extraction.frcnn.names import object_names
from interbert.regions.schema import ExtractorInfo

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

    from interbert.checkpoints.own_code import require_own_files

    try:
        require_own_files(model)
        labels = AutoConfig.from_pretrained(
            model, revision=revision, local_files_only=True, trust_remote_code=False
        ).id2label
        return [str(labels[place]) for place in sorted(labels)]
    except Exception:  # a store says where: whatever lies there now, its images can be shown without names
        return None
