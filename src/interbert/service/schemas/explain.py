"""What an explanation is asked for and answered with."""

from __future__ import annotations

from pydantic import ConfigDict, Field, model_validator

from interbert.service.schemas.common import PIXEL, Reply, Request


class ExplainRequest(Request):
    """A text, and a product or an image that it is to match."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"text": "red summer dress", "product_id": "1163"}, {"text": "running shoes", "image": PIXEL}]
        }
    )

    text: str = Field(description="As it was searched: `rewrites` of a search say what that was.")
    product_id: str | None = Field(default=None, description="A product of the index, or one of its images.")
    image: str | None = Field(default=None, description="Instead of a product: `data:image/jpeg;base64,...`.")
    index: str | None = Field(
        default=None, description="Name of the index; the first one that is served when left out."
    )
    variant: str | None = Field(
        default=None, max_length=100, description="As the search answered, while an experiment runs."
    )

    @model_validator(mode="after")
    def _one_side(self) -> ExplainRequest:
        if (self.product_id is None) == (self.image is None):
            raise ValueError("give a product_id or an image, one of them")
        return self


class WordReply(Reply):
    """A word of the text."""

    text: str
    relevance: float = Field(description="Share of the relevance of all words, regions and special tokens.")
    score_without: float | None = Field(
        description="The score when this alone is removed; of the three most relevant words, else null."
    )


class RegionReply(Reply):
    """A region of the image."""

    box: list[float] = Field(description="x1, y1, x2, y2 as shares of the image's width and height.")
    relevance: float = Field(description="Share of the relevance of all words, regions and special tokens.")
    score_without: float | None = Field(
        description="The score when this alone is removed; of the three most relevant regions, else null."
    )


class ExplainReply(Reply):
    """Which words and regions a match rests on."""

    probability: float = Field(description="Of a match of text and image.")
    score: float = Field(description="Logit difference of the joint model: what is explained.")
    dual_score: float | None = Field(
        description="What the model adds to it from sides encoded apart; null where it adds nothing."
    )
    counts: bool = Field(description="Whether `score` counts; else the model ranks by `dual_score` alone.")
    words: list[WordReply]
    regions: list[RegionReply]
    global_relevance: float = Field(description="Of the token that stands for the whole image.")
    image_id: str | None = Field(description="The product's image that was explained.")
    index: str
    index_version: str = Field(description="The version of the index whose model and image were used.")
    took_ms: float = Field(description="Milliseconds, waiting included.")


EXPLAINED = {
    "probability": 0.98,
    "score": 3.92,
    "dual_score": None,
    "counts": True,
    "words": [
        {"text": "red", "relevance": 0.41, "score_without": 1.2},
        {"text": "dress", "relevance": 0.28, "score_without": 2.3},
    ],
    "regions": [{"box": [0.0, 0.0, 1.0, 1.0], "relevance": 0.2, "score_without": 3.5}],
    "global_relevance": 0.08,
    "image_id": "1163",
    "index": "shop",
    "index_version": "products_0001_ab12cd34@17",
    "took_ms": 180.4,
}
"""An explanation, for examples."""
