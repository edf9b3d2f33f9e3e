"""Made data of the tasks: official readers read it, answers are those of the drawings, texts alone tell nothing."""

from __future__ import annotations

import importlib
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from interbert.vl_tasks import flickr_entities, gqa, nlvr, refcoco, snli_ve, vcr, vqa
from interbert.vl_tasks.example import Example

TRAIN, TEST = 600, 100


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, Any]]:
    """Folder of the files, and what is drawn in each image: (kind, colour, x, y) by id."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
        files, drawn = (importlib.import_module(f"made_task_{name}") for name in ("files", "scenes"))
    draw = random.Random(0)
    scenes = [drawn.draw_scene(1000 + place, draw) for place in range(TRAIN + TEST)]
    files.write_task_files(folder, scenes[:TRAIN], scenes[TRAIN:], 0)
    for name in ("made_task_files", "made_nlvr_files", "made_task_scenes", "composition_scenes"):
        sys.modules.pop(name, None)
    return folder, {
        scene.id: {thing.kind.word: (drawn.colour_of(thing), thing.x, thing.y) for thing in scene.things}
        for scene in scenes
    }


def read(folder: Path, task: str, train: bool) -> list[Example]:
    end = "train" if train else "val"
    of = folder / task
    if task == "vqa":
        name = "train" if train else "test"
        return vqa.read_examples(of / f"questions_{name}.json", of / f"annotations_{name}.json")
    if task == "gqa":
        return gqa.read_examples(of / f"{end}_balanced_questions.json")
    if task in ("nlvr", "nlvr2"):
        return nlvr.read_examples(of / ("train.json" if train else "dev.json"))
    if task == "snli-ve":
        return snli_ve.read_examples(of / f"snli_ve_{'train' if train else 'dev'}.jsonl")
    part = "qa_r" if task == "vcr qa_r" else "q_a"
    return vcr.read_examples(folder / "vcr" / f"{end}.jsonl", part, folder / "vcr" / "vcr1images")


@pytest.mark.parametrize("task", ["vqa", "gqa", "nlvr", "nlvr2", "snli-ve"])
def test_a_text_comes_with_every_answer_and_the_likeliest_of_each_text_is_no_better_than_chance(
    made: tuple[Path, dict[int, Any]], task: str
) -> None:
    train, test = (read(made[0], task, split) for split in (True, False))
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for one in train:
        answers[one.texts[0]] += Counter(one.target)
    overall = sum(answers.values(), Counter())
    frequent = [found for found in answers.values() if found.total() >= 12]
    assert frequent
    assert all(len(found) > 1 for found in frequent)
    guesses = [answers[one.texts[0]] or overall for one in test]
    right = sum(max(guess, key=guess.__getitem__) in one.target for guess, one in zip(guesses, test, strict=True))
    chance = 1 / len(overall)
    assert right / len(test) < chance + 4 * (chance * (1 - chance) / len(test)) ** 0.5
    assert max(overall.values()) / overall.total() < chance + 0.06


def test_colours_of_vqa_are_those_that_are_drawn(made: tuple[Path, dict[int, Any]]) -> None:
    folder, drawn = made
    for one in read(folder, "vqa", True):
        word = one.texts[0].removeprefix("what colour is the ").removesuffix("?")
        assert one.target == {drawn[int(one.images[0])][word][0]: 1.0}


def test_answers_of_gqa_are_true(made: tuple[Path, dict[int, Any]]) -> None:
    folder, drawn = made
    kinds = Counter()
    for one in read(folder, "gqa", True):
        things, words = drawn[int(one.images[0])], one.texts[0].removesuffix("?").split()
        if words[1] == "there":
            holds = things.get(words[4], ("",))[0] == words[3]
        elif len(words) == 4:
            holds = things[words[2]][0] == words[3]
        else:
            (_, x, y), (_, other_x, other_y) = things[words[2]], things[words[-1]]
            where = " ".join(words[3:-2])
            holds = {"to the left of": x < other_x, "to the right of": x > other_x, "above": y < other_y}.get(
                where, y > other_y
            )
        kinds[words[1] == "there", len(words) == 4] += 1
        assert one.target == {"yes" if holds else "no": 1.0}, one.texts
    assert len(kinds) == 3


def test_a_sentence_of_nlvr2_is_true_of_one_pair_of_its_set(made: tuple[Path, dict[int, Any]]) -> None:
    groups = defaultdict(list)
    for one in read(made[0], "nlvr2", True):
        groups[one.details["group"]].append(one)
    for group in groups.values():
        assert sorted(label for one in group for label in one.target) == ["False", "True"]
        assert len({one.texts for one in group}) == 1
        assert len({image for one in group for image in one.images}) == 4


def test_a_sentence_of_nlvr_is_true_of_one_drawing_in_all_its_orders(made: tuple[Path, dict[int, Any]]) -> None:
    folder, drawn = made
    scenes = list(drawn.values())
    for one in read(folder, "nlvr", True):
        _, number, side, _ = one.id.split("-")
        things = list(scenes[2 * int(number) + int(side)].items())[:3]
        *_, colour, word = one.texts[0].split()
        assert one.target == {str((word, colour) in [(name, found[0]) for name, found in things]): 1.0}


def test_hypotheses_are_entailed_contradicted_or_about_what_is_not_there(made: tuple[Path, dict[int, Any]]) -> None:
    folder, drawn = made
    for one in read(folder, "snli-ve", True):
        _, word, _, colour = one.texts[0].split()
        there = drawn[int(one.images[0])].get(word)
        right = "neutral" if there is None else "entailment" if there[0] == colour else "contradiction"
        assert one.target == {right: 1.0}


@pytest.mark.parametrize("part", ["vcr", "vcr qa_r"])
def test_one_choice_of_vcr_is_true_and_its_place_is_any(made: tuple[Path, dict[int, Any]], part: str) -> None:
    folder, drawn = made
    places = Counter()
    for one in read(folder, part, True):
        things = drawn[int(Path(one.images[0]).stem)]
        true = [
            place for place, choice in enumerate(one.second_texts) if things[choice.split()[1]][0] == choice.split()[-1]
        ]
        assert true == [one.target]
        assert len(one.boxes) == 4
        places[one.target] += 1
    assert max(places.values()) < 0.35 * places.total()


def test_expressions_fit_one_object(made: tuple[Path, dict[int, Any]]) -> None:
    folder, drawn = made
    for one in refcoco.read_examples(folder / "refcoco", "test"):
        things, words = drawn[int(one.images[0])], set(one.texts[0].split()) - {"the", "one"}
        fits = [(x, y) for name, (colour, x, y) in things.items() if words <= {name, colour}]
        ((x1, y1, x2, y2),) = one.target
        assert fits == [((x1 + x2) / 2, (y1 + y2) / 2)]
        assert len(one.boxes) == 4


def test_phrases_fit_one_object(made: tuple[Path, dict[int, Any]]) -> None:
    folder, drawn = made
    examples = flickr_entities.read_examples(folder / "flickr-entities", "test")
    assert len(examples) == 4 * TEST
    for one in examples:
        things, words = drawn[int(one.images[0])], set(one.texts[0].split()) - {"a", "an", "one"}
        fits = [(x, y) for name, (colour, x, y) in things.items() if words <= {name, colour}]
        ((x1, y1, x2, y2),) = one.target
        assert fits == [((x1 + x2) / 2, (y1 + y2) / 2)]
