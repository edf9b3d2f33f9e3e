"""What an exported model's files say of the model, without which neither torch nor its configuration is needed."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

from interbert.model.rerank_reach import require_reach
from interbert.utils.bounded_files import read_json

FORMAT = 1

_SIZES = ("hidden_size", "pooler_size", "max_text_tokens")
_PERHAPS_SIZES = ("contrastive_size", "query_bank_size", "likeness_size")
_NUMBERS = ("hub_correction", "likeness_share")
_PERHAPS_NUMBERS = ("dual_score_weight", "dual_score_offset")
_MOST = 1 << 31


@dataclass(frozen=True)
class ExportedSettings:
    """What the model's configuration and processor say, as far as it is needed without them."""

    hidden_size: int
    pooler_size: int
    fusion: str
    contrastive_size: int | None
    contrastive_lexical: bool
    query_bank_size: int | None
    hub_correction: float
    likeness_size: int | None
    likeness_share: float
    dual_score_weight: float | None
    dual_score_offset: float | None
    max_text_tokens: int
    special_ids: tuple[int, ...]
    unknown_id: int | None
    rerank_depth: int | None = None
    rerank_reach: float | None = None
    unread_score: float | None = None
    format: int = FORMAT

    @property
    def reads_jointly(self) -> bool:
        """Whether scores of pairs come from the joint pass."""
        return self.dual_score_offset is None

    @classmethod
    def read(cls, file: Path) -> ExportedSettings:
        """Of a file.

        Raises:
            OSError, ValueError, TypeError: it is missing, damaged or of another version.
            ConfigError: it says in part, or impossibly, which candidates are read.
        """
        said = dict(read_json(file))
        if said.get("format") != FORMAT:
            raise ValueError(f"it is of format {said.get('format')}, and this version reads {FORMAT}")
        known = {one.name: said[one.name] for one in fields(cls) if one.name in said}
        settings = cls(**(known | {"special_ids": tuple(said.get("special_ids", ()))}))
        _require_possible(settings)
        require_reach(settings)
        return settings

    def require_of(self, configuration: object) -> None:
        """Check that they are those of a model.

        Args:
            configuration: what its config.json says.

        Raises:
            ValueError: it is no object, or has a field of another value, which is named.
        """
        if not isinstance(configuration, dict):
            raise ValueError("the model's config.json is no JSON object")
        for name, value in vars(self).items():
            if configuration.get(name, value) != value:
                raise ValueError(
                    f"{name} is {value!r}, and the model's configuration has {configuration[name]!r}"[:200]
                )


def _require_possible(settings: ExportedSettings) -> None:
    """Check what :func:`interbert.search.exporting.export_encoder` takes from a configuration, which was checked.

    Raises:
        ValueError: naming the first field with a value that no model has.
    """
    for name, value in vars(settings).items():
        if value is None and name in (*_PERHAPS_SIZES, *_PERHAPS_NUMBERS, "unknown_id"):
            continue
        if name in (*_SIZES, *_PERHAPS_SIZES):
            sound = type(value) is int and 0 < value < _MOST
        elif name in (*_NUMBERS, *_PERHAPS_NUMBERS):
            sound = type(value) in (int, float) and math.isfinite(value)
        elif name == "special_ids":
            sound = all(type(one) is int for one in value)
        elif name == "unknown_id":
            sound = type(value) is int
        elif name == "fusion":
            sound = value in ("mul", "sum")
        else:
            sound = name != "contrastive_lexical" or type(value) is bool
        if not sound:
            raise ValueError(f"{name} is {value!r}"[:200])
