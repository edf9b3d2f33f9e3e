"""One reversible map between the reference implementation's parameter names and ours.

The reference keeps interaction and text layers in one list, ``encoder.layer.0 .. N-1``, and image layers in
``encoder.v_layer``; its heads hang under ``cls`` (shapes: golden/official_base_parameter_shapes.json).
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from interbert.model.configuration import InterBertConfig

# ours -> theirs, below one layer
LAYER_NAMES = {
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.output": "attention.output.dense",
    "attention_layer_norm": "attention.output.LayerNorm",
    "intermediate": "intermediate.dense",
    "output": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}

# ours -> theirs, whole names without the layers
MODULE_NAMES = {
    "interbert.text_embeddings.word_embeddings": "bert.embeddings.word_embeddings",
    "interbert.text_embeddings.position_embeddings": "bert.embeddings.position_embeddings",
    "interbert.text_embeddings.token_type_embeddings": "bert.embeddings.token_type_embeddings",
    "interbert.text_embeddings.layer_norm": "bert.embeddings.LayerNorm",
    "interbert.image_embeddings.feature_projection": "bert.v_embeddings.image_embeddings",
    "interbert.image_embeddings.location_projection": "bert.v_embeddings.image_location_embeddings",
    "interbert.image_embeddings.layer_norm": "bert.v_embeddings.LayerNorm",
    "interbert.text_pooler.dense": "bert.t_pooler.dense",
    "interbert.image_pooler.dense": "bert.v_pooler.dense",
    "lm_head.transform.dense": "cls.predictions.transform.dense",
    "lm_head.transform.layer_norm": "cls.predictions.transform.LayerNorm",
    "region_head.transform.dense": "cls.imagePredictions.transform.dense",
    "region_head.transform.layer_norm": "cls.imagePredictions.transform.LayerNorm",
    "region_head.decoder": "cls.imagePredictions.decoder",
    "matching_head": "cls.bi_seq_relationship",
    "prediction_head": "vil_prediction",
    "logit_head": "vil_logit",
    "image_token_head": "vision_logit",
    "text_token_head": "linguisic_logit",
}

TASK_HEADS = frozenset({"vil_prediction", "vil_logit", "vision_logit", "linguisic_logit"})
"""What only the reference's task checkpoints have."""

# theirs -> ours
_SAME_FIELDS = (
    "vocab_size",
    "hidden_size",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "initializer_range",
)
_FIELDS = {name: name for name in _SAME_FIELDS} | {
    "num_hidden_layers": "num_interaction_layers",
    "t_num_hidden_layers": "num_text_layers",
    "v_num_hidden_layers": "num_image_layers",
    "v_num_attention_heads": "image_num_attention_heads",
    "v_intermediate_size": "image_intermediate_size",
    "v_hidden_dropout_prob": "image_hidden_dropout_prob",
    "v_attention_probs_dropout_prob": "image_attention_probs_dropout_prob",
    "v_feature_size": "region_feature_size",
    "bi_hidden_size": "pooler_size",
    "fusion_method": "fusion",
}


def reference_names(config: InterBertConfig) -> dict[str, str]:
    """Every parameter name of ours -> the reference's, for models of this configuration.

    The map covers pretraining and task models together; a model uses the part that it has.
    """
    names = {
        "lm_head.decoder.weight": "cls.predictions.decoder.weight",
        "lm_head.decoder.bias": "cls.predictions.bias",
    }
    modules = dict(MODULE_NAMES)
    stacks = (
        ("interaction_layers", "layer", config.num_interaction_layers, 0),
        ("text_layers", "layer", config.num_text_layers, config.num_interaction_layers),
        ("image_layers", "v_layer", config.num_image_layers, 0),
    )
    for ours, theirs, count, offset in stacks:
        for index in range(count):
            for our_part, their_part in LAYER_NAMES.items():
                modules[f"interbert.encoder.{ours}.{index}.{our_part}"] = (
                    f"bert.encoder.{theirs}.{index + offset}.{their_part}"
                )
    for our_module, their_module in modules.items():
        for kind in ("weight", "bias"):
            if kind == "bias" and our_module.endswith("_embeddings"):
                continue
            names[f"{our_module}.{kind}"] = f"{their_module}.{kind}"
    return names


def from_reference(state: Mapping[str, Tensor], config: InterBertConfig) -> tuple[dict[str, Tensor], list[str]]:
    """Rename a reference state dict to ours; returns it and the names that have no place here."""
    ours = {theirs: name for name, theirs in reference_names(config).items()}
    renamed = {ours[name]: tensor for name, tensor in state.items() if name in ours}
    return renamed, [name for name in state if name not in ours]


def to_reference(state: Mapping[str, Tensor], config: InterBertConfig) -> tuple[dict[str, Tensor], list[str]]:
    """Rename our state dict to the reference's; returns it and the names that the reference lacks."""
    theirs = reference_names(config)
    renamed = {theirs[name]: tensor for name, tensor in state.items() if name in theirs}
    return renamed, [name for name in state if name not in theirs]


def config_from_reference(fields: Mapping[str, object]) -> InterBertConfig:
    """Our configuration from the reference's JSON fields, with its omitted defaults (pooled size 1024, ``mul``)."""
    values = {ours: fields[theirs] for theirs, ours in _FIELDS.items() if theirs in fields}
    if fields.get("predict_feature"):
        values["region_objective"] = "regress"
    elif "v_target_size" in fields:
        values["num_region_classes"] = fields["v_target_size"]
    return InterBertConfig(**values)  # type: ignore[arg-type]


def config_to_reference(config: InterBertConfig) -> dict[str, object]:
    """The reference's JSON fields of our configuration: the inverse of :func:`config_from_reference`."""
    fields: dict[str, object] = {theirs: getattr(config, ours) for theirs, ours in _FIELDS.items()}
    fields |= {
        "v_target_size": config.region_target_size,
        "v_hidden_size": config.hidden_size,
        "v_hidden_act": config.hidden_act,
        "v_initializer_range": config.initializer_range,
    }
    if config.region_objective == "regress":
        fields["predict_feature"] = True
    return fields
