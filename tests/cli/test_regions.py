"""interbert regions info, verify, show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.regions.test_store import INFO, record
from tests.regions.test_verify import damage_row, three_commits

from interbert.cli.main import main
from interbert.regions.store import RegionStore


def test_info_says_who_extracted_and_what_is_there(shop_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["regions", "info", str(shop_store)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    store = RegionStore.open(shop_store)
    for words in (
        "24: 24 images",
        "title 24, title_zh 24",
        store.info.fingerprint,
        "checksums: every row",
        "pylance",
    ):
        assert words in shown


def test_verify_names_what_is_wrong_and_takes_it_out_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = three_commits(tmp_path / "s")
    damage_row(store, 15)
    store.append([record(2)])
    listed = tmp_path / "findings.jsonl"
    assert main(["regions", "verify", str(tmp_path / "s"), "--out", str(listed)]) == 2
    shown = capsys.readouterr()
    assert "row 15: damaged" in shown.out
    assert "row 16: twice" in shown.out
    assert shown.err.strip().splitlines()[-1].startswith(f"interbert: {tmp_path / 's'}: 2 rows are damaged or stand")
    assert "Traceback" not in shown.err
    lines = [json.loads(line) for line in listed.read_text().splitlines()]
    assert [(line["row"], line["kind"]) for line in lines if line["kind"] != "unusual"] == [
        (15, "damaged"),
        (16, "twice"),
    ]
    assert len(RegionStore.open(tmp_path / "s")) == 17
    assert main(["regions", "verify", str(tmp_path / "s"), "--remove"]) == 0
    assert "2 rows removed" in capsys.readouterr().out
    assert main(["regions", "verify", str(tmp_path / "s")]) == 0
    assert "15 rows compared with their checksums, 0 of them wrong" in capsys.readouterr().out


def test_show_writes_a_page_of_the_images_asked_for(
    shop: Path, shop_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    words = ["regions", "show", str(shop_store), "--source", str(shop), "--image-id-column", "id", "--out", str(page)]
    assert main([*words, "--rows", "3,0", "--boxes", "4", "--top", "2"]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.count('<article class="q pair wide">') == 2
    assert text.count('class="box ') == 8
    assert text.count("data:image/") == 2
    assert "a yellow circle on white paper" in text
    assert "http" not in text.replace("http-equiv", "")
    assert str(page) in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["info", "verify", "show"])
def test_a_store_that_is_not_there_or_damaged_is_one_line(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["regions", verb, str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err == (
        f"interbert: {tmp_path / 'nowhere'}: there is no region store. Make one with: interbert extract SOURCE "
        f"{tmp_path / 'nowhere'}\n"
    )
    RegionStore.create(tmp_path / "s", INFO).append([record(1)])
    for manifest in (tmp_path / "s" / "_versions").glob("*.manifest"):
        manifest.write_bytes(manifest.read_bytes()[:50])
    assert main(["regions", verb, str(tmp_path / "s")]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"interbert: {tmp_path / 's'}: cannot be opened")
    assert shown.count("\n") == 1


def test_mistakes_of_show_are_one_line(shop_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = tmp_path / "names.txt"
    names.write_text("dog\ncat\n")
    RegionStore.create(tmp_path / "empty", INFO)
    for words, message in (
        ([str(shop_store), "--rows", "24"], "has no row 24. Its rows are 0 to 23."),
        ([str(shop_store), "--count", "0"], "regions show: --count must be at least 1"),
        ([str(shop_store), "--names", str(names)], "has 2 names"),
        ([str(shop_store), "--names", str(tmp_path / "no")], "cannot be read as names of classes"),
        ([str(tmp_path / "empty")], "holds no rows yet"),
        ([str(shop_store), "--out", str(tmp_path)], "is a folder. Name a file."),
    ):
        assert main(["regions", "show", *words]) == 2
        shown = capsys.readouterr().err
        assert message in shown
        assert shown.count("\n") == 1
