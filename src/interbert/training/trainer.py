"""The one trainer: Hugging Face's, with our batches, our validation and honest logs.

What it adds: batches of like length whose order and masks depend on seed and epoch alone; each objective's loss
logged beside its chance value; validation by the task, on averaged weights when there are any; the best model kept as
a complete directory; Ctrl-C that finishes the step, saves and stops.
"""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from interbert.checkpoints.directory import make_readable
from interbert.checkpoints.quiet import quiet_library
from interbert.data.sampling import EpochBatches
from interbert.errors import TrainingError, writing
from interbert.tasks.base import Task
from interbert.training.arguments import CHECKPOINTS
from interbert.training.console import TrainingConsole
from interbert.training.ema import EMA_FILE, WeightAverage
from interbert.training.model_card import write_model_card
from interbert.training.optimizer import make_optimizer
from interbert.training.options import TrainingOptions
from interbert.training.provenance import PROVENANCE, write_provenance

LOG_HISTORY = "log_history.jsonl"
STATE = "training.json"
_LOSSES = ("lm_loss", "region_loss", "matching_loss", "contrastive_loss")


class InterBertTrainer(Trainer):  # type: ignore[misc]
    """Trains a model on examples, judged by a task.

    Args:
        model: to train.
        arguments: Hugging Face's.
        options: ours.
        out: model directory; holds the best model so far at every moment.
        dataset: examples by sample key.
        batches: which keys make a batch.
        collator: examples to tensors.
        task: validation.
        processor: saved with the model.
        origin: provenance.
        chance: value of each loss for a model that knows nothing, logged beside it.
        bert_filled: names of parameters that a BERT filled (their learning rate may be lower).
        judge_start: validate before the first step too, so that the model that is started from is a candidate.
    """

    control: Any

    def __init__(
        self,
        model: PreTrainedModel,
        arguments: TrainingArguments,
        options: TrainingOptions,
        out: Path,
        dataset: Dataset[Any],
        batches: EpochBatches,
        collator: Callable[[Any], dict[str, Tensor]],
        task: Task,
        processor: Any,
        origin: Mapping[str, Any],
        chance: Mapping[str, float],
        bert_filled: frozenset[str] = frozenset(),
        judge_start: bool = False,
    ) -> None:
        # the task holds its own data; the base class only wants to see that validation was meant
        super().__init__(model=model, args=arguments, train_dataset=dataset, eval_dataset=[], data_collator=collator)
        self._options = options
        self._out = out
        self._batches = batches
        self._task = task
        self._processor = processor
        self._origin = dict(origin)
        self._chance = dict(chance)
        self._bert_filled = bert_filled
        self._judge_start = judge_start
        self._sums: dict[str, tuple[float, int]] = {}
        self._best: float | None = None
        self.average = WeightAverage(model, options.ema_decay) if options.ema_decay is not None else None
        self.remove_callback(PrinterCallback)
        self.add_callback(TrainingConsole(options.batch_size * options.gradient_accumulation))
        self._steps = _Steps(self)
        self.add_callback(self._steps)

    def get_train_dataloader(self) -> Any:
        """Batches by sample key."""
        loader: DataLoader[Any] = DataLoader(
            self.train_dataset,
            batch_sampler=self._batches,
            collate_fn=self.data_collator,
            num_workers=self.args.dataloader_num_workers,
            pin_memory=self.args.dataloader_pin_memory,
            # the store's library runs threads, which a forked child would not have
            multiprocessing_context="forkserver" if self.args.dataloader_num_workers else None,
        )
        return self.accelerator.prepare(loader)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW, as :func:`~interbert.training.optimizer.make_optimizer` groups it."""
        target = self.model if model is None else model
        self.optimizer = make_optimizer(target, self._options, self._bert_filled)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Linear or cosine by the library; ``step`` as SPEC part 4 has it."""
        if self._options.schedule != "step":
            return super().create_scheduler(num_training_steps, optimizer)
        rise: int = max(1, self.args.get_warmup_steps(num_training_steps))

        def rate(step: int) -> float:
            if step < rise:
                return (step + 1) / rise
            drops = sum(step >= share * num_training_steps for share in (0.6, 0.8, 1.0))
            return math.pow(0.1, drops)

        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer or self.optimizer, rate)
        return self.lr_scheduler

    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any) -> Any:
        """Summed loss; its parts are kept for the log.

        Raises:
            TrainingError: the loss is NaN or infinite.
        """
        outputs = model(**inputs)
        loss = outputs.loss
        if not math.isfinite(loss.item()):
            parts = {name: getattr(outputs, name, None) for name in _LOSSES}
            named = ", ".join(f"{name} {part.item():.3g}" for name, part in parts.items() if part is not None)
            raise TrainingError(
                f"step {self.state.global_step}: the loss is not finite ({named}). Lower training.learning_rate; the "
                "last checkpoint is kept."
            )
        for name in _LOSSES:
            part = getattr(outputs, name, None)
            if part is not None and part.item():  # exactly 0: nothing in this batch was masked
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + part.item(), count + 1)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add each objective's mean loss since the last line and its chance value; keep the line on disk."""
        if "loss" in logs:
            for name, (total, count) in self._sums.items():
                logs[name] = round(total / count, 4)
                if name in self._chance:
                    logs[f"{name}_chance"] = round(self._chance[name], 4)
            self._sums = {}
        super().log(logs, start_time)
        if self.is_world_process_zero():
            with (self._out / LOG_HISTORY).open("a", encoding="utf-8") as file:
                file.write(json.dumps(self.state.log_history[-1]) + "\n")

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Judge the (averaged) model by the task; keep it when it is the best so far."""
        with self.average.applied() if self.average is not None else nullcontext():
            found = self._task.evaluate(self.accelerator.unwrap_model(self.model))
            metrics = {f"eval_{name}": float(value) for name, value in found.items()}
            self.log(dict(metrics))
            value = metrics[f"eval_{self._task.primary_metric}"]
            # of equals the later one is kept: few validation pictures make many
            better = self._best is None or value == self._best or (value > self._best) == self._task.greater_is_better
            if better and self.is_world_process_zero():
                self._best = value
                self._keep(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _evaluate(self, trial: Any, ignore_keys_for_eval: Any, skip_scheduler: bool = False) -> dict[str, float]:
        return self.evaluate()

    def _keep(self, metrics: Mapping[str, float]) -> None:
        """Write the whole model directory: beside it first, so that a kill leaves the old one or the new one."""
        part = self._out / "best.part"
        with writing(self._out), quiet_library():
            self.accelerator.unwrap_model(self.model).save_pretrained(part)
            self._processor.save_pretrained(part)
            reached = {"step": self.state.global_step, "epoch": self.state.epoch, **metrics}
            origin = self._origin | {"reached": reached}
            write_provenance(part, origin)
            write_model_card(part, type(self.accelerator.unwrap_model(self.model)).__name__, origin)
            make_readable(part)
            for file in sorted(part.iterdir()):
                file.replace(self._out / file.name)
            part.rmdir()

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        folder = self._out / CHECKPOINTS / f"checkpoint-{self.state.global_step}"
        with writing(folder), quiet_library():
            super()._save_checkpoint(model, trial)
            if self.average is not None:
                self.average.save(folder)
            (folder / STATE).write_text(json.dumps({"best": self._best}))  # last: marks the checkpoint as whole

    def train_or_resume(self) -> None:
        """Train, from the last whole checkpoint when there is one."""
        checkpoint = last_checkpoint(self._out)
        if checkpoint is not None:
            self._best = json.loads((checkpoint / STATE).read_text())["best"]
            if self.average is not None and (checkpoint / EMA_FILE).exists():
                self.average.load(checkpoint)
            print(f"continuing from {checkpoint}")
            self._forget_after(int(checkpoint.name.rpartition("-")[2]))
        self._steps.judge_start = self._judge_start and checkpoint is None
        with _graceful_interrupt(self._steps):
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if self.is_world_process_zero():
            self._say_what_is_kept()

    def _forget_after(self, step: int) -> None:
        """Drop log lines of steps that will be done again."""
        file = self._out / LOG_HISTORY
        if self.is_world_process_zero() and file.exists():
            lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line).get("step", 0) <= step]
            part = file.with_name(file.name + ".part")
            part.write_text("".join(kept), encoding="utf-8")
            part.replace(file)

    def _say_what_is_kept(self) -> None:
        reached = json.loads((self._out / PROVENANCE).read_text(encoding="utf-8"))["reached"]
        name = self._task.primary_metric
        print(
            f"kept: step {reached['step']} of {self.state.global_step}, {name} {reached[f'eval_{name}']:.1f} "
            f"({self._task.data_size})",
            flush=True,
        )


def last_checkpoint(out: Path) -> Path | None:
    """The newest checkpoint that was written to its end; None when there is none."""
    whole = [folder for folder in (out / CHECKPOINTS).glob("checkpoint-*") if (folder / STATE).exists()]
    return max(whole, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


class _Steps(TrainerCallback):  # type: ignore[misc]
    """Updates the average, and turns Ctrl-C into save-and-stop after the step."""

    def __init__(self, trainer: InterBertTrainer) -> None:
        self._trainer = trainer
        self.interrupted = False
        self.judge_start = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        if self.judge_start:
            self._trainer.evaluate()  # a model that training makes worse is not replaced
        return control

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        if self._trainer.average is not None:
            self._trainer.average.update()
        if self.interrupted:
            control.should_save = True
            control.should_training_stop = True
        return control

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.interrupted:
            raise KeyboardInterrupt


@contextmanager
def _graceful_interrupt(steps: _Steps) -> Iterator[None]:
    def handle(signum: int, frame: FrameType | None) -> None:
        if steps.interrupted:
            raise KeyboardInterrupt
        steps.interrupted = True
        print("\nstopping after this step and saving; press Ctrl-C again to stop at once")

    try:
        before = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not the main thread: the caller handles interrupts
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
