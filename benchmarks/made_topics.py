"""Topics with rules of relevance, made from the attributes of a catalogue in many wordings, for development.

    python benchmarks/made_topics.py catalogue.parquet topics.jsonl --count 150 --seed 0
    interbert topics evaluate INDEX topics.jsonl --text-columns text,text_zh

Each has a kind of product and, by chance, a colour, a use or a season, and whom it is for; every part in one of
several English and Chinese wordings, some of which no title has ("timepieces", "pullovers"). The columns are those of
the public ``ashraq/fashion-product-images-small``, or of the Grocery Store dataset (Klasson et al. 2019), whose topics
are kinds, groups of kinds, brands, flavours, colours, and two kinds together. A topic is kept when enough products of
the catalogue fit its rule.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq
from grocery_words import (
    ARTICLES,
    FOOD_AFTER,
    FOOD_AFTER_ZH,
    FOOD_BEFORE,
    FOOD_BEFORE_ZH,
    FOOD_GROUPS,
    FOODS,
    Wordings,
)

KINDS: Wordings = {
    ("Tshirts",): ("t-shirts|tees|tshirts", "T恤|T恤衫|短袖T恤"),
    ("Shirts",): ("shirts|button-down shirts", "衬衫|衬衣"),
    ("Casual Shoes",): ("casual shoes|everyday shoes|sneakers", "休闲鞋|日常休闲鞋"),
    ("Watches",): ("watches|wrist watches|timepieces", "手表|腕表"),
    ("Kurtas", "Kurtis"): ("kurtas|kurtas and kurtis", "库尔塔长衫|库尔塔"),
    ("Tops",): ("tops|tops and blouses", "上衣"),
    ("Sports Shoes",): ("sports shoes|trainers|running shoes|gym shoes", "运动鞋|跑鞋|训练鞋"),
    ("Handbags",): ("handbags|hand bags|shoulder bags", "手提包|女包"),
    ("Heels",): ("heels|high-heeled shoes|heeled sandals", "高跟鞋"),
    ("Sunglasses",): ("sunglasses|shades", "太阳镜|墨镜"),
    ("Wallets",): ("wallets|leather wallets", "钱包|皮夹"),
    ("Flip Flops",): ("flip flops|beach slippers", "人字拖|拖鞋"),
    ("Sandals",): ("sandals|open sandals", "凉鞋"),
    ("Belts",): ("belts|leather belts", "皮带|腰带"),
    ("Socks",): ("socks|pairs of socks", "袜子|短袜"),
    ("Backpacks",): ("backpacks|rucksacks", "双肩包|背包"),
    ("Formal Shoes",): ("formal shoes|dress shoes|office shoes", "正装鞋|正装皮鞋"),
    ("Briefs",): ("briefs|underpants", "内裤"),
    ("Perfume and Body Mist",): ("perfumes|fragrances", "香水|香水喷雾"),
    ("Jeans",): ("jeans|denim jeans", "牛仔裤"),
    ("Shorts",): ("shorts", "短裤"),
    ("Trousers",): ("trousers|pants", "长裤|裤子"),
    ("Flats",): ("flats|flat shoes|ballerinas", "平底鞋"),
    ("Sarees",): ("sarees|saris", "纱丽"),
    ("Earrings",): ("earrings|ear rings", "耳环"),
    ("Dresses",): ("dresses", "连衣裙|裙子"),
    ("Bra",): ("bras", "文胸|胸罩"),
    ("Sweatshirts",): ("sweatshirts|hoodies and sweatshirts", "卫衣"),
    ("Nail Polish",): ("nail polish|nail paints", "指甲油"),
    ("Ties",): ("ties|neckties", "领带"),
    ("Caps",): ("caps|baseball caps", "帽子|鸭舌帽"),
    ("Track Pants",): ("track pants|jogging bottoms", "运动裤"),
    ("Clutches",): ("clutches|evening clutches", "手拿包"),
    ("Deodorant",): ("deodorants|deo sprays", "止汗喷雾|香体喷雾"),
    ("Jackets",): ("jackets", "夹克|外套"),
    ("Innerwear Vests",): ("vests|innerwear vests", "打底背心|背心"),
    ("Tunics",): ("tunics", "束腰上衣|长款上衣"),
    ("Lipstick",): ("lipsticks|lip colours", "口红|唇膏"),
    ("Sweaters",): ("sweaters|pullovers|knitwear", "毛衣"),
    ("Pendant", "Necklace and Chains"): ("pendants and necklaces|necklaces", "吊坠项链|项链"),
    ("Leggings", "Jeggings"): ("leggings", "打底裤|紧身裤"),
    ("Capris",): ("capris|cropped trousers", "七分裤"),
    ("Nightdress", "Night suits"): ("nightwear|night dresses and night suits", "睡衣|睡裙睡衣"),
    ("Skirts",): ("skirts", "半身裙|短裙"),
    ("Laptop Bag", "Messenger Bag"): ("laptop and messenger bags", "电脑包|电脑包邮差包"),
    ("Duffel Bag",): ("duffel bags|gym bags", "旅行包|健身包"),
    ("Ring", "Bracelet", "Bangle"): ("rings and bracelets|bangles, bracelets and rings", "戒指手镯|戒指手链"),
    ("Scarves", "Stoles", "Mufflers"): ("scarves and stoles|scarves", "围巾披肩|围巾"),
    ("Kajal and Eyeliner",): ("eyeliner and kajal|eye make-up", "眼线笔|眼妆"),
    ("Cufflinks",): ("cufflinks", "袖扣"),
    ("Trunk", "Boxers"): ("trunks and boxers", "平角裤"),
    ("Sandals", "Flip Flops"): ("sandals and flip flops|open footwear", "凉鞋拖鞋"),
    ("Jackets", "Sweaters", "Sweatshirts"): ("warm jackets, sweaters and sweatshirts", "保暖外套毛衣卫衣"),
    ("Shorts", "Capris"): ("shorts and capris", "短裤七分裤"),
}
GROUPS: Wordings = {
    ("Shoes",): ("shoes", "鞋"),
    ("Bags",): ("bags", "包"),
    ("Jewellery",): ("jewellery|jewelry", "首饰|珠宝"),
    ("Innerwear",): ("underwear|innerwear", "内衣"),
    ("Topwear",): ("tops and shirts", "上装"),
    ("Bottomwear",): ("trousers, jeans and shorts", "裤装"),
}
COLOURS: Wordings = {
    ("Black",): ("black", "黑色"),
    ("White", "Off White"): ("white", "白色"),
    ("Blue", "Navy Blue"): ("blue", "蓝色"),
    ("Navy Blue",): ("navy|navy blue", "藏青色|深蓝色"),
    ("Brown", "Coffee Brown"): ("brown", "棕色|咖啡色"),
    ("Grey", "Grey Melange"): ("grey|gray", "灰色"),
    ("Red", "Maroon"): ("red", "红色"),
    ("Green", "Olive"): ("green", "绿色"),
    ("Pink", "Peach"): ("pink", "粉色|粉红"),
    ("Purple", "Lavender"): ("purple", "紫色"),
    ("Silver", "Steel"): ("silver", "银色"),
    ("Yellow", "Mustard"): ("yellow", "黄色"),
    ("Gold",): ("golden|gold", "金色"),
    ("Beige", "Cream"): ("beige", "米色"),
    ("Orange",): ("orange", "橙色"),
}
USES: Wordings = {
    ("Sports",): ("sporty|athletic", "运动"),
    ("Formal",): ("formal|office", "正装|商务"),
    ("Casual",): ("casual|everyday", "休闲|日常"),
    ("Ethnic",): ("ethnic|traditional Indian", "民族风"),
}
SEASONS: Wordings = {("Summer",): ("summer", "夏季|夏天"), ("Winter",): ("winter", "冬季")}
WHOM: Wordings = {
    ("Men",): ("men's {}|{} for men|mens {}|gents' {}|{} for him", "男士{}|男款{}|男式{}"),
    ("Women",): ("women's {}|{} for women|ladies {}|{} for her|womens {}", "女士{}|女款{}|女式{}"),
    ("Boys", "Girls"): ("kids' {}|{} for children|children's {}", "儿童{}|童装{}"),
    ("Boys",): ("boys' {}|{} for boys", "男童{}|男孩{}"),
    ("Girls",): ("girls' {}|{} for girls", "女童{}|女孩{}"),
}
AFTER = ("", "", "", "", "", "", " for gifts", " to wear on holiday")
AFTER_ZH = ("", "", "", "", "", "", "推荐", "新款")


class Maker:
    """Makes one topic of a fashion shop after the other."""

    columns: tuple[str, ...] = ("gender", "subCategory", "articleType", "baseColour", "season", "usage")

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def topic(self) -> tuple[str, str, dict[str, list[str]]]:
        """English text, Chinese text and rule of a random topic."""
        draw = self._random.random
        of_group = draw() < 0.12
        rule: dict[str, list[str]] = {}
        text, text_zh = self._add(rule, "subCategory" if of_group else "articleType", GROUPS if of_group else KINDS)
        before: list[tuple[str, Wordings]] = []
        if draw() < 0.3:
            before.append(("baseColour", COLOURS))
        chance = draw()
        if chance < 0.25:
            before.append(("usage", USES) if chance < 0.18 else ("season", SEASONS))
        for column, wordings in before:
            english, chinese = self._add(rule, column, wordings)
            text, text_zh = f"{english} {text}", chinese + text_zh
        if draw() < 0.45:
            english, chinese = self._add(rule, "gender", WHOM)
            text, text_zh = english.format(text), chinese.format(text_zh)
        return text + self._random.choice(AFTER), text_zh + self._random.choice(AFTER_ZH), rule

    def _add(self, rule: dict[str, list[str]], column: str, wordings: Wordings) -> tuple[str, str]:
        values = self._random.choice(list(wordings))
        rule[column] = list(values)
        english, chinese = wordings[values]
        return self._random.choice(english.split("|")), self._random.choice(chinese.split("|"))


class GroceryMaker(Maker):
    """Makes one topic of a grocery after the other."""

    columns = ("coarse_class", "fine_class")

    def topic(self) -> tuple[str, str, dict[str, list[str]]]:
        """English text, Chinese text and rule of a random topic."""
        rule: dict[str, list[str]] = {}
        draw, choice = self._random.random(), self._random.choice
        if draw < 0.1:
            start = self._random.randrange(len(FOODS) - 3)
            first, second = self._random.sample(list(FOODS)[start : start + 4], 2)  # sorted: these are alike
            texts = [[choice(FOODS[kind][language].split("|")) for kind in (first, second)] for language in (0, 1)]
            rule["coarse_class"] = [*first, *second]
            return f"{texts[0][0]} and {texts[0][1]}", f"{texts[1][0]}和{texts[1][1]}", rule
        if draw < 0.55:
            text, text_zh = self._add(rule, "coarse_class", FOODS)
        elif draw < 0.65:
            text, text_zh = self._add(rule, "coarse_class", FOOD_GROUPS)
        else:
            text, text_zh = self._add(rule, "fine_class", ARTICLES)
        before, before_zh = choice(FOOD_BEFORE), choice(FOOD_BEFORE_ZH)
        return before + text + choice(FOOD_AFTER), before_zh + text_zh + choice(FOOD_AFTER_ZH), rule


def made_topics(catalogues: Sequence[str], count: int, min_products: int, seed: int) -> list[dict[str, object]]:
    """Up to ``count`` different topics that ``min_products`` products or more of the catalogues fit."""
    maker_of = GroceryMaker if "coarse_class" in pq.read_schema(catalogues[0]).names else Maker
    rows = [row for path in catalogues for row in pq.read_table(path, columns=list(maker_of.columns)).to_pylist()]
    maker = maker_of(seed)
    seen: set[str] = set()
    topics: list[dict[str, object]] = []
    for _ in range(200 * count):
        if len(topics) == count:
            break
        text, text_zh, rule = maker.topic()
        key = json.dumps(rule, sort_keys=True)
        fitting = sum(all(row[name] in values for name, values in rule.items()) for row in rows)
        if key not in seen and fitting >= min_products:
            seen.add(key)
            name = f"d{len(topics):03d}"
            topics.append({"topic_id": name, "text": text, "text_zh": text_zh, "relevant": rule})
    return topics


def main() -> None:
    """Read the command line and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("catalogues", nargs="+", help="parquet files whose products have to fit; the last is written")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--min-products", type=int, default=3, help="products that have to fit a topic")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    *catalogues, out = given.catalogues
    topics = made_topics(catalogues, given.count, given.min_products, given.seed)
    Path(out).write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in topics), encoding="utf-8")
    print(f"{out}: {len(topics)} topics")


if __name__ == "__main__":
    main()
