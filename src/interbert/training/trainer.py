"""The one trainer: Hugging Face's, with our batches, our validation and honest logs.

What it adds: batches of like length whose order and masks depend on seed and epoch alone; each objective's loss
logged beside its chance value; validation by the task, on averaged weights when there are any; the chosen model kept as
a complete directory; Ctrl-C that finishes the step, saves and stops; processes that share a step as data/sampling.py
cuts it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.data_loader import prepare_data_loader
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from interbert.checkpoints.directory import finish_replacing, replaced_files
from interbert.data.sampling import Batches, SampleKey
from interbert.errors import TrainingError, writing
from interbert.model.scoring import on_device
from interbert.tasks.base import Task
from interbert.training.arguments import CHECKPOINTS, make_optimizer, make_schedule, step_down
from interbert.training.callbacks import ObjectiveLog, StopAtSignal, Throughput, TrainingConsole
from interbert.training.choice import Choice, Validated
from interbert.training.ema import EMA_FILE, WeightAverage
from interbert.training.loader import batch_loader
from interbert.training.model_card import HIGH, LOW, PROVENANCE, write_model_card, write_provenance
from interbert.training.nan_guard import NanGuard, diagnosis, of_all_processes
from interbert.training.options import TrainingOptions
from interbert.training.sharding import ShardedTrainer, is_sharded
from interbert.utils.bounded_files import json_value, read_json, reading
from interbert.utils.files import atomic_write
from interbert.utils.transformers_logging import quiet_transformers

if TYPE_CHECKING:
    from interbert.training.stage import Stage

_logger = logging.getLogger(__name__)

LOG_HISTORY = "log_history.jsonl"
STATE = "training.json"


class InterBertTrainer(ShardedTrainer):
    """Trains a model on examples for a task.

    Args:
        model: to train.
        arguments: Hugging Face's.
        options: ours.
        out: model directory; holds the model that is kept so far at every moment.
        dataset: examples by sample key.
        batches: this process's batches of keys.
        collator: examples to tensors.
        task: what is minimised, and validation.
        processor: saved with the model.
        origin: provenance.
        chance: value of each loss for a model that knows nothing, logged beside it.
        scaled: names of parameters with another learning rate: what a BERT filled.
        judge_start: validate before the first step too, so that the model that is started from is a candidate.
        names: a text of every sample, to name it by when its loss is not finite.
        stage: in what this differs from plain training.
    """

    control: Any
    start_counts = True
    """Whether the model that is started from may be the best one."""

    def __init__(
        self,
        model: nn.Module,
        arguments: TrainingArguments,
        options: TrainingOptions,
        out: Path,
        dataset: Dataset[Any],
        batches: Batches,
        collator: Callable[[Any], dict[str, Tensor]],
        task: Task,
        processor: Any,
        origin: Mapping[str, Any],
        chance: Mapping[str, float],
        scaled: frozenset[str] = frozenset(),
        judge_start: bool = False,
        names: Sequence[str] = (),
        stage: Stage | None = None,
    ) -> None:
        # the task holds its own data; the base class only wants to see that validation was meant
        super().__init__(
            model, task.losses, arguments, options.shard, train_dataset=dataset, eval_dataset=[], data_collator=collator
        )
        self._options = options
        self._out = out
        self._batches = batches
        self._task = task
        self._processor = processor
        self._origin = dict(origin)
        self._chance = dict(chance)
        self._scaled = scaled
        self._judge_start = judge_start
        self._names = names
        self._stage = stage
        self._objectives = ObjectiveLog()
        self._watch = NanGuard(None if self.sharding is None else self._over_processes)
        self._in_step = 0
        self._choice = Choice(task.greater_is_better, self.start_counts)
        pairs_per_step = options.batch_size * options.gradient_accumulation * self.args.world_size
        self._throughput = Throughput(pairs_per_step)
        self.average = None
        if options.ema_decay is not None:
            self.average = WeightAverage(model, options.ema_decay, stage is None or stage.ema_warm_up)
        self.remove_callback(PrinterCallback)
        self.add_callback(TrainingConsole(pairs_per_step, stage.title if stage else None, task.least_steps))
        self._stop = StopAtSignal()
        self.add_callback(self._stop)
        self._steps = _Steps(self)
        self.add_callback(self._steps)

    def get_train_dataloader(self) -> Any:
        """Batches by sample key; each process has its own already, so nobody shares them out again."""
        arguments = self.args
        for_gpu = arguments.dataloader_pin_memory
        loader = batch_loader(
            self.train_dataset,
            self._batches,
            self.data_collator,
            arguments.dataloader_num_workers,
            for_gpu,
            arguments.bf16,
            None if self._stage is None else torch.Generator(),  # of a stage, dropout alone draws from the run's
        )
        return prepare_data_loader(
            loader,
            self.accelerator.device,
            num_processes=1,
            process_index=0,
            put_on_device=True,
            non_blocking=for_gpu,
        )

    def require_wrapper(self) -> None:
        """Check that several processes really train one model.

        Raises:
            TrainingError: they would train apart.
        """
        model: Any = getattr(self.model_wrapped, "_orig_mod", self.model_wrapped)  # what torch.compile has wrapped
        wrapped = is_sharded(model) if self._options.shard else isinstance(model, nn.parallel.DistributedDataParallel)
        if self._batches.processes != self.args.world_size or (self.args.world_size > 1) != wrapped:
            raise TrainingError(
                f"{self._batches.processes} processes were started, the trainer knows {self.args.world_size}, and the "
                f"model is {'' if wrapped else 'not '}shared between them. Start them with torchrun or accelerate."
            )

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Tensor]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Tensor]], None]:
        """Batches of one step; how many places its means are over in all, so that each place counts the same."""
        found, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._in_step = 0
        parts = self.args.world_size * self.args.gradient_accumulation_steps
        if parts > 1 and self._task.mean_over:
            counts = [[len(batch[places]) for places in self._task.mean_over.values()] for batch in found]
            total = torch.tensor(counts, dtype=torch.float32, device=device).sum(0)
            share = self.accelerator.reduce(total, reduction="sum") / parts
            found = [batch | {"predicted_counts": share} for batch in found]
        return found, None

    def begin_step(self, step: int) -> None:
        """Seed dropout where a stage wants it."""
        epoch, place = divmod(step, len(self._batches))
        if self._stage is not None and self._stage.seed_of_epoch is not None and not place:
            torch.manual_seed(self._stage.seed_of_epoch(epoch))

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """AdamW, as :func:`~interbert.training.arguments.make_optimizer` groups it."""
        target = self.model if model is None else model
        decay_all = self._stage is not None and self._stage.decay_all
        self.optimizer = make_optimizer(target, self._options, self._scaled, decay_all)
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """A stage's own, linear or cosine by the library, or ``step`` as SPEC part 4 has it."""
        rate = None if self._stage is None else self._stage.schedule
        if self._options.schedule == "step":
            rate = partial(step_down, max(1, self.args.get_warmup_steps(num_training_steps)))
        if rate is None:
            return super().create_scheduler(num_training_steps, optimizer)
        self.lr_scheduler = make_schedule(rate, optimizer or self.optimizer, num_training_steps)
        return self.lr_scheduler

    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any) -> Any:
        """Summed loss; its parts are kept for the log.

        Raises:
            TrainingError: the loss is NaN or infinite.
        """
        losses = model(**inputs)
        batch = self.state.global_step * self.args.gradient_accumulation_steps + self._in_step
        self._in_step += 1
        self._require_finite(self._watch.bad_batch(losses["loss"], batch))
        counts = inputs.get("predicted_counts")
        self._objectives.add(losses, {} if counts is None else dict(zip(self._task.mean_over, counts, strict=True)))
        return (losses["loss"], losses) if return_outputs else losses["loss"]

    def _require_finite(self, bad: int | None) -> None:
        if bad is None:
            return
        with self.whole_model() as model:
            why = diagnosis(model, self._task.losses, self._singly(self._batches.batch(bad)), self._names)
        if self.sharding is not None:  # every process is here, as the whole weights need them all
            why = of_all_processes(self.sharding.told_by_all(why))
        where, rate = ("", "training.learning_rate")
        if self._stage is not None:
            where, rate = f"{self._stage.title}, ", self._stage.rate_option
        raise TrainingError(
            f"{where}step {bad // self.args.gradient_accumulation_steps}: the loss is not finite ({why}). Lower "
            f"{rate}, or mend the samples named; the last checkpoint is kept."
        )

    def _singly(self, keys: Sequence[SampleKey]) -> Iterator[tuple[SampleKey, dict[str, Tensor]]]:
        """Each sample as a batch of its own."""
        for key in keys:
            alone = key._replace(together=())
            batch = self.data_collator([self.train_dataset[alone]])
            yield alone, on_device(batch, self.args.device)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add each objective's mean loss since the last line and its chance value, time and rate; keep it on disk."""
        if "loss" in logs:
            digits = 4 if self._stage is None else 8  # of a pass that was stopped, parts are averaged
            means = self._objectives.take(self._over_processes)
            logs |= {name: round(mean, digits) for name, mean in means.items()}
            logs |= {f"{name}_chance": round(value, 4) for name, value in self._chance.items() if name in logs}
            rate = self._throughput.pairs_per_second(self.state.global_step)
            if rate is not None:
                logs["pairs_per_second"] = round(rate, 2)
        logs["seconds"] = round(self._throughput.seconds, 1)
        super().log(logs, start_time)
        if self.is_world_process_zero():
            self._write_log()

    def _write_log(self) -> None:
        log = self._out / LOG_HISTORY
        with writing(log), log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(self.state.log_history[-1]) + "\n")

    def _over_processes(self, value: Tensor) -> Tensor:
        summed: Tensor = self.accelerator.reduce(value, reduction="sum")
        return summed

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Judge the (averaged) model by the task; keep it when it is the best so far."""
        averaged = self.average.applied() if self.average is not None else nullcontext()
        with self._throughput.aside(), averaged, self.whole_model() as model:
            found = self._task.evaluate(model)
            metrics = {f"eval_{name}": float(value) for name, value in found.items()}
            value, judged = metrics[f"eval_{self._task.primary_metric}"], self._task.judged
            if judged is not None:
                bounds, name = judged.estimate(), f"eval_{self._task.primary_metric}"
                metrics |= {f"{name}{LOW}": bounds.low, f"{name}{HIGH}": bounds.high}
            self.log(dict(metrics))
            taken = self._choice.takes(Validated(self.state.global_step, value, judged))
            if taken and self.is_world_process_zero():
                self._keep(model, metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _evaluate(self, trial: Any, ignore_keys_for_eval: Any, skip_scheduler: bool = False) -> dict[str, float]:
        return self.evaluate()

    def _keep(self, model: PreTrainedModel, metrics: Mapping[str, float]) -> None:
        """Write the whole model directory: beside it first, so that a kill leaves the old one or the new one."""
        with replaced_files(self._out) as part, quiet_transformers():
            model.save_pretrained(part)
            self._processor.save_pretrained(part)
            reached = {"step": self.state.global_step, "epoch": self.state.epoch, **metrics}
            origin = self._origin | {"reached": reached}
            write_provenance(part, origin)
            write_model_card(part, type(model).__name__, origin)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self._require_finite(self._watch.late())
        folder = self._out / CHECKPOINTS / f"checkpoint-{self.state.global_step}"
        with self._throughput.aside(), writing(folder), quiet_transformers():
            super()._save_checkpoint(model, trial)
            if self.average is not None:
                self.average.save(folder, write=self.is_world_process_zero())
            self.accelerator.wait_for_everyone()  # every process's random state is in it
            if self.is_world_process_zero():
                atomic_write(folder / STATE, json.dumps(self._choice.to_dict()))  # last: the checkpoint is whole

    def train_or_resume(self) -> None:
        """Train, from the last whole checkpoint when there is one."""
        checkpoint = last_checkpoint(self._out)
        if self.is_world_process_zero():
            finish_replacing(self._out)
        if checkpoint is not None:
            remedy = f"Remove {checkpoint}, and the run goes on from the checkpoint before it."
            with reading(checkpoint / STATE, remedy):
                self._choice.load(read_json(checkpoint / STATE), self._step_kept())
            with reading(checkpoint / TRAINER_STATE_NAME, remedy):
                TrainerState.load_from_json(str(checkpoint / TRAINER_STATE_NAME))
            if self.average is not None and (checkpoint / EMA_FILE).exists():
                self.average.load(checkpoint)
            _logger.info(f"continuing from {checkpoint}")
        step = -1 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])
        self._throughput.start(max(step, 0), self._forget_after(step))
        self._steps.judge_start = self._judge_start and checkpoint is None
        with self._stop.listening():
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        if self.is_world_process_zero() and self._choice.kept is not None:
            self._say_what_is_kept()

    def _step_kept(self) -> int | None:
        """Step of the model in the folder."""
        file = self._out / PROVENANCE
        if not file.exists():
            return None
        with reading(file, "Restore it, or train into another folder."):
            step = read_json(file).get("reached", {}).get("step")
            return None if step is None else int(step)

    def _forget_after(self, step: int) -> float:
        """Drop log lines of steps that will be done again; returns the seconds that the kept steps took."""
        file = self._out / LOG_HISTORY
        if not self.is_world_process_zero() or not file.exists():
            return 0.0
        kept, seconds = [], [0.0]
        with reading(file, "Remove it; the run goes on without it."), file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                with reading(f"{file}, line {number}", "Remove the line."):
                    entry = json_value(line) if line.endswith("\n") else None
                    if entry is not None and entry.get("step", 0) <= step:
                        kept.append(line)
                        seconds.append(float(entry.get("seconds", 0)))
        atomic_write(file, "".join(kept))
        return max(seconds)

    def _say_what_is_kept(self) -> None:
        name = self._task.primary_metric
        _logger.info(self._choice.summary(name, self.state.global_step, self._task.data_size))
        gain = self._choice.gain(name)
        if gain is not None:
            _logger.info(gain)


def last_checkpoint(out: Path) -> Path | None:
    """The newest checkpoint that was written to its end; None when there is none."""
    whole = [folder for folder in (out / CHECKPOINTS).glob("checkpoint-*") if (folder / STATE).exists()]
    return max(whole, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)


class _Steps(TrainerCallback):  # type: ignore[misc]
    """Judges the start when asked to, and updates the average."""

    def __init__(self, trainer: InterBertTrainer) -> None:
        self._trainer = trainer
        self.judge_start = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        self._trainer.require_wrapper()
        if self.judge_start:
            self._trainer.evaluate()  # a model that training makes worse is not replaced
        return control

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        self._trainer.begin_step(state.global_step)
        return control

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        if self._trainer.average is not None:
            self._trainer.average.update()
        if control.should_save:
            control.should_log = True  # what is summed for the next log line is not in a checkpoint
        return control
