import gzip
import json

import numpy as np
import pytest

from interbert.data.qrels import Qrels
from interbert.errors import ColumnError, DataError, SourceError, UsageError


def triples(qrels):
    return {
        (qrels.queries[query], qrels.products[product], grade)
        for query, product, grade in zip(qrels.query_of, qrels.product_of, qrels.grades, strict=True)
    }


EXPECTED = {("red dress", "p1", 3.0), ("red dress", "p2", 1.0), ("红色连衣裙", "p1", 2.0)}


def lines(separator):
    return "\n".join(
        separator.join(row)
        for row in (
            ("product_id", "query", "grade"),
            ("p1", "red dress", "3"),
            ("p2", "red dress", "1"),
            ("p1", "红色连衣裙", "2.0"),
        )
    )


@pytest.mark.parametrize("name", ["q.tsv", "q.txt", "q.csv", "q.jsonl", "q.tsv.gz", "Q.CSV"])
def test_every_kind_of_file_gives_the_same_judgements(tmp_path, name):
    text = lines("," if "csv" in name.lower() else "\t") + "\n\n"
    if "jsonl" in name:
        rows = [{"query": query, "product_id": product, "grade": grade} for query, product, grade in sorted(EXPECTED)]
        text = "\n".join(json.dumps(row) for row in rows)
    content = text.encode("utf-8-sig")
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert triples(Qrels.read(tmp_path / name)) == EXPECTED


def test_a_log_of_clicks_has_no_grades_and_repeats_itself(tmp_path):
    file = tmp_path / "clicks.tsv"
    file.write_text('item_id\tquery\n7\tRed  dress\n8\tblue "5 inch\n7\tred dress\n')
    qrels = Qrels.read(file)
    assert triples(qrels) == {("Red  dress", "7", 1.0), ('blue "5 inch', "8", 1.0)}
    assert len(qrels) == 2


def test_of_several_grades_of_one_pair_the_largest_counts(tmp_path):
    file = tmp_path / "q.csv"
    file.write_text('query,product_id,grade\na,p,1\n"A",p,3\na,p,2\n')
    assert triples(Qrels.read(file)) == {("a", "p", 3.0)}


def test_columns_may_have_other_names_and_further_ones_are_passed_over(tmp_path):
    file = tmp_path / "q.tsv"
    file.write_text("suche\tbilder\tware\tnote\nrot\t" + "x" * 300_000 + "\tp1\t2\n")
    with pytest.raises(ColumnError, match=r"q\.tsv.*no column 'query'.*suche, bilder, ware, note.*--qrels-columns"):
        Qrels.read(file)
    assert triples(Qrels.read(file, ["suche", "ware", "note"])) == {("rot", "p1", 2.0)}
    assert triples(Qrels.read(file, ["suche", "ware"])) == {("rot", "p1", 1.0)}
    with pytest.raises(ColumnError, match=r"no column 'waren'\. Did you mean 'ware'"):
        Qrels.read(file, ["suche", "waren"])
    with pytest.raises(UsageError, match="query, the product and the grade"):
        Qrels.read(file, ["suche"])


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("a\tp", "has 2 fields, the first row has 3"),
        ("a\tp\tmuch", "grade 'much' is no number"),
        ("a\tp\tnan", "must be from 0 to 30"),
        ("a\tp\t-1", "grade -1 must be from 0"),
        ("a\tp\t250", "grade 250 must be from 0 to 30"),
        ("\tp\t1", "has no query"),
        ("a\t \t1", "has no product_id"),
    ],
)
def test_bad_rows_are_named(tmp_path, bad, reason):
    file = tmp_path / "q.tsv"
    file.write_text(f"query\tproduct_id\tgrade\nfine\tp\t1\n{bad}\nfine\tq\t1\n{bad}\n")
    with pytest.raises(DataError) as error:
        Qrels.read(file)
    message = str(error.value)
    assert message.startswith(f"{file}, row 3: ")
    assert reason in message
    assert "1 more bad rows: 5. Mend or remove them." in message
    assert "\n" not in message


def test_of_very_many_bad_rows_a_few_are_named(tmp_path):
    file = tmp_path / "q.jsonl"
    file.write_text('{"query": "a", "product_id": 3}\n' + "[1]\nnothing\n" * 50)
    with pytest.raises(DataError, match=r"row 2: is no JSON object\. 99 more bad rows: 3, 4, 5, 6, 7, \.\.\.\."):
        Qrels.read(file)


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(SourceError, match="there is no such file"):
        Qrels.read(tmp_path / "gone.tsv")
    for name, content in (("q.xlsx", b"x"), ("q.tsv", b""), ("h.tsv", b"query\tproduct_id\n"), ("b.tsv", b"q\xff\xfe")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SourceError, match=name):
            Qrels.read(tmp_path / name)
    whole = gzip.compress(("query\tproduct_id\n" + "a\tp\n" * 9999).encode())
    (tmp_path / "cut.tsv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"cut\.tsv\.gz: cannot be read"):
        Qrels.read(tmp_path / "cut.tsv.gz")


def test_judgements_of_a_product_lie_together_and_have_a_fingerprint(tmp_path):
    file = tmp_path / "q.tsv"
    file.write_text(lines("\t"))
    qrels = Qrels.read(file)
    assert qrels.product_of.tolist() == sorted(qrels.product_of)
    for product in range(len(qrels.products)):
        where = qrels.of_product(product)
        assert set(qrels.product_of[where]) == {product}
    assert qrels.relevant(2).tolist() == (qrels.grades >= 2).tolist()
    assert np.all(qrels.relevant(None) == (qrels.grades > 0))
    again = Qrels.read(file).fingerprint
    file.write_text(lines("\t") + "\np9\tred dress\t1")
    assert Qrels.read(file).fingerprint != again == qrels.fingerprint


def beir(folder, header="query-id\tcorpus-id\tscore"):
    """BEIR's files; q1 is "red dress"."""
    (folder / "test.tsv").write_text(f"{header}\nq1\tp1\t2\nq1\tp2\t1\nq2\tp1\t0\n")
    texts = [{"_id": name, "text": text, "metadata": {}} for name, text in (("q2", "blue"), ("q1", "red dress"))]
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in [*texts, {"_id": "q9", "text": "x"}])
    )
    return folder / "test.tsv", folder / "queries.jsonl"


JOINED = {("red dress", "p1", 2.0), ("red dress", "p2", 1.0), ("blue", "p1", 0.0)}


def test_queries_that_are_named_by_id_are_joined_with_their_texts(tmp_path):
    file, texts = beir(tmp_path)
    assert triples(Qrels.read(file, query_texts=texts)) == JOINED
    assert triples(Qrels.read(file, ["query-id", "corpus-id", "score"], texts)) == JOINED
    (tmp_path / "queries.tsv").write_text("query_id\tquery\nq1\tred dress\nq2\tblue\n")
    assert triples(Qrels.read(file, query_texts=tmp_path / "queries.tsv")) == JOINED
    other, _ = beir(tmp_path, "query\tproduct_id\tgrade")
    assert triples(Qrels.read(other, query_texts=texts)) == JOINED


@pytest.mark.parametrize("columns", [[], ["query-id", "corpus-id", "score"]])
def test_ids_of_queries_are_never_ranked_by_as_texts(tmp_path, columns):
    file, _ = beir(tmp_path)
    with pytest.raises(DataError, match=r"test\.tsv: its column 'query-id' holds ids of queries.*--query-texts FILE"):
        Qrels.read(file, columns)


@pytest.mark.parametrize("names", [("q1", "q2"), ("17", "204"), ("PLAIN-2", "PLAIN-12")])
def test_ids_are_noticed_under_any_column(tmp_path, names):
    file = tmp_path / "q.tsv"
    rows = "".join(f"{name}\tp\n" for name in names)
    file.write_text(f"query\tproduct_id\n{rows}")
    with pytest.raises(DataError, match=rf"'query' holds ids of queries \('{names[0]}', .*--query-texts"):
        Qrels.read(file)
    file.write_text(f"query\tproduct_id\n{rows}red dress 5\tp\n")
    assert len(Qrels.read(file)) == 3  # a shopper types model numbers too


def test_codes_that_people_type_are_queries_where_the_columns_are_named(tmp_path):
    (tmp_path / "q.csv").write_text("query,product_id\nPS5,a\nAX3000,b\n")
    with pytest.raises(DataError, match=r"ids are no texts.*name the columns with --qrels-columns"):
        Qrels.read(tmp_path / "q.csv")
    assert Qrels.read(tmp_path / "q.csv", ("query", "product_id")).queries == ("PS5", "AX3000")


def test_a_column_that_may_be_the_grade_is_not_passed_over(tmp_path):
    (tmp_path / "q.csv").write_text("query;product_id;esci_label\nred shoes;a;E\nred shoes;b;S\n")
    with pytest.raises(ColumnError, match="its column 'esci_label' may be the grade, and is not read"):
        Qrels.read(tmp_path / "q.csv")
    (tmp_path / "q.csv").write_text("query;product_id;esci_label\nred shoes;a;2\nred shoes;b;1,5\n")
    with pytest.raises(DataError, match="row 3: grade '1,5' is no number"):
        Qrels.read(tmp_path / "q.csv", ("query", "product_id", "esci_label"))


def test_ids_that_became_floats_are_whole_numbers(tmp_path):
    file = tmp_path / "q.jsonl"
    file.write_text('{"query": "red", "product_id": 101.0}\n')
    assert triples(Qrels.read(file)) == {("red", "101", 1.0)}
    file.write_text('{"query": "red", "product_id": 101.5}\n')
    with pytest.raises(DataError, match="row 1: has no product_id"):
        Qrels.read(file)


def test_a_score_is_a_grade_in_beirs_files_alone(tmp_path):
    file = tmp_path / "clicks.tsv"
    file.write_text("query\tproduct_id\tscore\nred\tp\t0\n")
    assert triples(Qrels.read(file)) == {("red", "p", 1.0)}


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ('{"_id": "q1", "text": "red"}\n', DataError, r"test\.tsv, row 4: query 'q2' has no text in .*queries\.jsonl"),
        ('{"_id": "q1", "text": "a"}\n{"_id": "q1", "text": "b"}\n', DataError, r"row 2: query 'q1' has another text"),
        ('{"_id": "q1", "text": " "}\n', DataError, r"row 1: has no text"),
        ('{"_id": "q1"}\n', ColumnError, r"names no column of query ids .*Columns: _id"),
        ("nothing\n", DataError, "row 1: is no JSON"),
        ("", SourceError, "holds no texts of queries"),
    ],
)
def test_texts_of_queries_that_do_not_fit_are_named(tmp_path, content, error, message):
    file, texts = beir(tmp_path)
    texts.write_text(content)
    with pytest.raises(error, match=message) as caught:
        Qrels.read(file, query_texts=texts)
    assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match="no such file of texts of queries"):
        Qrels.read(file, query_texts=tmp_path / "gone.jsonl")
