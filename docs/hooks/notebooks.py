"""Notebooks as pages: their texts, and their code as blocks that can be copied."""

from __future__ import annotations

import json
from pathlib import Path

_MAGIC = "%%bash\n"


def as_markdown(path: Path) -> str:
    """A notebook's cells as Markdown; outputs are left out."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif source.startswith(_MAGIC):
            parts.append(f"```bash\n{source.removeprefix(_MAGIC)}\n```")
        else:
            parts.append(f"```python\n{source}\n```")
    title, *rest = parts
    note = f"This page is the notebook `examples/{path.name}`: open it in Jupyter to run it."
    return "\n\n".join([title, note, *rest]) + "\n"
