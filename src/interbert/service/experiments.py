"""Two indexes, and so two models, by share of traffic: who is answered by which, for as long as the experiment runs.

A client is always answered by the same variant: the SHA-256 of index and client id, as a number from 0 to 1, is below
the share or not. A search without a client id is drawn by its query id.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from interbert.errors import UsageError
from interbert.search.table import IndexTable

if TYPE_CHECKING:
    from interbert.service.service import ServedIndex

_WORDS = re.compile(r"(?P<index>[\w.-]+):(?P<share>[0-9.]+)=(?P<treatment>[\w.-]+)")


@dataclass(frozen=True)
class Experiment:
    """A share of an index's searches is answered by another served index. A variant is called like its index."""

    index: str
    share: float
    """Of clients that the treatment answers."""
    treatment: str

    def variant(self, unit: str) -> str:
        """Name of the index that answers a client, or a search without one."""
        digest = hashlib.sha256(f"{self.index}\0{unit}".encode("utf-8", "surrogatepass")).digest()
        return self.treatment if int.from_bytes(digest[:8]) / 2**64 < self.share else self.index


def read_experiments(words: Sequence[str], served: Collection[str]) -> dict[str, Experiment]:
    """Index -> its experiment, of ``INDEX:SHARE=OTHER`` words.

    Args:
        words: as given.
        served: names of the indexes that are served.

    Raises:
        UsageError: a word is none, names an index that is not served, or an index has two experiments.
    """
    found: dict[str, Experiment] = {}
    for word in words:
        experiment = _read(word)
        for name in (experiment.index, experiment.treatment):
            if name not in served:
                raise UsageError(
                    f"serve: --experiment {word[:100]} names {name!r}, which is not served. Serve both, as in: "
                    f"interbert serve shop=INDEX next=OTHER --experiment shop:0.1=next. There is: {', '.join(served)}."
                )
        if experiment.index == experiment.treatment or experiment.index in found:
            raise UsageError(f"serve: --experiment {word[:100]}: an index has one experiment, with another index.")
        found[experiment.index] = experiment
    chained = sorted({one.treatment for one in found.values()} & found.keys())
    if chained:
        raise UsageError(f"serve: {chained[0]!r} is in two experiments. Use it in one.")
    return found


def require_columns(control: ServedIndex, treatment: ServedIndex) -> None:
    """Check that filters of one index work in the other.

    Raises:
        UsageError: they do not, so some clients would get errors.
    """
    first, second = (one.engine.index for one in (control, treatment))
    assert isinstance(first, IndexTable)
    assert isinstance(second, IndexTable)
    lacking = sorted(first.filter_names.keys() - second.filter_names.keys())
    if lacking:
        raise UsageError(
            f"serve: {treatment.name} lacks the columns {', '.join(lacking[:5])} of {control.name}, so filters would "
            "fail for some clients. Build it from the same source with the same --columns."
        )


def _read(word: str) -> Experiment:
    said = _WORDS.fullmatch(word)
    try:
        share = float(said["share"]) if said else 0.0
    except ValueError:
        share = 0.0
    if said is None or not 0 < share < 1:
        raise UsageError(
            f"serve: --experiment {word[:100]!r} is no INDEX:SHARE=OTHER with a share between 0 and 1, such as "
            "shop:0.1=next."
        )
    return Experiment(said["index"], share, said["treatment"])
