from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from interbert.curation.normalise import NormaliseOptions, normalise_title
from interbert.curation.reasons import Reason
from interbert.curation.title_rules import RULES, TitleJudgement, TitleOptions, TitleRule, TitleRules, rule_names
from interbert.errors import ConfigError

TITLES = Path(__file__).parents[3] / "shared" / "data" / "titles_zh" / "product1m_dev.tsv"
CHINESE = TitleRules(TitleOptions())


def judged(raw: str, rules: TitleRules = CHINESE) -> TitleJudgement:
    return rules.judge(normalise_title(raw, NormaliseOptions()))


def met(judgement: TitleJudgement) -> set[str]:
    dropped = (judgement.dropped,) if judgement.dropped else ()
    return {one.rule for one in (*dropped, *judgement.flags, *judgement.stripped)}


@pytest.mark.parametrize("rule", [one for one in RULES if one.example], ids=lambda one: one.name)
def test_each_rule_meets_its_example_and_not_its_near_miss(rule: TitleRule) -> None:
    judgement = judged(rule.example)
    reasons = {"dropped": (judgement.dropped,), "flagged": judgement.flags, "stripped": judgement.stripped}
    assert rule.name in {one.rule for one in reasons[rule.effect] if one is not None}
    assert rule.name not in met(judged(rule.near_miss))


def test_names_of_rules_are_known_before_there_is_a_title() -> None:
    assert len(set(rule_names())) == len(RULES) == 14


@pytest.mark.parametrize(
    "title",
    [
        *(
            "女鞋 +86 138 0013 8000",
            "女鞋 138-0013-8000",
            "女鞋 １３８００１３８０００",
            "茶叶 0755-23456789",
            "茶叶 400-820-8820",
        ),
        *(
            "女鞋 微信：meimei88",
            "女鞋 微信13800138000",
            "女鞋加微信咨询",
            "女鞋 QQ 12345678",
            "女鞋 vx:abc_12345",
            "女鞋 加v liu8899",
        ),
        *("女鞋 shop@vip.sina.com.cn", "女鞋 电话:68123456"),
    ],
)
def test_contact_data_are_found(title: str) -> None:
    assert met(judged(title)) == {"contact"}


@pytest.mark.parametrize(
    "title",
    [
        *(
            "货号:13800138000 真皮女鞋秋冬",
            "条码 6913800138000 保湿补水面霜套装",
            "超大容量移动电源13800000000mAh",
            "K13800138000笔记本电脑原装电池",
            "不锈钢滤网过滤筛 400-800-1200目",
        ),
        *(
            "微信支付收款音箱",
            "QQ糖 果味",
            "奇瑞QQ3座套",
            "加v领打底衫",
            "加微波炉饭盒",
            "VX1000手柄",
            "电话手表Z6",
            "电话机6132",
        ),
        *("Dr.Martens马丁靴", "No.5香水", "耳机3.5mm接口", "背心tank.top款", "打折刀¥15 ¥30", "数据线 5.5A/2.4G"),
    ],
)
def test_what_looks_like_contact_data_or_a_link_is_kept(title: str) -> None:
    assert judged(title).dropped is None


@pytest.mark.parametrize(
    "title", ["女鞋 https://a.cn/x", "女鞋 m.tb.cn/h.Abc", "女鞋 shop88.com.cn", "女鞋￥a1B2c3D4e5F￥"]
)
def test_links_are_found(title: str) -> None:
    assert met(judged(title)) == {"link"}


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        ("【官方旗舰店】正品包邮 兰蔻面霜50ml（现货）", "兰蔻面霜50ml"),
        ("保湿正品AHC水乳", "保湿AHC水乳"),
        ("SK2正品SKII神仙水", "SK2 SKII神仙水"),  # two names do not become one
        ("满200减50 买一送一 洗衣液3kg 48小时发货", "洗衣液3kg"),
        ("[【特价】]护手霜三支装", "护手霜三支装"),
        ("單肩包包郵 批發", "單肩包"),
        ("包邮件快递袋 100只", "包邮件快递袋 100只"),
        ("真正品质 新品种 安全新国标 上下单人床 高保真", "真正品质 新品种 安全新国标 上下单人床 高保真"),
        ("补水,包邮,保湿+现货+修护 面霜 新品!清爽", "补水,保湿+修护 面霜 清爽"),
        ("3折叠凳 5折自动伞", "3折叠凳 5折自动伞"),
        ("双12寸音箱 双12V电池", "双12寸音箱 双12V电池"),
    ],
)
def test_promotional_words_are_taken_out(raw: str, title: str) -> None:
    rules = TitleRules(TitleOptions(min_characters=3))
    judgement = judged(raw, rules)
    assert (judgement.title, judgement.dropped) == (title, None)
    assert bool(judgement.stripped) == (title != raw)


def test_what_was_taken_out_is_said() -> None:
    assert judged("正品兰蔻面霜包邮").stripped == (Reason("promotional_word", "正品, 包邮"),)
    assert judged("正品兰蔻面霜包邮", TitleRules(TitleOptions(strip_promotional=False))).title == "正品兰蔻面霜包邮"


def test_the_limits_themselves_are_kept() -> None:
    rules = TitleRules(TitleOptions(min_characters=5, max_characters=7))
    assert [met(judged("保湿面霜套装礼盒"[:count], rules)) for count in (4, 5, 7, 8)] == [
        {"title_too_short"},
        set(),
        set(),
        {"title_too_long"},
    ]
    tight = TitleRules(TitleOptions(max_digit_share=0.5, max_symbol_share=0.25, max_foreign_share=0.5))
    assert met(judged("鞋子12", tight)) == met(judged("鞋+子好", tight)) == met(judged("鞋子ユノ", tight)) == set()


def test_english_and_any_language() -> None:
    english = TitleRules(TitleOptions(language="en"))
    assert judged("Brand New Leather Bag - Free Shipping! Best quality", english) == TitleJudgement(
        "Leather Bag - Best quality",
        None,
        (Reason("superlative", "Best"),),
        (Reason("promotional_word", "Brand New, Free Shipping"),),
    )
    assert met(judged("真皮女包四件", english)) == {"wrong_language"}
    assert met(judged("Bag 真皮女包四件套", english)) == {"foreign_script"}
    every = TitleRules(TitleOptions(language="any"))
    assert [met(judged(one, every)) for one in ("レディーススニーカー", "Bolso de piel", "12 34 5+6")] == [
        set(),
        set(),
        {"wrong_language"},
    ]


def test_contact_data_can_be_flagged_instead() -> None:
    judgement = judged("女鞋 微信：meimei88", TitleRules(TitleOptions(contacts="flag")))
    assert (judgement.dropped, judgement.flags) == (None, (Reason("contact", "微信:meimei88"),))


def test_words_of_the_users_lists(tmp_path: Path) -> None:
    block_list, words = tmp_path / "blocked.txt", tmp_path / "words.txt"
    block_list.write_text("\ufeff# my words\n# version: 7\r\n假烟\nＶＡＰＥ\n!假烟花\n", encoding="utf-8")
    words.write_text("好物\n", encoding="utf-8")
    rules = TitleRules(TitleOptions(block_list=str(block_list), promotional_words=str(words)))
    assert judged("正宗假烟十条", rules).dropped == Reason("blocked_word", "假烟")
    assert judged("一次性Vape套装", rules).dropped == Reason("blocked_word", "Vape")
    assert judged("好物正品假烟花 Vapeur香水", rules).title == "正品假烟花 Vapeur香水"
    assert rules.lists() == {
        "no_product_zh.txt": "1",
        str(block_list): "7",
        str(words): "",
        "superlatives_zh.txt": "2",
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"cannot be read \(No such file"),
        (b"\xff\xfe\x00", r"cannot be read \('utf-8' codec"),
        (b"# nothing\n", "there is no word in it"),
        (b"good\n" + b"x" * 101, "line 2: a word has 1 to 100 characters, not 101"),
        (b"good\n!\n", "line 2: a word has 1 to 100 characters, not 0"),
    ],
)
def test_a_list_that_is_none_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"list\.txt.*{says}"):
        TitleRules(TitleOptions(block_list=str(path)))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"min_characters": 0}, "min_characters must be at least 1"),
        ({"max_characters": 3}, "max_characters must be at least 4"),
        ({"max_digit_share": 1.5}, "max_digit_share must be"),
        ({"language": "fr"}, "language is one of zh, en, any, not 'fr'"),
        ({"contacts": "keep"}, "contacts is one of drop, flag, not 'keep'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        replace(TitleOptions(), **wrong)  # type: ignore[arg-type]


@pytest.mark.skipif(not TITLES.exists(), reason="needs the shared titles")
def test_real_titles_lose_the_word_that_one_in_six_has() -> None:
    raws = [line.split("\t")[1] for line in TITLES.read_text(encoding="utf-8").splitlines()[1:]]
    judgements = [judged(raw) for raw in raws]
    assert sum("正品" in raw for raw in raws) == 462
    assert sum("正品" in one.title for one in judgements) == 0
    assert sum(one.dropped is not None for one in judgements) == 1  # a test that nobody is to buy
