"""What ``service_load.py`` measures: the plain baseline (run as a script), the service, and the engine by itself.

    python benchmarks/service_load_servers.py INDEX --port P --workers N --torch-threads N

serves the plain baseline: the same engine behind a FastAPI handler that is a plain function, so that it runs in
Starlette's pool of threads, of which there are as many as ``--workers``.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, FastAPI, Response
from service_load_clients import TOP_K

_READY_SECONDS = 180


@dataclass(frozen=True)
class Server:
    """A server that is ready."""

    port: int
    process: subprocess.Popen[str]

    def resident_mib(self) -> float:
        """Memory that it has."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) / 1024

    def cpu_seconds(self) -> float:
        """Time that all its threads have computed."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def plain(index: str, workers: int, torch_threads: int, precision: str) -> Iterator[Server]:
    """The plain baseline in a process of its own."""
    options = ["--workers", str(workers), "--torch-threads", str(torch_threads), "--precision", precision]
    environment = {"OMP_NUM_THREADS": str(torch_threads)}
    with _started([sys.executable, __file__, index, *options], environment) as server:
        yield server


@contextlib.contextmanager
def ours(index: str, precision: str) -> Iterator[Server]:
    """``interbert serve``, with its defaults."""
    with tempfile.TemporaryDirectory() as state:
        command = [sys.executable, "-m", "interbert", "serve", index, "--state", state, "--precision", precision]
        with _started([*command, "--event-days", "1"], {}) as server:
            yield server


@contextlib.contextmanager
def _started(command: list[str], environment: dict[str, str]) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    inherited = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port)], env=inherited | environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            assert process.stdout is not None
            if not process.stdout.readline().startswith("ready "):
                log.seek(0)
                raise SystemExit(f"{' '.join(command)}: did not start: {log.read()[-2000:]}")
            yield Server(port, process)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_READY_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


Expected = dict[str, tuple[float, float | None]]
"""By id of a product, or of a near-duplicate that it stands for: score and probability."""


def expected(index: str, texts: Sequence[str], precision: str) -> dict[str, tuple[list[str], Expected]]:
    """By text the ids of its page and the scores of twice as many results, by the engine, one query at a time.

    It scores by the service's own runtime, since torch and OpenVINO round differently in bf16, and corrects wrong
    letters as the service does.
    """
    import torch

    from interbert.search.query import Found, Part, Query
    from interbert.search.rewriting import QueryRewriter

    torch.set_num_threads(os.cpu_count() or 1)
    engine, answers = _engine(index, precision, "auto"), {}
    rewriter = QueryRewriter(engine)
    for text in texts:
        searched = rewriter.rewrite(text).text
        found = engine.search_many([Query((Part(text=searched),), top_k=2 * TOP_K)])[0]
        assert isinstance(found, Found), (text, found)
        scores: Expected = {}
        for hit in found.hits:
            scores |= dict.fromkeys([hit.id, *hit.similar], (hit.score, hit.probability))
        answers[text] = ([hit.id for hit in found.hits[:TOP_K]], scores)
    return answers


def _engine(index: str, precision: str, joint_runtime: str = "torch") -> Any:
    from interbert.search.engine import SearchEngine
    from interbert.utils.precision import asks_for_bf16

    return SearchEngine.open(index, bf16=asks_for_bf16(precision), joint_runtime=joint_runtime)  # type: ignore[arg-type]


WORDS = (
    *("red green blue black white grey pink brown", "plain striped dotted checked floral faded ribbed woven"),
    *("cotton wool linen leather silk denim canvas velvet", "shirt shoe hat bag belt scarf dress watch sock jacket"),
)


def synthetic_index(folder: Path, products: int = 2000) -> tuple[str, list[str]]:
    """An index of noise with made-up titles, by a small random model; and texts to search for."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch
    from mfu import SIZES
    from PIL import Image

    from interbert.checkpoints.bert import bert_tokenizer
    from interbert.extraction.columns import ColumnMapping
    from interbert.extraction.grid import GridExtractor, GridSettings
    from interbert.extraction.sources import open_source
    from interbert.model.configuration import InterBertConfig
    from interbert.model.modeling import InterBertForImageTextRetrieval
    from interbert.model.processing import InterBertProcessor
    from interbert.model.region_inputs import InterBertRegionFeatureExtractor
    from interbert.search.build import build_index

    rng, titles = np.random.default_rng(0), [" ".join(words) for words in itertools.product(*map(str.split, WORDS))]
    rng.shuffle(titles)
    rows = []
    for number, title in enumerate(titles[:products]):
        with io.BytesIO() as file:
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((64, 64)).save(file, "PNG")
            rows.append({"id": f"p{number}", "title": f"a {title}", "image": {"bytes": file.getvalue(), "path": ""}})
    pq.write_table(pa.Table.from_pylist(rows), folder / "shop.parquet")
    settings = GridSettings(input_size=64, scales=(1, 2), features=("colour", "head"))
    extractor, tokenizer = GridExtractor(settings), bert_tokenizer("minilm")
    torch.manual_seed(0)
    sizes = SIZES["mini"] | {"vocab_size": len(tokenizer), "region_feature_size": extractor.info.feature_size}
    model = InterBertForImageTextRetrieval(InterBertConfig(**sizes, contrastive_size=64, max_position_embeddings=40))
    model.save_pretrained(folder / "model")
    scaling = InterBertRegionFeatureExtractor(extractor.info.to_dict())
    InterBertProcessor(scaling, tokenizer).save_pretrained(folder / "model")
    source = open_source(str(folder / "shop.parquet"), ColumnMapping("image", ("title",), None, "id"))
    build_index(folder / "model", source, folder / "index")
    return str(folder / "index"), titles[products:]


def main() -> None:
    """The plain baseline."""
    import torch
    import uvicorn
    from anyio.to_thread import current_default_thread_limiter

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("index")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True, help="threads of the pool")
    parser.add_argument("--torch-threads", type=int, required=True)
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.torch_threads)
    engine = _engine(arguments.index, arguments.precision)
    engine.search("warm", top_k=TOP_K)

    @contextlib.asynccontextmanager
    async def started(_: FastAPI) -> AsyncIterator[None]:
        current_default_thread_limiter().total_tokens = arguments.workers
        print(f"ready http://127.0.0.1:{arguments.port}", flush=True)
        yield

    app = FastAPI(lifespan=started)

    @app.post("/v1/search")
    def search(text: Annotated[str, Body()], top_k: Annotated[int, Body()]) -> Response:
        results = [
            {
                "product_id": hit.product_id,
                "image_id": hit.id,
                "rank": hit.rank,
                "texts": hit.texts,
                "probability": hit.probability,
                "score": hit.score,
                "metadata": hit.metadata,
                "similar": hit.similar,
            }
            for hit in engine.search(text, top_k=top_k)
        ]
        return Response(json.dumps({"results": results}, default=str), media_type="application/json")

    uvicorn.run(app, port=arguments.port, log_level="warning")


if __name__ == "__main__":
    main()
