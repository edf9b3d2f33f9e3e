"""Rank every picture of a region store for every text, jointly, and report the recall.

Prints R@1/5/10 with bootstrap 95% intervals and the median rank in both directions; beside them chance, the control
(the same evaluation with the pictures shuffled) and the dual encoder. --out writes all of it as JSON.

    interbert evaluate retrieval models/retrieval regions/test --texts title --out metrics.json
    interbert evaluate retrieval models/pretrained regions/test --zero-shot
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Options:
    """Options of ``interbert evaluate retrieval``."""

    model: str
    """Model directory."""
    regions: str
    """Region store, made by the model's extractor."""
    texts: list[str] = field(default_factory=list)
    """Source columns whose texts are queries; all when not given."""
    out: str | None = None
    """JSON file to write."""
    zero_shot: bool = False
    """Insist on a model that was pretrained only: its matching head ranks without fine-tuning."""
    limit: int | None = None
    """Only the first so many pictures, and their texts."""
    bootstrap: int = 1000
    """Resamplings of the queries for the intervals."""
    seed: int = 0
    """Seed of the resampling and of the shuffled control."""


def run(options: Options) -> None:
    """Evaluate and print a table."""
    import json
    from pathlib import Path

    from interbert.checkpoints.directory import is_pretrained_only, load_model, load_processor
    from interbert.cli.output import print_retrieval, require_writable_file
    from interbert.data.pairs import PairTable
    from interbert.errors import CheckpointError, require_range
    from interbert.progress import progress_bar
    from interbert.regions.schema import ExtractorInfo
    from interbert.regions.store import RegionStore
    from interbert.tasks.evaluation import evaluate_retrieval
    from interbert.tasks.retrieval import RetrievalSet
    from interbert.training.provenance import versions

    require_writable_file(options.out)
    require_range("evaluate: --limit", options.limit, 1)
    require_range("evaluate: --bootstrap", options.bootstrap, 0)
    require_range("evaluate: --seed", options.seed, 0, 2**32)
    processor = load_processor(options.model)
    zero_shot = is_pretrained_only(options.model)
    if options.zero_shot and not zero_shot:
        raise CheckpointError(
            f"{options.model}: was fine-tuned, so this is no zero-shot evaluation. Leave --zero-shot out."
        )
    store = RegionStore.open(options.regions)
    store.require(ExtractorInfo.from_dict(processor.extractor_info))
    table = PairTable.from_captions(store.captions(), options.texts, options.regions)
    data = RetrievalSet.from_table(table, options.limit)
    texts, pictures = data.encode(store, processor)
    model = load_model(options.model)
    with progress_bar("scoring", len(texts) * len(pictures), "pairs") as advance:
        report = evaluate_retrieval(model, data, texts, pictures, options.bootstrap, options.seed, advance)
    print_retrieval(report, zero_shot)
    if options.out is not None:
        content = {
            "model": options.model,
            "regions": options.regions,
            "regions_fingerprint": store.fingerprint,
            "texts": options.texts,
            "zero_shot": zero_shot,
            **report.to_dict(),
            "versions": versions(),
        }
        Path(options.out).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        print(f"metrics: {options.out}")
