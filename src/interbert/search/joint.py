"""The joint pass over pairs of texts and stored image tokens.

Shapes: n images, R image tokens, H hidden size.
"""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.scoring import autocast, score_embedded, unread_scores

Float32 = NDArray[np.float32]


JointRuntime = Literal["auto", "torch", "openvino"]
"""``auto`` is OpenVINO for a model on the CPU where it is installed, else torch."""


class PairScorer(Protocol):
    """Who scores listed pairs."""

    runtime: Literal["torch", "openvino"]

    def prepare(self) -> None:
        """Do now what the first pairs would wait for."""

    def pairs(
        self,
        texts: Sequence[Sequence[int]],
        tokens: Sequence[Float32],
        text_of: NDArray[np.int64],
        image_of: NDArray[np.int64],
        progress: Callable[[int], None] | None = None,
    ) -> Float32:
        """As :meth:`JointScorer.pairs`."""


def joint_scorer(
    model: InterBertForImageTextRetrieval, bf16: bool | None, runtime: JointRuntime = "torch"
) -> PairScorer:
    """The scorer of a runtime; of a model that does not read jointly there is one alone.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        UsageError: OpenVINO is to score what is on a GPU.
    """
    if runtime == "auto":
        runtime = "openvino" if model.device.type == "cpu" and importlib.util.find_spec("openvino") else "torch"
    if runtime == "torch" or not model.config.reads_jointly:
        return JointScorer(model, bf16)
    from interbert.search.openvino_joint import OpenVinoScorer

    return OpenVinoScorer(model, bf16)


class JointScorer:
    """Scores pairs by a model whose weights do not change any more.

    Args:
        model: with a matching head.
        bf16: as in :func:`interbert.model.scoring.score_matrix`.
    """

    runtime: Literal["torch", "openvino"] = "torch"

    def __init__(self, model: InterBertForImageTextRetrieval, bf16: bool | None) -> None:
        self._model = model
        self._bf16 = bf16
        self._ready: InterBertForImageTextRetrieval | None = None

    def prepare(self) -> None:
        """Cast the weights."""
        if self._model.config.reads_jointly:
            self._prepared()

    def _prepared(self) -> InterBertForImageTextRetrieval:
        if self._ready is None:
            self._ready = cast_once(self._model, self._bf16)
        return self._ready

    def pairs(
        self,
        texts: Sequence[Sequence[int]],
        tokens: Sequence[Float32],
        text_of: NDArray[np.int64],
        image_of: NDArray[np.int64],
        progress: Callable[[int], None] | None = None,
    ) -> Float32:
        """Logit differences [pairs] of listed pairs.

        Args:
            texts: token ids.
            tokens: [R,H] of each image; a model that does not read jointly looks at none.
            text_of, image_of: [pairs] index of each pair's text and image.
            progress: told how many pairs were scored.
        """
        if not len(text_of):
            return np.zeros(0, dtype=np.float32)
        unread = unread_scores(self._model, len(text_of), progress)
        if unread is not None:  # before tokens are looked at, of which there are none
            return unread
        embedded, counts = padded(tokens, self._model.device)
        return score_embedded(self._prepared(), texts, embedded, counts, text_of, image_of, progress, bf16=self._bf16)


def padded(tokens: Sequence[Float32], device: torch.device) -> tuple[Tensor, NDArray[np.int64]]:
    """Tokens [R,H] as [n,R,H] on a device, and how many each image has."""
    counts = np.array([len(one) for one in tokens], dtype=np.int64)
    whole = np.zeros((len(tokens), int(counts.max()), tokens[0].shape[1]), dtype=np.float32)
    for place, one in enumerate(tokens):
        whole[place, : len(one)] = one
    return torch.from_numpy(whole).to(device), counts


def cast_once(model: InterBertForImageTextRetrieval, bf16: bool | None) -> InterBertForImageTextRetrieval:
    """The model as scoring in bf16 reads it: autocast casts all weights in every call, which takes a sixth of its time
    with 32 pairs. Results are the same numbers.

    Returns:
        one that shares everything but the weights of linear layers; the model itself where there is nothing to cast.
    """
    with autocast(model, bf16):
        if not torch.is_autocast_enabled(model.device.type):
            return model
    twin: InterBertForImageTextRetrieval = copy.deepcopy(model, {id(one): one for one in model.parameters()})
    for layer in twin.interbert.modules():  # the heads compute in float32 in any case
        if isinstance(layer, nn.Linear):
            layer.weight = nn.Parameter(layer.weight.detach().to(torch.bfloat16), requires_grad=False)
            if layer.bias is not None:
                layer.bias = nn.Parameter(layer.bias.detach().to(torch.bfloat16), requires_grad=False)
    twin.eval()
    return twin
