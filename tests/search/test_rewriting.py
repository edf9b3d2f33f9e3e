"""Wrong letters, synonyms, plurals and parts of Chinese words: what shoppers try first."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from tests.search.test_full_text import product, put

from interbert import SearchEngine
from interbert.cli.main import main
from interbert.errors import UsageError
from interbert.search.full_text import Words
from interbert.search.index import ProductIndex
from interbert.search.rewriting import QueryRewriter
from interbert.search.spelling import Vocabulary, can_be_corrected
from interbert.search.synonyms import Synonyms
from interbert.search.words import Word, normal_text, singular, words_of

TITLES = {
    "a": ["adidas running shoes AX3000"],
    "b": ["adidas sandals for women"],
    "c": ["Puma sneakers", "白色运动鞋"],
    "d": ["Fossil wristwatch"],
    "e": ["Women's summer dress", "红色连衣裙"],
    "f": ["Burberry knife"],
}


@pytest.fixture(scope="module")
def shop(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of :data:`TITLES`, which no test changes."""
    path = Path(shutil.copytree(built, tmp_path_factory.mktemp("titles") / "index"))
    index = ProductIndex.open(path)
    index.table.delete("true")
    put(index, [product(name, texts) for name, texts in TITLES.items()]).maintain()
    return path


@pytest.fixture(scope="module")
def engine(shop: Path) -> SearchEngine:
    return SearchEngine.open(shop)


def read(tmp_path: Path, text: str) -> Synonyms:
    path = tmp_path / "synonyms.txt"
    path.write_text(text, encoding="utf-8")
    return Synonyms.read(path)


def test_a_wrong_letter_becomes_the_titles_word_and_is_reported(engine: SearchEngine) -> None:
    rewriter = QueryRewriter(engine)
    found = rewriter.rewrite("Addidas runing  shoes, AX3001")
    assert found.text == "adidas running  shoes, AX3001"
    assert found.corrections == (("Addidas", "adidas"), ("runing", "running"))
    assert "showing results for 'adidas running  shoes, AX3001'" in found.notes[0]
    for wrong, right in (("sanadls", "sandals"), ("wirstwacth", "wristwatch"), ("dunning", "running")):
        assert rewriter.rewrite(f"{wrong} 红色").text == f"{right} 红色", wrong


@pytest.mark.parametrize(
    "text",
    [
        "adidas", "ADIDAS sandal", "dresses", "womens", "tuma", "AX3001", "ax300", "wrstwtc gucci", "白色运动鞋",
        "knives", "", "?!", "adidas" * 600,
    ],
)  # fmt: skip
def test_what_is_right_short_or_far_stays_as_typed(engine: SearchEngine, text: str) -> None:
    found = QueryRewriter(engine).rewrite(text)
    assert (found.text, found.corrections, found.notes) == (text, (), ())


def test_the_words_as_typed_can_be_had(engine: SearchEngine) -> None:
    assert QueryRewriter(engine, spelling=False).rewrite("addidas").text == "addidas"
    assert QueryRewriter(engine).rewrite("addidas", spelling=False).text == "addidas"


def test_of_words_that_are_equally_near_the_most_frequent_is_taken() -> None:
    words = Vocabulary({"shirt": 5, "skirt": 9, "shirts": 1, "wristwatch": 1, "vine": 9, "fine": 1})
    assert words.closest("shkirt") == "skirt"
    assert words.closest("hsirt") == "shirt"
    assert words.closest("whirt") is None
    assert words.closest("hsirts") == "shirts"
    assert words.closest("wirstwacth") == "wristwatch"
    assert words.closest("wine") is None
    assert (len(words), "shirt" in words, "wine" in words) == (6, True, False)
    assert [one for one in ("adi", "abcd", "ab3d", "über", "кофе", "d'or") if can_be_corrected(one)] == [
        "abcd", "über", "d'or"
    ]  # fmt: skip


def test_only_so_many_words_are_kept(engine: SearchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    from interbert.search import spelling

    assert isinstance(engine.index, ProductIndex)
    whole = Vocabulary.of(engine.index)
    assert whole.counts["adidas"] == 2
    assert not {"ax3000", "3000", "白", "ax"} & whole.counts.keys()
    monkeypatch.setattr(spelling, "_MOST_TERMS", 1)
    monkeypatch.setattr(spelling, "_ROWS_AT_ONCE", 2)
    assert Vocabulary.of(engine.index).counts == {"adidas": 2}
    assert QueryRewriter(engine).rewrite("puma knife").corrections == (), "titles are asked, not what is kept"


def test_words_of_products_that_came_are_counted(shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(shutil.copytree(shop, tmp_path / "index"))
    engine = SearchEngine.open(path)
    rewriter = QueryRewriter(engine)
    count = rewriter.refresh()
    put(ProductIndex.open(path), [product("g", ["Wrangler jeans"])]).maintain()
    assert rewriter.rewrite("wranglre").text == "wranglre", "counted a moment ago"
    assert rewriter.rewrite("wrangler").text == "wrangler", "titles are asked"
    assert rewriter.refresh() == count + 2
    assert rewriter.rewrite("wranglre").text == "wrangler"

    put(ProductIndex.open(path), [product("h", ["Timberland boots"])]).maintain()
    monkeypatch.setattr(rewriter, "_next", 0.0)
    deadline = time.monotonic() + 60
    while rewriter.rewrite("timbreland").text != "timberland":  # a thread counts
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_synonyms_are_searched_both_ways_and_one_way(engine: SearchEngine, tmp_path: Path) -> None:
    rows = "# a shop's\n\nsneakers, trainers, running shoes, 运动鞋\n波鞋，kicks ＝＞ 运动鞋, sneakers\n"
    synonyms = read(tmp_path, rows)
    rewriter = QueryRewriter(engine, synonyms)
    assert len(synonyms) == 6
    both = rewriter.rewrite("puma sneaker")
    assert (both.text, both.wordings) == ("puma sneaker", ())
    assert both.synonyms == ("trainers", "running shoes", "运动鞋")
    assert rewriter.rewrite("Running Shoes 43").synonyms == ("sneakers", "trainers", "运动鞋")
    unknown = rewriter.rewrite("red trainers")
    assert (unknown.text, unknown.wordings) == ("red sneakers", (("trainers", "sneakers"),))
    assert unknown.synonyms == ("running shoes", "运动鞋")
    assert unknown.notes[0].endswith("do not have: 'sneakers' for 'trainers'")
    chinese = rewriter.rewrite("白色波鞋")
    assert (chinese.text, chinese.synonyms) == ("白色sneakers", ("运动鞋",)), "the model knows no 运动鞋"
    assert "kicks" not in rewriter.rewrite("sneakers").synonyms
    assert rewriter.rewrite("Kicks").text == "sneakers"
    assert rewriter.rewrite("运动鞋").text == "sneakers"
    assert rewriter.rewrite("kicksy").synonyms == ()
    assert rewriter.rewrite("addidas trainer").text == "adidas sneakers"


def test_full_text_finds_titles_that_have_all_words_of_a_synonym(engine: SearchEngine) -> None:
    def found(text: str, *synonyms: str) -> list[str]:
        return [hit.id for hit in engine.index.full_text_search(Words(text, synonyms), 5)]

    assert found("zzz") == []
    assert found("zzz", "running shoe") == ["a"]
    assert found("zzz", "running sandals") == []
    assert found("zzz", "!?") == []
    assert found("zzz", "运动鞋", "running shoes") in (["a", "c"], ["c", "a"])
    assert found("puma", "fossil") == ["c", "d"], "what was typed counts more"
    assert engine.index.full_text_search(Words("?"), 5) == []
    assert engine.index.full_text_search(Words("adidas", ("sneakers",)), 9, "product_id = 'c'")[0].id == "c"


def test_plurals_and_parts_of_chinese_words(engine: SearchEngine) -> None:
    for text, wanted in {
        "dresses": "e", "dress": "e", "shoe": "a", "sandal": "b", "连衣": "e", "衣裙": "e", "裙": "e",
        "运动": "c", "动鞋": "c",
    }.items():  # fmt: skip
        assert engine.index.full_text_search(text, 1)[0].id == wanted, text
    assert engine.index.full_text_search("knives", 5) == [], "the stems of irregular plurals differ"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a, b\nsneakers", "line 2: 'sneakers' stands alone"),
        ("a => b => c", "line 1: has => more than once"),
        ("a,,b", "line 1: '' between commas or beside => holds no word"),
        ("a =>", "line 1: '' between commas"),
        ("?!, a", "line 1: '\\?!' between commas"),
        (", ".join(map(str, range(33))), "line 1: has more than 32 synonyms"),
        ("a, " + "b " * 17, "line 1: 'b b .* has more than 16 words"),
        ("\n".join(f"a, b{n}" for n in range(40)), "line 33: 'a' has more than 32 synonyms by now"),
        ("#\n" * 20_001, "has more than 20,000 lines"),
        ("#" * ((1 << 22) + 1), "it has more than 4,194,304 bytes"),
    ],
)
def test_a_wrong_line_of_synonyms_is_named(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(UsageError, match=rf"synonyms\.txt.{{1,2}}{error}"):
        read(tmp_path, text)


def test_a_file_of_synonyms_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.txt: synonyms cannot be read"):
        Synonyms.read(tmp_path / "gone.txt")
    (tmp_path / "latin.txt").write_bytes("caf\xe9, bar".encode("latin-1"))
    with pytest.raises(UsageError, match=r"latin\.txt: synonyms are no text in UTF-8"):
        Synonyms.read(tmp_path / "latin.txt")


def test_the_command_says_what_it_searched_for(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, " ".join(out.split()), err

    file, page = tmp_path / "synonyms.txt", tmp_path / "page.html"
    file.write_text("sneakers, trainers\n", encoding="utf-8")
    words = ("search", shop, "addidas|trainers", "--synonyms", file, "--top-k", 1)
    code, out, _ = run(*words, "--page", page)
    assert code == 0
    assert "adidas (typed: addidas) (best 1 of 6 images)" in out
    assert "showing results for 'adidas', not 'addidas'; --spelling false searches for the words as typed" in out
    assert "sneakers (typed: trainers)" in out
    assert "adidas (typed: addidas)" in page.read_text(encoding="utf-8")
    code, out, _ = run(*words, "--spelling", "false")
    assert code == 0
    assert "addidas (best 1 of 6 images)" in out
    assert "showing results" not in out
    file.write_text("sneakers\n", encoding="utf-8")
    code, _, error = run(*words)
    assert code == 2
    assert "synonyms.txt, line 1: 'sneakers' stands alone" in error
    code, _, error = run("search", "gone", "adidas", "--source", "x", "--synonyms", file)
    assert code == 2


def test_words_know_their_places() -> None:
    text = normal_text("Ｔ恤 Women’s AX-3000")
    assert list(words_of(text)) == [
        Word("t", 0, 1), Word("恤", 1, 2), Word("women's", 3, 10), Word("ax", 11, 13), Word("3000", 14, 18)
    ]  # fmt: skip
    assert [singular(one) for one in ("shoes", "dresses", "berries", "dress", "bus", "as", "knives", "帽子")] == [
        "shoe", "dress", "berry", "dress", "bus", "as", "knive", "帽子"
    ]  # fmt: skip
