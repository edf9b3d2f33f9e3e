"""``python -m interbert`` is ``interbert``."""

import sys

from interbert.cli.main import main

sys.exit(main())
