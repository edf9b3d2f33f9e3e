"""In what a run of the trainer may differ from plain training: the stages before it, and other networks' training."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils.data import Dataset

from interbert.data.sampling import Batches
from interbert.errors import writing
from interbert.tasks.base import Task
from interbert.training.arguments import trainer_arguments
from interbert.training.options import TrainingOptions
from interbert.training.trainer import InterBertTrainer


@dataclass(frozen=True)
class Stage:
    """What the trainer is told of a stage."""

    title: str
    rate_option: str
    """What to lower when the loss is not finite."""
    schedule: Callable[[int, int], float]
    """Share of the peak learning rate at a step, of how many."""
    decay_all: bool = False
    """Decay biases and LayerNorms, too."""
    ema_warm_up: bool = True
    """Whether the average's decay rises from 0.1."""
    seed_of_epoch: Callable[[int], int] | None = None
    """Seed of dropout as an epoch begins; None: the run's, from its first step on."""


class StageTask(Task):
    """A loss whose batches the task itself reads, and no validation."""

    @abstractmethod
    def batch(self, keys: Sequence[Any]) -> dict[str, Tensor]:
        """What :meth:`losses` reads of some samples."""

    def evaluate(self, model: nn.Module) -> Mapping[str, float]:
        """Nothing."""
        return {}


class KeysAlone(Dataset[Any]):
    """Samples that are their own keys: the collator looks everything up.

    Args:
        count: of samples.
    """

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, key: Any) -> Any:
        return key


def train_stage(
    model: nn.Module,
    trained: Sequence[nn.Parameter],
    task: StageTask,
    options: TrainingOptions,
    folder: Path,
    batches: Batches,
    stage: Stage,
    chance: Mapping[str, float],
) -> None:
    """Train without validation, with twelve lines and four checkpoints; the same call continues a stopped stage.

    Args:
        model: to train.
        trained: its parameters that change.
        task: the loss and its batches.
        options: how.
        folder: of log and checkpoints, of no use afterwards.
        batches: keys.
        stage: in what this differs from plain training.
        chance: value of each loss for a model that knows nothing.

    Raises:
        TrainingError: the loss is not finite.
        StorageError: the disk is full; the last checkpoint is kept.
    """
    every = max(1, int(len(batches) * options.epochs) // 12)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    arguments = trainer_arguments(
        options,
        folder,
        len(batches),
        some_unused=True,
        eval_strategy="no",
        save_steps=3 * every,
        logging_steps=every,
        report_to=[],
    )
    dataset = KeysAlone(len(batches) * options.batch_size)
    with _only(model, trained):
        InterBertTrainer(
            model, arguments, options, folder, dataset, batches, task.batch, task, None, {}, chance, stage=stage
        ).train_or_resume()


@contextmanager
def _only(model: nn.Module, trained: Sequence[nn.Parameter]) -> Iterator[None]:
    """Gradients for ``trained`` alone, for the length of a block."""
    kept = {id(parameter) for parameter in trained}
    frozen = [parameter for parameter in model.parameters() if id(parameter) not in kept and parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
