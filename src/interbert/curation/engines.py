"""Where chunks are judged: in this process, in several, or on the workers of a Ray cluster; always in their order.

Tasks and not Ray Data, as extraction does it (:mod:`interbert.extraction.backends.ray`): chunks come back in the order
of the source, so that the output has the same bytes whatever computes it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from interbert.curation.cells import ChunkCells
from interbert.curation.judging import JudgeSettings, judge_chunk
from interbert.errors import DataError, ImageError, UsageError
from interbert.extraction.image_cells import image_file
from interbert.extraction.images import file_bytes
from interbert.utils.ray_cluster import connected

_AHEAD = 2
"""Chunks of each worker that are read ahead."""


def judged(
    settings: JudgeSettings, chunks: Iterable[ChunkCells], workers: int | None = None, ray: bool | str = False
) -> Generator[tuple[ChunkCells, Any]]:
    """Each chunk with the table of :func:`judge_chunk`, in their order.

    Args:
        settings: of the rules.
        chunks: read as they are needed.
        workers: processes; None takes as many as there are cores.
        ray: on a cluster, True or its address.

    Raises:
        DataError: a worker died of a chunk.
        UsageError: no cluster answers.
        MissingExtraError: Ray is not installed.
    """
    count = workers or len(os.sched_getaffinity(0))
    if ray:
        yield from _on_ray(settings, chunks, ray if isinstance(ray, str) else None)
    elif count == 1:
        yield from ((one, judge_chunk(settings, one)) for one in chunks)
    else:
        yield from _in_processes(settings, chunks, count)


def _in_processes(
    settings: JudgeSettings, chunks: Iterable[ChunkCells], count: int
) -> Generator[tuple[ChunkCells, Any]]:
    context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    with ProcessPoolExecutor(count, context, initializer=_end_with_parent) as pool:
        waiting: deque[tuple[ChunkCells, Future[Any]]] = deque()
        rest = iter(chunks)
        try:
            while True:
                for one in islice(rest, max(0, _AHEAD * count - len(waiting))):
                    waiting.append((one, pool.submit(judge_chunk, settings, one)))
                if not waiting:
                    return
                first, future = waiting.popleft()
                try:
                    done = future.result()
                except BrokenProcessPool as error:
                    raise _died(first) from error
                yield first, done
        finally:
            pool.shutdown(cancel_futures=True)


def _died(cells: ChunkCells) -> DataError:
    start, end = cells.chunk.start, cells.chunk.start + cells.chunk.rows
    return DataError(
        f"{cells.where}: a process that judged rows {start} to {end - 1}, or some near them, was ended by the system. "
        "Free some memory or give --workers 1, and run the same command again: what was judged stays."
    )


def _end_with_parent() -> None:
    """End this worker when the process that started it was killed: it would wait for work for ever.

    Ctrl-C is for that process alone, which ends its workers.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def wait() -> None:
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _on_ray(
    settings: JudgeSettings, chunks: Iterable[ChunkCells], address: str | None
) -> Generator[tuple[ChunkCells, Any]]:
    with connected(address) as ray:
        task = ray.remote(num_cpus=1, max_retries=3, name="interbert dataset build")(judge_chunk)
        shared = ray.put(settings)
        waiting: deque[tuple[ChunkCells, Any]] = deque()
        with closing(_with_files(chunks, settings.columns.image)) as rest:
            while True:
                room = _AHEAD * max(1, int(ray.cluster_resources().get("CPU", 1)))  # asked each time: nodes come and go
                for one in islice(rest, max(0, room - len(waiting))):
                    waiting.append((one, task.remote(shared, one)))
                if not waiting:
                    return
                first, reference = waiting.popleft()
                try:
                    done = ray.get(reference)
                except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as error:
                    raise _died(first) from error
                except ray.exceptions.RaySystemError as error:
                    raise UsageError(
                        f"ray: the cluster failed ({str(error)[:200]}). Run the same command again."
                    ) from error
                yield first, done


def _with_files(chunks: Iterable[ChunkCells], image: str | None) -> Generator[ChunkCells]:
    """Chunks with the bytes of their images: workers share no disk with this process."""
    for one in chunks:
        values = one.values() if image is not None and one.problem is None else {}
        if image not in values:
            yield one
            continue
        files = [_file(value, one, place) for place, value in enumerate(values[image])]
        yield replace(one, cells={**values, image: files})


def _file(value: Any, cells: ChunkCells, place: int) -> Any:
    data, _ = image_file(value, cells.folder, cells.source)
    if not isinstance(data, Path):
        return value  # bytes, or what has none, whose reason the worker finds again
    try:
        return file_bytes(data, f"{cells.where}, row {cells.chunk.start + place}")
    except (OSError, ImageError) as error:
        return {"problem": str(error)[:200]}
