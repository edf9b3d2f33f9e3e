"""A line of a write: JSON as clients send it, as a row of the index, or refused with a reason."""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from interbert.errors import shortened
from interbert.extraction.columns import id_text
from interbert.extraction.images import MAX_FILE
from interbert.extraction.table_limits import MAX_ID, MAX_TEXT, MAX_TEXTS
from interbert.search.manifest import Manifest
from interbert.search.row_changes import Code, ProductRow
from interbert.service.images import has_more_pixels
from interbert.utils.bounded_files import json_value

_DATA_URI = re.compile(r"data:[\w.+/-]*(?:;[\w.+=-]+)*;base64,", re.IGNORECASE)
_ADDRESS = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//|\s*(?:file|s3|gs|blob):", re.IGNORECASE)
_WHITE = re.compile(r"\s+")


class LineError(Exception):
    """A line that cannot be used.

    Args:
        code: as of errors of the service.
        reason: a sentence.
        product_id: which the line names, where it can be read.
    """

    def __init__(self, code: Code, reason: str, product_id: str | None = None) -> None:
        super().__init__(reason)
        self.code, self.reason, self.product_id = code, reason, product_id


class LineReader:
    """Reads lines by the columns that an index was built from.

    Args:
        manifest: of the build that is written.
        megapixels: larger images are refused before they are decoded.
    """

    def __init__(self, manifest: Manifest, megapixels: float) -> None:
        mapping = manifest.mapping
        self._product_names = _names("product_id", mapping["product_id"])
        self._image_id_names = _names("image_id", mapping["picture_id"])
        self._image_names = _names("image", mapping["picture"])
        self._texts = tuple(mapping["texts"])
        self._columns = {column.name for column in manifest.columns}
        self._megapixels = megapixels

    def product(self, line: bytes) -> ProductRow:
        """A product to add or to bring up to date.

        Raises:
            LineError: it cannot be used.
        """
        return self._row(_object(line), with_image=True)

    def update(self, line: bytes) -> ProductRow:
        """Columns and texts of a product that is there.

        Raises:
            LineError: it cannot be used, or has an image.
        """
        return self._row(_object(line), with_image=False)

    def removal(self, line: bytes) -> tuple[str, str | None]:
        """Id of a product to remove, and of the image where only that is meant.

        Raises:
            LineError: it cannot be used.
        """
        value = _json(line)
        fields = dict(value) if isinstance(value, dict) else {"product_id": value}
        product = self._id(fields, self._product_names, None)
        assert product is not None
        image = self._id(fields, self._image_id_names, product)
        if fields:
            raise LineError("invalid", f"There is no field {_shown(next(iter(fields)))} here. Leave it out.", product)
        return product, image

    def _row(self, fields: dict[str, Any], with_image: bool) -> ProductRow:
        product = self._id(fields, self._product_names, None)
        assert product is not None
        image_id = self._id(fields, self._image_id_names, product)
        try:
            given = _take(fields, self._image_names)
            if given is not None and not with_image:
                raise LineError("invalid", "An update takes no image. Send the product by POST /v1/products instead.")
            image = None if given is None else image_bytes(given, self._megapixels)
            _require_unicode(fields)
            return ProductRow(product, image_id, image, self._texts_of(fields), self._columns_of(fields))
        except LineError as error:
            error.product_id = product
            raise

    def _id(self, fields: dict[str, Any], names: tuple[str, ...], product: str | None) -> str | None:
        """An id, which is needed where no ``product`` is known yet."""
        name = next((one for one in names if one in fields), names[0])
        value = _take(fields, names)
        if value is None and product is not None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int | float) or id_text(value) is None:
            problem = "is missing or empty" if value in (None, "") else "is no text or number"
            raise LineError("invalid", f"{name} {problem}.", product)
        text = str(id_text(value))
        if len(text) > MAX_ID:
            raise LineError("invalid", f"{name} has more than {MAX_ID:,} characters.", product)
        if any(unicodedata.category(sign) in ("Cc", "Cs") for sign in text) or text in (".", ".."):
            raise LineError(
                "invalid", f"{name} {_shown(text)} has control characters, or is no part of a path.", product
            )
        return text

    def _texts_of(self, fields: dict[str, Any]) -> tuple[str, ...] | None:
        """Texts, by the name ``texts`` or by those that the index was built from; None when none are given."""
        names = [name for name in ("texts", *self._texts) if fields.get(name) is not None]
        found: list[str] = []
        for name in dict.fromkeys(names):
            value = fields[name]
            texts = value if isinstance(value, list) else [value]
            if not all(isinstance(text, str) for text in texts):
                raise LineError("invalid", f"{name} is neither a text nor a list of texts.")
            found += texts
        for name in {"texts", *self._texts} - self._columns:  # a text column may be one for filters, too
            fields.pop(name, None)
        if len(found) > MAX_TEXTS or max(map(len, found), default=0) > MAX_TEXT:
            raise LineError("invalid", f"texts: at most {MAX_TEXTS:,}, of {MAX_TEXT:,} characters each, are read.")
        return tuple(found) if names else None

    def _columns_of(self, fields: dict[str, Any]) -> dict[str, Any]:
        metadata = fields.pop("metadata", None) or {}
        if not isinstance(metadata, dict):
            raise LineError("invalid", "metadata is no object with the index's columns.")
        twice = next((name for name in metadata if name in fields), None)
        if twice is not None:
            raise LineError("invalid", f"{_shown(twice)} is given twice, in metadata and beside it.")
        columns = fields | metadata
        for name, value in columns.items():
            members = value if isinstance(value, list) else [value]
            if any(isinstance(one, float) and not math.isfinite(one) for one in members):
                raise LineError("invalid", f"{_shown(name)} is no finite number.")
        return columns


def image_bytes(value: Any, megapixels: float) -> bytes:
    """An image's file, of a data URI or plain base64; no address is ever fetched.

    Raises:
        LineError: it is neither, or too large.
    """
    if not isinstance(value, str):
        raise LineError("bad_image", "image is no text. Send a data URI or base64.")
    found = _DATA_URI.match(value[:200])
    if found is None and (_ADDRESS.match(value[:200]) or value[:5].lower() == "data:"):
        raise LineError(
            "bad_image", "image is an address, and none is fetched. Send the image itself: data:image/jpeg;base64,..."
        )
    try:
        data = base64.b64decode(_WHITE.sub("", value[found.end() if found else 0 :]), validate=True)
    except (binascii.Error, ValueError) as error:
        raise LineError("bad_image", "image is neither a data URI nor base64 of an image's file.") from error
    if not data or len(data) > MAX_FILE:
        raise LineError("bad_image", f"image is empty, or has more than {MAX_FILE >> 20} MiB.")
    if has_more_pixels(data, megapixels):
        raise LineError("bad_image", f"image has more than {megapixels:g} million pixels. Make it smaller.")
    return data


def _names(name: str, own: str | None) -> tuple[str, ...]:
    """Ours, and that of the source that the index was built from."""
    return tuple(dict.fromkeys([name, own or name]))


def _take(fields: dict[str, Any], names: tuple[str, ...]) -> Any:
    """Take a value out under the first of its names; empty texts count as none."""
    values = [fields.pop(name) for name in names if name in fields]
    return next((value for value in values if value not in (None, "")), None)


def _json(line: bytes) -> Any:
    try:
        return json_value(line)
    except (ValueError, RecursionError) as error:
        raise LineError("invalid", f"The line is no JSON ({shortened(str(error), 120)}).") from error


def _object(line: bytes) -> dict[str, Any]:
    value = _json(line)
    if not isinstance(value, dict):
        raise LineError("invalid", "The line is no JSON object.")
    return value


def _require_unicode(fields: Mapping[str, Any]) -> None:
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise LineError("invalid", "A text holds half of a surrogate pair, which is no character.") from error


def _shown(text: str) -> str:
    return repr(shortened(text, 60))
