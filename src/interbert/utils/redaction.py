"""What is not written down: credentials nowhere, folders of this machine not in what is published.

A URI may carry a key and its secret before the host (``s3://key:secret@bucket/shop``) or a token in its query
(``https://host/shop?token=...``). Both are used to open the place and kept nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_WORD = re.compile(r"""[^\s'"<>]+""")
_PORT = re.compile(r"\d{0,5}(?:[/?#]|$)")
_AFTER = re.compile(r"[:.,;)\]]+$")
_NAMED = re.compile(
    r"""(?i)(?:[?&#;]|%(?:3F|26|23|3B))[\w.-]{0,64}(?:token|secret|passw|pwd|sig|credential|key|auth)[\w.-]{0,64}=[^\s&'"<>]*"""
)
_BARE = re.compile(
    r"""(?i)(?<![\w-])((?:shared_?access_?(?:key|signature)|(?:aws_)?secret_?access_?key|(?:aws_)?session_?token"""
    r"""|account_?key|client_?secret|password|(?:hf|api|access|auth|sas)_?(?:token|key))=)[^\s&;'"<>]+"""
)
"""Settings outside of a URI, as in a connection string: ``AccountKey=...``; the name stays."""
_TOKEN = re.compile(r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{20,}")
"""An access token of the Hugging Face Hub."""
_USER = re.compile(
    r"""(?<=:/)[^\s/'"<>@:]{1,128}:[^\s'"<>@]{1,1024}@"""  # a URI that became a path: s3:/key:secret@bucket
    r"""|(?<=/)[^\s/'"<>@:]{1,128}:[^\s/'"<>@]{1,1024}@"""
    r"""|(?<=['"])[^\s/'"<>@:]{1,128}:[^\s/'"<>@]{1,1024}@(?=[\w-]+\.)"""  # a host alone, as libraries name it
)
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://")
_FOLDERS = re.compile(
    r"""(?:(?<![\w.:/\\~-])|(?<=\w:)(?!//))(?:file://)?(?:~\w{0,64}/(?:[^\s'"<>|]{0,1024}/)?|/[^\s'"<>|]{0,1024}/"""
    r"""|(?:[A-Za-z]:\\|\\\\)(?:[^\s'"<>|]{0,1024}\\)?)(?=[^\s/'"<>|])"""
)


def without_credentials(text: str) -> str:
    """A text in which no URI has a user part or a query; all else stays, a URI's host, path and ``@revision`` too.

    Keys of connection strings, tokens of the Hub and a user part that stands without its scheme are left out likewise.
    The time is linear in the text's length.
    """
    if "://" in text:
        text = _WORD.sub(lambda word: _open_uris(word.group()), text)
    text = _TOKEN.sub("hf_...", _BARE.sub(r"\1...", _NAMED.sub("", text)))
    return _USER.sub("", text) if "@" in text else text


def _open_uris(word: str) -> str:
    """A word, its URIs without user part and query; what stands after the query's end, such as a full stop, stays."""
    first, *rest = word.split("://")
    return "://".join([first, *map(_open_uri, rest)])


def _open_uri(rest: str) -> str:
    """What stands behind a scheme, from the host to the end of the path."""
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    user, colon, secret = rest.partition(":")
    if "@" in authority:  # RFC 3986: the user part ends before the authority's last @
        rest = rest[authority.rindex("@") + 1 :]
    elif colon and not re.search(r"[/?#\[]", user) and not _PORT.match(secret) and "@" in secret:
        rest = rest.rpartition("@")[2]  # secrets of AWS hold slashes, which people do not escape
    path, mark, query = rest.partition("?")
    after = _AFTER.search(query[-8:])
    return path + (after.group() if mark and after else "")


def stripped(value: Any) -> Any:
    """Plain nested data :func:`without_credentials`; a text that is a URI as a whole ends before its query."""
    return _mapped(value, _without_query)


def published(value: Any) -> Any:
    """Nested data as it may be published: :func:`stripped`, and names in the place of absolute paths.

    Paths inside a sentence are cut likewise; relative paths and URIs stay.
    """
    return _mapped(value, lambda text: _FOLDERS.sub("", _without_query(text)))


def _without_query(text: str) -> str:
    """As :func:`without_credentials`; of a URI that is the whole text also a query behind spaces."""
    text = without_credentials(text)
    return text.partition("?")[0] if _URI.match(text) and "\n" not in text else text


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
