"""Sizes and switches of an InterBERT."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from transformers import PretrainedConfig
from transformers.activations import ACT2FN

from interbert.errors import ConfigError
from interbert.model.rerank_reach import require_reach

NO_MIXTURE: dict[str, None] = dict.fromkeys(
    ("dual_score_weight", "dual_score_offset", "rerank_depth", "rerank_reach", "unread_score")
)
"""Fields that load a model without its mixture of joint and dual score, and what hangs on it."""
_MOST_LAYERS = 1000
_DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "image_hidden_dropout_prob",
    "image_attention_probs_dropout_prob",
    "region_feature_dropout_prob",
    "fusion_dropout_prob",
)
_NUMBERS = {
    **dict.fromkeys(("layer_norm_eps", "initializer_range", "hub_correction"), False),
    **dict.fromkeys(("lm_loss_weight", "region_loss_weight", "matching_loss_weight", "contrastive_loss_weight"), False),
    **dict.fromkeys(("dual_score_weight", "dual_score_offset"), True),
}
"""Other numbers, and whether there may be none."""
_MOST = 1e30
_MOST_SIZE = 1 << 31


class InterBertConfig(PretrainedConfig):  # type: ignore[misc]
    """Configuration of an InterBERT; the defaults are the paper's base size (SPEC part 1).

    Args:
        vocab_size: tokens V.
        hidden_size: width H of text and image tokens.
        num_attention_heads: heads of the interaction and text layers.
        intermediate_size: feed-forward width of the interaction and text layers.
        num_interaction_layers: layers over the joint sequence (image tokens first).
        num_text_layers: further layers over the text tokens alone.
        num_image_layers: further layers over the image tokens alone.
        image_num_attention_heads: heads of the image layers.
        image_intermediate_size: feed-forward width of the image layers.
        image_hidden_dropout_prob: hidden dropout of the image layers.
        image_attention_probs_dropout_prob: attention dropout of the image layers.
        region_feature_size: numbers F per region.
        region_feature_dropout_prob: dropout on the region features themselves (ours; the reference has none).
        num_region_classes: classes C of the region classifier.
        pooler_size: width P of the pooled vectors.
        fusion: how the two pooled vectors meet, elementwise ``mul`` or ``sum``.
        fusion_dropout_prob: dropout on the fused vector and before the task heads.
        region_objective: ``classify`` (class distribution) or ``regress`` (the feature itself).
        contrastive_size: width of the contrastive projections; None means no such parameters.
        contrastive_lexical: add a learned vector per token to a text's contrastive vector
            (:class:`~interbert.model.modeling.LexicalTable`).
        contrastive_skip_size: how many of the ``contrastive_size`` numbers pass by all layers: of a text its words'
            alone, of an image its global token's (:class:`~interbert.model.modeling.ContrastiveHead`); None has none.
        query_bank_size: texts whose contrastive vectors are kept to see which images are near every text; None keeps
            none (:meth:`~interbert.model.modeling.ContrastiveHead.hubness`).
        hub_correction: share of that nearness that is taken off an image's dual-encoder score.
        likeness_size: numbers beside an image's vector by which images are compared with images: principal components
            of the global token's features as extraction gives them (:class:`~interbert.model.modeling.Likeness`);
            None compares them by the dual encoder's vectors alone.
        likeness_share: what those count of two images' likeness, from 0 to 1.
        dual_score_weight: a retrieval model adds the dual encoder's cosine times this to its matching logit difference,
            so that the joint pass only has to learn what encoding the sides apart cannot see (ours; None adds nothing).
            ``dual_prior`` in models of earlier versions.
        dual_score_offset: of a model whose joint pass does not help its ranking: a pair's score is
            ``dual_score_weight`` times the cosine, plus this, and no pair is read jointly. None reads every pair.
        rerank_depth: candidates of a text that searches read jointly at most, the best by dual score; fine-tuning
            measures how many suffice. None reads all.
        rerank_reach: of those, candidates are read whose dual score is at most so many log-odds below the third best
            (:mod:`interbert.model.rerank_reach`).
        unread_score: joint logit difference that a candidate counts with that is not read.
        lm_loss_weight, region_loss_weight, matching_loss_weight, contrastive_loss_weight: weights in the summed
            loss.
        lm_loss_on_mismatched: take the LM loss on mismatched pairs too, as the reference does.
        image_arrangement: how a sentence about two images is read with them
            (:class:`~interbert.model.image_pairs.InterBertForImagePairClassification`).
        vl_task: which vision-and-language task a model was fine-tuned for, and how its images are read
            (:class:`~interbert.vl_tasks.settings.TaskSettings`); None for every other model.

    Raises:
        ConfigError: a size is not positive, or a width is not a multiple of its heads.
    """

    model_type = "interbert"
    attribute_map: ClassVar[dict[str, str]] = {"dual_prior": "dual_score_weight"}

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        num_interaction_layers: int = 6,
        num_text_layers: int = 6,
        num_image_layers: int = 6,
        image_num_attention_heads: int = 8,
        image_intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        image_hidden_dropout_prob: float = 0.2,
        image_attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int | None = 0,
        region_feature_size: int = 2048,
        region_feature_dropout_prob: float = 0.0,
        num_region_classes: int = 1601,
        pooler_size: int = 1024,
        fusion: Literal["mul", "sum"] = "mul",
        fusion_dropout_prob: float = 0.1,
        region_objective: Literal["classify", "regress"] = "classify",
        contrastive_size: int | None = None,
        contrastive_lexical: bool = False,
        contrastive_skip_size: int | None = None,
        query_bank_size: int | None = None,
        hub_correction: float = 0.5,
        likeness_size: int | None = None,
        likeness_share: float = 0.5,
        dual_score_weight: float | None = None,
        dual_score_offset: float | None = None,
        rerank_depth: int | None = None,
        rerank_reach: float | None = None,
        unread_score: float | None = None,
        lm_loss_weight: float = 1.0,
        region_loss_weight: float = 1.0,
        matching_loss_weight: float = 1.0,
        contrastive_loss_weight: float = 1.0,
        lm_loss_on_mismatched: bool = True,
        image_arrangement: Literal["pair", "pair_attention"] = "pair",
        vl_task: Mapping[str, Any] | None = None,
        tie_word_embeddings: bool = True,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.num_interaction_layers = num_interaction_layers
        self.num_text_layers = num_text_layers
        self.num_image_layers = num_image_layers
        self.image_num_attention_heads = image_num_attention_heads
        self.image_intermediate_size = image_intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.image_hidden_dropout_prob = image_hidden_dropout_prob
        self.image_attention_probs_dropout_prob = image_attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.region_feature_size = region_feature_size
        self.region_feature_dropout_prob = region_feature_dropout_prob
        self.num_region_classes = num_region_classes
        self.pooler_size = pooler_size
        self.fusion = fusion
        self.fusion_dropout_prob = fusion_dropout_prob
        self.region_objective = region_objective
        self.contrastive_size = contrastive_size
        self.contrastive_lexical = contrastive_lexical
        self.contrastive_skip_size = contrastive_skip_size
        self.query_bank_size = query_bank_size
        self.hub_correction = hub_correction
        self.likeness_size = likeness_size
        self.likeness_share = likeness_share
        self.dual_score_weight = dual_score_weight
        self.dual_score_offset = dual_score_offset
        self.rerank_depth = rerank_depth
        self.rerank_reach = rerank_reach
        self.unread_score = unread_score
        self.lm_loss_weight = lm_loss_weight
        self.region_loss_weight = region_loss_weight
        self.matching_loss_weight = matching_loss_weight
        self.contrastive_loss_weight = contrastive_loss_weight
        self.lm_loss_on_mismatched = lm_loss_on_mismatched
        self.image_arrangement = image_arrangement
        self.vl_task = None if vl_task is None else dict(vl_task)
        super().__init__(pad_token_id=pad_token_id, tie_word_embeddings=tie_word_embeddings, **kwargs)
        self._check()

    @property
    def reads_jointly(self) -> bool:
        """Whether scores of pairs come from the joint pass; else from the dual encoder alone."""
        return self.dual_score_offset is None

    @property
    def num_hidden_layers(self) -> int:
        """Layers a text token passes: the length of the BERT this model can be initialised from."""
        return self.num_interaction_layers + self.num_text_layers

    @property
    def region_target_size(self) -> int:
        """Outputs of the region head: C classes, or F numbers when it regresses features."""
        return self.num_region_classes if self.region_objective == "classify" else self.region_feature_size

    def _check(self) -> None:
        sizes = (
            "vocab_size",
            "hidden_size",
            "num_attention_heads",
            "image_num_attention_heads",
            "intermediate_size",
            "image_intermediate_size",
            "region_feature_size",
            "num_region_classes",
            "pooler_size",
            "max_position_embeddings",
            "type_vocab_size",
        )
        absent = ("contrastive_size", "contrastive_skip_size", "query_bank_size", "likeness_size")
        for name in (*sizes, *absent):
            value = getattr(self, name)
            if value is None and name in absent:
                continue
            if not isinstance(value, int) or not 1 <= value < _MOST_SIZE:
                raise ConfigError(f"{name} must be a whole number of at least 1 and below 2^31, not {value!r}.")
        for name in ("num_interaction_layers", "num_text_layers", "num_image_layers"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 0 <= value <= _MOST_LAYERS:
                raise ConfigError(f"{name} must be a whole number from 0 to {_MOST_LAYERS}, not {value!r}.")
        for name in ("contrastive_lexical", "contrastive_skip_size", "query_bank_size", "likeness_size"):
            if getattr(self, name) and self.contrastive_size is None:
                raise ConfigError(f"{name} needs a contrastive_size. Set one, or turn it off.")
        if self.contrastive_skip_size is not None and self.contrastive_size is not None:
            if not self.contrastive_lexical:
                raise ConfigError("contrastive_skip_size needs contrastive_lexical, whose table says what words are.")
            if self.contrastive_skip_size >= self.contrastive_size:
                raise ConfigError(
                    f"contrastive_skip_size {self.contrastive_skip_size} is a part of contrastive_size "
                    f"{self.contrastive_size} and must be less."
                )
        for name in _DROPOUTS:
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value <= 1:
                raise ConfigError(f"{name} must be between 0 and 1, not {value!r}.")
        for name, absent_too in _NUMBERS.items():
            value = getattr(self, name)
            if value is None and absent_too:
                continue
            if not isinstance(value, int | float) or not abs(value) < _MOST:
                raise ConfigError(f"{name} must be a number, not {value!r}.")
        if not isinstance(self.hidden_act, str) or self.hidden_act not in ACT2FN:
            raise ConfigError(f"hidden_act {self.hidden_act!r} is no activation. Known: {', '.join(sorted(ACT2FN))}.")
        for name in ("num_attention_heads", "image_num_attention_heads"):
            if self.hidden_size % getattr(self, name):
                raise ConfigError(f"hidden_size {self.hidden_size} is not a multiple of {name} {getattr(self, name)}.")
        if self.dual_score_weight is not None and self.contrastive_size is None:
            raise ConfigError("dual_score_weight needs contrastive_size: without it there is no dual encoder.")
        if not isinstance(self.likeness_share, int | float) or not 0 <= self.likeness_share <= 1:
            raise ConfigError(f"likeness_share must be between 0 and 1, not {self.likeness_share!r}.")
        if self.dual_score_offset is not None and self.dual_score_weight is None:
            raise ConfigError("dual_score_offset needs dual_score_weight: it is what is added to that score.")
        require_reach(self)
        if self.fusion not in ("mul", "sum"):
            raise ConfigError(f"fusion must be 'mul' or 'sum', not {self.fusion!r}.")
        if self.image_arrangement not in ("pair", "pair_attention"):
            raise ConfigError(f"image_arrangement must be 'pair' or 'pair_attention', not {self.image_arrangement!r}.")
        if self.region_objective not in ("classify", "regress"):
            raise ConfigError(f"region_objective must be 'classify' or 'regress', not {self.region_objective!r}.")
