"""Texts and images as topics compare them, by a model's dual encoder.

Shapes: n texts, D vector size without the hub correction, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from interbert.errors import CheckpointError
from interbert.model.processing import mean_state, pad_texts
from interbert.model.scoring import inference, on_device
from interbert.progress import progress_bar
from interbert.search.query_encoder import ProductEncoder
from interbert.search.topics.coordination import coordinated
from interbert.search.topics.examples import Examples, TopicText
from interbert.search.topics.title_words import TitleWords

Float32 = NDArray[np.float32]

_BATCH = 128


def require_contrast(encoder: ProductEncoder, where: str) -> None:
    """Check that texts can be compared with texts: that takes a contrastive head.

    Raises:
        CheckpointError: the model has none.
    """
    if encoder.model.config.contrastive_size is None:
        raise CheckpointError(f"{where}: topics need a model trained with contrastive_size; this one has none.")


def directions(encoder: ProductEncoder, vectors: Float32) -> Float32:
    """Vectors [n,D] of images or texts without the hub correction."""
    return vectors[:, : encoder.direction_size]


def encode_wordings(
    encoder: ProductEncoder, texts: Sequence[str], examples: Examples | None = None
) -> tuple[list[list[int]], Float32, list[TopicText]]:
    """Token ids, vectors for recall, and what :class:`~interbert.search.topics.examples.Examples` compare.

    Of several wordings, those in a language that the model does not know are left out. What "and" joins is told apart
    by the titles of ``examples``.

    Raises:
        UsageError: a text is empty, or none holds a token that the model knows.
    """
    tokens = encoder.processor.texts_to_ids(texts)
    known = [text for text, own in zip(texts, tokens, strict=True) if not text.strip() or encoder.knows(own)]
    texts = known or texts
    ids, vectors = encoder.texts(texts)
    _, states = encode_titles(encoder, ids)
    short = directions(encoder, vectors)
    things = [()] * len(texts) if examples is None else _things(encoder, texts, examples.title_words)
    return ids, vectors, [TopicText(*one) for one in zip(texts, short, states, things, strict=True)]


def _things(encoder: ProductEncoder, texts: Sequence[str], titles: TitleWords) -> list[tuple[TopicText, ...]]:
    """Of each text, the things that it joins; none where the model knows no word of one of them."""
    apart = [coordinated(text, titles) for text in texts]
    ids = [encoder.processor.texts_to_ids(things) if things else [] for things in apart]
    known = [place for place, own in enumerate(ids) if own and all(map(encoder.knows, own))]
    found: list[tuple[TopicText, ...]] = [() for _ in texts]
    if known:
        encoded = zip(*encode_titles(encoder, [one for place in known for one in ids[place]]), strict=True)
        for place in known:
            found[place] = tuple(TopicText(thing, *next(encoded)) for thing in apart[place])
    return found


def encode_titles(
    encoder: ProductEncoder, ids: Sequence[Sequence[int]], what: str | None = None
) -> tuple[Float32, Float32]:
    """Dual encoder's vectors [n,D] and mean token states [n,H] of length 1, of texts' token ids.

    Texts that are the same are encoded once. ``what`` is a name for a progress bar.
    """
    model = encoder.model
    places: dict[tuple[int, ...], int] = {}
    of = [places.setdefault(tuple(one), len(places)) for one in ids]
    texts = list(places)
    vectors = np.zeros((len(texts), int(model.config.contrastive_size or 0)), dtype=np.float32)
    states = np.zeros((len(texts), encoder.hidden_size), dtype=np.float32)
    order = np.argsort([len(one) for one in texts], kind="stable")
    with progress_bar(what or "", len(texts), "texts", what is not None) as advance, inference(model):
        for start in range(0, len(order), _BATCH):
            part = order[start : start + _BATCH]
            batch = on_device(pad_texts([texts[place] for place in part]), model.device)
            output = model.interbert(batch["input_ids"], batch["attention_mask"])
            assert output.text_hidden_state is not None
            mean = mean_state(output.text_hidden_state, batch["attention_mask"])
            states[part] = torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()
            projected = model.project_text(output.text_pooled, batch["input_ids"], batch["attention_mask"])
            vectors[part] = directions(encoder, projected.float().cpu().numpy())
            advance(len(part))
    return vectors[of], states[of]
