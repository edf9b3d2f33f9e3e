from __future__ import annotations

import pytest

from interbert.search.terms import query_terms, stemming_language, stored_terms, terms_of


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Leather sandals, leather", "leather sandals leather"),
        ("橄榄绿帽子", "橄 榄 绿 帽 子 橄榄 榄绿 绿帽 帽子"),
        ("AX3000 router", "ax3000 ax 3000 router"),
        ("hwy14-186bku1", "hwy14 hwy 14 186bku1 186 bku 1"),
        ("24k金", "24k 24 k 金"),
        ("3.5mm", "3.5mm 3.5 mm"),
        ("ＡＸ３０００", "ax3000 ax 3000"),
        ("Men’s T-shirt", "men's t shirt"),
        ("タオル", "タ オ ル タオ オル"),
        ("हिन्दी किताब", "हिन्दी किताब"),
        ("snake_case", "snake case"),
        ("😀 !?*", ""),
        ("", ""),
    ],
)
def test_terms(text: str, wanted: str) -> None:
    assert " ".join(terms_of(text)) == wanted


def test_a_term_that_stands_in_a_longer_text_is_the_same_term_alone() -> None:
    title = "海尔洗碗机hwy14-186bku1 TP-Link AX3000 Women's tomatoes 3.5mm"
    for query in ("海尔", "洗碗机", "机", "hwy14", "186", "AX3000", "3000", "women's", "Tomatoes", "3.5"):
        assert set(terms_of(query)) <= set(terms_of(title)), query


def test_texts_are_joined_and_a_query_asks_for_each_term_once() -> None:
    assert stored_terms(["red shirt", "红裙", ""]) == "red shirt 红 裙 红裙"
    assert query_terms("red Red RED shirt") == "red shirt"
    assert len(query_terms(" ".join(f"word{place}" for place in range(5000))).split()) == 256
    assert terms_of("x" * 5000) == ["x" * 36]
    assert query_terms("𠮷" * 30_000) == "𠮷 𠮷𠮷"


@pytest.mark.parametrize(
    ("columns", "language"),
    [
        (["title", "title_zh"], "English"),
        (["title_zh"], "English"),
        ([], "English"),
        (["title_de", "title_zh"], "German"),
        (["name-fr", "name_fr_CA"], "French"),
        (["title_de", "title_en"], "English"),
        (["de"], "English"),
    ],
)
def test_the_language_of_stems_is_that_of_the_columns(columns: list[str], language: str) -> None:
    assert stemming_language(columns) == language
