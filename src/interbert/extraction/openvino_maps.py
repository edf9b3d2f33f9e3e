"""The default network's maps by OpenVINO: faster on a CPU than by torch, and the same but for float32's rounding.

Shapes: B images, C channels of a map.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

from interbert.extraction.efficientnet import EfficientNetLite0
from interbert.utils.openvino_module import CompiledModule
from interbert.utils.runtimes import import_unreported

_logger = logging.getLogger(__name__)

_WORTH_IT = 512
"""Images from which on it pays to convert the network, which takes a second."""
_EXAMPLE = 64
"""Height and width of the image that the network is traced with."""
_TOLERANCE = 1e-3
"""Of a map's largest value; float32 differs by a hundredth of that."""


class OpenVinoMaps:
    """A network's maps for the CPU.

    Args:
        backbone: whose weights do not change any more.

    Raises:
        ImportError: OpenVINO is not installed.
    """

    def __init__(self, backbone: EfficientNetLite0) -> None:
        import_unreported("openvino")
        example = torch.zeros(1, 3, _EXAMPLE, _EXAMPLE)
        self._names = tuple(backbone.maps(example))
        inputs = [([-1, 3, -1, -1], "f32")]
        # one batch at a time: decoding has the cores between them
        cores = torch.get_num_threads()
        self._compiled = CompiledModule(_Maps(backbone), (example,), inputs, bf16=False, streams=1, cores=cores)

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        """As :meth:`~interbert.extraction.backbones.Backbone.maps`."""
        request = self._compiled.requests(1)[0]
        found = request.infer([images.contiguous().numpy()], share_inputs=True)  # results are copies
        return {name: torch.from_numpy(found[place]) for place, name in enumerate(self._names)}

    def agrees(self, backbone: EfficientNetLite0) -> bool:
        """Whether it computes what torch does, of an image that is drawn."""
        image = 255 * torch.rand(1, 3, 2 * _EXAMPLE, 3 * _EXAMPLE, generator=torch.Generator().manual_seed(0))
        ours, wanted = self(image), backbone.maps(image)
        return all(
            bool((ours[name] - wanted[name]).abs().max() <= _TOLERANCE * wanted[name].abs().max()) for name in ours
        )


class _Maps(nn.Module):
    """Images [B,3,height,width] to maps [B,C,h,w], in the order of their names."""

    def __init__(self, backbone: EfficientNetLite0) -> None:
        super().__init__()
        self._backbone = backbone
        self.network = backbone.network  # so that tracing knows its weights

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self._backbone.maps(images).values())


def maps_for_many(backbone: object, images: int) -> OpenVinoMaps | None:
    """What is faster for so many images on a CPU, where OpenVINO is installed; else None.

    Args:
        backbone: any; of the default network alone it is known that OpenVINO computes the same.
        images: that follow.
    """
    if images < _WORTH_IT or not isinstance(backbone, EfficientNetLite0):
        return None
    try:
        maps = OpenVinoMaps(backbone)
    except ImportError:
        return None
    if not maps.agrees(backbone):
        _logger.info("OpenVINO computes other features than torch on this machine, so torch computes them")
        return None
    return maps
