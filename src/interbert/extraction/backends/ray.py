"""The same extraction on the workers of a Ray cluster, on one machine or many.

This process reads the image files, hands them out in tasks, takes the rows back in the order of the source and writes
the store; workers decode and describe. They need interbert and nothing else: no shared disk, no copy of the source. A
task whose worker or node dies is given to another one; an image that kills every worker it meets is refused by name.

Tasks and not Ray Data: rows must come back in order for the store to be the one that a single process writes, an image
that kills its worker must end as a refusal (a data pipeline repeats it for ever or fails as a whole), and both are
a few lines over tasks.
"""

from __future__ import annotations

import tempfile
import uuid
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from interbert.errors import ConfigError, InterBertError, UsageError
from interbert.extraction.backends.local import ExtractedRows, RefusedRow, Views, extract_rows
from interbert.extraction.decoding import decode_ahead, file_size, rows_within, with_bytes
from interbert.extraction.extractor import ExpectsImages, RegionExtractor, build_extractor
from interbert.extraction.sources import ImageSource, SourceItem
from interbert.regions.schema import ExtractorInfo
from interbert.utils.environment import keep_freed_memory
from interbert.utils.extractor_weights import WEIGHTS_FILE
from interbert.utils.ray_cluster import connected, import_ray

TASK_IMAGES = 128
"""Images of one task, a multiple of a chunk: some seconds of work, some ten megabytes each way."""
_TASK_BYTES = 1 << 26
"""Bytes of the files of one task: it has fewer images where they are large."""
_READERS = 8
"""Threads that read image files ahead."""
_RETRIES = 3
"""Deaths of a worker that one task survives."""
_HOPELESS = 8
"""So many images in a row that kill their workers are the cluster's fault, not theirs."""
_DIED = "every worker that tried died"


@dataclass(frozen=True)
class ExtractorRecipe:
    """How a worker builds the extractor, with the weights that are in no package."""

    info: ExtractorInfo
    weights_file: bytes | None

    @classmethod
    def of(cls, extractor: RegionExtractor) -> ExtractorRecipe:
        """Recipe of an extractor of this process."""
        return cls(extractor.info, None if extractor.weights_file is None else extractor.weights_file.read_bytes())

    def __call__(self) -> RegionExtractor:
        """Build it.

        Raises:
            ConfigError: this machine cannot: weights are missing.
        """
        if self.weights_file is None:
            return build_extractor(self.info)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / WEIGHTS_FILE).write_bytes(self.weights_file)
            return build_extractor(self.info, folder)


class RayBackend:
    """Describes images on a Ray cluster.

    Args:
        make: builds the extractor on a worker.
        address: of a running cluster, such as ``auto`` or ``ray://head:10001``; None takes the one that the environment
            names or that runs on this machine, and else starts one on this machine.
        cpus: cores that a worker takes.
        gpus: share of a GPU that a worker takes; 0.5 puts two workers on each.
        task_images: images of one task.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: a worker would take nothing.
    """

    def __init__(
        self,
        make: Callable[[], RegionExtractor],
        address: str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        task_images: int = TASK_IMAGES,
    ) -> None:
        import_ray()
        if cpus < 0 or gpus < 0 or not cpus + gpus:
            raise ConfigError(f"a Ray worker must take some of a CPU or GPU, not {cpus:g} cpus and {gpus:g} gpus.")
        self._make = make
        self._address = address
        self._cpus, self._gpus = cpus, gpus
        self._task_images = task_images

    def extract(self, source: ImageSource, views: Views, need_texts: bool) -> Generator[ExtractedRows]:
        """Every row of ``views``, in its order, a task at a time.

        Raises:
            UsageError: no cluster answers, it has no room for a worker, or workers die on every image.
        """
        if not views:
            return
        with connected(self._address) as ray, ThreadPoolExecutor(_READERS, thread_name_prefix="read") as readers:
            job = _Job(
                ray,
                ray.put((uuid.uuid4().hex, self._make, max(1, int(self._cpus)), len(views))),
                self._task(ray),
                need_texts,
            )
            rest, most = iter(views), min(self._task_images, rows_within(_TASK_BYTES, source, list(views)))
            tasks = iter(lambda: list(islice(rest, most)), [])
            waiting: deque[tuple[list[int], Future[_Started]]] = deque()
            try:
                while True:
                    room = 2 * self._slots(ray) + 2 - len(waiting)  # asked each time: nodes come and go
                    for rows in islice(tasks, max(room, 0)):
                        waiting.append((rows, readers.submit(job.start, source, rows, views)))
                    if not waiting:
                        return
                    rows, started = waiting.popleft()
                    yield job.finish(started.result(), source, rows, views)
            finally:
                readers.shutdown(cancel_futures=True)
                for _, started in waiting:
                    if not started.cancelled() and started.exception() is None:
                        ray.cancel(started.result().reference)

    def _task(self, ray: Any) -> Any:
        # max_calls 0: a worker with a GPU would end after each task, and load the network anew for the next
        remote = ray.remote(num_cpus=self._cpus, num_gpus=self._gpus, max_calls=0, name="interbert extract")
        return remote(_work)

    def _slots(self, ray: Any) -> int:
        """Workers that the cluster has room for.

        Raises:
            UsageError: for none.
        """
        have = ray.cluster_resources()
        needs = [(name, share) for name, share in (("CPU", self._cpus), ("GPU", self._gpus)) if share]
        slots = int(min(have.get(name, 0) / share for name, share in needs))
        if slots < 1:
            wanted = " and ".join(f"{share:g} {name}" for name, share in needs)
            raise UsageError(
                f"ray: a worker takes {wanted}; the cluster has {have.get('CPU', 0):g} CPU and "
                f"{have.get('GPU', 0):g} GPU. Give --ray-cpus and --ray-gpus that fit."
            )
        return slots


@dataclass(frozen=True)
class _Started:
    """A task that was handed out."""

    reference: Any
    rows: int
    """How many of the rows it has: the first ones, whose files fit into a task."""


@dataclass(frozen=True)
class _Job:
    """Tasks of one extraction."""

    ray: Any
    maker: Any
    task: Any
    need_texts: bool

    def start(self, source: ImageSource, rows: Sequence[int], views: Views, retries: int | None = None) -> _Started:
        """Read rows and hand them out, until their files have the bytes of a task."""
        items, size = [], 0
        for row in rows:
            items.append(with_bytes(source[row]))
            size += file_size(items[-1])
            if size >= _TASK_BYTES:
                break
        task = self.task.options(max_retries=_RETRIES if retries is None else retries)
        wanted = {row: views[row] for row in rows[: len(items)]}
        return _Started(task.remote(self.maker, items, wanted, self.need_texts), len(items))

    def finish(self, started: _Started, source: ImageSource, rows: Sequence[int], views: Views) -> ExtractedRows:
        """Wait for rows, and then hand out those that did not fit into their task.

        Raises:
            UsageError: workers die on every image, or the cluster fails.
        """
        parts = [self._wait(started.reference, source, rows[: started.rows], views)]
        while rows := rows[started.rows :]:
            started = self.start(source, rows, views)
            parts.append(self._wait(started.reference, source, rows[: started.rows], views))
        return ExtractedRows.joined(parts)

    def _wait(self, reference: Any, source: ImageSource, rows: Sequence[int], views: Views) -> ExtractedRows:
        """Wait for a task; when its workers keep dying, find the image that kills them."""
        errors = self.ray.exceptions
        try:
            done: ExtractedRows = self.ray.get(reference)
            return done
        except errors.RayTaskError as error:
            if isinstance(error.cause, InterBertError):
                raise error.cause from None
            raise
        except (
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.OutOfMemoryError,
            errors.ObjectLostError,
        ) as error:
            how = type(error).__name__
        except errors.RayError as error:
            reason = (str(error).splitlines() or [""])[0][:200]
            raise UsageError(
                f"ray: the cluster failed ({type(error).__name__}: {reason}). What was finished stays; the same "
                "command continues."
            ) from error
        if len(rows) == 1:
            reason = f"{source.name}, row {rows[0]}: {_DIED} ({how})"
            return ExtractedRows(1, refused=[RefusedRow(rows[0], source.image_ids()[rows[0]], reason)])
        halves = (rows[: len(rows) // 2], rows[len(rows) // 2 :])
        parts = []
        for half in halves:
            again = self.start(source, half, views, retries=1 if len(half) == 1 else 0)
            parts.append(self.finish(again, source, half, views))
        whole = ExtractedRows.joined(parts)
        if len(rows) >= _HOPELESS and sum(_DIED in one.reason for one in whole.refused) == len(rows):
            raise UsageError(
                f"ray: {_DIED} for each of the rows {rows[0]} to {rows[-1]} of {source.name} ({how}). Is there memory "
                "for so many workers? More --ray-cpus makes them fewer. What was finished stays."
            )
        return whole


_built: dict[str, RegionExtractor] = {}
"""The extractor of this worker, by the extraction it belongs to."""


def _work(
    maker: tuple[str, Callable[[], RegionExtractor], int, int],
    items: Sequence[SourceItem],
    views: Views,
    need_texts: bool,
) -> ExtractedRows:
    """Runs on a worker."""
    name, make, threads, images = maker
    if name not in _built:
        import torch

        torch.set_num_threads(threads)
        keep_freed_memory()
        _built.clear()
        extractor = _built[name] = make()
        if isinstance(extractor, ExpectsImages):
            extractor.expect(images)  # of all workers, so that their rows are those of a single process
    chunks = decode_ahead(items, range(len(items)))
    return ExtractedRows.joined(extract_rows(_built[name], chunk, views, need_texts) for chunk in chunks)
