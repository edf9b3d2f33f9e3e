"""What every training run shares: its data, its folder, and the check that a rerun is the same run."""

from __future__ import annotations

import json
import logging
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import distributed

from interbert.checkpoints.unknown_words import UNKNOWN_WORDS
from interbert.data.negatives import Negatives, hard_share
from interbert.data.pairs import PairTable
from interbert.data.qrels import QrelsTexts
from interbert.errors import (
    ConfigError,
    InterBertError,
    StorageError,
    UsageError,
    is_full,
    storage_problem,
    writing,
)
from interbert.regions.mix import StoreMix
from interbert.regions.schema import ExtractorInfo, RegionReader
from interbert.regions.store import RegionStore
from interbert.tasks.retrieval import RetrievalSet
from interbert.training.options import NegativeOptions
from interbert.utils.bounded_files import read_json, reading
from interbert.utils.deprecation import FIXED_OPTIONS, LATER_OPTIONS
from interbert.utils.files import atomic_write, is_part, only_writer
from interbert.utils.redaction import stripped
from interbert.utils.row_file import RowFile

if TYPE_CHECKING:
    from transformers import TrainingArguments

_logger = logging.getLogger(__name__)

RECIPE = "recipe.json"
FINISHED = "finished.json"
REGIONS = "regions.json"
"""Who extracted the regions that a run began with."""
TEXTS = "texts.json"
"""Which texts a run on texts alone began with."""
LEFT_OUT = "left_out.csv"
"""Rows without a text: file, row, reason."""
VALIDATION_LEFT_OUT = f"validation_{LEFT_OUT}"
MISSING_IMAGES = "missing_images.jsonl"
"""Ids of images that examples name and no store has."""
VOCABULARY = "vocabulary"
"""Folder of the tokenizer of a run on texts alone, which stays when the run goes on."""
_SETTINGS = {RECIPE, REGIONS, TEXTS, LEFT_OUT, VALIDATION_LEFT_OUT, VOCABULARY, UNKNOWN_WORDS, MISSING_IMAGES}
"""Written anew by a run that has no checkpoint."""
NEGATIVES = "negatives.safetensors"
"""Pools of hard negatives, mined when a run starts."""
USUAL_SHARE = 0.05
"""Of the images, held out to validate on where there are many."""
_LARGEST_SHARE = 0.2
_ENOUGH = 200
"""Validation images wanted: their R@1 is known within seven points."""
_FEW = 50
"""Validation images below which a run says that they are few."""


@dataclass(frozen=True)
class TrainingData:
    """Stores and pairs of a run."""

    store: RegionReader
    table: PairTable
    validation_store: RegionReader
    validation: RetrievalSet
    validation_texts: Sequence[str]
    visits: NDArray[np.float64] | None = None
    """[pairs] how often an epoch visits each pair; None means once."""
    judged: QrelsTexts | None = None
    """Judgements that some of the pairs come from."""
    _pooled: list[RowFile] = field(default_factory=list)

    def pooled(self, folder: Path) -> RowFile:
        """Mean region feature of every row [rows,F]: one pass over the store, whoever asks first.

        They lie in a file of ``folder`` that goes when the process ends: in memory a million of them took 5.8 GB.

        Raises:
            StorageError: the disk is full or not writable.
        """
        if not self._pooled:
            self._pooled.append(RowFile.of(folder, len(self.store), self.store.pooled_blocks()))
        return self._pooled[0]

    def fingerprints(self) -> dict[str, str]:
        """For provenance."""
        found = {"regions": self.store.fingerprint, "validation": self.validation_store.fingerprint}
        return found if self.judged is None else found | {"qrels": self.judged.qrels.fingerprint}


def held_out_share(given: float | None, units: int, usual: float = USUAL_SHARE) -> float:
    """Share to hold out and validate on: of few units more, so that their figures tell something.

    Args:
        given: by the options; None chooses.
        units: images or items that there are.
        usual: share of many.
    """
    return max(usual, min(_LARGEST_SHARE, _ENOUGH / max(1, units))) if given is None else given


def open_data(
    regions: str,
    validation: str | None,
    share: float | None,
    limit: int,
    texts: list[str],
    seed: int,
    more: Mapping[str, float] | None = None,
    judged: QrelsTexts | None = None,
) -> TrainingData:
    """Open the stores and split off validation images when there is no store for them.

    Args:
        regions: store to train on.
        validation: store to validate on.
        share: of the images that is held out when there is none; None as :func:`held_out_share` has it.
        limit: at most so many validation images, a sample of whole products.
        texts: columns whose texts are used; all when empty.
        seed: of the split and of the sample.
        more: further stores, and how often an epoch visits their pairs.
        judged: judgements of the store's products, and of the validation store's if they name some of them.

    Raises:
        StoreError: a store is missing, or the two were made by different extractors.
        SourceError: there are no texts in the columns named.
        ConfigError: the held-out share leaves nothing to train or validate on.
    """
    mix = StoreMix({regions: 1.0, **more}) if more else None
    store = mix or RegionStore.open(regions)
    table = PairTable.from_captions(store.captions(), texts, regions, judged)
    if validation is not None:
        held_store: RegionReader = RegionStore.open(validation)
        held_store.require(store.info)
        held = _held_out(held_store, texts, validation, judged)
    else:
        held_store = store
        share = held_out_share(share, len(np.unique(table.rows)))
        pairs = len(table)
        table, held = table.split(share, seed, repeat_texts=judged is not None)
        if not len(held) and len(table) < pairs:
            raise ConfigError(
                f"{regions}: every text of the {share:.0%} of images held out to validate on stands with a training "
                "image, too, so that none is left to ask for. Give a validation store, or texts that tell more apart."
            )
        if not len(held) or not len(table):
            raise ConfigError(
                f"{regions}: {len(table) + len(held)} pairs are too few to hold {share:.0%} out. "
                "Give a validation store, or a larger validation_share."
            )
    images = len(set(held.rows.tolist()))
    if images < _FEW:
        _logger.info(f"only {images} validation images: which step is best, and its figures, are mostly chance")
    visits = None if mix is None else mix.visits(table.rows)
    validation_set = RetrievalSet.from_table(held, limit, seed)
    return TrainingData(store, table, held_store, validation_set, held.texts, visits, judged)


def _held_out(store: RegionReader, texts: list[str], where: str, judged: QrelsTexts | None) -> PairTable:
    """Pairs of a validation store: as judged, or its own texts where the judgements name none of its products."""
    if judged is not None and not judged.names_any(store.captions()):
        _logger.info(f"{judged.qrels.where} calls no product of {where} right: validation is on the store's own texts")
        judged = None
    return PairTable.from_captions(store.captions(), texts, where, judged)


@dataclass(frozen=True)
class Curriculum:
    """Share of hard negatives by step; an object, so that loader processes can be sent it."""

    start: int
    full: int
    largest: float

    def __call__(self, step: int) -> float:
        """Share at a step."""
        return hard_share(step, self.start, self.full, self.largest)


def curriculum(options: NegativeOptions, pairs: int, step_size: int, stretch: float = 1.0) -> Curriculum:
    """The curriculum for so many pairs in all and per optimizer step, in epochs ``stretch`` times as long."""
    steps_per_epoch = math.ceil(pairs / step_size) * stretch
    start = int(options.random_epochs * steps_per_epoch)
    return Curriculum(start, start + int(options.rise_epochs * steps_per_epoch), options.hard_share)


def run_negatives(
    chosen: NegativeOptions,
    out: Path,
    data: TrainingData,
    arguments: TrainingArguments,
    by_model: Callable[[], Negatives] | None = None,
) -> Negatives:
    """A run's negatives: random ones alone, or with hard ones from the pools in its folder.

    Args:
        chosen: what kind, and how many.
        out: the folder.
        data: the run's pairs.
        arguments: of the trainer; the first process mines, the others find what it has mined.
        by_model: mines the pools, when text and image neighbours are not what is wanted.
    """
    if chosen.hard_share <= 0:
        return Negatives(data.table, near_same=chosen.near_same)
    file = out / NEGATIVES
    with arguments.main_process_first(desc="negatives"):
        if file.exists():
            return Negatives.load(data.table, file, chosen.near_same)
        if by_model is None:
            found = Negatives.mined(data.table, data.pooled(out), near_same=chosen.near_same, folder=out)
        else:
            found = by_model()
        found.save(file)
        return found


def claim_folder(out: Path, recipe: Mapping[str, Any]) -> bool:
    """Make ``out`` this recipe's folder; returns whether the run was finished before.

    Raises:
        UsageError: the folder holds a run with another recipe, or something else.
        DataError: its recipe is damaged.
        StorageError: the folder cannot be made.
    """
    if out.is_file() or any(parent.is_file() for parent in out.parents):
        raise UsageError(f"{out}: is a file, or lies below one. Name a folder.")
    file = out / RECIPE
    if out.is_dir() and not file.exists() and any(not is_part(child) for child in out.iterdir()):
        raise UsageError(f"{out}: the folder is not empty and holds no run. Name another, so that nothing is replaced.")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        if file.exists() and _has_begun(out):  # else it never got to a first step
            with reading(file, "Restore it, or name another folder."):
                _require_same(out, read_json(file), recipe)
        else:
            atomic_write(file, json.dumps(recipe, indent=2, ensure_ascii=False) + "\n")
    return (out / FINISHED).exists()


def claim_regions(out: Path, store: RegionReader) -> None:
    """Remember who extracted a run's regions; when it goes on, check that nobody replaced the store by another's.

    Raises:
        StoreError: other regions lie in the store's place now.
        DataError: what was remembered is damaged.
        StorageError: the file cannot be written.
    """
    file = out / REGIONS
    if file.exists() and _has_begun(out):
        with reading(file, "Restore it, or name another folder."):
            info = ExtractorInfo.from_dict(read_json(file))
        store.require(info)
    elif main_process():
        atomic_write(file, store.info.to_json() + "\n")


def _has_begun(out: Path) -> bool:
    """Whether a run got further than its settings."""
    return any(child.name not in _SETTINGS and not is_part(child) for child in out.iterdir())


def main_process() -> bool:
    """Whether this is the one process of a run, or the first of several (as torchrun numbers them)."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def one_run(out: str) -> Iterator[None]:
    """Hold a run's folder; of several processes the first holds it, and the others are silent.

    Raises:
        UsageError: another command is writing the folder.
        StorageError: a library that keeps something of the run found the disk full.
    """
    with ExitStack() as stack:
        if main_process():
            stack.enter_context(only_writer(out))
        else:
            nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            stack.enter_context(redirect_stdout(nowhere))
        with _full_disk_said_once(out):
            yield
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()


@contextmanager
def _full_disk_said_once(out: str) -> Iterator[None]:
    """TensorBoard's writer dies of a full disk in a thread of its own, whose error the run's next step raises again."""
    usual = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is None or not is_full(args.exc_value):
            usual(args)

    threading.excepthook = hook
    try:
        yield
    except InterBertError:
        raise
    except Exception as error:
        if is_full(error):
            raise StorageError(f"{getattr(error, 'filename', None) or out}: {storage_problem(error)}") from error
        raise
    finally:
        threading.excepthook = usual


def mark_finished(out: Path) -> None:
    """Remember that the run reached its end; of several processes the first does.

    Raises:
        StorageError: the file cannot be written.
    """
    if main_process():
        atomic_write(out / FINISHED, "{}\n")


def as_recipe(options: Any) -> dict[str, Any]:
    """Options as plain nested dictionaries, URIs in them without credentials."""
    assert is_dataclass(options)
    assert not isinstance(options, type)
    return dict(stripped(asdict(options)))


def _require_same(out: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    old, new = flat(stripped(before)), flat(json.loads(json.dumps(now)))  # earlier versions wrote credentials
    old = {name: value for name, value in old.items() if name in new or FIXED_OPTIONS.get(name) != value}
    if new.get("validation") is not None:  # then no share is held out, whatever the option says
        old.pop("validation_share", None)
        new.pop("validation_share", None)
    came_later = {name for name, value in new.items() if value in ([], LATER_OPTIONS.get(name, []))}
    new = {name: value for name, value in new.items() if name in old or name not in came_later}
    changed = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
    if changed:
        name = changed[0]
        raise UsageError(
            f"{out}: holds a run with other settings ({name} was {old.get(name)!r}, now {new.get(name)!r}"
            f"{f', and {len(changed) - 1} more' if changed[1:] else ''}). Name another folder, or repeat its settings "
            f"to continue it ({out / RECIPE})."
        )


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with names such as ``training.epochs``."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
