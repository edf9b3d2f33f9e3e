"""Several task models on one trunk (as in 12-in-1, arXiv 1912.02315, and VOLTA, arXiv 2011.15124)."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

from interbert.errors import ConfigError
from interbert.model.configuration import InterBertConfig
from interbert.model.image_pairs import InterBertForImagePairClassification
from interbert.model.modeling import (
    InterBertForMultipleChoice,
    InterBertForSequenceClassification,
    InterBertModel,
    InterBertPreTrainedModel,
    InterBertTaskOutput,
)
from interbert.model.region_choice import InterBertForRegionChoice

_CLASSES: dict[str, type[InterBertPreTrainedModel]] = {
    one.__name__: one
    for one in (
        InterBertForSequenceClassification,
        InterBertForImagePairClassification,
        InterBertForMultipleChoice,
        InterBertForRegionChoice,
    )
}


class InterBertForMultiTask(InterBertPreTrainedModel):
    """A head for each task of the configuration's ``vl_task["tasks"]``, which are called as the tasks' own models.

    Weights are named ``interbert.*`` and ``heads.TASK.*``; with the latter's beginning taken off they are those of the
    task's own model.
    """

    def __init__(self, config: InterBertConfig) -> None:
        super().__init__(config)
        tasks = (config.vl_task or {}).get("tasks")
        if not isinstance(tasks, Mapping) or not tasks:
            raise ConfigError("a model of several tasks needs a configuration whose vl_task has 'tasks'.")
        self.interbert = InterBertModel(config)
        self.heads = nn.ModuleDict({name: self._head(settings) for name, settings in tasks.items()})
        self.post_init()

    def forward(self, task: str, **inputs: Any) -> InterBertTaskOutput:
        """Output of a task's model.

        Args:
            task: one of the configuration's.
            inputs: of the task's model.
        """
        output: InterBertTaskOutput = self.heads[task](**inputs)
        return output

    def _head(self, settings: Mapping[str, Any]) -> InterBertPreTrainedModel:
        """A task's model that computes with this one's trunk, and has no weights but its head's."""
        config = copy.deepcopy(self.config)
        labels = list(settings["labels"])
        if labels:
            config.id2label = dict(enumerate(labels))
            config.label2id = {label: place for place, label in enumerate(labels)}
        config.image_arrangement = settings["image_arrangement"]
        model = _CLASSES[settings["model_class"]](config)
        del model._modules["interbert"]
        model.__dict__["interbert"] = self.interbert  # not registered: the trunk's weights are this model's, once
        return model
