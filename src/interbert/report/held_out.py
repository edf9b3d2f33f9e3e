"""Pairs that a run was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interbert.data.pairs import PairTable
from interbert.data.qrels import QrelsTexts
from interbert.errors import UsageError
from interbert.regions.schema import CaptionRow, ExtractorInfo
from interbert.regions.store import RegionStore, is_store
from interbert.report.runs import Run


@dataclass(frozen=True)
class HeldOut:
    """Pairs with their regions.

    Attributes:
        store: the regions.
        captions: every row of the store.
        table: pairs that were not trained on.
        origin: where they come from, in words.
    """

    store: RegionStore
    captions: Sequence[CaptionRow]
    table: PairTable
    origin: str

    def image_key(self, row: int) -> str:
        """Names an image across stores: equal files are one image."""
        return self.captions[row].digest or f"{self.store.path}, row {row}"


def held_out_pairs(run: Run, extractor: ExtractorInfo, regions: str | None = None) -> HeldOut:
    """The run's validation pairs, or those of another store.

    Args:
        run: with a model that was kept.
        extractor: of the model.
        regions: store to take the pairs from; None takes the run's validation store, or the share of its training
            store that it held out.

    Raises:
        StoreError: the store is missing, or another extractor made it.
        UsageError: which of its pairs were trained on is not known.
        SourceError: it has no texts in the run's columns.
    """
    recipe = run.recipe
    name = regions or recipe.get("validation") or recipe["regions"]
    store = RegionStore.open(name)
    store.require(extractor)
    captions = list(store.captions())
    table = PairTable.from_captions(captions, text_columns_of(recipe), name)
    known = run.origin.get("data", {})
    if store.fingerprint == known.get("regions"):
        if recipe.get("validation") is not None:
            raise UsageError(f"{name}: is what {run.name} was trained on. Give pairs that it does not know.")
        share, seed = recipe["validation_share"], recipe["training"]["seed"]
        judged = recipe.get("qrels") is not None
        if judged:  # the share was drawn from the pairs that the judgements make
            table = _judged_pairs(run, captions, name)
        held = table.split(share, seed, repeat_texts=judged)[1]
        return HeldOut(store, captions, held, f"the {share:.0%} that it held out")
    if recipe.get("validation") is not None and store.fingerprint == known.get("validation"):
        return HeldOut(store, captions, table, "its validation store")
    if regions is None and recipe.get("validation") is None:
        raise UsageError(
            f"{name}: has changed since the run began, so which of its pairs were trained on is not known."
        )
    if not is_store(recipe["regions"]):
        return HeldOut(store, captions, table, f"{name}, which could not be compared with the training store")
    trained = {one.digest for one in RegionStore.open(recipe["regions"]).captions()} - {""}
    unknown, others = (
        np.array([captions[row].digest not in trained for row in rows], dtype=np.bool_)
        for rows in (table.rows, table.unpaired[:, 0])
    )
    if not unknown.any():
        raise UsageError(f"{name}: {run.name} was trained on all of its images. Give pairs that it does not know.")
    return HeldOut(store, captions, table.select(unknown, others), f"{name}, without images of the training store")


def _judged_pairs(run: Run, captions: Sequence[CaptionRow], name: str) -> PairTable:
    recipe = run.recipe
    judged = QrelsTexts.read(recipe["qrels"], recipe["qrels_columns"], recipe["min_grade"], recipe.get("query_texts"))
    if judged.qrels.fingerprint != run.origin["data"].get("qrels"):
        raise UsageError(
            f"{recipe['qrels']}: has changed since the run began, so which pairs were trained on is not known. Give "
            "pairs that it does not know."
        )
    return PairTable.from_captions(captions, text_columns_of(recipe), name, judged)


def text_columns_of(recipe: Mapping[str, Any]) -> list[str]:
    """Columns of texts that a run was trained on; ``texts`` in the recipes of earlier versions."""
    return list(recipe.get("text_columns") or recipe.get("texts") or [])
