"""Official files beyond a limit, or with halves of characters: one line, or the text that can be read."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.vl_tasks.made import write_json, write_lines
from tests.vl_tasks.test_flickr_entities_task import ANNOTATIONS
from tests.vl_tasks.test_flickr_entities_task import folder_of as flickr_folder
from tests.vl_tasks.test_refcoco_task import folder_of as refcoco_folder

from interbert.checkpoints.directory import load_processor
from interbert.cli.main import main
from interbert.errors import CheckpointError, DataError, InterBertError
from interbert.model.processing import InterBertProcessor
from interbert.tasks import kdd, muge
from interbert.vl_tasks import flickr_entities, gqa, nlvr, refcoco, snli_ve, vcr, vqa
from interbert.vl_tasks.example import Example
from interbert.vl_tasks.loading import read_labels
from interbert.vl_tasks.predict import _trained_columns
from interbert.vl_tasks.seen_images import seen_images
from interbert.vl_tasks.settings import TaskSettings, label_names
from interbert.vl_tasks.table_rows import Columns, read_examples
from interbert.vl_tasks.vcr_names import length_of, sentence

HALF = "red \ud83d"
WHOLE = "red \ufffd"


def vcr_line(objects: list[str], question: list[object]) -> dict[str, object]:
    four = [["a"]] * 4
    row = {"annot_id": "val-0", "img_fn": "1.jpg", "objects": objects, "question": question}
    return row | {"answer_choices": four, "rationale_choices": four, "answer_label": 0, "rationale_label": 0}


def test_short_tags_do_not_stand_for_long_texts(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "val.jsonl", [vcr_line(["x" * 1000], [[0] * 200])])
    with pytest.raises(DataError, match=r"row 1: annot_id val-0 has a text of \d+,\d+ characters, of which 100,000"):
        vcr.read_examples(file)
    (example,) = vcr.read_examples(write_lines(tmp_path / "val.jsonl", [vcr_line(["x" * 1000], [[0] * 9])]))
    assert len(example.texts[0]) == 9 * 1000 + 7 * len(", ") + len(" and ")


@pytest.mark.parametrize("tokens", [["a", "b"], [[0]], [[0, 1], "go"], [[0, 1, 0], [1], "x"]])
def test_a_text_is_no_longer_than_it_is_counted(tokens: list[object]) -> None:
    names = {0: "Alex", 1: "dog"}
    assert len(sentence(tokens, names)) <= length_of(tokens, names) <= len(sentence(tokens, names)) + 5 * 6


def test_a_line_of_many_cells_is_not_split(tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_text("dev-1-0-0,True" + ",x" * 9 + "\n")
    with pytest.raises(DataError, match="row 1: is no line identifier,True"):
        nlvr.read_predictions(file)
    file.write_text("7" + ",12" * 9 + "\n")
    with pytest.raises(DataError, match="query 7 has 9 products; exactly 5"):
        kdd.read_submission(file, {"7"})


def test_texts_of_an_image_are_collected_once_each(tmp_path: Path) -> None:
    texts = [{"text_id": number, "text": "x", "image_ids": [7, 8]} for number in range(12)]
    asked = [{"image_id": image, "text_ids": list(range(10))} for image in (7, 8)]
    truth, predicted = write_lines(tmp_path / "t.jsonl", texts), write_lines(tmp_path / "p.jsonl", asked)
    assert muge.score_predictions(predicted, truth).to_dict()["r@1"] == 1


@pytest.mark.parametrize("read", [read_labels, lambda path: vqa.read_answers(Path(path))])
def test_a_label_that_stands_twice_is_found_at_once(tmp_path: Path, read: object) -> None:
    file = write_json(tmp_path / "labels.json", [*map(str, range(200_000)), "199998"])  # by pairs: an hour
    with pytest.raises(DataError, match="the answer '199998' twice"):
        read(str(file))  # type: ignore[operator]


def test_words_before_a_phrase_are_counted_as_they_stand(tmp_path: Path) -> None:
    line = "a  x[/EN#1/people Two guys]y z [/EN#1/people he] and[/EN#1/people she] [/EN#2/scene it][/EN#1/people us]\n"
    found = flickr_entities.read_examples(flickr_folder(tmp_path, line), "test", [])
    plain = "a  xTwo guysy z he andshe itus"
    before = [len(plain[: plain.index(text)].split()) for text in ("Two guys", "he ", "she", "us")]
    assert [one.details["first_word"] for one in found] == before == [2, 4, 6, 7]


def test_what_is_not_read_of_flickr_entities_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 1: has a text or an id of 120,001 characters"):
        flickr_entities.read_examples(flickr_folder(tmp_path, "[/EN#1/people a] x " + "y" * 119_982 + "\n"), "test", [])
    things = "<object><name>1</name></object>" * 1001
    boxes = ANNOTATIONS.replace("</annotation>", things + "</annotation>")
    with pytest.raises(DataError, match=r"\.xml: cannot be read as boxes \(1,006 objects, of which 1,000"):
        flickr_entities.read_examples(flickr_folder(tmp_path, annotations=boxes), "test", [])


def test_boxes_of_an_image_are_held_once(tmp_path: Path) -> None:
    first, second, *_ = refcoco.read_examples(refcoco_folder(tmp_path), None)
    assert first.images == second.images
    assert first.boxes is second.boxes
    assert first.details["categories"] is second.details["categories"]


def test_a_pickle_of_containers_ends_at_its_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refcoco, "_MOST_STEPS", 1000)
    sets = b"\x80\x05](" + b"\x8f" * 99 + b"e."
    with pytest.raises(DataError, match="takes more than 1,000 steps"):
        refcoco.read_examples(refcoco_folder(tmp_path, sets), None)


def test_halves_of_characters_are_read_as_no_character(tmp_path: Path) -> None:
    pairs = [{"pairID": HALF, "Flickr30K_ID": "1", "sentence2": HALF, "gold_label": "neutral"}]
    (pair,) = snli_ve.read_examples(write_lines(tmp_path / "p.jsonl", pairs))
    assert (pair.id, pair.texts) == (WHOLE, (WHOLE,))
    asked = {HALF: {"imageId": HALF, "question": HALF + "\U0001f600", "answer": HALF}}
    (question,) = gqa.read_examples(write_json(tmp_path / "q.json", asked))
    assert (question.id, question.images, question.texts, question.target) == (
        WHOLE,
        (WHOLE,),
        (WHOLE + "\U0001f600",),
        {WHOLE: 1.0},
    )
    gqa.write_predictions(tmp_path / "o.json", {question.id: HALF})  # whatever a model's label is
    assert json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))[0]["prediction"] == HALF
    assert read_labels(str(write_json(tmp_path / "l.json", ["a", HALF]))) == ("a", WHOLE)


def test_halves_of_characters_are_tokenized(vl_model: Path) -> None:
    processor = InterBertProcessor.from_pretrained(vl_model)
    assert processor.texts_to_ids([HALF]) == processor.texts_to_ids([WHOLE])


def test_deep_choices_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text('text,ch\nx,"' + "[" * 5000 + '"\n')
    columns = Columns(None, "text", None, "ch", (), None, True)
    with pytest.raises(DataError, match=r"row 0: 'ch' is no JSON list of texts \(it is nested deeper"):
        read_examples(str(tmp_path / "in.csv"), columns, "choices")


def test_predictions_do_not_replace_what_they_are_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"pairID": "1", "Flickr30K_ID": "1", "sentence2": "x", "gold_label": "neutral", "label": "neutral"}
    source = str(write_lines(tmp_path / "pairs.jsonl", [row]))
    words = ["evaluate", "snli-ve", "model", source, "--images", "x", "--predictions", source]
    assert main(words) == 2
    assert "is named by SOURCE and --predictions. Name two files." in capsys.readouterr().err
    assert snli_ve.read_predictions(Path(source)), "it would pass for predictions"


def test_a_tokenizer_without_its_tokens_is_named(vl_model: Path, tmp_path: Path) -> None:
    load_processor(vl_model).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((vl_model / "config.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="its tokenizer has no pad_token"):
        load_processor(tmp_path)


@pytest.mark.parametrize(
    ("recipe", "columns"),
    [
        ({"text": ["a"], "image_column": {}}, ("text", None)),
        ({"text": None, "image_column": "photo"}, (None, "photo")),
        ([["text"]], ("text", None)),
    ],
)
def test_columns_of_a_damaged_memory_are_the_usual_ones(tmp_path: Path, recipe: object, columns: tuple) -> None:
    write_json(tmp_path / "provenance.json", {"recipe": recipe})
    assert _trained_columns(str(tmp_path)) == columns


def test_cells_of_a_row_are_counted_before_they_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interbert.data.file_lines._MAX_SEPARATORS", 30)
    rows = ",".join(["annot_id", *vcr.SCORER.truths]) + "\n" + "a,b\n" * 90
    (tmp_path / "p.csv").write_text(rows)
    with pytest.raises(InterBertError, match="has to have annot_id and 20 columns"):  # many rows are no many cells
        vcr.read_predictions(tmp_path / "p.csv")
    (tmp_path / "p.csv").write_text('annot_id,b\n"' + "x,\n" * 31 + '",1\n')
    with pytest.raises(InterBertError, match="the row that line 32 belongs to has more than 30 ','"):
        vcr.read_predictions(tmp_path / "p.csv")


@pytest.mark.parametrize("held", [{"max_text_tokens": "x"}, {"image_arrangement": [1]}, {"max_text_tokens": -1}])
def test_settings_of_a_task_are_of_their_kind(held: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="its vl_task is no task"):
        TaskSettings.of(SimpleNamespace(vl_task={"name": "vqa", **held}), "m")


def test_labels_without_a_name_are_told() -> None:
    with pytest.raises(CheckpointError, match="its id2label does not name every label"):
        label_names(SimpleNamespace(num_labels=2, id2label={0: "a", 5: "b"}), "m")


def test_no_address_that_a_model_names_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("interbert.vl_tasks.seen_images.ImageRows", lambda paths: asked.extend(paths))
    write_json(tmp_path / "recipe.json", {"regions": "s3://bucket/x", "more_regions": {"https://host/y": 1.0}})
    found = seen_images(str(tmp_path), [Example("1", ("1",), ("x",))], None)
    assert not asked
    assert (found.seen, found.unknown) == (None, ("s3://bucket/x", "https://host/y"))
