"""Captions of COCO-CN, Flickr30K-CN and Chinese-CLIP's LMDB, from lines typed as the data sets have them."""

from __future__ import annotations

import pickle
from pathlib import Path

import lmdb
import pytest

from interbert.errors import SourceError
from interbert.regions.caption_files import read_captions
from interbert.regions.caption_index import CaptionIndex
from interbert.regions.caption_records import Caption, PassedOver
from interbert.regions.chinese_captions import chinese_captions_text
from interbert.tasks.muge import read_texts

COCO_CN = (
    "COCO_train2014_000000101110#0\t一只“猫”坐在 iPad 旁，看着 窗外。\n"
    "COCO_val2014_000000000042#0\t鞋架上的狗\n"
    "COCO_val2014_000000000042#1\t一只狗睡在鞋子里\n"
)
FLICKR30K_CN = (
    "1000092795#zhb#0 两 个 年轻 白人 男性 在 外面\n"
    "1000092795#zhb#1 穿 着 T恤 的 iPhone 用户\n"
    "10002456#zhb#0 几 个 戴 硬 帽子 的 人\n"
)
FLICKR30K_CN_TEST = "1007129816#zhm#0 戴:v 着:uz 橙色:n 帽子:n 的:ude 男子:n ，:wd 盯:v 着:uz 东西:n\n"
FLICKR8K_CN = "1000268201_693b08cb0e.jpg#zhb#0 穿着粉红色连衣裙的孩子爬上楼梯，进入一个入口。\n"
DOUBTFUL = "COCO_val2014_000000000042#zhm#0\t现在是 12:30 了\n"


def read(path: Path, text: str) -> list[tuple[str, str, str]]:
    path.write_text(text, encoding="utf-8")
    return [(one.image, one.text, one.split) for one in read_captions(path)]


def test_coco_cn(tmp_path: Path) -> None:
    (tmp_path / "coco-cn_train.txt").write_text("COCO_train2014_000000101110\n")
    (tmp_path / "coco-cn_test.txt").write_text("COCO_val2014_000000000042\n\n")
    path = tmp_path / "imageid.human-written-caption.txt"
    assert read(path, COCO_CN) == [
        ("COCO_train2014_000000101110", "一只“猫”坐在 iPad 旁，看着 窗外。", "train"),
        ("COCO_val2014_000000000042", "鞋架上的狗", "test"),
        ("COCO_val2014_000000000042", "一只狗睡在鞋子里", "test"),
    ]
    index = CaptionIndex(path, ["test"])
    assert index.find("val2014/COCO_val2014_000000000042.jpg") == (("鞋架上的狗", "一只狗睡在鞋子里"), ("caption",) * 2)
    assert index.find("COCO_train2014_000000101110.jpg") is None
    (tmp_path / "coco-cn_val.txt").write_text("COCO_train2014_000000101110\n")
    with pytest.raises(SourceError, match=r"coco-cn_val.txt, line 1: .*000000101110' is in coco-cn_train.txt too"):
        list(read_captions(path))


def test_flickr30k_cn_without_what_cut_it_into_words(tmp_path: Path) -> None:
    assert [text for _, text, _ in read(tmp_path / "train.txt", FLICKR30K_CN)] == [
        "两个年轻白人男性在外面",
        "穿着T恤的iPhone用户",
        "几个戴硬帽子的人",
    ]
    assert read(tmp_path / "test.txt", FLICKR30K_CN_TEST) == [("1007129816", "戴着橙色帽子的男子，盯着东西", "")]
    index = CaptionIndex(tmp_path / "train.txt")
    assert index.find("flickr30k-images/10002456.jpg") == (("几个戴硬帽子的人",), ("caption",))
    assert read(tmp_path / "8k.txt", FLICKR8K_CN)[0][0] == "1000268201_693b08cb0e.jpg"
    assert read(tmp_path / "doubtful.txt", DOUBTFUL)[0][1] == "现在是 12:30 了"


def test_a_line_without_a_text_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(COCO_CN + "COCO_val2014_000000000043#0\t\nCOCO_val2014_000000000044#0\t猫\n", encoding="utf-8")
    passed: list[PassedOver] = []
    assert [one.text for one in read_captions(path, passed)][-1] == "猫"
    assert [(one.row, str(one)) for one in passed] == [(4, f"{path}, line 4: is no image#number and text")]


def test_captions_are_written_as_coco_cn_has_them(tmp_path: Path) -> None:
    captions = [Caption(*cells) for cells in (("COCO_val2014_000000000042", text, "caption", "") for text in "狗猫")]
    text = chinese_captions_text(captions)
    assert text == "COCO_val2014_000000000042#0\t狗\nCOCO_val2014_000000000042#1\t猫\n"
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    assert list(read_captions(tmp_path / "a.txt")) == captions


def pairs(folder: Path, records: dict[bytes, bytes]) -> Path:
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key, value)
    return folder


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("run",)


def test_pairs_of_an_lmdb_are_read_and_no_pickle_is_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = ((1076345, 8428, "高级感 托特包"), (517602, 8428, "高级感 托特包"), (5, 8429, "吊带裙"))
    good = {str(number).encode(): pickle.dumps(pair) for number, pair in enumerate(texts)}
    folder = pairs(tmp_path / "pairs", {**good, b"num_samples": b"3"})
    assert [(one.image, one.text) for one in read_captions(folder)] == [(str(one[0]), one[2]) for one in texts]
    found = read_texts(folder)
    assert (found.ids, found.texts) == ((8428, 8429), ("高级感 托特包", "吊带裙"))
    assert found.image_ids == ((1076345, 517602), (5,))
    bad = {b"7": pickle.dumps(Harmful()), b"8": pickle.dumps((1, 2)), b"9": pickle.dumps((1.5, 2, "a"))}
    passed: list[PassedOver] = []
    assert len(list(read_captions(pairs(tmp_path / "bad", {**good, **bad}), passed))) == 3
    assert [one.row for one in passed] == [4, 5, 6]
    assert all("no pair of an image" in str(one) for one in passed)
    assert "run" not in capsys.readouterr().out
