"""The joint pass by OpenVINO, which fuses what torch computes one after the other: faster on a CPU.

The model is converted in memory, so there is no file to make or to keep. Results are torch's, to rounding; and a pair's
score does not depend on what is scored beside it.

Shapes: n pairs, T text tokens, R image tokens, H hidden size.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from interbert.errors import MissingExtraError, UsageError
from interbert.model.modeling import InterBertForImageTextRetrieval
from interbert.model.scoring import autocast
from interbert.search.pair_batches import even_batches, filled
from interbert.utils.openvino_module import CompiledModule, usable_cores
from interbert.utils.runtimes import import_unreported

Float32 = NDArray[np.float32]


class OpenVinoScorer:
    """Scores pairs by OpenVINO, on every core.

    Args:
        model: with a matching head, on the CPU; its weights do not change any more.
        bf16: as in :func:`interbert.model.scoring.score_matrix`.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        UsageError: the model is on a GPU.
    """

    runtime: Literal["torch", "openvino"] = "openvino"

    def __init__(self, model: InterBertForImageTextRetrieval, bf16: bool | None) -> None:
        _require_openvino(model)
        self._model = model
        self._cores = usable_cores()
        with autocast(model, bf16):
            self._bf16 = torch.is_autocast_enabled("cpu")
        self._compiled: CompiledModule | None = None
        self._compiling = threading.Lock()

    def pairs(
        self,
        texts: Sequence[Sequence[int]],
        tokens: Sequence[Float32],
        text_of: NDArray[np.int64],
        image_of: NDArray[np.int64],
        progress: Callable[[int], None] | None = None,
    ) -> Float32:
        """Logit differences [n] of listed pairs, as :meth:`interbert.search.joint.JointScorer.pairs` gives them."""
        scores = np.zeros(len(text_of), dtype=np.float32)
        lengths = np.array([len(one) for one in texts], dtype=np.int64)[text_of]
        counts = np.array([len(one) for one in tokens], dtype=np.int64)[image_of]
        requests = self._requests()
        busy: deque[tuple[Any, NDArray[np.int64]]] = deque()

        def finish() -> Any:
            request, batch = busy.popleft()
            request.wait()
            scores[batch] = request.get_output_tensor(0).data[: len(batch)]
            if progress is not None:
                progress(len(batch))
            return request

        for place, batch in enumerate(even_batches(lengths, counts, self._cores)):
            request = requests[place] if place < len(requests) else finish()
            ids = np.array([texts[one] for one in text_of[batch]], dtype=np.int64)
            images = np.stack([tokens[one] for one in image_of[batch]])
            request.start_async([filled(ids), filled(images)])
            busy.append((request, batch))
        while busy:
            finish()
        return scores

    def _requests(self) -> list[Any]:
        """This thread's requests, one for each core."""
        self.prepare()
        assert self._compiled is not None
        return self._compiled.requests(self._cores)

    def prepare(self) -> None:
        """Convert and compile the model, once."""
        with self._compiling:
            if self._compiled is None:
                hidden = self._model.config.hidden_size
                example = (torch.ones(3, 9, dtype=torch.int64), torch.zeros(3, 6, hidden))
                joint, inputs = _Joint(self._model), [([-1, -1], "i64"), ([-1, -1, hidden], "f32")]
                self._compiled = CompiledModule(joint, example, inputs, self._bf16)


class _Joint(nn.Module):
    """Text token ids [n,T] and embedded images [n,R,H], without padding, to logit differences [n]."""

    def __init__(self, model: InterBertForImageTextRetrieval) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, images: Tensor) -> Tensor:
        return logit_differences(self.model, self.model.interbert.text_embeddings(ids), images)


def logit_differences(model: InterBertForImageTextRetrieval, texts: Tensor, images: Tensor) -> Tensor:
    """Logit differences [n] of embedded texts [n,T,H] and embedded images [n,R,H], without padding."""
    output = model.interbert.encode_embedded(texts, images, pooled_only=True)
    logits = model.matching_head(model.fusion(output.text_pooled, output.image_pooled))
    return logits[:, 0] - logits[:, 1]  # type: ignore[no-any-return]


def _require_openvino(model: InterBertForImageTextRetrieval) -> None:
    """Check that OpenVINO can compute a model.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        UsageError: the model is on a GPU.
    """
    if model.device.type != "cpu":
        raise UsageError("OpenVINO scores on the CPU, and the model is on a GPU. Score by torch there.")
    try:
        import_unreported("openvino")
    except ImportError as error:
        raise MissingExtraError.of("openvino", "export") from error
