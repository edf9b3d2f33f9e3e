"""The same extraction on a Ray cluster of this machine; workers are killed in it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.conftest import AT_LENGTH, file_bytes

from interbert.cli.main import main
from interbert.errors import ConfigError, ImageError, MissingExtraError, UsageError
from interbert.extraction.backends import ray as on_ray
from interbert.extraction.backends.ray import ExtractorRecipe, RayBackend
from interbert.extraction.extract import extract_to_store
from interbert.extraction.sources import ImageSource, open_source
from interbert.regions.schema import ExtractorInfo, Regions
from interbert.regions.store import RegionStore


class Greys:
    """An extractor that costs nothing: one region, its feature the image's grey.

    What an image does to its worker stands in its colour: 251 kills it, 252 kills it the first time, 253 raises.
    """

    info = ExtractorInfo("greys", {}, feature_size=3, num_classes=None)
    weights_file = None
    device = "cpu"

    def __init__(self, folder: str, pause: float = 0.0) -> None:
        self.folder, self.pause = Path(folder), pause

    def detect(self, images: list[Image.Image]) -> list[Regions]:
        (self.folder / f"worker-{os.getpid()}").touch()
        time.sleep(self.pause)
        return [self._regions(image) for image in images]

    def _regions(self, image: Image.Image) -> Regions:
        grey = image.getpixel((0, 0))[0]
        if grey == 251 or (grey == 252 and self._first_time()):
            os.kill(os.getpid(), signal.SIGKILL)
        if grey == 253:
            raise ImageError("this image raises")
        features = np.array([[grey, grey / 2, image.width]], dtype=np.float16)
        return Regions(np.array([[0, 0, 4, 4]], np.float32), features, None, *image.size)

    def _first_time(self) -> bool:
        try:
            (self.folder / "seen").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def source_of(folder: Path, greys: list[int | None]) -> ImageSource:
    images = [b"junk" if grey is None else file_bytes(Image.new("L", (8, 8), grey)) for grey in greys]
    file = folder / "greys.parquet"
    pq.write_table(pa.table({"image": images, "title": [f"grey {row}" for row in range(len(greys))]}), file)
    return open_source(str(file))


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Two workers; they import the tests as these do."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        paths = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
        patch.setenv("PYTHONPATH", paths)
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=100 * 2**20,
        )
        yield
        ray.shutdown()


def rows_of(path: Path) -> list[tuple[object, ...]]:
    store = RegionStore.open(path)
    regions = store.take(range(len(store)))
    return [
        (*vars(row).values(), one.features.tolist(), one.boxes.tolist(), one.width)
        for row, one in zip(store.captions(), regions, strict=True)
    ]


@AT_LENGTH
def test_two_workers_give_the_rows_of_one_process_and_go_on_where_they_were(tmp_path: Path, cluster: None) -> None:
    source = source_of(tmp_path, [*range(20), None, *range(21, 40)])
    extract_to_store(source, tmp_path / "one", Greys(str(tmp_path)), mirrored=True, progress=False)
    (tmp_path / f"worker-{os.getpid()}").unlink()
    workers_of = RayBackend(lambda: Greys(str(tmp_path), pause=0.2), task_images=4)
    for limit, written in ((10, 20), (None, 58), (None, 0)):
        report = extract_to_store(
            source, tmp_path / "two", Greys(str(tmp_path)), True, limit=limit, progress=False, backend=workers_of
        )
        assert report.written == written
    assert report.skipped == 1
    there = {(row[1], row[4]): row[5:] for row in rows_of(tmp_path / "one")}  # without the number in the store
    assert {(row[1], row[4]): row[5:] for row in rows_of(tmp_path / "two")} == there
    assert (tmp_path / "one" / "skipped.jsonl").read_text() == (tmp_path / "two" / "skipped.jsonl").read_text()
    workers = [file.name for file in tmp_path.glob("worker-*")]
    assert len(workers) == 2
    assert f"worker-{os.getpid()}" not in workers


def test_rows_come_in_the_order_of_the_source(tmp_path: Path, cluster: None) -> None:
    source = source_of(tmp_path, list(range(30)))
    workers_of = RayBackend(lambda: Greys(str(tmp_path)), task_images=3)
    extract_to_store(source, tmp_path / "s", Greys(str(tmp_path)), progress=False, backend=workers_of)
    assert [row[1] for row in rows_of(tmp_path / "s")] == [str(row) for row in range(30)]


def test_a_worker_that_is_killed_costs_no_row(tmp_path: Path, cluster: None) -> None:
    source = source_of(tmp_path, list(range(40)))
    killed: list[int] = []

    def kill_the_first() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for file in tmp_path.glob("worker-*"):
                time.sleep(0.1)  # into the pause of its first task
                killed.append(int(file.name.removeprefix("worker-")))
                os.kill(killed[0], signal.SIGKILL)
                return
            time.sleep(0.01)

    thread = threading.Thread(target=kill_the_first)
    thread.start()
    workers_of = RayBackend(lambda: Greys(str(tmp_path), pause=0.5), task_images=5)
    report = extract_to_store(source, tmp_path / "s", Greys(str(tmp_path)), progress=False, backend=workers_of)
    thread.join()
    assert killed
    assert killed[0] != os.getpid()
    assert (report.written, report.skipped) == (40, 0)
    assert [row[1] for row in rows_of(tmp_path / "s")] == [str(row) for row in range(40)]


@AT_LENGTH
@pytest.mark.slow
def test_an_image_that_kills_every_worker_is_refused_by_name_and_no_other(
    tmp_path: Path, cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "_RETRIES", 1)  # each costs a new worker
    source = source_of(tmp_path, [252, 3, 251, 4])
    two = RayBackend(lambda: Greys(str(tmp_path)), task_images=2)
    report = extract_to_store(source, tmp_path / "s", Greys(str(tmp_path)), progress=False, backend=two)
    assert (report.written, report.skipped) == (3, 1)
    assert [row[1] for row in rows_of(tmp_path / "s")] == ["0", "1", "3"]
    line = (tmp_path / "s" / "skipped.jsonl").read_text()
    assert '"row": 2' in line
    assert "every worker that tried died" in line


def test_what_a_worker_raises_is_raised_here(tmp_path: Path, cluster: None) -> None:
    source = source_of(tmp_path, [1, 253, 2])
    workers_of = RayBackend(lambda: Greys(str(tmp_path)))
    with pytest.raises(ImageError, match="this image raises"):
        extract_to_store(source, tmp_path / "s", Greys(str(tmp_path)), progress=False, backend=workers_of)


def test_a_worker_that_fits_nowhere_is_said_so(tmp_path: Path, cluster: None) -> None:
    source = source_of(tmp_path, [1])
    for wanted, message in (({"cpus": 3}, "takes 3 CPU; the cluster has 2 CPU"), ({"gpus": 1}, "1 CPU and 1 GPU")):
        workers_of = RayBackend(lambda: Greys(str(tmp_path)), **wanted)
        with pytest.raises(UsageError, match=message):
            extract_to_store(source, tmp_path / "s", Greys(str(tmp_path)), progress=False, backend=workers_of)
    with pytest.raises(ConfigError, match="must take some"):
        RayBackend(lambda: Greys(str(tmp_path)), cpus=0)


@pytest.mark.slow
def test_the_command_gives_equal_stores(
    shop: Path, tmp_path: Path, cluster: None, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "--text-columns",
        "title",
        "--image-id-column",
        "id",
        "--input-size",
        "64",
        "--scales",
        "1",
        "--top-k-classes",
        "16",
    ]
    assert main(["extract", str(shop), str(tmp_path / "one"), *words]) == 0
    assert main(["extract", str(shop), str(tmp_path / "two"), *words, "--ray"]) == 0
    one, two = (RegionStore.open(tmp_path / name) for name in ("one", "two"))
    assert list(one.captions()) == list(two.captions())
    for first, second in zip(one.take(range(24)), two.take(range(24)), strict=True):
        np.testing.assert_allclose(first.features.astype(float), second.features.astype(float), rtol=2e-3, atol=1e-3)
        np.testing.assert_array_equal(first.class_probs.argmax(1), second.class_probs.argmax(1))
    assert (
        "complete with 24 rows" in capsys.readouterr().out
        or main(["extract", str(shop), str(tmp_path / "two"), *words, "--ray"]) == 0
    )


def test_without_ray_the_command_says_what_to_install(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'interbert\[ray\]'"):
        RayBackend(lambda: Greys(str(tmp_path)))
    assert main(["extract", str(shop), str(tmp_path / "s"), "--text-columns", "title", "--ray"]) == 2
    assert capsys.readouterr().err.strip() == (
        "interbert: ray is not installed. Install it with: pip install 'interbert[ray]'"
    )
    assert not (tmp_path / "s").exists()


def test_no_cluster_at_an_address_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def refuse(**_: object) -> None:
        raise ConnectionError("ray client connection timeout\nmore")

    monkeypatch.setattr(ray, "init", refuse)
    source = source_of(tmp_path, [1])
    workers_of = RayBackend(lambda: Greys(str(tmp_path)), "ray://nowhere:1")
    with pytest.raises(UsageError, match=r"no cluster answers at ray://nowhere:1 \(ray client connection timeout\)"):
        extract_to_store(source, tmp_path / "s", Greys(str(tmp_path)), progress=False, backend=workers_of)


def test_a_cluster_that_fails_is_one_line_and_what_was_finished_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: None
) -> None:
    import ray

    plain, calls = ray.get, []

    def failing(reference: object) -> object:
        calls.append(reference)
        if len(calls) > 2:
            raise ray.exceptions.RaySystemError("the head is gone\nmore")
        return plain(reference)

    monkeypatch.setattr(ray, "get", failing)
    source = source_of(tmp_path, list(range(12)))
    workers_of = RayBackend(lambda: Greys(str(tmp_path)), task_images=4)
    with pytest.raises(UsageError, match=r"the cluster failed \(RaySystemError: .*the head is gone"):
        extract_to_store(source, tmp_path / "s", Greys(str(tmp_path)), progress=False, backend=workers_of)
    assert [row[1] for row in rows_of(tmp_path / "s")] == [str(row) for row in range(8)]


def test_weights_that_were_trained_here_travel_to_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from interbert.utils.extractor_weights import WEIGHTS_FILE

    extractor = Greys(str(tmp_path))
    weights = tmp_path / "w" / WEIGHTS_FILE
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    monkeypatch.setattr(extractor, "weights_file", weights, raising=False)
    recipe = ExtractorRecipe.of(extractor)  # type: ignore[arg-type]
    seen: list[bytes] = []

    def build(info: ExtractorInfo, folder: str | None = None) -> Greys:
        assert info == Greys.info
        seen.append(b"" if folder is None else (Path(folder) / WEIGHTS_FILE).read_bytes())
        return extractor

    monkeypatch.setattr(on_ray, "build_extractor", build)
    recipe()
    ExtractorRecipe(Greys.info, None)()
    assert seen == [b"weights", b""]
