import pytest
import torch

from interbert.checkpoints.adapter import config_from_reference, from_reference, reference_names, to_reference
from interbert.errors import ConfigError
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertForPreTraining

SIZES = {
    "vocab_size": 50,
    "hidden_size": 8,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "num_interaction_layers": 2,
    "num_text_layers": 1,
    "num_image_layers": 3,
    "image_num_attention_heads": 2,
    "image_intermediate_size": 10,
    "max_position_embeddings": 16,
    "region_feature_size": 6,
    "num_region_classes": 5,
    "pooler_size": 4,
}


def test_our_state_survives_the_round_trip():
    model = InterBertForPreTraining(InterBertConfig(**SIZES))
    state = model.state_dict()
    theirs, unknown = to_reference(state, model.config)
    assert unknown == []
    back, unknown = from_reference(theirs, model.config)
    assert unknown == []
    assert back.keys() == state.keys()
    assert all(back[name] is state[name] for name in state)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("interaction_layers.1.attention.query", "layer.1.attention.self.query"),
        ("text_layers.0.attention_layer_norm", "layer.2.attention.output.LayerNorm"),
        ("image_layers.2.output", "v_layer.2.output.dense"),
    ],
)
def test_text_layers_follow_interaction_layers_in_the_references_list(ours, theirs):
    names = reference_names(InterBertConfig(**SIZES))
    assert names[f"interbert.encoder.{ours}.weight"] == f"bert.encoder.{theirs}.weight"
    assert names[f"interbert.encoder.{ours}.bias"] == f"bert.encoder.{theirs}.bias"


def test_what_the_other_side_lacks_is_named():
    model = InterBertForPreTraining(InterBertConfig(**SIZES, contrastive_size=4))
    theirs, unknown = to_reference(model.state_dict(), model.config)
    assert {name.split(".")[0] for name in unknown} == {"contrastive_head"}
    assert not any("contrastive" in name for name in theirs)
    extra = {"bert.encoder.c_layer.0.weight": torch.zeros(1)}
    ours, unknown = from_reference(theirs | extra, model.config)
    assert unknown == list(extra)
    assert ours.keys() == model.state_dict().keys() - {n for n in model.state_dict() if "contrastive" in n}


def test_a_reference_configuration_becomes_ours():
    fields = {
        "vocab_size": 50,
        "hidden_size": 8,
        "num_attention_heads": 2,
        "num_hidden_layers": 4,
        "t_num_hidden_layers": 3,
        "v_num_hidden_layers": 2,
        "v_num_attention_heads": 4,
        "v_feature_size": 9,
        "v_target_size": 11,
        "v_hidden_dropout_prob": 0.3,
        "a_field_of_theirs": 1,
    }
    config = config_from_reference(fields)
    assert (config.num_interaction_layers, config.num_text_layers, config.num_image_layers) == (4, 3, 2)
    assert (config.image_num_attention_heads, config.region_feature_size, config.num_region_classes) == (4, 9, 11)
    assert (config.pooler_size, config.fusion, config.region_objective) == (1024, "mul", "classify")
    assert config.image_hidden_dropout_prob == 0.3
    regress = config_from_reference(fields | {"predict_feature": True, "fusion_method": "sum", "bi_hidden_size": 6})
    assert (regress.region_objective, regress.region_target_size) == ("regress", 9)
    assert (regress.fusion, regress.pooler_size) == ("sum", 6)


def test_an_impossible_reference_configuration_is_refused():
    with pytest.raises(ConfigError, match="num_attention_heads"):
        config_from_reference({"hidden_size": 10, "num_attention_heads": 3})
