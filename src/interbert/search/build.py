"""From a source of images to an index, or to the next build of one: resumable, and swapped in by one commit."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from interbert.errors import SourceError, UsageError, writing
from interbert.extraction.sources import ImageSource
from interbert.search.columns import column_notes, find_columns
from interbert.search.exporting import export_encoder
from interbert.search.index import ProductIndex
from interbert.search.index_model import drop_models, keep_model, model_fingerprint, model_folder
from interbert.search.manifest import (
    Manifest,
    append_manifest,
    connect,
    has_table,
    is_index,
    read_manifests,
    table_names,
)
from interbert.search.products import identified, measured_norm
from interbert.search.query_encoder import ProductEncoder
from interbert.search.restore_points import read_retention
from interbert.search.runtime_check import check_runtimes
from interbert.search.source_changes import Changes, write_source
from interbert.search.vectors import TokenQuantisation, stored_size
from interbert.search.writer import IndexWriter, table_schema
from interbert.utils.files import WRITER_SECONDS, only_writer
from interbert.utils.redaction import without_credentials


def build_index(
    model: str | Path,
    source: ImageSource,
    path: str | Path,
    *,
    columns: Sequence[str] = (),
    token_quantisation: TokenQuantisation = "int8",
    regions: str | None = None,
    mirrored: bool = False,
    rebuild: bool = False,
    progress: bool = False,
    validate: Callable[[ProductIndex, ProductIndex], None] | None = None,
) -> Changes:
    """Make an index, or make it anew while searches go on with the old one.

    Killed at any moment, the same call goes on after the last commit.

    Args:
        model: model directory; the index keeps a copy of what searching needs of it.
        source: images, with or without texts.
        path: folder or URI of the index.
        columns: those that filters can use; all that hold single values when empty.
        token_quantisation: how regions are kept.
        regions: store of the same extractor with regions of some of the images, which need not be found again.
        mirrored: an image's vector is the mean of its own and its mirror image's; images take twice the time.
        rebuild: build anew although there is an index; it takes the old one's place when it is complete.
        progress: show a bar.
        validate: raises where the build that is searched, given first, is to stay; the new one, given second, is then
            kept aside until the next one, and the same call without this takes it.

    Raises:
        UsageError: there is an index already, something else, or another command is writing it.
        CheckpointError: the model is missing, damaged or cannot recall.
        SourceError: no image can be used.
        StorageError: the disk is full or not writable; what was committed stays.
    """
    _require_place(path)
    fingerprint = model_fingerprint(model)
    encoder = ProductEncoder.load(model)
    encoder.require_recall()
    source = identified(source, lasting=False)
    with only_writer(path, WRITER_SECONDS if rebuild else 0.0):  # a service may be writing what is rebuilt
        builds = read_manifests(connect(path), str(path)) if is_index(path) else []
        if builds and builds[-1].complete and not rebuild:
            raise UsageError(
                f"{path}: there is an index already. Add to it with: interbert index add {path} {source.name}; or "
                "build it anew, while searches go on, with --rebuild."
            )
        manifest = _begin(
            path, builds, _describe(model, fingerprint, encoder, source, columns, token_quantisation, mirrored)
        )
        keep_model(model, path, fingerprint)
        index = ProductIndex(path, build=manifest)
        changes = write_source(index, encoder, source, regions, progress)
        changes.notes = column_notes(source.other_columns(columns or None), manifest.columns)
        if not len(index):
            raise SourceError(f"{source.name}: none of its images could be used ({changes.skipped[0][1]}).")
        IndexWriter(index).maintain(finished=True)
        if validate is not None and any(one.complete for one in builds):
            validate(ProductIndex.open(path).pinned(), index)
        if "://" not in str(path):
            export_encoder(encoder, model_folder(path, fingerprint))
        check_runtimes(index, encoder)
        _complete(path, manifest)
    return changes


def _describe(
    model: str | Path,
    fingerprint: str,
    encoder: ProductEncoder,
    source: ImageSource,
    columns: Sequence[str],
    token_quantisation: TokenQuantisation,
    mirrored: bool,
) -> Manifest:
    mapping = source.columns
    ids = {"product_id": mapping.product_id, "picture_id": mapping.image_id}
    norm = encoder.largest_norm
    return Manifest(
        table="",
        model=without_credentials(str(model)),
        model_fingerprint=fingerprint,
        source=without_credentials(source.name),
        vector_size=encoder.vector_size,
        stored_size=stored_size(encoder.vector_size),
        largest_norm=measured_norm(encoder, source) if norm is None else norm,
        hidden_size=encoder.hidden_size,
        token_quantisation=token_quantisation,
        columns=tuple(find_columns(source.other_columns(columns or None), source.name, columns)),
        aliases={column: name for name, column in ids.items() if column is not None and column != name},
        mapping={"picture": mapping.image, "texts": list(mapping.texts), **ids},
        mirrored=mirrored,
    )


def _require_place(path: str | Path) -> None:
    if "://" in str(path) or is_index(path):
        return
    folder = Path(path)
    if any(parent.exists() and not parent.is_dir() for parent in (folder, *folder.parents)):
        raise UsageError(f"{path}: is a file, or lies below one. Name a folder.")
    if folder.exists() and any(one.name != "manifest.lance" for one in folder.iterdir()):  # killed early
        raise UsageError(f"{path}: the folder is not empty and is no index. Name another folder.")


def _begin(path: str | Path, builds: Sequence[Manifest], manifest: Manifest) -> Manifest:
    """Go on with an unfinished build of the same, or begin one."""
    with writing(path):
        if "://" not in str(path):
            Path(path).mkdir(parents=True, exist_ok=True)
        database = connect(path)
        if builds and not builds[-1].complete and has_table(database, builds[-1].table):
            last = builds[-1]
            if last.same_build(replace(manifest, largest_norm=last.largest_norm)):
                return last
        # a name of its own: an open handle must notice an index that was deleted and built anew at the same place
        begun = replace(manifest, table=f"products_{len(builds):04d}_{secrets.token_hex(4)}")
        append_manifest(database, begun, len(builds))
        database.create_table(begun.table, schema=table_schema(begun), mode="overwrite")
        return begun


def _complete(path: str | Path, manifest: Manifest) -> None:
    """Let searches use a build, and drop those that are not kept any more.

    The build before this one always stays, for searches that are at work on it.
    """
    database: Any = connect(path)
    with writing(path):
        append_manifest(database, manifest.completed(), len(read_manifests(database, str(path))))
        kept = kept_builds(read_manifests(database, str(path)), read_retention(database).builds)
        for name in table_names(database):
            if name.startswith("products_") and name not in {one.table for one in kept}:
                database.drop_table(name)
    drop_models(path, {one.model_fingerprint for one in kept})


def kept_builds(builds: Sequence[Manifest], most: int) -> list[Manifest]:
    """The complete builds that were searched last, newest first; one that was gone back to counts once."""
    newest_first = [one for one in reversed(builds) if one.complete]
    return list({one.table: one for one in newest_first}.values())[:most]
