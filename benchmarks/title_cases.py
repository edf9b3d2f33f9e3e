"""Planted titles for title_rules.py, with what each rule ought to do. Nothing of the rules or their lists is imported.

A case is a title of a shop, made of pieces, into which one thing was put; a near miss looks like it and is a product.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from title_words import (
    BLOCKED,
    BRANDS,
    CLAIMS,
    HEADS,
    ITEMS,
    NO_PRODUCT,
    NOT_BLOCKED,
    NOT_CLAIMS,
    NOT_OFFERS,
    OFFERS,
    PRODUCTS,
    TRAITS,
)


@dataclass(frozen=True)
class Case:
    rule: str
    group: str
    """The form in which the thing was put in; results are shown by it."""
    raw: str
    meets: bool
    title: str | None = None
    """What has to be left of the title, where the rule takes something out."""


def base(rng: random.Random) -> list[str]:
    """Pieces of an innocent title."""
    return [rng.choice(BRANDS), rng.choice(TRAITS), rng.choice(ITEMS)]


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(count))


def _mobile(rng: random.Random) -> str:
    return f"{rng.choice(HEADS)}{_digits(rng, 8)}"


def _wide(text: str) -> str:
    return "".join(chr(ord(one) + 0xFEE0) if one.isdigit() else one for one in text)


def _account(rng: random.Random) -> str:
    return rng.choice(("liu", "shop_", "meimei", "zhang-", "abc")) + _digits(rng, rng.randint(3, 6))


Make = Callable[[random.Random], str]

CONTACTS: dict[str, Make] = {
    "mobile number": _mobile,
    "with its word": lambda r: r.choice(("电话", "电话:", "手机号 ", "联系方式：", "Tel:")) + _mobile(r),
    "with +86": lambda r: r.choice(("+86", "86-", "+86 ")) + _mobile(r),
    "with hyphens": lambda r: "-".join((lambda m: (m[:3], m[3:7], m[7:]))(_mobile(r))),
    "with spaces": lambda r: " ".join((lambda m: (m[:3], m[3:7], m[7:]))(_mobile(r))),
    "full width": lambda r: _wide(_mobile(r)),
    "landline": lambda r: r.choice(("010-", "0755-", "021-", "0571-")) + r.choice("23568") + _digits(r, 7),
    "hotline": lambda r: "400-" + _digits(r, 3) + "-" + _digits(r, 4),
    "WeChat id": lambda r: r.choice(("微信：", "微信号", "加微信 ", "薇信:", "VX：", "wx:", "微信")) + _account(r),
    "WeChat by number": lambda r: r.choice(("微信", "微信同号", "威信:", "加微")) + _mobile(r),
    "QQ": lambda r: (
        r.choice(("QQ", "QQ：", "qq号", "QQ群", "扣扣 ")) + r.choice("123456789") + _digits(r, r.randint(5, 9))
    ),
    "invitation": lambda r: r.choice(("加微信咨询", "加我微信", "联系客服微信", "添加微信领图册")),
    "e-mail": lambda r: _account(r) + "@" + r.choice(("163.com", "qq.com", "gmail.com", "vip.sina.com.cn")),
    "written to hide": lambda r: r.choice(
        (
            "一三八零零一三八零零零",
            "1 3 8 0 0 1 3 8 0 0 0",
            "138OO138OOO",
            "㊙V ❤ xin liu88",
            "威❤信liu8899",
            "➕薇 mei888",
        )
    ),
}
NOT_CONTACTS: dict[str, Make] = {
    "number of a model": lambda r: (
        r.choice(("型号", "货号:", "款号 ", "编号", "条码", "SKU ", "ISBN ", "国药准字")) + _mobile(r)
    ),
    "13 digits of a bar code": lambda r: "69" + _digits(r, 11),
    "letters before the number": lambda r: r.choice(("AB", "LN", "K", "MT-")) + _mobile(r),
    "11 digits, no head of a mobile": lambda r: r.choice(("120", "108", "20", "99", "30")) + _digits(r, 9),
    "capacity of 11 digits": lambda r: (
        r.choice(("138", "150", "180")) + "00000000" + r.choice(("mAh", "像素", "毫安", "次"))
    ),
    "meshes": lambda r: f"400-{r.randint(500, 900)}-{r.randint(1000, 3000)}目",
    "messenger in a product": lambda r: r.choice(
        (
            "微信公仔",
            "微信支付收款音箱",
            "QQ糖",
            "奇瑞QQ3 车套",
            "微信表情抱枕",
            "QQ冷暖男抱枕",
            "加微波炉饭盒",
            "微信小程序扫码枪",
        )
    ),
    "V and QQ of models": lambda r: r.choice(
        ("V领", "VX1000 手柄", "加V领打底", "QQ弹鱼丸", "QQ飞车 手办", "WX-3000 录音笔")
    ),
    "measures": lambda r: f"{r.randint(10, 99)}-{r.randint(100, 999)}-{r.randint(1000, 9999)}mm",
    "telephone as a product": lambda r: r.choice(
        ("电话机 6132", "电话手表 Z6", "儿童电话手表 4G", "热线切割机", "手机壳 12 13 14")
    ),
}
LINKS: dict[str, Make] = {
    "http": lambda r: r.choice(("http://", "https://")) + r.choice(("a.cn/x", "item.taobao.com/?id=" + _digits(r, 9))),
    "www": lambda r: "www." + r.choice(("shop88", "meizhuang", "abc-d")) + r.choice((".com", ".net", ".cc", ".vip")),
    "domain": lambda r: r.choice(("shop88", "mytaobao", "abc")) + r.choice((".com", ".com.cn", ".cn", ".net")),
    "short link": lambda r: r.choice(("m.tb.cn/h.", "t.cn/", "dwz.cn/")) + r.choice(("Abc9", "X3f7")),
    "code for an app": lambda r: "￥" + r.choice(("a1B2c3D4e5F", "8Kd2Lm9QwXz", "hJ7kPq2RsT4")) + "￥",
    "full width": lambda r: "ｗｗｗ．" + r.choice(("shop88", "abc")) + "．com",
}
NOT_LINKS: dict[str, Make] = {
    "version": lambda r: f"{r.randint(1, 9)}.{r.randint(0, 9)}版",
    "dots in a brand": lambda r: r.choice(
        ("Dr.Martens", "S.T.Dupont", "A.P.C.", "e.l.f.", "L.O.L.", "U.S.POLO", "St.Ives", "M.A.C")
    ),
    "number": lambda r: r.choice(("No.1号色", "NO.5香水", "3.5mm", "50.cc", "1.5cn", "12.12款", "No.com包")),
    "word with a dot": lambda r: r.choice(("tank.top背心", "pet.shop招牌贴", "Vol.2", "feat.club", "Co.ltd", "me.too")),
    "price": lambda r: f"¥{r.randint(10, 999)} ¥{r.randint(10, 999)}",
}


def _place(rng: random.Random, pieces: list[str], thing: str) -> str:
    pieces = list(pieces)
    pieces.insert(rng.randint(0, len(pieces)), thing)
    return " ".join(pieces)


def contacts_and_links(rng: random.Random, times: int) -> Iterator[Case]:
    for rule, groups, meets in (
        ("contact", CONTACTS, True),
        ("contact", NOT_CONTACTS, False),
        ("link", LINKS, True),
        ("link", NOT_LINKS, False),
    ):
        for group, make in groups.items():
            for _ in range(times):
                yield Case(rule, group, _place(rng, base(rng), make(rng)), meets)


def offers(rng: random.Random, times: int) -> Iterator[Case]:
    """Words at the beginning, at the end, in brackets and inside the run of characters."""
    for word in OFFERS:
        for _ in range(times):
            brand, trait, item = base(rng)
            form = rng.randrange(4)
            raw = (
                f"{word}{brand} {trait}{item}",
                f"{brand} {trait}{item}{word}",
                f"【{word}】{brand} {trait}{item}",
                f"{brand} {trait} {word} {item}",
            )[form]
            left = f"{brand} {trait} {item}" if form == 3 else f"{brand} {trait}{item}"
            yield Case("promotional_word", ("first", "last", "in brackets", "between")[form], raw, True, left)
    for phrase in NOT_OFFERS:
        for _ in range(times):
            raw = _place(rng, base(rng)[:2], phrase)
            yield Case("promotional_word", phrase, raw, False, raw)


def claims(rng: random.Random, times: int) -> Iterator[Case]:
    for words, meets in ((CLAIMS, True), (NOT_CLAIMS, False)):
        for word in words:
            for _ in range(times):
                yield Case("superlative", word, _place(rng, base(rng), word), meets)


def lengths(rng: random.Random, times: int) -> Iterator[Case]:
    """Exactly the limits, one below and one above."""
    for _ in range(times):
        run = "".join(rng.choice("水乳霜精华套装面部补湿柔肤滋润清爽女男") for _ in range(100))
        for count, rule, meets in (
            (4, "title_too_short", False),
            (3, "title_too_short", True),
            (1, "title_too_short", True),
            (80, "title_too_long", False),
            (81, "title_too_long", True),
            (100, "title_too_long", True),
        ):
            yield Case(rule, f"{count} characters", run[:count], meets)
        yield Case("title_too_long", "80 and what is no title", f"\u200b {run[:40]}\u3000&nbsp;{run[41:80]}！！", False)
        yield Case("only_promotional", "3 are left", f"正品包邮{run[:3]}现货", True)
        yield Case("only_promotional", "4 are left", f"正品包邮{run[:4]}现货", False)


def scripts(rng: random.Random, times: int) -> Iterator[Case]:
    for _ in range(times):
        latin = rng.choice(("Nike Air Max", "Lancome Renergie", "iPhone case", "Dior 999"))
        yield Case("wrong_language", "Latin alone", f"{latin} {_digits(rng, 2)}", True)
        yield Case("wrong_language", "one Han character", f"{latin} {rng.choice('鞋霜壳红')}", False)
        kana = rng.choice(("レディーススニーカー", "きれいなワンピース", "ノートパソコンケース"))
        yield Case("foreign_script", "Japanese", f"女性用 {kana}", True)
        yield Case("foreign_script", "Korean", f"여성 운동화 신발 {rng.choice(('韩版', '正装'))}", True)
        yield Case(
            "foreign_script", "a brand's kana", f"{rng.choice(('資生堂', '花王'))}の洗面奶 {rng.choice(ITEMS)}", False
        )
        yield Case("foreign_script", "a name in kana", f"ミノン氨基酸保湿面膜敏感肌 {rng.choice(ITEMS)}", False)
        yield Case("too_many_digits", "numbers", f"轴承 {_digits(rng, 4)} {_digits(rng, 4)} {_digits(rng, 5)}", True)
        yield Case(
            "too_many_digits",
            "a model and measures",
            f"轴承{_digits(rng, 4)}型{rng.choice(ITEMS)} {_digits(rng, 4)}",
            False,
        )
        signs = "".join(rng.choice("★☆●◆♥→※№▲") for _ in range(8))
        yield Case("too_many_symbols", "signs", f"{signs}女鞋{signs}", True)
        yield Case(
            "too_many_symbols",
            "brackets and plus",
            f"【{rng.choice(BRANDS)}】{rng.choice(ITEMS)}(大号)+{rng.choice(ITEMS)}",
            False,
        )
        yield Case(
            "damaged_text",
            "lost characters",
            f"{rng.choice(ITEMS)}{rng.choice(('锟斤拷', '�', '锟斤拷锟斤拷'))}款",
            True,
        )
        yield Case("damaged_text", "rare characters", f"{rng.choice(ITEMS)}{rng.choice(('锟', '㛃', '斤拷'))}款", False)


def blocked(rng: random.Random, times: int) -> Iterator[Case]:
    for words, meets in ((BLOCKED, True), (NOT_BLOCKED[:3] + NOT_BLOCKED[4:], False)):
        for word in words:
            for _ in range(times):
                shown = word.upper() if rng.random() < 0.5 else word
                yield Case("blocked_word", word, _place(rng, base(rng), shown), meets)


def no_products(rng: random.Random, times: int) -> Iterator[Case]:
    for words, meets in ((NO_PRODUCT, True), (PRODUCTS, False)):
        for word in words:
            for _ in range(times):
                yield Case("no_product", word, _place(rng, [rng.choice(BRANDS), str(rng.randint(1, 99))], word), meets)


def all_cases(seed: int = 0, times: int = 20) -> list[Case]:
    rng = random.Random(seed)
    kinds = (contacts_and_links, offers, claims, lengths, scripts, blocked, no_products)
    return [case for kind in kinds for case in kind(rng, times)]
