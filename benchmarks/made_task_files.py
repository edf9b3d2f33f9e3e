"""Official files of vision-and-language tasks about made scenes, by a grammar.

Texts and answers are balanced: every question, sentence or expression comes with different answers over different
images, and its words are as likely with one answer as with another. So the text alone tells no more than the majority.

- ``vqa``: the colour of an object; ``gqa``: yes or no, of a colour, of what is there, or of who stands where.
- ``nlvr2``, ``nlvr``: made_nlvr_files.py.
- ``snli-ve``: *the car is red* is entailed, contradicted by a car of another colour, neutral where no car is seen.
- ``vcr``: the colour of a tagged object out of the image's four; the rationale tells the colour of another one.
- ``refcoco``, ``flickr-entities``: the object that a kind, a colour or both refer to.
"""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from composition_scenes import SIDE, Thing
from made_nlvr_files import write_lines, write_nlvr, write_nlvr2
from made_task_scenes import NAMES_OF_COLOURS, OBJECTS, WORDS, MadeScene, colour_of, relations

_SPLITS = {"train": "train", "test": "val"}
"""Official name of the split that is judged."""


def _other(draw: random.Random, names: Sequence[Any], *without: Any) -> Any:
    return draw.choice([name for name in names if name not in without])


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_vqa(folder: Path, split: str, scenes: Sequence[MadeScene], draw: random.Random) -> None:
    """``questions_SPLIT.json`` and ``annotations_SPLIT.json``: the colour of every object."""
    subtype = {"train": "train2014", "test": "val2014"}[split]
    questions, annotations = [], []
    for scene in scenes:
        for place, thing in enumerate(scene.things):
            ids = {"image_id": scene.id, "question_id": 10 * scene.id + place}
            questions.append({**ids, "question": f"what colour is the {thing.kind.word}?"})
            people = [
                {"answer": colour_of(thing), "answer_confidence": "yes", "answer_id": one} for one in range(1, 11)
            ]
            kind = {"question_type": "what colour is the", "answer_type": "other"}
            annotations.append({**ids, **kind, "multiple_choice_answer": colour_of(thing), "answers": people})
    _json(folder / f"questions_{split}.json", {"data_subtype": subtype, "questions": questions})
    _json(folder / f"annotations_{split}.json", {"data_subtype": subtype, "annotations": annotations})


def write_gqa(folder: Path, split: str, scenes: Sequence[MadeScene], draw: random.Random) -> None:
    """``SPLIT_balanced_questions.json``: four questions an image, answered with yes or no."""
    found: dict[str, Any] = {}
    for scene in scenes:
        for place, thing in enumerate(draw.sample(scene.things, OBJECTS)):
            yes = draw.random() < 0.5
            semantic, question = _gqa_question(scene, thing, yes, ("attr", "attr", "obj", "rel")[place], draw)
            found[f"{scene.id}{place}"] = {
                "question": question,
                "imageId": str(scene.id),
                "answer": "yes" if yes else "no",
                "isBalanced": True,
                "groups": {"global": None, "local": None},
                "entailed": [],
                "types": {"structural": "verify", "semantic": semantic, "detailed": f"verify{semantic}"},
            }
    _json(folder / f"{_SPLITS[split]}_balanced_questions.json", found)


def _gqa_question(scene: MadeScene, thing: Thing, yes: bool, semantic: str, draw: random.Random) -> tuple[str, str]:
    name, colour = thing.kind.word, colour_of(thing)
    wrong = _other(draw, NAMES_OF_COLOURS, colour)
    if semantic == "attr":
        return semantic, f"is the {name} {colour if yes else wrong}?"
    if semantic == "obj":
        return semantic, f"is there a {colour if yes else wrong} {name}?"
    other = _other(draw, scene.things, thing)
    asked = relations(thing, other) if yes else relations(other, thing)  # turned around it is false, and as frequent
    return semantic, f"is the {name} {draw.choice(asked)} the {other.kind.word}?"


def write_snli_ve(folder: Path, split: str, scenes: Sequence[MadeScene], draw: random.Random) -> None:
    """``snli_ve_train.jsonl`` or ``snli_ve_dev.jsonl``: three hypotheses an image, one of each class."""
    rows = []
    for scene in scenes:
        first, second = draw.sample(scene.things, 2)
        absent = _other(draw, WORDS, *(one.kind.word for one in scene.things))
        said = {
            "entailment": (first.kind.word, colour_of(first)),
            "contradiction": (second.kind.word, _other(draw, NAMES_OF_COLOURS, colour_of(second))),
            "neutral": (absent, draw.choice(NAMES_OF_COLOURS)),
        }
        for label, (name, colour) in said.items():
            ids = {"Flickr30K_ID": str(scene.id), "pairID": f"{scene.id}.jpg#0r1{label[0]}"}
            texts = {"sentence1": "a drawing of four things", "sentence2": f"the {name} is {colour}"}
            rows.append({**ids, **texts, "gold_label": label})
    write_lines(folder / f"snli_ve_{'train' if split == 'train' else 'dev'}.jsonl", rows)


def write_vcr(folder: Path, split: str, scenes: Sequence[MadeScene], draw: random.Random) -> None:
    """``train.jsonl`` or ``val.jsonl`` and ``vcr1images/made/ID.json``: two items an image."""
    rows = []
    for scene in scenes:
        boxes = [[*box, 1.0] for box in scene.boxes]
        size = {"width": SIDE, "height": SIDE}
        kinds = [thing.kind.word for thing in scene.things]
        _json(folder / "vcr1images" / "made" / f"{scene.id}.json", {"boxes": boxes, "names": kinds, **size})
        for place, (asked, beside) in enumerate((draw.sample(range(OBJECTS), 2), draw.sample(range(OBJECTS), 2))):
            colours = [colour_of(one) for one in scene.things]
            new = _other(draw, NAMES_OF_COLOURS, *colours)
            answers = draw.sample(colours, OBJECTS)
            # without the colour of the answer, which text alone would rule out
            reasons = draw.sample([new, *(one for one in colours if one != colours[asked])], OBJECTS)
            files = {
                "img_fn": f"made/{scene.id}.png",
                "metadata_fn": f"made/{scene.id}.json",
                "img_id": f"{split}-{place}",
            }
            item = {
                "annot_id": f"{_SPLITS[split]}-{scene.id}{place}",
                "movie": "made",
                "objects": kinds,
                "question": ["what", "colour", "is", "the", [asked], "?"],
                "answer_choices": [["the", [asked], "is", one] for one in answers],
                "rationale_choices": [["the", [beside], "is", one] for one in reasons],
                "answer_label": answers.index(colours[asked]),
                "rationale_label": reasons.index(colours[beside]),
            }
            rows.append({**item, **files})
    write_lines(folder / f"{_SPLITS[split]}.jsonl", rows)


def _expression(thing: Thing, draw: random.Random, definite: bool) -> str:
    """Its kind, its colour or both."""
    name, colour = thing.kind.word, colour_of(thing)
    words = draw.choice([name, f"{colour} one", f"{colour} {name}"])
    return f"the {words}" if definite else f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def write_refcoco(folder: Path, scenes: dict[str, Sequence[MadeScene]], draw: random.Random) -> None:
    """``refs(umd).p`` and ``instances.json``: an expression for every object."""
    refs, images, annotations = [], [], []
    for split, of_split in scenes.items():
        for scene in of_split:
            images.append({"id": scene.id, "file_name": f"{scene.id}.png", "width": SIDE, "height": SIDE})
            for place, (thing, box) in enumerate(zip(scene.things, scene.boxes, strict=True)):
                number = 10 * scene.id + place
                category = WORDS.index(thing.kind.word) + 1
                bbox = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
                annotations.append({"id": number, "image_id": scene.id, "category_id": category, "bbox": bbox})
                text = _expression(thing, draw, definite=True)
                said = [{"sent_id": number, "sent": text, "raw": text, "tokens": text.split()}]
                ids = {"ref_id": number, "ann_id": number, "image_id": scene.id, "sent_ids": [number]}
                refs.append({**ids, "split": split, "sentences": said, "category_id": category})
    categories = [{"id": place, "name": word} for place, word in enumerate(WORDS, 1)]
    _json(folder / "instances.json", {"images": images, "annotations": annotations, "categories": categories})
    (folder / "refs(umd).p").write_bytes(pickle.dumps(refs, protocol=2))


def write_flickr_entities(folder: Path, scenes: dict[str, Sequence[MadeScene]], draw: random.Random) -> None:
    """``Sentences``, ``Annotations`` and a list for each split: two sentences of two phrases an image."""
    for name in ("Sentences", "Annotations"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for split, of_split in scenes.items():
        (folder / f"{split}.txt").write_text("".join(f"{scene.id}\n" for scene in of_split), encoding="utf-8")
        for scene in of_split:
            a, b, c, d = (
                f"[/EN#{place}/other {_expression(scene.things[place - 1], draw, definite=False)}]"
                for place in draw.sample(range(1, OBJECTS + 1), OBJECTS)
            )
            text = f"{a} is drawn beside {b} .\nThere is {c} , and {d} .\n"
            (folder / "Sentences" / f"{scene.id}.txt").write_text(text, encoding="utf-8")
            (folder / "Annotations" / f"{scene.id}.xml").write_text(_xml(scene), encoding="utf-8")


def _xml(scene: MadeScene) -> str:
    root = ElementTree.Element("annotation")
    for place, box in enumerate(scene.boxes, 1):
        thing = ElementTree.SubElement(root, "object")
        ElementTree.SubElement(thing, "name").text = str(place)
        corners = ElementTree.SubElement(thing, "bndbox")
        for name, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
            ElementTree.SubElement(corners, name).text = str(round(value) + 1)
    return ElementTree.tostring(root, encoding="unicode")


WRITERS: dict[str, Callable[[Path, str, Sequence[MadeScene], random.Random], None]] = {
    "vqa": write_vqa,
    "gqa": write_gqa,
    "nlvr2": write_nlvr2,
    "nlvr": write_nlvr,
    "snli-ve": write_snli_ve,
    "vcr": write_vcr,
}
"""Of tasks with a file for each split."""


def write_task_files(folder: Path, train: Sequence[MadeScene], test: Sequence[MadeScene], seed: int) -> None:
    """Official files of every task, each in its own folder."""
    for name, write in WRITERS.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for split, scenes in (("train", train), ("test", test)):
            write(folder / name, split, scenes, random.Random(f"{name} {split} {seed}"))
    held = max(1, len(train) // 20)
    parts = {"train": train[held:], "val": train[:held], "test": test}
    for name, write_parts in (("refcoco", write_refcoco), ("flickr-entities", write_flickr_entities)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        write_parts(folder / name, parts, random.Random(f"{name} {seed}"))
