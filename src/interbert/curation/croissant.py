"""``croissant.json`` of a finished data set: files with their digests, and fields, as machines read them.

Croissant 1.0 (MLCommons): http://mlcommons.org/croissant/1.0. A shard is a FileObject with its SHA-256; the shards of a
split are a FileSet, from whose columns the fields of the split's RecordSet come.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from interbert.curation.card import CardOptions, dataset_name
from interbert.curation.finished import FinishedDataset
from interbert.utils.files import Kind, write_output

CROISSANT = "croissant.json"
_CONFORMS = "http://mlcommons.org/croissant/1.0"
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The specification's own."""
_FORMATS = {".parquet": "application/x-parquet", ".tar": "application/x-tar"}
_RECOGNISED = Kind("a Croissant file", lambda file: b"mlcommons.org/croissant" in file.read_bytes()[: 1 << 14])


def write_croissant(folder: str | Path, options: CardOptions | None = None) -> None:
    """Write the Croissant file of a finished data set.

    Raises:
        DataError: a file of the data set is missing or damaged.
        UsageError: ``croissant.json`` is there and is something else.
        StorageError: it cannot be written.
    """
    found = FinishedDataset.read(folder)
    content = json.dumps(croissant(found, options or CardOptions()), ensure_ascii=False, indent=1)
    write_output(found.folder / CROISSANT, content + "\n", _RECOGNISED)


def croissant(found: FinishedDataset, options: CardOptions) -> dict[str, Any]:
    """The file's content; a licence, an address and a creator are in it where they were named."""
    name = dataset_name(found, options)
    own = {
        "license": options.license,
        "url": options.url,
        "creator": options.creator and {"@type": "Organization", "name": options.creator},
    }
    described = options.description or f"{found.report['kept']:,} pairs of product image and title."
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": name,
        "description": described,
        "conformsTo": _CONFORMS,
        **{key: value for key, value in own.items() if value},
        "version": "1.0.0",
        "distribution": [*map(_file_object, found.shards), *(_file_set(found, split) for split in found.splits)],
        "recordSet": [_record_set(found, split) for split in found.splits],
    }


def _file_object(shard: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": shard["file"],
        "name": shard["file"],
        "contentUrl": shard["file"],
        "contentSize": f"{shard.get('bytes', 0)} B",
        "encodingFormat": _FORMATS[Path(shard["file"]).suffix],
        "sha256": shard["sha256"],
    }


def _file_set(found: FinishedDataset, split: str) -> dict[str, Any]:
    """The shards of a split; of tar files the titles in them."""
    shards = [{"@id": shard["file"]} for shard in found.shards if shard["split"] == split]
    whole = {"@type": "cr:FileSet", "@id": f"{split}-shards", "name": f"{split}-shards"}
    if found.suffix == ".parquet":
        return whole | {"encodingFormat": _FORMATS[".parquet"], "includes": f"{split}-*.parquet"}
    return whole | {"containedIn": shards, "encodingFormat": "text/plain", "includes": "*.txt"}


def _record_set(found: FinishedDataset, split: str) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "description": f"Rows of the split {split}.",
        "field": _fields(found, split),
    }


def _fields(found: FinishedDataset, split: str) -> list[dict[str, Any]]:
    if found.schema is None:
        return [_field(split, "title", "sc:Text", {"extract": {"fileProperty": "content"}})]
    fields = []
    for column in found.schema:
        if column.name == "image":
            source = {"extract": {"column": "image"}, "transform": {"jsonPath": "bytes"}}
            fields.append(_field(split, "image", "sc:ImageObject", source))
        elif kind := _data_type(column.type):
            one = _field(split, column.name, kind, {"extract": {"column": column.name}})
            fields.append(one | ({"repeated": True} if str(column.type).startswith("list") else {}))
    return fields


def _field(split: str, name: str, kind: str, source: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:Field",
        "@id": f"{split}/{name}",
        "name": name,
        "dataType": kind,
        "source": {"fileSet": {"@id": f"{split}-shards"}, **source},
    }


def _data_type(kind: Any) -> str | None:
    """Croissant's name of an Arrow type; None of what it has none for, such as a struct, whose column is left out."""
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    names = (
        (pa.types.is_boolean, "sc:Boolean"),
        (pa.types.is_integer, "sc:Integer"),
        (pa.types.is_floating, "sc:Float"),
        (pa.types.is_date, "sc:Date"),
        (pa.types.is_timestamp, "sc:DateTime"),
        (pa.types.is_string, "sc:Text"),
        (pa.types.is_large_string, "sc:Text"),
    )
    return next((name for fits, name in names if fits(kind)), None)
