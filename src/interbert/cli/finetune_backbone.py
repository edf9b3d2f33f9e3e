"""Teach the image network of region extraction a catalogue's own images and words.

A network that knows ImageNet's thousand classes sees that a thing is a shoe; a shop's titles say which shoe. The upper
layers of EfficientNet-Lite0 learn to find an image by its text and a text by its image. Minutes for ten thousand
images on a CPU; do it before extracting, with the images that the model will be trained on.

    interbert finetune backbone train.parquet models/backbone --text-columns '[title]' --validation validation.parquet
    interbert extract train.parquet regions/train --backbone models/backbone --input-size 192

Stores and models take the network along. The same command continues a stopped run.
"""

from __future__ import annotations

from interbert.adaptation.options import BackboneOptions as Options
from interbert.utils.terminal import say


def run(options: Options) -> None:
    """Learn."""
    from interbert.adaptation.backbone import finetune_backbone

    finetune_backbone(options)
    say(f"backbone: {options.out}")


__all__ = ["Options", "run"]
