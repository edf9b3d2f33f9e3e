"""One model for several tasks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.vl_tasks.made import FAST, scenes, write_store
from tests.vl_tasks.test_finetune_labels import evaluated, vqa_files
from tests.vl_tasks.test_finetune_regions import refcoco_folder

from interbert.cli.main import main


def test_two_tasks_share_a_trunk(vl_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = scenes(160, objects=3)
    questions, annotations = vqa_files(tmp_path, images)
    folder = refcoco_folder(tmp_path, images)
    store = write_store(tmp_path / "store", images)
    vqa = {"source": str(questions), "annotations": str(annotations), "regions": [str(store)], "validation_share": 0.3}
    (tmp_path / "vqa.yaml").write_text(json.dumps(vqa))
    (tmp_path / "ref.yaml").write_text(json.dumps({"source": str(folder), "given_regions": [str(store)]}))
    tasks = f"vqa={tmp_path / 'vqa.yaml'},refcoco={tmp_path / 'ref.yaml'}"
    words = [
        "finetune",
        "multitask",
        str(vl_model),
        str(tmp_path / "m"),
        "--tasks",
        tasks,
        *FAST,
        "--training.epochs",
        "6",
        "--training.learning-rate",
        "7e-3",
    ]
    assert main(words) == 0
    log = [json.loads(line) for line in (tmp_path / "m" / "log_history.jsonl").read_text().splitlines()]
    last = [one for one in log if "eval_mean" in one][-1]
    both = [last["eval_vqa_accuracy"], last["eval_refcoco_accuracy"]]
    assert last["eval_mean"] == pytest.approx(sum(both) / 2)
    assert {"vqa_loss", "vqa_loss_chance", "refcoco_loss"} <= {name for one in log for name in one}
    best = max(log, key=lambda one: (one.get("eval_mean", 0), one.get("step", 0)))
    found = evaluated(capsys, "refcoco", tmp_path / "m", folder, "--given-regions", store)
    assert 100 * found["accuracy_val"] == pytest.approx(best["eval_refcoco_accuracy"])
    assert found["accuracy_val"] > 0.6
    (tmp_path / "in.csv").write_text("text,image\nWhat color is it?,101\n")
    words = ["predict", str(tmp_path / "m"), str(tmp_path / "in.csv"), str(tmp_path / "o.csv"), "--regions", str(store)]
    assert main(words) == 2
    assert "was fine-tuned for refcoco, vqa; name one of them" in capsys.readouterr().err
    assert main([*words, "--task", "vqa"]) == 0


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("{source: x, training: {epochs: 3}}", "has no option 'training' of a task among several"),
        ("{regions: [x]}", "it needs a source"),
        ("[", "cannot be read as the recipe of vqa"),
    ],
)
def test_bad_recipes_are_named(
    vl_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], recipe: str, message: str
) -> None:
    (tmp_path / "vqa.yaml").write_text(recipe)
    (tmp_path / "gqa.yaml").write_text("{source: x, text_only: true}")
    tasks = f"vqa={tmp_path / 'vqa.yaml'},gqa={tmp_path / 'gqa.yaml'}"
    assert main(["finetune", "multitask", str(vl_model), str(tmp_path / "m"), "--tasks", tasks]) == 2
    assert message in capsys.readouterr().err


def test_one_task_is_no_several(vl_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", "multitask", str(vl_model), str(tmp_path / "m"), "--tasks", "vqa=a.yaml"]) == 2
    assert "name two tasks or more" in capsys.readouterr().err
