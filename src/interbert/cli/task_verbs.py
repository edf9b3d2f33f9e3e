"""A verb that there is for each vision-and-language task: what the command line reads of a verb's module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class TaskVerb:
    """One task's verb.

    Args:
        text: its help.
        options: its options.
        run: takes an instance of them.
    """

    def __init__(self, text: str, options: type, run: Callable[[Any], None]) -> None:
        self.__doc__ = text
        self.Options = options
        self.run = run
