"""What is timed: training steps and scoring, the reference's way and ours; and the same weights in both."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from reference_code import Reference
from torch import Tensor, nn

from interbert.checkpoints.adapter import from_reference, to_reference
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForImageTextRetrieval, InterBertForPreTraining
from interbert.model.processing import pad_texts
from interbert.model.region_inputs import pad_images
from interbert.model.scoring import autocast, score_matrix
from interbert.tasks.pretraining import pretraining_losses
from interbert.training.arguments import attention_for_training, make_optimizer
from interbert.training.options import TrainingOptions
from interbert.utils.stored_names import RegionArrays


def converted(model: Any, kind: Any, config: InterBertConfig) -> Any:
    """Our model with the reference's weights."""
    ours = kind(config)
    state, unknown = from_reference(model.state_dict(), config)
    wanted = ours.state_dict()
    assert not unknown, f"the adapter does not know {unknown}"
    ours.load_state_dict({name: state[name] for name in wanted})
    return ours


def gradients(model: nn.Module, config: InterBertConfig | None) -> dict[str, Tensor]:
    """Gradients by the reference's names; ``config`` is our model's, None for the reference's own."""
    found = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    return found if config is None else to_reference(found, config)[0]


class ReferenceTraining:
    """Steps as the reference's pretraining script makes them."""

    def __init__(self, reference: Reference, model: Any, batches: list[list[Tensor]]) -> None:
        self._model = model
        self._batches = batches
        self._optimizer = reference.optimizer(model, learning_rate=1e-4, steps=10_000)

    def __call__(self) -> None:
        for batch in self._batches:
            loss = sum(self._model(*batch))
            loss.backward()
            loss.item()
            self._optimizer.step()
            self._optimizer.zero_grad()


class OurTraining:
    """Steps as our trainer makes them: its attention, optimizer, clipping and precision."""

    def __init__(self, model: InterBertForPreTraining, batches: list[dict[str, Tensor]], bf16: bool) -> None:
        options = TrainingOptions(learning_rate=1e-4)
        model.set_attn_implementation(attention_for_training())
        self._model = model
        self._batches = batches
        self._bf16 = bf16
        self._most = options.max_grad_norm
        self._optimizer = make_optimizer(model, options)
        for group in self._optimizer.param_groups:
            group["lr"] *= 1e-3  # as early in the warm-up as the reference is

    def __call__(self) -> None:
        for batch in self._batches:
            with autocast(self._model, self._bf16):
                loss = pretraining_losses(self._model, batch)["loss"]
            loss.backward()  # type: ignore[no-untyped-call]
            loss.item()
            nn.utils.clip_grad_norm_(self._model.parameters(), self._most)
            self._optimizer.step()
            self._optimizer.zero_grad()


class ReferenceScoring:
    """Scores as the reference's Flickr30K evaluation computes them: one text with a block of padded images.

    Args:
        pads: tokens of every text, image tokens of every image.
        block: images per forward.
    """

    def __init__(
        self, model: Any, texts: list[list[int]], images: list[RegionArrays], pads: tuple[int, int], block: int
    ) -> None:
        tokens, regions = pads
        filler = (np.zeros((regions, images[0][0].shape[1]), np.float32), np.zeros((regions, 5), np.float32))
        padded = pad_images([*images, filler])
        self._images = {name: side[:-1] for name, side in padded.items()}
        self._texts = {name: side[:-1] for name, side in pad_texts([*texts, [0] * tokens]).items()}
        self._model = model
        self._block = block
        self.probabilities: NDArray[np.float32] = np.zeros((len(texts), len(images)), dtype=np.float32)
        self.differences = self.probabilities.copy()

    @torch.no_grad()
    def __call__(self) -> None:
        for row, (ids, mask) in enumerate(zip(*self._texts.values(), strict=True)):
            for start in range(0, self.probabilities.shape[1], self._block):
                block = slice(start, start + self._block)
                features, locations, region_mask = (side[block] for side in self._images.values())
                count = len(features)
                joint = torch.cat([region_mask, mask.expand(count, -1)], dim=-1)
                segments = torch.zeros_like(mask)[None]
                output = self._model(
                    ids.expand(count, -1), features, locations, segments, mask[None], region_mask, multimodal_mask=joint
                )
                logits = output[2]
                self.probabilities[row, block] = torch.softmax(logits, dim=1)[:, 0].numpy()
                self.differences[row, block] = (logits[:, 0] - logits[:, 1]).numpy()


class OurScoring:
    """Scores by :func:`interbert.model.scoring.score_matrix`."""

    def __init__(
        self, model: InterBertForImageTextRetrieval, texts: list[list[int]], images: list[RegionArrays], bf16: bool
    ) -> None:
        self._inputs = (model, texts, images)
        self._bf16 = bf16
        self.differences: NDArray[np.float32] = np.zeros((0, 0), dtype=np.float32)

    def __call__(self) -> None:
        self.differences = score_matrix(*self._inputs, bf16=self._bf16)
