"""Writers of every foreign format, as the tools of the field write them: what the importers are tested against."""

from __future__ import annotations

import base64
import csv
import io
import json
import pickle
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

SIZE = 8
"""Floats of a region in these tests."""
CLASSES = 1601


@dataclass(frozen=True)
class Foreign:
    """An image as a detector describes it."""

    name: str
    width: int
    height: int
    boxes: np.ndarray
    features: np.ndarray
    ids: np.ndarray
    """Object class without background."""
    confidences: np.ndarray
    texts: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)

    def probabilities(self, classes: int = CLASSES) -> np.ndarray:
        """The distribution that ids and confidences stand for."""
        rest = (1 - self.confidences) / (classes - 1)
        values = np.repeat(rest[:, None], classes, axis=1)
        values[np.arange(len(self.ids)), self.ids + 1] = self.confidences
        return values.astype(np.float32)


def images(count: int = 5, first: int = 0, size: int = SIZE) -> list[Foreign]:
    """Images with 2 to 5 regions each, wider than high."""
    made = []
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        regions = 2 + number % 4
        width, height = 200 + number, 100 + number
        start = rng.uniform(0, 0.5, (regions, 2))
        end = start + rng.uniform(0.1, 0.5, (regions, 2))
        boxes = np.concatenate([start, end], axis=1) * [width, height, width, height]
        boxes[0, 2] = width  # one reaches the right border: a swap of width and height is seen
        made.append(
            Foreign(
                name=str(1000 + number),
                width=width,
                height=height,
                boxes=boxes.astype(np.float32),
                features=rng.normal(size=(regions, size)).astype(np.float32),
                ids=rng.integers(0, 1600, regions),
                confidences=rng.uniform(0.2, 0.9, regions).astype(np.float32),
                texts=(f"an image of {number}", f"number {number}"),
            )
        )
    return made


def b64(values: Any, dtype: str = "<f4") -> bytes:
    return base64.b64encode(np.ascontiguousarray(values, dtype=dtype).tobytes())


def line(*cells: Any) -> bytes:
    return b"\t".join(cell if isinstance(cell, bytes) else str(cell).encode() for cell in cells) + b"\n"


def bottom_up(path: Path, made: Sequence[Foreign], height_first: bool = False, probabilities: bool = False) -> Path:
    with path.open("wb") as file:
        for one in made:
            sides = (one.height, one.width) if height_first else (one.width, one.height)
            cells = [one.name, *sides, len(one.boxes), b64(one.boxes), b64(one.features)]
            file.write(line(*cells, *([b64(one.probabilities())] if probabilities else [])))
    return path


def lxmert(path: Path, made: Sequence[Foreign], probabilities: bool = False) -> Path:
    with path.open("wb") as file:
        for one in made:
            attributes = [b64(one.ids, "<i8"), b64(one.confidences)]
            cells = [one.name, one.height, one.width, b64(one.ids, "<i8"), b64(one.confidences), *attributes]
            cells += [len(one.boxes), b64(one.boxes), b64(one.features)]
            more = [b64(one.probabilities()), b64(one.confidences), b64(one.confidences)] if probabilities else []
            file.write(line(*cells, *more))
    return path


def kdd(path: Path, made: Sequence[Foreign], header: bool = True) -> Path:
    """One line per text of each image, all first texts first."""
    with path.open("wb") as file:
        if header:
            file.write(b"product_id\timage_h\timage_w\tnum_boxes\tboxes\tfeatures\tclass_labels\tquery\tquery_id\n")
        for turn in range(2):
            for one in made:
                boxes = one.boxes[:, [1, 0, 3, 2]]
                cells = [one.name, one.height, one.width, len(boxes), b64(boxes), b64(one.features)]
                file.write(line(*cells, b64(one.ids % 33, "<i8"), one.texts[turn], f"{one.name}{turn}"))
    return path


def vinvl(folder: Path, made: Sequence[Foreign], three_columns: bool = False) -> tuple[Path, Path, Path]:
    """features.tsv, predictions.tsv in another order, and labels.json."""
    labels = {f"class {number}": number + 1 for number in range(1600)}
    (folder / "labels.json").write_text(json.dumps({"label_to_idx": labels}))
    with (folder / "features.tsv").open("wb") as features, (folder / "predictions.tsv").open("wb") as predictions:
        for one in made:
            sides = [one.width, one.height, one.width, one.height]
            relative = one.boxes / np.array(sides, dtype=np.float32)
            extent = relative[:, 2:] - relative[:, :2]
            vectors = b64(np.concatenate([one.features, relative, extent], axis=1))
            if three_columns:
                features.write(line(one.name, len(one.boxes), vectors))
            else:
                cell = {"num_boxes": len(one.boxes), "features": vectors.decode()}
                features.write(line(one.name, json.dumps(cell)))
        for one in reversed(made):
            objects = [
                {"rect": box, "class": f"class {number}", "conf": float(confidence)}
                for box, number, confidence in zip(one.boxes.tolist(), one.ids, one.confidences, strict=True)
            ]
            cell = {"image_h": one.height, "image_w": one.width, "objects": objects}
            predictions.write(line(one.name, json.dumps(cell)))
    return folder / "features.tsv", folder / "predictions.tsv", folder / "labels.json"


def npz(folder: Path, made: Sequence[Foreign]) -> Path:
    """As bottom-up-attention.pytorch writes them, with the pickled member that it adds."""
    folder.mkdir(exist_ok=True)
    for one in made:
        info = {"image_id": one.name, "objects_id": one.ids, "objects_conf": one.confidences}
        arrays = {"x": one.features, "bbox": one.boxes, "num_bbox": len(one.boxes), "image_h": one.height}
        np.savez_compressed(folder / f"{one.name}.npz", image_w=one.width, info=np.array(info, dtype=object), **arrays)
    return folder


def npy(folder: Path, made: Sequence[Foreign]) -> Path:
    """As MMF writes them."""
    folder.mkdir(exist_ok=True)
    for one in made:
        info = {"bbox": one.boxes, "num_boxes": len(one.boxes), "objects": one.ids, "cls_prob": one.probabilities()}
        info |= {"image_width": one.width, "image_height": one.height}
        np.save(folder / f"{one.name}.npy", one.features)
        np.save(folder / f"{one.name}_info.npy", np.array(info, dtype=object))
    return folder


def lmdb_of(path: Path, records: Sequence[tuple[bytes, bytes]]) -> Path:
    import lmdb

    environment = lmdb.open(str(path), map_size=1 << 26, subdir=False, lock=False)
    with environment.begin(write=True) as transaction:
        for key, value in records:
            transaction.put(key, value)
    environment.close()
    return path


def finetuning_record(one: Foreign) -> dict[str, Any]:
    return {
        "image_id": one.name,
        "image_h": str(one.height),
        "image_w": str(one.width),
        "num_boxes": str(len(one.boxes)),
        "boxes": b64(one.boxes),
        "features": b64(one.features),
    }


def finetuning_lmdb(
    path: Path, made: Sequence[Foreign], protocol: int = 4, dump: Callable[..., bytes] = pickle.dumps
) -> Path:
    records = [(one.name.encode(), dump(finetuning_record(one), protocol)) for one in made]
    return lmdb_of(path, [*records, (b"keys", dump([one.name.encode() for one in made], protocol))])


def volta_lmdb(path: Path, made: Sequence[Foreign]) -> Path:
    """Plain arrays in the pickles."""
    records = []
    for one in made:
        fields = {"features": one.features, "boxes": one.boxes, "obj_id": one.ids, "obj_conf": one.confidences}
        fields |= {"img_w": np.int64(one.width), "img_h": np.int64(one.height), "img_id": one.name}
        records.append((one.name.encode(), pickle.dumps(fields)))
    return lmdb_of(path, [*records, (b"keys", pickle.dumps([one.name.encode() for one in made]))])


def packed(value: Any) -> bytes:
    import msgpack
    import msgpack_numpy

    return msgpack.packb(value, default=msgpack_numpy.encode, use_bin_type=True)


def pretraining_record(one: Foreign) -> list[Any]:
    sides = [str(len(one.boxes)), str(one.height), str(one.width)]
    return [one.features, one.probabilities(), one.boxes, *sides, one.name, one.texts[0]]


def pretraining_lmdb(path: Path, made: Sequence[Foreign], wide: bool = False) -> Path:
    records = []
    for number, one in enumerate(made):
        features, probabilities, boxes, *rest = pretraining_record(one)
        value = [features, probabilities, boxes, *rest]
        if wide:
            value = [features, probabilities, *[one.ids, one.confidences] * 2, one.confidences, boxes, *rest]
        records.append((f"{number:08}".encode(), packed(value)))
    return lmdb_of(path, [*records, (b"__keys__", packed([key for key, _ in records]))])


def volta_h5(path: Path, made: Sequence[Foreign]) -> Path:
    import h5py

    with h5py.File(path, "w") as file:
        for one in made:
            group = file.create_group(one.name)
            fields = {"features": one.features, "boxes": one.boxes, "obj_id": one.ids, "obj_conf": one.confidences}
            for name, value in (fields | {"img_w": one.width, "img_h": one.height}).items():
                group[name] = value
    return path


def vilbert_h5(path: Path, made: Sequence[Foreign]) -> Path:
    """Arrays with a row per image, padded."""
    import h5py

    most = max(len(one.boxes) for one in made)

    def padded(values: np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.zeros((most - len(values), *values.shape[1:]), values.dtype)])

    with h5py.File(path, "w") as file:
        file["image_id"] = [one.name.encode() for one in made]
        file["features"] = np.stack([padded(one.features) for one in made])
        file["boxes"] = np.stack([padded(one.boxes) for one in made])
        file["cls_prob"] = np.stack([padded(one.probabilities()) for one in made])
        file["num_boxes"] = [len(one.boxes) for one in made]
        file["image_w"], file["image_h"] = [one.width for one in made], [one.height for one in made]
    return path


def karpathy(path: Path, made: Sequence[Foreign], split: Callable[[int], str] = lambda number: "train") -> Path:
    images = [
        {
            "cocoid": int(one.name),
            "imgid": number + 90,
            "filename": f"COCO_val2014_{int(one.name):012}.jpg",
            "split": split(number),
            "sentences": [{"raw": text, "tokens": text.split()} for text in one.texts],
        }
        for number, one in enumerate(made)
    ]
    path.write_text(json.dumps({"images": images, "dataset": "coco"}))
    return path


def coco_annotations(path: Path, made: Sequence[Foreign]) -> Path:
    images = [{"id": int(one.name), "file_name": f"{one.name}.jpg", "width": one.width} for one in made]
    notes = [
        {"image_id": int(one.name), "id": 10 * n + k, "caption": text}
        for n, one in enumerate(made)
        for k, text in enumerate(one.texts)
    ]
    path.write_text(json.dumps({"info": {"year": 2014}, "images": images, "licenses": [], "annotations": notes}))
    return path


def jsonline(path: Path, made: Sequence[Foreign]) -> Path:
    records = [{"sentences": list(o.texts), "id": n, "img_path": f"{o.name}.jpg"} for n, o in enumerate(made)]
    path.write_text("\n".join(map(json.dumps, records)))
    return path


def caption_json(path: Path, made: Sequence[Foreign]) -> Path:
    path.write_text(json.dumps({one.name: list(one.texts) for one in made}))
    return path


def flickr_token(path: Path, made: Sequence[Foreign]) -> Path:
    path.write_text("".join(f"{o.name}.jpg#{k}\t{text}\n" for o in made for k, text in enumerate(o.texts)))
    return path


def flickr_csv(path: Path, made: Sequence[Foreign]) -> Path:
    rows = [f"{o.name}.jpg| {k}| {text}\n" for o in made for k, text in enumerate(o.texts)]
    path.write_text("image_name| comment_number| comment\n" + "".join(rows))
    return path


def plain_csv(path: Path, made: Sequence[Foreign]) -> Path:
    out = io.StringIO()
    csv.writer(out).writerows([("image_id", "caption"), *((o.name, text) for o in made for text in o.texts)])
    path.write_text(out.getvalue())
    return path


def muge_queries(path: Path, made: Sequence[Foreign]) -> Path:
    records = [
        {"query_id": 10 * n + k, "query_text": text, "item_ids": [int(one.name)]}
        for n, one in enumerate(made)
        for k, text in enumerate(one.texts)
    ]
    path.write_text("\n".join(json.dumps(record, ensure_ascii=False) for record in records), encoding="utf-8")
    return path


def tar(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def renamed(made: Sequence[Foreign], name: str) -> list[Foreign]:
    return [replace(one, name=name) for one in made]
