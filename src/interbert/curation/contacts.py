"""Contact data and links in titles: telephone numbers, ids of messengers, e-mail, web addresses, codes for apps.

All patterns read a title in lower case and are linear: what repeats is bounded and begins at one place. Numbers that
are written to hide (一三八, 1 3 8) are not found.
"""

from __future__ import annotations

import re

from interbert.curation.word_lists import WordList

_NO_NUMBER_BEFORE = r"(?<![0-9a-z.*×/_-])"
# A number that goes on, or that counts or measures something, is no telephone number.
_NO_UNIT_AFTER = (
    r"(?![0-9a-z%]|[.-][0-9]"
    r"|\s?(?:毫安|像素|元|片|粒|颗|个|只|件|次|株|倍|万|亿|目|瓦|克|转|mah|mb|gb|hz|ml|mm|pcs))"
)
_MOBILE = (
    r"(?:\+?86[ -]?)?1(?:3[0-9]|4[5-9]|5[0-35-9]|6[2567]|7[0-8]|8[0-9]|9[0-35-9])"
    r"(?:[0-9]{8}|-[0-9]{4}-[0-9]{4}|\s[0-9]{4}\s[0-9]{4})"
)
_LANDLINE = r"\(?(?:010|02[0-9]|0[3-9][0-9]{2})(?:-|\)-?)[2-8][0-9]{6,7}"
_HOTLINE = r"[48]00-(?:[0-9]{3}-[0-9]{4}|[0-9]{4}-[0-9]{3}|[0-9]{7})"
_NUMBER = re.compile(f"{_NO_NUMBER_BEFORE}(?:{_MOBILE}|{_LANDLINE}|{_HOTLINE}){_NO_UNIT_AFTER}")
_NUMBER_OF_SOMETHING = re.compile(
    r"(?:型号|货号|款号|编号|品号|条码|条形码|单号|订单号?|序列号|批号|证号|文号|准字|许可证?|备案号?|sku|isbn|ean|upc|no\.?)"
    r"[号为是 :#]{0,3}$"
)
_BEFORE = 12
"""Characters before a number in which it may be said what it numbers."""
_DIGITS = re.compile(r"[0-9][0-9 ()-]{6}")

_MESSENGER = r"(?:微信|薇信|威信|v信|wechat|weixin|whatsapp|扣扣|(?<![a-z0-9])(?:qq|vx|wx))"
_ID = r"[a-z0-9_+-]{5,20}"
_MESSENGERS = re.compile(
    rf"{_MESSENGER}(?:号码?|群号?|同号|id)?\s?[:=]\s?{_ID}"
    rf"|{_MESSENGER}(?:号码?|群号?|同号)\s?{_ID}"
    r"|(?:微信|薇信|威信|v信)[a-z](?=[a-z_-]{0,19}[0-9])[a-z0-9_-]{5,19}"
    r"|(?:微信|薇信|威信|扣扣|(?<![a-z0-9])qq|q群|qq群)\s?[0-9]{5,11}(?![0-9a-z])"
    r"|(?:加|添加|联系|咨询|扫码加)(?:我|店主|客服|掌柜)?(?:微信|薇信|威信|v信|wechat|扣扣|qq)(?!支付|小程序|公众)"
    r"|(?:加|\+)(?:微|薇|vx|wx|v|q)\s?:?\s?(?=[a-z_-]{0,19}[0-9])[a-z0-9_-]{6,20}(?![0-9a-z])"
    r"|(?:电话|热线|手机号码?|联系方式|(?<![a-z])tel)\s?[:.]?\s?\+?[0-9][0-9 -]{5,15}[0-9]"
)
SIGNS = WordList(
    "signs of contact data",
    "",
    (
        *("微信", "薇信", "威信", "v信", "wechat", "weixin", "whatsapp", "扣扣", "qq", "vx", "wx", "q群"),
        *("加微", "加薇", "加v", "加q", "+微", "+薇", "+v", "+q", "电话", "热线", "手机号", "联系方式", "tel"),
    ),
    (),
    anywhere=True,
)
"""What a title has when :func:`find_contact` is to look for more than numbers and e-mail addresses."""
_EMAIL = re.compile(r"[a-z0-9._%+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,3}\.[a-z]{2,10}(?![a-z0-9])")

# After a name that is also a word (tank.top, 30.cc) a path has to follow.
_LINK = re.compile(
    r"(?:https?|ftp)://\S|(?<![a-z0-9])www\.[a-z0-9]"
    r"|(?<![a-z0-9@.-])(?=[0-9-]{0,62}[a-z])[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,3}"
    r"\.(?:(?:com|cn|net|org)(?![a-z0-9.-])|(?:top|vip|shop|store|site|club|cc|xyz|me)/)"
)
_APP_CODE = re.compile(r"[¥€$£₤₳]\s?(?=[a-z]{0,10}[0-9])(?=[0-9]{0,10}[a-z])[a-z0-9]{11}\s?[¥€$£₤₳]")


def find_contact(text: str, signs: bool) -> str | None:
    """The first contact data of a title in lower case; None where there are none.

    Args:
        text: the title, in lower case.
        signs: whether one of :data:`SIGNS` is in it, which its caller knows from the search for all words.
    """
    if _DIGITS.search(text):
        for number in _NUMBER.finditer(text):
            if not _NUMBER_OF_SOMETHING.search(text[max(0, number.start() - _BEFORE) : number.start()]):
                return number.group()
    if signs:
        found = _MESSENGERS.search(text)
        if found:
            return found.group()
    found = _EMAIL.search(text) if "@" in text else None
    return found.group() if found else None


def find_link(text: str) -> str | None:
    """The first web address, or code that a shop's app opens, of a title in lower case; None where there is none."""
    found = _LINK.search(text) if "." in text or "://" in text else None
    found = found or _APP_CODE.search(text)
    return found.group() if found else None
