"""Dual-encoder vectors of texts by OpenVINO: for the few tokens of a query torch's own overhead is most of its time.

In float32: vectors are torch's to rounding, and a text has the same in every batch to rounding.

Shapes: n texts, T tokens, D vector size.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.search.openvino_module import CompiledModule, require_openvino

Float32 = NDArray[np.float32]

_TEXTS = 64
"""Of a batch, at most."""


class OpenVinoTexts:
    """Encodes texts.

    Args:
        model: with a dual encoder, on the CPU; its weights do not change any more.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        UsageError: the model is on a GPU.
    """

    def __init__(self, model: InterBertForImageTextRetrieval) -> None:
        require_openvino(model)
        self._model = model
        self._compiled: CompiledModule | None = None
        self._compiling = threading.Lock()

    def prepare(self) -> None:
        """Convert and compile the model, once."""
        with self._compiling:
            if self._compiled is None:
                example = (torch.ones(3, 9, dtype=torch.int64),)
                self._compiled = CompiledModule(_Texts(self._model), example, [([-1, -1], "i64")], bf16=False)

    def vectors(self, ids: Sequence[Sequence[int]]) -> Float32:
        """Vectors [n,D] of texts by token ids, as :func:`interbert.model.scoring.encode_texts` gives them."""
        self.prepare()
        assert self._compiled is not None
        (request,) = self._compiled.requests(1)
        lengths = np.array([len(one) for one in ids])
        found: list[tuple[NDArray[np.int64], Float32]] = []
        for length in np.unique(lengths):
            places = np.flatnonzero(lengths == length)
            for start in range(0, len(places), _TEXTS):
                batch = places[start : start + _TEXTS]
                wanted = 1 << (len(batch) - 1).bit_length()  # kernels are compiled for each new shape
                padded = [ids[place] for place in [*batch, *[batch[-1]] * (wanted - len(batch))]]
                vectors = request.infer([np.array(padded, dtype=np.int64)])[0][: len(batch)]
                found.append((batch, vectors.copy()))
        whole = np.empty((len(ids), found[0][1].shape[1]), dtype=np.float32)
        for batch, vectors in found:
            whole[batch] = vectors
        return whole


class _Texts(nn.Module):
    """Token ids [n,T] without padding to vectors [n,D]."""

    def __init__(self, model: InterBertForImageTextRetrieval) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        return self.model.encode_text(ids)
