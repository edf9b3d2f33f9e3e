"""How a fine-tuned model reads its task; the model's configuration holds it, so that a directory is self-contained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from interbert.errors import CheckpointError
from interbert.vl_tasks.names import VL_TASKS
from interbert.vl_tasks.task import BoxSource

_BOXES = ("detected", "given", "both")


@dataclass(frozen=True)
class TaskSettings:
    """What ``config.json`` says below ``vl_task``."""

    name: str
    """Of the task."""
    boxes: BoxSource = "detected"
    """Regions that are read."""
    max_regions: int = 100
    """The first so many of an image; given ones are kept before detected ones."""
    max_text_tokens: int | None = None
    """Longer texts are cut; None leaves it to the processor."""
    text_only: bool = False
    """No image is read: a control of what the texts alone give away."""
    majority: str | None = None
    """The label that is right most often in training; None of other tasks."""
    labels: tuple[str, ...] = ()
    """Of a model of several tasks, the task's labels; else ``id2label`` has them."""
    image_arrangement: str = "pair"
    """Of a task of two images, how they are read."""
    of_several: bool = False
    """The model has a head for each of several tasks, and this is one of them."""

    def to_dict(self) -> dict[str, Any]:
        """Plain fields, for JSON."""
        return asdict(self) | {"labels": list(self.labels)}

    @classmethod
    def of(cls, config: Any, where: object, name: str | None = None) -> TaskSettings:
        """Settings in a model's configuration.

        Args:
            config: of the model.
            where: its directory, for messages.
            name: of the task; None takes the only one.

        Raises:
            CheckpointError: the model was fine-tuned for no such task, or its settings are damaged.
        """
        held = getattr(config, "vl_task", None)
        if not isinstance(held, Mapping):
            raise CheckpointError(
                f"{where}: was fine-tuned for no vision-and-language task. Fine-tune one with: interbert finetune "
                f"{name or VL_TASKS[0]}"
            )
        several = held.get("tasks")
        all_of = several if isinstance(several, Mapping) else {str(held.get("name")): held}
        wanted = name or (next(iter(all_of)) if len(all_of) == 1 else None)
        if wanted not in all_of:
            asked = f", not for {name}" if name else "; name one of them"
            raise CheckpointError(f"{where}: was fine-tuned for {', '.join(map(str, all_of))}{asked}.")
        return cls._read(all_of[wanted], where)

    @classmethod
    def _read(cls, found: Any, where: object) -> TaskSettings:
        damaged = CheckpointError(f"{where}: config.json is damaged: its vl_task is no task that there is here.")
        known = {one.name for one in fields(cls)}
        try:
            settings = {name: value for name, value in dict(found).items() if name in known}
            settings["labels"] = tuple(str(label) for label in settings.get("labels") or ())
            made = cls(**settings)
        except (TypeError, ValueError) as error:
            raise damaged from error
        sound = made.name in VL_TASKS and made.boxes in _BOXES and isinstance(made.text_only, bool)
        sound = sound and made.image_arrangement in ("pair", "pair_attention")
        if not sound or not _is_count(made.max_regions) or not _is_count(made.max_text_tokens or 1):
            raise damaged
        return made

    def overrides(self, labels: Sequence[str]) -> dict[str, Any]:
        """What loading the task's own model out of a directory changes of its configuration.

        Args:
            labels: of the task's head.
        """
        if not self.of_several:
            return {}
        changed = label_fields(labels) | {"image_arrangement": self.image_arrangement}
        return {**changed, "key_mapping": {rf"^heads\.{self.name}\.": ""}}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and value >= 1


def label_names(config: Any, where: object) -> list[str]:
    """Names of a classifier's labels, in the order of its outputs.

    Args:
        config: of the model.
        where: its directory, for messages.

    Raises:
        CheckpointError: its settings name too few.
    """
    try:
        return [str(config.id2label[place]) for place in range(config.num_labels)]
    except (LookupError, TypeError) as error:
        raise CheckpointError(f"{where}: config.json is damaged: its id2label does not name every label.") from error


def label_fields(labels: Sequence[str]) -> dict[str, Any]:
    """Fields of a configuration that name the labels; none for a task without."""
    if not labels:
        return {}
    return {
        "num_labels": len(labels),
        "id2label": dict(enumerate(labels)),
        "label2id": {label: place for place, label in enumerate(labels)},
    }
