"""The verbs of an index, and search over one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.conftest import draw
from tests.search.conftest import priced_rows, source_of, write_table

from interbert.cli.main import main
from interbert.search.build import build_index
from interbert.search.index import ProductIndex


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, " ".join(out.split()), err


def test_from_a_catalogue_to_results(
    capsys: pytest.CaptureFixture[str],
    model: Path,
    priced: Path,
    tmp_path: Path,
) -> None:
    index, page = tmp_path / "index", tmp_path / "page.html"
    code, out, _ = run(
        capsys, "index", "build", model, priced, index, "--text-columns", "title,title_zh", "--columns", "price,colour"
    )
    assert (code, out) == (0, f"{index}: 24 added")
    code, out, _ = run(capsys, "index", "info", index)
    assert code == 0
    for part in ("images 24", "products 24", "price (number)", "colour (text)", "id (text, the product id)", "exact"):
        assert part in out
    code, out, _ = run(capsys, "index", "verify", index)
    assert code == 0
    assert out.endswith("whole, 24 products, 24 images")
    rows = [row | {"price": 1.0} for row in priced_rows()[:2]] + [priced_rows()[2] | {"id": "new"}]
    more = write_table(tmp_path / "more.parquet", rows)
    code, out, _ = run(capsys, "index", "add", index, more)
    assert (code, out) == (0, f"{index}: 1 added, 2 updated without encoding")
    (tmp_path / "prices.csv").write_text("id,price\nnew,3\nnobody,3\n")
    code, out, _ = run(capsys, "index", "add", index, tmp_path / "prices.csv", "--columns-only")
    assert (code, out) == (
        0,
        f"{index}: 1 updated without encoding, 1 skipped skipped nobody: is not in the index (row 1)",
    )
    photo = tmp_path / "photo.png"
    draw("red", "circle").save(photo)
    words = ["search", index, "a red circle|blue", "--image", photo, "--where", "price < 9", "--top-k", "2"]
    code, out, _ = run(capsys, *words, "--page", page)
    assert code == 0
    assert out.count("best 2 of 25 images") == 2
    assert page.read_text(encoding="utf-8").count("data:image/jpeg") >= 2
    code, out, _ = run(capsys, "search", index, "", "--image", photo, "--top-k", "1")
    assert code == 0
    assert "red-circle" in out
    code, out, _ = run(capsys, "index", "remove", index, "--where", "price <= 3")
    assert (code, out) == (0, f"{index}: 3 removed")
    code, out, _ = run(capsys, "index", "remove", index, "--ids", "red-square")
    assert (code, len(ProductIndex.open(index))) == (0, 21)


def test_a_bucket_that_cannot_be_opened_is_one_line_without_keys(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import lancedb

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("lance error: no such bucket\nsecond line")

    monkeypatch.setattr(lancedb, "connect", refuse)
    code, _, err = run(capsys, "index", "info", "s3://key:secret@bucket/x?token=abc")
    assert code == 2
    assert err == "interbert: s3://bucket/x: cannot be opened (lance error: no such bucket).\n"


def test_every_row_that_an_index_cannot_use_is_listed(
    capsys: pytest.CaptureFixture[str], index_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "prices.csv").write_text(
        "id,price\n" + "".join(f"nobody-{number},3\n" for number in range(9)) + "red-circle,3\n"
    )
    words = ["index", "add", index_path, tmp_path / "prices.csv", "--columns-only"]
    code, out, _ = run(capsys, *words)
    assert code == 0
    assert f"and 4 more, see {index_path}/skipped.jsonl" in out
    listed = [json.loads(line) for line in (index_path / "skipped.jsonl").read_text().splitlines()]
    assert [one["id"] for one in listed] == [f"nobody-{number}" for number in range(9)]
    assert listed[3]["reason"].startswith("is not in the index")
    assert "(row 3)" in listed[3]["reason"]
    assert run(capsys, "index", "remove", index_path, "--ids", "red-circle")[0] == 0
    assert (index_path / "skipped.jsonl").read_text() == ""


def test_an_open_index_notices_that_it_was_deleted_and_built_anew(model: Path, tmp_path: Path) -> None:
    sources = [
        write_table(tmp_path / f"{name}.parquet", rows)
        for name, rows in (("a", priced_rows()), ("b", priced_rows()[:8]))
    ]
    build_index(model, source_of(sources[0]), tmp_path / "index")
    index = ProductIndex.open(tmp_path / "index")
    assert len(index.ids("price >= 5")) == 24
    shutil.rmtree(tmp_path / "index")
    shutil.copyfile(sources[1], sources[0])  # the same words, another catalogue
    build_index(model, source_of(sources[0]), tmp_path / "index")
    index._checked = 0.0
    assert len(index.ids("price >= 5")) == 8
    assert len(index.vector_search(index.vectors(["red-circle"])[0], 20, "price >= 5")) == 8


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["search", "INDEX", "red", "--where", "price <"], "filter, character 8"),
        (["search", "INDEX", "red", "--where", "1=1; drop table x"], "filter, character 4"),
        (["search", "INDEX", "red", "--image", "gone.jpg"], "gone.jpg: the file is not there."),
        (["search", "INDEX", "red", "--source", "x.parquet"], "is an index, which has its own images"),
        (["search", "INDEX", ""], "holds an empty text"),
        (["search", "INDEX", "😀"], "holds no word that the model knows"),
        (["search", "INDEX", "red", "--model", "gone"], "the model of"),
        (["search", "gone", "red", "--source", "x", "--where", "price < 5"], "--where needs an index"),
        (["index", "build", "gone", "PRICED", "new"], "there is no model here"),
        (["index", "build", "MODEL", "PRICED", "INDEX"], "there is an index already"),
        (["index", "build", "MODEL", "PRICED", "new", "--columns", "cost"], "there is no column 'cost'"),
        (["index", "add", "gone", "PRICED"], "gone: there is no index here"),
        (["index", "remove", "INDEX"], "say what to remove"),
        (["index", "info", "MODEL"], "there is no index here"),
        (["index", "burn", "INDEX"], "index: say what to index"),
    ],
)
def test_a_mistake_gives_one_line(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    built: Path,
    model: Path,
    priced: Path,
    tmp_path: Path,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"INDEX": built, "MODEL": model, "PRICED": priced}
    code, _, err = run(capsys, *(places.get(word, word) for word in words))
    assert code == 2, err
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()


def test_a_damaged_index_fails_verification(
    capsys: pytest.CaptureFixture[str],
    index_path: Path,
) -> None:
    ProductIndex.open(index_path).table.update(where="picture_id = 'red-circle'", values={"regions": b"x"})
    code, out, err = run(capsys, "index", "verify", index_path)
    assert code == 2
    assert "red-circle: its regions are damaged" in out
    assert "1 problems in 24 images" in err


def test_without_lancedb_the_extra_is_named(priced: Path, model: Path, tmp_path: Path) -> None:
    script = (
        "import sys\nsys.modules['lancedb'] = None\nfrom interbert.cli.main import main\n"
        f"sys.exit(main(['index', 'build', {str(model)!r}, {str(priced)!r}, {str(tmp_path / 'index')!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 2, done.stderr[-500:]
    assert "pip install 'interbert[search]'" in done.stderr.splitlines()[-1]


def test_titles_and_ids_are_shown_as_text_whatever_they_hold(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, model: Path, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    evil = "[/b] x \x1b[2J\x07 \u202eexe.gpj"
    shown = r"[/b] x \x1b[2J\x07 \u202eexe.gpj"
    rows = [row | {"title": evil} for row in priced_rows()[:3]]
    rows = [
        *rows,
        rows[0] | {"id": evil},
        rows[1] | {"id": f"{evil}2", "image": {"bytes": b"no image", "path": None}},
    ]
    source, index = write_table(tmp_path / "evil.parquet", rows), tmp_path / "index"
    columns = ("--text-columns", "title", "--columns", "colour")
    outputs = [
        run(capsys, "index", "build", model, source, index, *columns),  # lists what it skipped
        run(capsys, "index", "info", index),
        run(capsys, "search", index, evil, "--top-k", "4"),
        run(capsys, "search", index, evil, "--where", "colour = '\x1b[2J'"),
        run(capsys, "search", model, evil, "--source", source, "--text-columns", "title", "--image-id-column", "id"),
        run(capsys, "regions", "info", f"{tmp_path}/{evil}"),
    ]
    assert [code for code, _, _ in outputs] == [0, 0, 0, 0, 0, 2], outputs
    for place in (0, 2, 4):
        assert shown in outputs[place][1]
    assert shown in outputs[5][2]
    assert not set("\x1b\x07\u202e") & {sign for _, out, err in outputs for sign in out + err}
