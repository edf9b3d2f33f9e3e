"""LanceDB as the command line imports it answers queries, and pandas is not loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("lancedb")

SCRIPT = """
import sys
from interbert.utils.light_imports import import_lancedb
import_lancedb()
import lancedb, pyarrow as pa
table = lancedb.connect(sys.argv[1]).create_table("one", pa.table({"name": ["a", "b"], "price": [1.0, 2.0]}))
assert table.search().where("price > 1.5").to_arrow()["name"].to_pylist() == ["b"]
"""


def run(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=120)


def test_queries_are_answered_without_pandas(tmp_path: object) -> None:
    left_out = "assert 'pandas' not in sys.modules\nassert 'lance_namespace_urllib3_client.api' not in sys.modules\n"
    after = (
        "import lance_namespace_urllib3_client as whole\nassert whole.TableApi\nimport pandas\nassert pandas.DataFrame"
    )
    done = run(SCRIPT + left_out + after, str(tmp_path))
    assert done.returncode == 0, done.stderr[-800:]


def test_a_version_that_needs_what_is_left_out_is_imported_whole(tmp_path: object) -> None:
    spoilt = SCRIPT.replace(
        "import_lancedb()\n",
        "import interbert.utils.light_imports as light\n"
        "def fails(*_, **__): raise ImportError('another version')\n"
        "light._models_alone.__wrapped__.__globals__['ModuleType'] = fails\nimport_lancedb()\n",
        1,
    )
    done = run(spoilt, str(tmp_path))
    assert done.returncode == 0, done.stderr[-800:]
