"""``interbert demo``: from images to a page of results, each step done once."""

from __future__ import annotations

import functools
import logging
import os
import platform
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from interbert.checkpoints.directory import load_model, load_processor
from interbert.data.pairs import PairTable
from interbert.demo import recipe
from interbert.demo.catalogue import is_chinese, prepare_openmoji, split_rows
from interbert.demo.page import DemoPage, language_outcome, read_outcomes, render_demo, write_outcomes
from interbert.demo.steps import Step
from interbert.errors import UsageError
from interbert.extraction.columns import ColumnMapping
from interbert.extraction.extract import extract_to_store
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.extraction.sources import ImageSource, open_source
from interbert.regions.store import RegionStore
from interbert.report.charts import Chart, objective_charts, validation_charts
from interbert.report.images import thumbnails
from interbert.report.runs import read_run
from interbert.tasks.evaluation import evaluate_retrieval
from interbert.tasks.retrieval import RetrievalSet
from interbert.training.finetune import finetune_retrieval
from interbert.training.model_card import versions
from interbert.training.pretrain import pretrain
from interbert.utils.bounded_files import read_json, reading
from interbert.utils.files import PAGE, write_output
from interbert.utils.redaction import published
from interbert.utils.terminal import progress_bar

_logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
SHOWN = 20
"""Queries on the page, per language."""
HITS = 6
"""Images shown for each."""
_IMAGES, _RANKED = 1580, 2 * 200 * 200
"""Images of the OpenMoji demo, and its ranked pairs: what the expected seconds are of."""
_MOST_OWN = 2400  # rows of a user's own source: what the time allows


@dataclass(frozen=True)
class DemoSettings:
    """What a demo run depends on.

    Attributes:
        folder: everything is written here; ``index.html`` is the page.
        source: a user's own images and texts; None renders OpenMoji.
        mapping: columns of that source.
        limit: use at most so many images; None takes what the time allows.
        test: images to hold out and measure on.
        validation: images to hold out and choose the best checkpoint on.
        init_from: BERT to start from.
        effort: multiplies the training; 1 is about five minutes on two cores that multiply bf16.
    """

    folder: Path
    source: str | None = None
    mapping: ColumnMapping = field(default_factory=ColumnMapping)
    limit: int | None = None
    test: int = 200
    validation: int = 80
    init_from: str = "minilm"
    effort: float = 1.0


class Demo:
    """The steps of a demo and what they share."""

    def __init__(self, settings: DemoSettings) -> None:
        self.settings = settings
        self.folder = settings.folder
        self._extractor = GridSettings(scales=(1, 2))

    def steps(self) -> list[Step]:
        """Every step, in order."""
        settings = self.settings
        own = {} if settings.source is None else _source_fingerprint(settings.source)
        data = {
            "source": settings.source,
            "mapping": asdict(settings.mapping),
            "limit": settings.limit,
            "test": settings.test,
            "validation": settings.validation,
            **own,
        }
        steps: list[tuple[str, str, float, Mapping[str, object], tuple[Path, ...], Callable[[], None]]] = []
        if settings.source is None:
            images = tuple(self._parquet(split) for split in SPLITS)
            steps.append(("images", "rendering OpenMoji", 30, data, images, self._render))
        stores = tuple(self._regions(split) for split in SPLITS)
        pretraining, finetuning = self._recipes()
        steps += [
            ("regions", "describing regions", 50, data | asdict(self._extractor), stores, self._extract),
            ("pretraining", "pretraining", 480, pretraining, (self._model("pretrained"),), self._pretrain),
            ("finetuning", "fine-tuning", 90, finetuning, (self._model("retrieval"),), self._finetune),
            ("ranking", "ranking held-out images", 80, {}, (self._results,), self._rank),
            ("page", "writing the page", 2, {}, (self.folder / "index.html",), self._page),
        ]
        return [Step(*values) for values in steps]

    def expected_seconds(self, step: Step) -> float:
        """Of a step that is about to run, for these images and this effort, on two cores."""
        settings = self.settings
        if step.name in ("pretraining", "finetuning"):
            return step.expected_seconds * settings.effort
        if step.name == "images":
            return step.expected_seconds * min(1.0, (settings.limit or _IMAGES) / _IMAGES)
        if step.name == "regions":
            return step.expected_seconds * sum(map(len, self._sources.values())) / _IMAGES
        if step.name == "ranking":  # pairs of every text and image
            texts = len(self._languages()) * len(self._sources["test"])
            return step.expected_seconds * texts * len(self._sources["test"]) / _RANKED
        return step.expected_seconds

    @functools.cached_property
    def _sources(self) -> dict[str, ImageSource]:
        settings = self.settings
        if settings.source is None:
            mapping = ColumnMapping("image", ("title", "tags", "title_zh", "tags_zh"), "id", "group")
            return {split: open_source(str(self._parquet(split)), mapping) for split in SPLITS}
        whole = open_source(settings.source, settings.mapping)
        most = min(settings.limit or _MOST_OWN, _MOST_OWN)
        rows = split_rows(whole, most, settings.test, settings.validation)
        return {split: whole.select(rows[split]) for split in SPLITS}

    def _languages(self) -> dict[str, list[str]]:
        """Name of each way to ask -> the columns with its texts."""
        if self.settings.source is None:
            return {"English": ["title"], "Chinese": ["title_zh"]}
        columns = self._sources["test"].columns.texts
        names = {}
        for column in columns:
            table = PairTable.from_captions(RegionStore.open(self._regions("test")).captions(), [column])
            language = "Chinese" if is_chinese(table.texts) else "texts"
            names[column if len(columns) > 1 else language] = [column]
        return names

    @property
    def _results(self) -> Path:
        return self.folder / "results.json"

    def _parquet(self, split: str) -> Path:
        return self.folder / "images" / f"{split}.parquet"

    def _regions(self, split: str) -> Path:
        return self.folder / "regions" / split

    def _model(self, name: str) -> Path:
        return self.folder / "models" / name

    def _recipes(self) -> list[dict[str, object]]:
        """What pretraining and fine-tuning depend on, whatever the number of pairs turns out to be."""
        pretraining = recipe.pretraining(
            Path(), self.settings.init_from, recipe.PRETRAINING_PAIRS, self.settings.effort
        )
        return [
            asdict(pretraining),
            asdict(recipe.finetuning(Path(), [], recipe.FINETUNING_PAIRS, self.settings.effort)),
        ]

    def _render(self) -> None:
        settings = self.settings
        prepare_openmoji(
            self.folder / "images", test=settings.test, validation=settings.validation, limit=settings.limit
        )

    def _extract(self) -> None:
        extractor = GridExtractor(self._extractor)
        for split in SPLITS:
            extract_to_store(self._sources[split], self._regions(split), extractor, mirrored=split == "train")

    def _pairs(self, columns: list[str]) -> int:
        return len(PairTable.from_captions(RegionStore.open(self._regions("train")).captions(), columns))

    def _pretrain(self) -> None:
        pretrain(recipe.pretraining(self.folder, self.settings.init_from, self._pairs([]), self.settings.effort))

    def _finetune(self) -> None:
        columns = [column for members in self._languages().values() for column in members]
        finetune_retrieval(recipe.finetuning(self.folder, columns, self._pairs(columns), self.settings.effort))

    def _rank(self) -> None:
        directory = self._model("retrieval")
        model, processor = load_model(directory), load_processor(directory)
        store = RegionStore.open(self._regions("test"))
        captions = list(store.captions())
        image_ids = {one.row: one.image_id for one in captions}
        outcomes = []
        for language, columns in self._languages().items():
            data = RetrievalSet.from_table(PairTable.from_captions(captions, columns, str(self._regions("test"))))
            texts, images = data.encode(store, processor)
            with progress_bar(f"ranking, {language}", len(texts) * len(images), "pairs") as advance:
                report = evaluate_retrieval(model, data, texts, images, progress=advance)
            keys = [image_ids[row] for row in data.image_rows]
            outcomes.append(language_outcome(language, data, report, keys, SHOWN, HITS))
        write_outcomes(self._results, outcomes)

    def _page(self) -> None:
        outcomes = read_outcomes(self._results)
        source = self._sources["test"]
        shown = {key for one in outcomes for query in one.queries for key, _ in query.hits}
        shown |= {key for one in outcomes for query in one.queries for key in query.relevant}
        captions = {one.image_id: one for one in RegionStore.open(self._regions("test")).captions() if one.view == 0}
        shown_thumbnails = thumbnails(source, {key: captions[key] for key in sorted(shown)}, 112)
        for problem in shown_thumbnails.problems:
            _logger.info(f"not shown: {problem}")
        own = self.settings.source is not None
        page = DemoPage(
            subject=published(self.settings.source) if own and self.settings.source else "OpenMoji",
            lead=(
                "InterBERT was pretrained on images and their texts (masked words, masked regions, matching), "
                "fine-tuned to tell right pairs from wrong ones, and asked for images it has never seen."
            ),
            results=[one.result for one in outcomes],
            queries={one.result.name: one.queries for one in outcomes},
            queries_note=(
                "Chosen by the hash of their text, not by their result. Under each image: the match probability. "
                "A tick marks a right one."
            ),
            images=shown_thumbnails.uris,
            charts=[
                (title, self._charts(name))
                for title, name in (("Pretraining", "pretrained"), ("Fine-tuning", "retrieval"))
            ],
            steps=list(self._step_times()),
            facts=_machine_facts(),
            commands=(
                f'interbert search {self._model("retrieval")} "a happy face|水果" '
                f"--source {self.settings.source or self._parquet('test')}",
                "make demo SOURCE=catalogue.parquet",
            ),
            credit=""
            if own
            else "Images: OpenMoji (openmoji.org), CC BY-SA 4.0. Names: Unicode CLDR, through the package emoji.",
            names={key: key for key in shown},
        )
        write_output(self.folder / "index.html", render_demo(page), PAGE)

    def _charts(self, name: str) -> list[Chart]:
        run = replace(read_run(self._model(name)).logged_run, name="")
        return objective_charts([run]) + validation_charts([run])

    def summarise(self) -> None:
        """Print what was measured, one line for each language."""
        for one in read_outcomes(self._results):
            recall, chance = one.result.recalls["r@1"], one.result.chance["r@1"]
            mean = one.result.mean_image.get("r@1")
            _logger.info(
                f"{one.result.name}: right image first for {100 * recall.value:.1f}% of {one.result.queries} texts "
                f"(95%: {100 * recall.low:.1f} to {100 * recall.high:.1f}) among {one.result.candidates} unseen "
                f"images; chance {100 * chance:.1f}%, images shuffled {100 * one.result.shuffled['r@1']:.1f}%"
                + (f", all the mean image {100 * mean:.1f}%" if mean is not None else "")
            )

    def serving_command(self) -> str:
        """The line that makes an index of the images, with the demo's model, and serves it; it may be typed again."""
        mapping, source = self.settings.mapping, self.settings.source
        texts = ("title", "title_zh") if source is None else mapping.texts
        named = {
            "--image-column": mapping.image,
            "--text-columns": ",".join(texts),
            "--product-id-column": mapping.product_id,
        }
        options = [word for name, value in named.items() if value for word in (name, value)]
        index = str(self.folder / "index")
        images = source or str(self._parquet("test"))
        build = ["interbert", "index", "build", str(self._model("retrieval")), images, index, *options, "--rebuild"]
        serve = ["interbert", "serve", index, "--state", str(self.folder / "service")]
        return f"{shlex.join(build)} && {shlex.join(serve)}"

    def _step_times(self) -> Iterator[tuple[str, float]]:
        for step in self.steps()[:-1]:
            marker = self.folder / "state" / f"{step.name}.json"
            with reading(marker, "Remove it, and the step runs again."):
                seconds = float(read_json(marker)["seconds"])
            yield step.title, seconds


def _machine_facts() -> list[tuple[str, str]]:
    packages = ", ".join(f"{name} {version}" for name, version in versions().items())
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    return [("machine", machine), ("versions", packages)]


def _source_fingerprint(source: str) -> dict[str, object]:
    """Changes when a local source does, so that its steps run again.

    Raises:
        UsageError: the demo's own folder was given as the source.
    """
    path = Path(source).expanduser()
    if not path.exists():
        return {}
    if path.is_file():
        return {"size": path.stat().st_size, "modified": path.stat().st_mtime_ns}
    if (path / "state").is_dir() and (path / "regions").is_dir():
        raise UsageError(f"{source}: is a demo's folder, not a source of images.")
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {"files": len(files), "modified": max((file.stat().st_mtime_ns for file in files), default=0)}
