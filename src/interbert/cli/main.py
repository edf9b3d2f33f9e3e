"""The command line: finds the verb, runs it, prints what the library logs, and ends with one line and an exit code."""

from __future__ import annotations

import atexit
import errno
import inspect
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from interbert import __version__
from interbert.cli.verbs import find_verb, group_of, group_overview, overview, verb_module
from interbert.errors import MAX_MESSAGE, InterBertError, Terminated, first_line, shortened, storage_problem
from interbert.utils.environment import keep_freed_memory
from interbert.utils.redaction import without_credentials
from interbert.utils.terminal import printable, say


class _Lines(logging.Handler):
    """Prints each message as one line; a reader that has gone is the caller's to notice, as where it prints itself."""

    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage(), flush=True)


@contextmanager
def log_lines_on_stdout() -> Iterator[None]:
    """While a block runs, what the logger ``interbert`` logs at INFO and above goes to standard output, and only there.

    Without it the logger is as the program that imports us sets it up: it comes back so.
    """
    logger, handler = logging.getLogger("interbert"), _Lines()
    level, propagated = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagated


INTERRUPTED, TERMINATED = 130, 143
"""Exit codes after Ctrl-C and after SIGTERM, as shells have them."""


def console() -> NoReturn:
    """What the command ``interbert`` calls: run the command line, and end the process with its exit code.

    One of several processes of a run ends without Python's finalisation. Threads of torch's process groups outlive
    ``destroy_process_group`` (whatever wrapped the model refers to the groups); a thread that lets go of a tensor after
    Python has ended aborts the process (exit code -6) when all its work is done and saved, once in some dozens of runs.
    """
    keep_freed_memory()
    code = main()
    if os.environ.get("WORLD_SIZE", "1") not in ("", "1"):
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def main(words: Sequence[str] | None = None) -> int:
    """Run a command line; returns the exit code (0 done, 1 failed, 2 the user's mistake, 130 Ctrl-C, 143 SIGTERM)."""
    given = list(sys.argv[1:] if words is None else words)
    try:
        _run(given)
        sys.stdout.flush()  # a reader that has gone is noticed here, not at exit
    except InterBertError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt as stop:
        code = TERMINATED if isinstance(stop, Terminated) else INTERRUPTED
        return _fail("stopped. The same command continues where it was.", code)
    except MemoryError:
        return _fail("not enough memory. Use smaller batches or images. What was finished stays.", 1)
    except BrokenPipeError:  # `interbert ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            return _fail(f"{shortened(str(error.filename))}: the name is too long for a file or folder.", 2)
        if storage_problem(error) is None:
            raise
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        said = getattr(error, "strerror", None) or first_line(error)
        return _fail(f"{where}{said.lower()}. What was finished stays.", 1)
    return 0


def _run(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return
    if words[0] == "--version":
        print(f"interbert {__version__}")
        return
    if group_of(words[0]) and words[1:] in (["-h"], ["--help"]):
        print(group_overview(words[0]))
        return
    verb, rest = find_verb(words)
    module = verb_module(verb)
    from interbert.cli.parser import parse_options

    try:
        options = parse_options(verb, inspect.cleandoc(module.__doc__ or ""), module.Options, rest)
    except SystemExit as done:  # --help and --print-config end here
        if done.code not in (0, None):
            raise
        return
    _read_weights_alone()
    _quiet_libraries()
    with log_lines_on_stdout():
        module.run(options)


def _read_weights_alone() -> None:
    """Whatever a library loads with torch, also a network fetched from a hub, is read without running its pickle."""
    os.environ.pop("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", None)
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"


def _quiet_libraries() -> None:
    """Progress bars and notes of libraries are theirs; this command says what matters itself."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("LANCE_LOG", "error")
    os.environ.setdefault("DATASETS_VERBOSITY", "critical")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what it warns of is either harmless or an error later


def _fail(message: str, code: int) -> int:
    sys.stdout.flush()
    text = printable(without_credentials(shortened(" ".join(message.splitlines()), MAX_MESSAGE)))
    sys.stderr.write(f"interbert: {text}\n")  # at once: print writes the line's end apart, where others may write
    return code


if __name__ == "__main__":
    console()
