"""Rank every image of a region store for every text, jointly, and report the recall.

Prints R@1/5/10 with bootstrap 95% intervals, the median rank and the number of candidates in both directions; beside
them chance, two controls that have to fall to it (the images shuffled; the mean image in the place of every one)
and both recall scores of the dual encoder. Every image of the store is a candidate, one without a text too. --out
writes all as JSON.

--cascade K [K ...] compares what a shop can wait for: recall only, the joint model on the K best recalled, and the
full joint ranking, each with its time per query, alone and in a batch; --plot draws recall against time. --queries
samples the texts, when ranking everything jointly for all of them would take too long; all images stay candidates.

--qrels FILE judges by judgements instead of by the store's own texts: a .tsv, .csv or .jsonl file with the columns
query, product_id and, if it has grades, grade. Many products may be right for a query: R@k (one of the first k is
right), MRR, nDCG@5/10 (gain 2^grade - 1). BEIR's qrels name queries by id: --query-texts queries.jsonl has their texts.

    interbert evaluate retrieval models/retrieval regions/test --text-columns title --out metrics.json
    interbert evaluate retrieval models/pretrained regions/test --zero-shot
    interbert evaluate retrieval models/retrieval regions/test --cascade 10 50 100 --plot cascade.svg
    interbert evaluate retrieval models/retrieval regions/test --qrels clicks.tsv --cascade 50
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interbert.cli.evaluate_retrieval_options import Options
from interbert.cli.renamed import spelled
from interbert.utils.redaction import published
from interbert.utils.terminal import say

if TYPE_CHECKING:
    from interbert.model.modeling import InterBertForImageTextRetrieval
    from interbert.model.processing import InterBertProcessor
    from interbert.regions.store import RegionStore


def run(options: Options) -> None:
    """Evaluate and print a table."""
    from interbert.checkpoints.directory import is_pretrained_only, load_processor
    from interbert.errors import CheckpointError
    from interbert.regions.schema import ExtractorInfo
    from interbert.regions.store import RegionStore
    from interbert.utils.files import DRAWING, RETRIEVAL_METRICS, require_apart, require_replaceable

    require_replaceable(options.out, RETRIEVAL_METRICS)
    require_replaceable(options.plot, DRAWING)
    require_apart({"--out": options.out, "--plot": options.plot})
    _check(options)
    processor = load_processor(options.model)
    zero_shot = is_pretrained_only(options.model)
    if options.zero_shot and not zero_shot:
        raise CheckpointError(
            f"{options.model}: was fine-tuned, so this is no zero-shot evaluation. Leave --zero-shot out."
        )
    store = RegionStore.open(options.regions)
    store.require(ExtractorInfo.from_dict(processor.extractor_info))
    if options.cascade or options.qrels is not None:
        _compare(options, store, processor, zero_shot)
    else:
        _rank(options, store, processor, zero_shot)


def _check(options: Options) -> None:
    """Refuse impossible values and options that do not go together."""
    from interbert.errors import UsageError, require_range

    require_range("evaluate: --limit", options.limit, 1)
    require_range("evaluate: --queries", options.queries, 1)
    require_range("evaluate: --timed-queries", options.timed_queries, 0)
    require_range("evaluate: --bootstrap", options.bootstrap, 0)
    require_range("evaluate: --seed", options.seed, 0, 2**32)
    for depth in options.cascade:
        require_range("evaluate: --cascade", depth, 1)
    if options.min_grade is not None and not options.min_grade > 0:
        raise UsageError(f"evaluate: --min-grade must be above 0, not {options.min_grade}: grade 0 means wrong.")
    if options.qrels is None:
        for name in ("qrels_columns", "query_texts", "min_grade", "judged_only"):
            if getattr(options, name):
                raise UsageError(f"evaluate: {spelled(name)} is about judgements. Give them with --qrels FILE.")
        if not options.cascade:
            for name in ("plot", "queries", "skip_joint"):
                if getattr(options, name):
                    raise UsageError(f"evaluate: {spelled(name)} needs --cascade K or --qrels FILE.")
    elif options.text_columns:
        raise UsageError("evaluate: --text-columns and --qrels are both about what the queries are. Give one of them.")
    if options.judged_only and (options.cascade or options.skip_joint or options.plot):
        raise UsageError("evaluate: --judged-only ranks few products jointly: no --cascade, --skip-joint or --plot.")


def _rank(options: Options, store: RegionStore, processor: InterBertProcessor, zero_shot: bool) -> None:
    """The full joint ranking in both directions."""
    from interbert.checkpoints.directory import load_model
    from interbert.cli.output import print_retrieval
    from interbert.data.pairs import PairTable
    from interbert.tasks.evaluation import evaluate_retrieval
    from interbert.tasks.retrieval import RetrievalSet
    from interbert.utils.precision import asks_for_bf16
    from interbert.utils.terminal import progress_bar

    table = PairTable.from_captions(store.captions(), options.text_columns, options.regions)
    data = RetrievalSet.from_table(table, options.limit, options.seed)
    texts, images = data.encode(store, processor)
    model = load_model(options.model)
    with progress_bar("scoring", len(texts) * len(images), "pairs") as advance:
        report = evaluate_retrieval(
            model, data, texts, images, options.bootstrap, options.seed, advance, asks_for_bf16(options.precision)
        )
    print_retrieval(report, zero_shot)
    _say_how(model)
    _write(options, store, {"zero_shot": zero_shot, **report.to_dict()})


def _compare(options: Options, store: RegionStore, processor: InterBertProcessor, zero_shot: bool) -> None:
    """Recall only, cascades and the joint ranking side by side, by the store's texts or by judgements."""
    from interbert.checkpoints.directory import load_model
    from interbert.cli.cascade_output import print_cascade, write_plot
    from interbert.data.pairs import PairTable
    from interbert.data.qrels import Qrels
    from interbert.tasks.cascade import CascadePlan, evaluate_cascade
    from interbert.tasks.relevance import RelevanceSet
    from interbert.tasks.retrieval import RetrievalSet, encode_images
    from interbert.utils.precision import asks_for_bf16
    from interbert.utils.terminal import progress_bar

    if options.qrels is None:
        table = PairTable.from_captions(store.captions(), options.text_columns, options.regions)
        data = RelevanceSet.from_set(RetrievalSet.from_table(table, options.limit, options.seed))
    else:
        qrels = Qrels.read(options.qrels, options.qrels_columns, options.query_texts)
        data = RelevanceSet.from_captions(
            store.captions(), qrels, options.min_grade, options.judged_only, options.limit, options.seed
        )
    model = load_model(options.model)
    everything = len(data.texts)
    data = data.sample(options.queries, options.seed)
    texts, images = processor.texts_to_ids(data.texts), encode_images(store, data.image_rows, processor)
    plan = CascadePlan(
        tuple(options.cascade),
        not options.skip_joint,
        options.timed_queries,
        options.bootstrap,
        options.seed,
        asks_for_bf16(options.precision),
    )
    for depth in set(options.cascade) - set(plan.of(len(images))):
        say(f"--cascade {depth}: there are {len(images)} images, so this is the joint ranking and is left out")
    with progress_bar("scoring", plan.pairs(data), "pairs") as advance:
        report = evaluate_cascade(model, data, texts, images, plan, advance)
    count = f"{len(data.texts)}{f' of {everything}' if len(data.texts) < everything else ''} texts"
    title = f"{'zero-shot ' if zero_shot else ''}retrieval, {count} x {data.products} products"
    print_cascade(report, title, graded=options.qrels is not None)
    _say_how(model)
    if data.unused_queries or data.unused_judgements:
        say(
            f"{data.unused_queries} queries have no right product in {options.regions} and are left out; "
            f"{data.unused_judgements} judgements are of products that it does not have"
        )
    judged = published({name: getattr(options, name) for name in ("qrels", "query_texts", "min_grade", "judged_only")})
    unused = {name: getattr(data, name) for name in ("unused_queries", "unused_judgements")}
    found = {"zero_shot": zero_shot, "queries": len(data.texts), "queries_of": everything, **judged, **unused}
    _write(options, store, found | report.to_dict())
    if options.plot is not None:
        write_plot(report, title, options.plot)


def _say_how(model: InterBertForImageTextRetrieval) -> None:
    if not model.config.reads_jointly:
        say("this model does not read jointly, no gain on its validation images: it ranks by its dual encoder alone")


def _write(options: Options, store: RegionStore, found: dict[str, Any]) -> None:
    """Write the metrics, where that is wanted."""
    import json

    from interbert.training.model_card import versions
    from interbert.utils.files import RETRIEVAL_METRICS, write_output

    if options.out is None:
        return
    content = {
        "model": published(options.model),
        "regions": published(options.regions),
        "regions_fingerprint": store.fingerprint,
        "texts": options.text_columns,
        "precision": options.precision,
        **found,
        "versions": versions(),
    }
    write_output(options.out, json.dumps(content, indent=2) + "\n", RETRIEVAL_METRICS)
    say(f"metrics: {options.out}")


__all__ = ["Options", "run"]
