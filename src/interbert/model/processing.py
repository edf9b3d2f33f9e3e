"""Texts and regions to model inputs, saved beside the weights so that a model directory needs nothing else.

Shapes: B batch, N regions, R = N + 1 image tokens (global token first), T text tokens, F region feature size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoFeatureExtractor,
    AutoProcessor,
    BatchFeature,
    ProcessorMixin,
)

from interbert.errors import ConfigError
from interbert.model.configuration import InterBertConfig
from interbert.model.region_inputs import (
    Float32,
    InterBertRegionFeatureExtractor,
    RegionsLike,
)
from interbert.utils.texts import whole_text

PRETRAINING_TEXT_TOKENS = 36
"""Text tokens of a pretraining example (SPEC part 2)."""


def pad_texts(texts: Sequence[Sequence[int]], pad_token_id: int = 0) -> dict[str, Tensor]:
    """Pad token ids to input_ids int64 [B,T] and attention_mask int64 [B,T]."""
    length = max(len(ids) for ids in texts)
    input_ids = torch.full((len(texts), length), pad_token_id, dtype=torch.long)
    mask = torch.zeros((len(texts), length), dtype=torch.long)
    for row, ids in enumerate(texts):
        input_ids[row, : len(ids)] = torch.as_tensor(ids, dtype=torch.long)
        mask[row, : len(ids)] = 1
    return {"input_ids": input_ids, "attention_mask": mask}


def mean_state(states: Tensor, attention_mask: Tensor) -> Tensor:
    """Mean over the real tokens of states [B,T,H], by attention_mask [B,T]; float32 [B,H]."""
    real = attention_mask.unsqueeze(-1).float()
    return (states.float() * real).sum(dim=1) / real.sum(dim=1).clamp(min=1)


def token_ids(tokenizer: Any, texts: Sequence[str], most: int = PRETRAINING_TEXT_TOKENS) -> list[list[int]]:
    """Token ids of each text by any tokenizer, [CLS] and [SEP] included, cut at ``most`` tokens."""
    encoded = tokenizer(
        [whole_text(text[: 64 * most]) for text in texts],  # what is cut anyway need not be tokenized
        truncation=True,
        max_length=most,
        add_special_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    return [list(ids) for ids in encoded["input_ids"]]


_CHAT_TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}; {% endfor %}"


def _text_and_image(messages: Sequence[Mapping[str, Any]]) -> tuple[str, Any]:
    """The text and the image of one conversation."""
    texts: list[str] = []
    images: list[Any] = []
    for message in messages:
        content = message["content"]
        for part in [{"type": "text", "text": content}] if isinstance(content, str) else content:
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                images.append(part[part["type"]])
    if len(images) != 1 or not texts:
        raise ConfigError(f"A pair is one text and one image; this one has {len(texts)} and {len(images)}.")
    return " ".join(texts), images[0]


class InterBertProcessor(ProcessorMixin):  # type: ignore[misc]
    """A tokenizer and the way regions are made and scaled.

    Args:
        feature_extractor: an :class:`InterBertRegionFeatureExtractor`.
        tokenizer: a WordPiece tokenizer.
        max_text_tokens: longer texts are cut ([SEP] kept).
        chat_template: how libraries that speak in messages see a pair; see :meth:`apply_chat_template`.
    """

    def __init__(
        self,
        feature_extractor: Any,
        tokenizer: Any,
        max_text_tokens: int = PRETRAINING_TEXT_TOKENS,
        chat_template: str | None = None,
    ) -> None:
        if max_text_tokens < 3:
            raise ConfigError(f"max_text_tokens must be at least 3 ([CLS], a token, [SEP]), not {max_text_tokens}.")
        super().__init__(feature_extractor, tokenizer, chat_template=chat_template or _CHAT_TEMPLATE)
        self.max_text_tokens = max_text_tokens

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> Any:
        """Save as every processor does, with the region extractor's own weights where it has such."""
        self.feature_extractor.carry_weights(save_directory)
        return super().save_pretrained(save_directory, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Any:
        """Load as every processor does; a directory's own code is not asked for, and refused."""
        return super().from_pretrained(pretrained_model_name_or_path, **({"trust_remote_code": False} | kwargs))

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        regions: RegionsLike | Sequence[RegionsLike] | None = None,
        images: Any = None,
        **_: Any,
    ) -> BatchFeature:
        """Inputs of any InterBERT model as tensors.

        Args:
            text: one text or B texts.
            regions: one image's regions or B images'.
            images: instead of regions, one image or B images (PIL, path or bytes), whose regions are made here.

        Returns:
            input_ids, attention_mask [B,T] and region_features [B,R,F], region_locations [B,R,5], region_mask [B,R];
            only those of the sides given.
        """
        inputs: dict[str, Tensor] = {}
        if images is not None:
            if regions is not None:
                raise ConfigError("Give regions or images, not both.")
            regions = self.feature_extractor.regions(images if isinstance(images, list | tuple) else [images])
        if text is not None:
            inputs |= pad_texts(self.texts_to_ids([text] if isinstance(text, str) else text), self.pad_token_id)
        if regions is not None:
            inputs |= dict(self.feature_extractor(regions if isinstance(regions, Sequence) else [regions]))
        if not inputs:
            raise ConfigError("Give a text, regions or images, or both sides.")
        return BatchFeature(inputs)

    def apply_chat_template(
        self, conversation: Sequence[Any], chat_template: str | None = None, tokenize: bool = False, **_: Any
    ) -> Any:
        """Model inputs of pairs that come as messages, the form in which rerankers are fed.

        Args:
            conversation: one conversation or a batch of them; a conversation is a list of messages, each with a role
                and a content of parts such as ``{"type": "image", "image": ...}`` and ``{"type": "text", ...}``.
            chat_template: not used, there is nothing to write around the parts.
            tokenize: False gives a line of text per conversation instead.

        Returns:
            Inputs as in :meth:`__call__`. What a conversation says in several texts is joined.

        Raises:
            ConfigError: a conversation has not exactly one image, or no text.
        """
        single = bool(conversation) and isinstance(conversation[0], Mapping)
        batch = [conversation] if single else list(conversation)
        if not tokenize:
            lines = ["; ".join(f"{one['role']}: {one['content']}" for one in messages) for messages in batch]
            return lines[0] if single else lines
        texts, images = zip(*(_text_and_image(messages) for messages in batch), strict=True)
        return self(text=list(texts), images=list(images))

    def texts_to_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, [CLS] and [SEP] included, cut at ``max_text_tokens``."""
        return token_ids(self.tokenizer, texts, self.max_text_tokens)

    def image_inputs(self, regions: RegionsLike, where: str = "regions") -> tuple[Float32, Float32]:
        """One image's region_features [R,F] and region_locations [R,5]."""
        return self.feature_extractor.image(regions, where)  # type: ignore[no-any-return]

    @property
    def pad_token_id(self) -> int:
        """Id of [PAD]."""
        return int(self.tokenizer.pad_token_id)

    @property
    def extractor_info(self) -> dict[str, Any]:
        """Name, settings and sizes of the region extractor this model was trained with."""
        return dict(self.feature_extractor.extractor)

    @property
    def extractor_folder(self) -> str | Path | None:
        """Where the region extractor's own weights lie; None when it has none."""
        folder: str | Path | None = self.feature_extractor.folder
        return folder


AutoFeatureExtractor.register(InterBertConfig, InterBertRegionFeatureExtractor)
AutoProcessor.register(InterBertConfig, InterBertProcessor)
