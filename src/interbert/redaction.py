"""What is not written down: credentials nowhere, folders of this machine not in what is published.

A URI may carry a key and its secret before the host (``s3://key:secret@bucket/shop``) or a token in its query
(``https://host/shop?token=...``). Both are used to open the place and kept nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SCHEME = r"(?i:\b[a-z][a-z0-9+.-]*://)"
_USER = re.compile(
    rf"""({_SCHEME})(?:[^\s/?#'"<>]*@"""  # up to the host, as RFC 3986 has it
    # secrets of AWS hold slashes, which people do not escape; a port is none
    r"""|[^\s/?#:@\['"<>]*:(?!\d{1,5}(?:[/?#\s'"]|$))[^\s'"<>]*@)"""
)
_QUERY = re.compile(rf"""({_SCHEME}[^\s?'"<>]*)\?[^\s'"<>]*?(?=[:.,;)\]]*(?:[\s'"<>]|$))""")
_WHOLE = re.compile(rf"{_SCHEME}[^?]*")
_NAMED = re.compile(r"""(?i)[?&#;][\w.-]*(?:token|secret|passw|pwd|sig|credential|key|auth)[\w.-]*=[^\s&'"<>]*""")
_FOLDERS = re.compile(
    r"""(?<![\w.:/\\~-])(?:file://)?"""
    r"""(?:~\w*/(?:[^\s'"<>|]*/)?|/[^\s'"<>|]*/|[A-Za-z]:\\(?:[^\s'"<>|]*\\)?)(?=[^\s/'"<>|])"""
)


def without_credentials(text: str) -> str:
    """A text in which no URI has a user part or a query; all else stays, a URI's host, path and ``@revision`` too."""
    if "://" in text:
        text = _QUERY.sub(r"\1", _USER.sub(r"\1", text))
    return _NAMED.sub("", text)


def stripped(value: Any) -> Any:
    """Plain nested data :func:`without_credentials`; a text that is a URI as a whole ends before its query."""
    return _mapped(value, _without_query)


def published(value: Any) -> Any:
    """Nested data as it may be published: :func:`stripped`, and names in the place of absolute paths.

    Paths inside a sentence are cut likewise; relative paths and URIs stay.
    """
    return _mapped(value, lambda text: _FOLDERS.sub("", _without_query(text)))


def _without_query(text: str) -> str:
    text = without_credentials(text)
    whole = _WHOLE.match(text)
    return whole.group() if whole else text


def _mapped(value: Any, change: Any) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return [_mapped(one, change) for one in value]
    if not isinstance(value, Mapping):
        return value
    found: dict[Any, Any] = {}
    for name, one in value.items():  # paths are names too: of stores with their shares
        short = _mapped(name, change)
        number = sum(str(other).partition(" (")[0] == short for other in found)
        found[f"{short} ({number + 1})" if number else short] = _mapped(one, change)
    return found
