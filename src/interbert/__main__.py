"""``python -m interbert`` is ``interbert``."""

from interbert.cli.main import console

console()
