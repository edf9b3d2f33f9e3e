"""Options of ``interbert evaluate retrieval``, apart from what runs it: its help loads nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Options:
    """Options of ``interbert evaluate retrieval``."""

    model: str
    """Model directory."""
    regions: str
    """Region store, made by the model's extractor."""
    text_columns: list[str] = field(default_factory=list)
    """Source columns whose texts are queries; all when not given."""
    out: str | None = None
    """JSON file to write."""
    zero_shot: bool = False
    """Insist on a model that was pretrained only: its matching head ranks without fine-tuning."""
    cascade: list[int] = field(default_factory=list)
    """Candidates per text that the joint model reranks; several are compared with recall only and the full ranking."""
    plot: str | None = None
    """SVG file to draw: recall against time per query."""
    qrels: str | None = None
    """Judgements to rank by: query, product_id and grade in a .tsv, .csv or .jsonl file."""
    qrels_columns: list[str] = field(default_factory=list)
    """Its columns of the query, the product and the grade, when they have other names."""
    query_texts: str | None = None
    """Texts of the queries that --qrels names by id: BEIR's queries.jsonl, or a .tsv or .csv file of ids and texts."""
    min_grade: float | None = None
    """Products graded at least this are right for R@k and MRR; above 0 when not given."""
    judged_only: bool = False
    """A query ranks the products alone that are judged for it (grade 0 too), as KDD Cup's do."""
    skip_joint: bool = False
    """Leave the full joint ranking out."""
    queries: int | None = None
    """A sample of so many texts; every image stays a candidate. With --cascade or --qrels."""
    timed_queries: int = 50
    """Texts that are timed one at a time; the full joint ranking is on 10 of them."""
    limit: int | None = None
    """A sample of so many images by --seed, whole products, and their texts."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the CPU or GPU multiplies it in hardware; fp32: the same on every machine."""
    bootstrap: int = 1000
    """Resamplings of the queries for the intervals."""
    seed: int = 0
    """Seed of the resampling, of the samples of texts and images and of the controls."""
