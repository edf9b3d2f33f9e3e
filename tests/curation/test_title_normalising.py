from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interbert.curation.normalise import MAX_RAW, NormaliseOptions, normalise_title
from interbert.curation.reasons import Reason
from interbert.curation.title_rules import TitleOptions, TitleRules

PLAIN = NormaliseOptions()
CHINESE = TitleRules(TitleOptions())


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("ＮＩＫＥ　Ｔ恤（２件）！！！", "NIKE T恤(2件)"),
        ("ﾊﾟｰﾃｨｰﾄﾞﾚｽ", "パーティードレス"),
        ("100㎡ 30℃ Ⅱ代 ㈱ ﬁt", "100m2 30°C II代 (株) fit"),
        ("SK-II™ 神仙水®", "SK-II 神仙水"),  # NFKC: SK-IITM
        ("①洗面奶②爽肤水 30ml①", "1 洗面奶 2 爽肤水 30ml 1"),  # NFKC: 30ml1
        ("1½杯 ¼磅", "1 1/2 杯 1/4 磅"),  # NFKC: 11⁄2
        ("L´OREAL", "L'OREAL"),  # NFKC: a space and an accent
        ("⻓裤 ⽔杯", "长裤 水杯"),  # radicals of PDF files; NFKC knows the second
        ("3〜5岁 A—B", "3~5岁 A-B"),
        ("LANC&Ocirc;ME/兰蔻&amp;amp;nbsp;水&#20320;&#x597D;", "LANCÔME/兰蔻 水你好"),
        ("H&M B&notebook R&D &unknown; AT&T;s", "H&M B&notebook R&D &unknown; AT&T;s"),
        ("<p class='a'>面霜<br/>50ml</p><!-- x -->", "面霜 50ml"),
        ("&lt;b&gt;面霜&lt;/b&gt;", "面霜"),
        ("<SK-II>神仙水 <新品> 3<5", "<SK-II>神仙水 <新品> 3<5"),
        ("水\u200b乳\ufeff套\x00装\ue000\ud83d\u202e\t50ml\r\n", "水乳套装 50ml"),
        ("👨\u200d👩\u200d👧 ❤\ufe0f 水\u200d乳\ufe0f", "👨\u200d👩\u200d👧 ❤\ufe0f 水乳"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("。百雀羚，，套装。。。", "百雀羚,套装"),
        ("和牛A++ 好!!用 - - .5寸", "和牛A++ 好!用 - .5寸"),
        ("“全新”「水」", "“全新”「水」"),
        ("\u200b\u3000&nbsp;", ""),
    ],
)
def test_a_title_is_written_one_way(raw: str, clean: str) -> None:
    assert normalise_title(raw, PLAIN) == clean


def test_what_a_vocabulary_needs_is_an_option() -> None:
    options = NormaliseOptions(straight_quotes=True, lowercase=True)
    assert normalise_title("“Nike” 『T恤』‘L’", options) == '"nike" "t恤"\'l\''


@pytest.mark.parametrize(
    ("traditional", "simplified"),
    [
        ("純棉襯衫 連衣裙 手錶 髮夾 護髮", "纯棉衬衫 连衣裙 手表 发夹 护发"),
        ("麵包 乾果 皮裏 裡布 滷味 訂製 鬍鬚", "面包 干果 皮里 里布 卤味 订制 胡须"),
        ("穿著舒適 著色劑 斜揹包 百摺裙 亞蔴", "穿着舒适 着色剂 斜背包 百褶裙 亚麻"),  # hk2s: 著, 揹, 百折裙, 蔴
        ("化粧水 衞生紙 餸盒", "化妆水 卫生纸 餸盒"),  # t2s: 化粧水; hk2s: a character beyond the BMP
        ("滑鼠 數位相機 影片", "滑鼠 数位相机 影片"),  # tw2sp: other words
        (
            "鲁迅原著 显著 乾隆 皇后 跟着名师 跟著名画家",
            "鲁迅原著 显著 乾隆 皇后 跟着名师 跟著名画家",
        ),  # tw2s: 原着, 显着
    ],
)
def test_traditional_words_of_products_are_simplified(traditional: str, simplified: str) -> None:
    assert normalise_title(traditional, NormaliseOptions(simplify=True)) == simplified
    assert normalise_title(traditional, PLAIN) == traditional


@given(st.text(st.characters(), max_size=40))
@settings(max_examples=150, deadline=None)
def test_any_text_becomes_a_title_that_files_can_hold(raw: str) -> None:
    clean = normalise_title(raw, PLAIN)
    clean.encode()
    assert clean == clean.strip()
    assert len(CHINESE.judge(clean).title) <= len(clean)
    assert not any(unicodedata.category(one) in ("Cc", "Cs", "Co") for one in clean)


def test_a_title_beyond_all_measure_is_dropped_and_not_cut() -> None:
    judgement = CHINESE.judge(normalise_title("正品保湿面霜" + " " * MAX_RAW + "套装", PLAIN))
    assert judgement.dropped == Reason("title_too_long", "more than 4000 characters")
