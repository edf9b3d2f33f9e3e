from tests.conftest import tiny_config

from interbert.model.modeling import InterBertForPreTraining
from interbert.training.arguments import make_optimizer
from interbert.training.options import TrainingOptions


def test_every_parameter_is_in_one_group_with_its_decay_and_rate() -> None:
    model = InterBertForPreTraining(tiny_config())
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    slow = frozenset(name for name in names.values() if "interaction_layers.0" in name)
    model.region_head.decoder.weight.requires_grad = False
    options = TrainingOptions(learning_rate=1e-3, weight_decay=0.1, bert_learning_rate_scale=0.1)
    groups = make_optimizer(model, options, slow).param_groups
    found = {names[id(one)]: (group["weight_decay"], group["lr"]) for group in groups for one in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(found) == len(names) - 1
    assert "region_head.decoder.weight" not in found
    for name, (decay, rate) in found.items():
        assert decay == (0.0 if name.endswith("bias") or "norm" in name else 0.1), name
        assert rate == (1e-4 if name in slow else 1e-3), name
