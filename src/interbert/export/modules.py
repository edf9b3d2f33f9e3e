"""The parts of a retrieval model that are worth a file of their own: tensors in, one tensor out.

Shapes: B batch, T text tokens, R image tokens (global token first), D vector size.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from interbert.model.modeling import InterBertForImageTextRetrieval

TEXT = ("input_ids", "attention_mask")
IMAGE = ("region_features", "region_locations", "region_mask")


class JointScorer(nn.Module):
    """Pairs to logit differences [B] (match minus mismatch), the dual prior in them."""

    def __init__(self, model: InterBertForImageTextRetrieval) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        region_features: Tensor,
        region_locations: Tensor,
        region_mask: Tensor,
    ) -> Tensor:
        """Scores [B]."""
        logits = self.model(input_ids, attention_mask, None, region_features, region_locations, region_mask).logits
        return logits[:, 0] - logits[:, 1]  # type: ignore[no-any-return]


class TextEncoder(nn.Module):
    """Texts to dual-encoder vectors [B,D]."""

    def __init__(self, model: InterBertForImageTextRetrieval) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Vectors [B,D]."""
        return self.model.encode_text(input_ids, attention_mask)


class ImageEncoder(nn.Module):
    """Images to dual-encoder vectors [B,D]."""

    def __init__(self, model: InterBertForImageTextRetrieval) -> None:
        super().__init__()
        self.model = model

    def forward(self, region_features: Tensor, region_locations: Tensor, region_mask: Tensor) -> Tensor:
        """Vectors [B,D]."""
        return self.model.encode_image(region_features, region_locations, region_mask)


@dataclass(frozen=True)
class Part:
    """One exported file."""

    file: str
    module: type[nn.Module]
    inputs: tuple[str, ...]
    output: str


PARTS = (
    Part("joint.onnx", JointScorer, TEXT + IMAGE, "scores"),
    Part("text_encoder.onnx", TextEncoder, TEXT, "vectors"),
    Part("image_encoder.onnx", ImageEncoder, IMAGE, "vectors"),
)
