"""Judged topics as a file beside their pages, ``kept.safetensors``: what a refresh needs in place of searches.

Plain arrays, ids as UTF-8, and JSON; nothing in it is run. It says which version of which table it is of, and is
written whole. One that is missing, damaged, too large or of another table costs time alone: pages are made anew.

Shapes: t topics, q queries of all topics, S stored size, D vector size, r images of all topics, P images, f fragments.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interbert.errors import DataError, first_line
from interbert.search.table_rows import Fragment, TableRows
from interbert.topics.judged_topics import Images, JudgedTopic, TopicQuery
from interbert.topics.near_lists import NearList
from interbert.utils.bounded_files import json_value
from interbert.utils.files import replacing

FILE = "kept.safetensors"
_FORMAT = "1"
_MOST_BYTES = 1 << 30
"""A larger file is neither written nor read."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class KeptTopics:
    """Judged topics of one version of an index's table."""

    version: str
    """Of the table."""
    rows: TableRows
    """Of that version."""
    topics: Mapping[str, tuple[str, JudgedTopic]]
    """By id: what the topic depends on beside the table, as a short hash, and the topic."""
    images: Images
    """Of all topics."""


def write_kept(kept: KeptTopics, path: Path) -> str:
    """Write a file, whole or not at all; where it would be too large, remove the one that is there.

    Returns:
        why none was written; "" where one was.

    Raises:
        StorageError: it cannot be written.
    """
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(array) for name, array in _arrays(kept).items()}
    size = sum(array.nbytes for array in arrays.values())
    if size > _MOST_BYTES:
        path.unlink(missing_ok=True)
        return f"nothing is kept for the next refresh, as it would take {size / 1e9:.1f} GB of at most 1.1"
    header = {
        "format": _FORMAT,
        "version": kept.version,
        "table": kept.rows.table,
        "fragments": json.dumps([astuple(one) for one in kept.rows.fragments]),
        "topics": json.dumps([(name, key) for name, (key, _) in kept.topics.items()], ensure_ascii=False),
    }
    with replacing(path) as part:
        save_file(arrays, part, header | {"digest": _digest(arrays, header)})
    return ""


def read_kept(path: Path) -> KeptTopics:
    """Inverse of :func:`write_kept`.

    Raises:
        DataError: there is none, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        if path.stat().st_size > 2 * _MOST_BYTES:
            raise ValueError("it is larger than any that is written")
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            if header.get("format") != _FORMAT:
                raise ValueError(f"it is of format {header.get('format')}, not {_FORMAT}")
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header.pop("digest", "") != _digest(arrays, header):
            raise ValueError("its contents are not those that were written")
        return _kept(arrays, header)
    except (SafetensorError, OSError, LookupError, TypeError, ValueError) as error:
        raise DataError(f"{path}: is damaged ({first_line(error)})") from error


def _digest(arrays: Arrays, header: Mapping[str, str]) -> str:
    found = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def _arrays(kept: KeptTopics) -> Arrays:
    topics = [topic for _, topic in kept.topics.values()]
    lists = [one for topic in topics for one in topic.lists]
    images = kept.images
    none = np.empty(0, np.int64)
    deleted = [kept.rows.deleted.get(one.number, none) for one in kept.rows.fragments]
    return {
        "queries": _sizes([topic.lists for topic in topics]),
        "query_vectors": _joined([topic.query.vectors for topic in topics]).astype(np.float16),
        "counts": np.array([count for topic in topics for count in topic.query.counts], np.int64),
        "means": np.array([topic.query.mean for topic in topics], np.float32),
        "labels": np.array([topic.query.labels for topic in topics], np.float32),
        "shares": np.array([topic.query.known_share for topic in topics], np.float64),
        "reach": np.array([one.reach for one in lists], np.float64),
        "list_sizes": _sizes([one.numbers for one in lists]),
        "list_images": images.places(_joined([one.numbers for one in lists])).astype(np.int32),
        "distances": _joined([one.distances for one in lists]),
        "sizes": _sizes([topic.numbers for topic in topics]),
        "images": images.places(_joined([topic.numbers for topic in topics])).astype(np.int32),
        "scores": _joined([topic.scores for topic in topics]),
        "pair_sizes": _sizes([topic.alike for topic in topics]),
        "pairs": _joined([topic.alike for topic in topics]).astype(np.int32),
        "numbers": images.numbers,
        "vectors": images.vectors,
        **_text_arrays("ids", images.ids),
        **_text_arrays("products", images.products),
        "deleted_sizes": _sizes(deleted),
        "deleted": _joined(deleted),
    }


def _kept(arrays: Arrays, header: Mapping[str, str]) -> KeptTopics:
    numbers = arrays["numbers"]
    images = Images(numbers, _texts(arrays, "ids"), _texts(arrays, "products"), arrays["vectors"])
    list_numbers = np.split(numbers[arrays["list_images"]], _ends(arrays["list_sizes"]))
    distances = np.split(arrays["distances"], _ends(arrays["list_sizes"]))
    lists = [
        NearList(rows, far, float(reach))
        for rows, far, reach in zip(list_numbers, distances, arrays["reach"], strict=True)
    ]
    ends = _ends(arrays["queries"], whole=True)
    vectors = np.split(arrays["query_vectors"].astype(np.float32), ends[1:-1])
    parts = zip(
        np.split(numbers[arrays["images"]], _ends(arrays["sizes"])),
        np.split(arrays["scores"], _ends(arrays["sizes"])),
        np.split(arrays["pairs"].astype(np.int64), _ends(arrays["pair_sizes"])),
        strict=True,
    )
    topics = [
        JudgedTopic(
            TopicQuery(
                vectors[place],
                tuple(arrays["counts"][start:stop].tolist()),
                arrays["means"][place],
                arrays["labels"][place],
                float(arrays["shares"][place]),
            ),
            tuple(lists[start:stop]),
            *part,
        )
        for place, ((start, stop), part) in enumerate(zip(pairwise(ends), parts, strict=True))
    ]
    names = json_value(header["topics"])
    fragments = [
        Fragment(number, rows, tuple(files), tuple(others), deletions)
        for number, rows, files, others, deletions in json_value(header["fragments"])
    ]
    gone = np.split(arrays["deleted"], _ends(arrays["deleted_sizes"]))
    deleted = {one.number: listed for one, listed in zip(fragments, gone, strict=True) if one.deletions}
    return KeptTopics(
        header["version"],
        TableRows(header["table"], tuple(fragments), deleted),
        {name: (key, topic) for (name, key), topic in zip(names, topics, strict=True)},
        images,
    )


def _sizes(parts: Sequence[Any]) -> NDArray[np.int64]:
    return np.array([len(part) for part in parts], np.int64)


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(parts)


def _ends(sizes: NDArray[np.int64], whole: bool = False) -> NDArray[np.int64]:
    """Where parts of these sizes end, without the last; ``whole``: with it, and where the first begins."""
    ends = np.cumsum(sizes)
    return np.concatenate([[0], ends]) if whole else ends[:-1]


def _text_arrays(name: str, texts: Sequence[str]) -> Arrays:
    coded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return {f"{name}_sizes": _sizes(coded), name: np.frombuffer(b"".join(coded), np.uint8)}


def _texts(arrays: Arrays, name: str) -> list[str]:
    whole = arrays[name].tobytes()
    ends = _ends(arrays[f"{name}_sizes"], whole=True).tolist()
    return [whole[start:stop].decode("utf-8", "surrogatepass") for start, stop in pairwise(ends)]
