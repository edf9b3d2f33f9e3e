"""``interbert report``: the page of runs that are finished, going on, stopped, fine-tuned, compared or broken."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from interbert.cli.main import main
from interbert.report.page import PairCards
from interbert.report.predictions import MaskedRegion, PairPredictions, Prediction
from interbert.utils.templating import render

EVIL = '<img src=x onerror="alert(1)">'


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., str]:
    """Runs the verb: the page."""

    def run(*words: object) -> str:
        page = tmp_path / "page.html"
        assert main(["report", *map(str, words), "--out", str(page)]) == 0
        return page.read_text(encoding="utf-8")

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the verb on a mistake: its one line."""

    def run(*words: object) -> str:
        assert main(["report", *map(str, words)]) == 2
        shown = capsys.readouterr().err
        assert shown.startswith("interbert: ")
        assert len(shown.splitlines()) == 1, shown
        return shown

    return run


def test_a_pretraining_run_with_its_images(pretrained: Path, shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["report", str(pretrained), "--source", str(shop), "--image-id-column", "id", "--samples", "4"]
    assert main(words) == 0
    out = pretrained / "report.html"
    assert f"page: {out}" in capsys.readouterr().out
    page = out.read_text(encoding="utf-8")
    for title in ("R@1 of the dual encoder", "Masked words", "Masked regions", "Learning rate", "Pairs per second"):
        assert f"<figcaption>{title}" in page
    assert page.count('<article class="q pair">') == 4
    assert page.count("data:image/") == 4
    assert page.count('class="frame p') == 4
    assert 'class="box s0"' in page
    assert "the 30% that it held out" in page
    assert "training.max_steps" in page
    assert "vocabulary filled" in page
    assert "finished at step 2" in page
    for external in ("http:", "https:", "<link", "@import", "<script"):
        assert external not in page
    assert "default-src 'none'" in page


def test_curves_over_minutes(pretrained: Path, report: Callable[..., str]) -> None:
    page = report(pretrained, "--axis", "minutes", "--samples", "0")
    assert "<th>minutes</th>" in page
    assert "<article" not in page


def test_a_retrieval_run_without_images_names_what_it_found(retrieval: Path, report: Callable[..., str]) -> None:
    page = report(retrieval, "--samples", "4")
    assert page.count('<article class="q">') == 2
    assert "data:image" not in page
    assert re.search(r"all \d+ images by the joint model", page)
    assert " on white paper" in page.split('class="image none">')[1].split("<")[0]


def test_several_runs_share_their_axes_and_what_differs_is_named(
    pretrained: Path, retrieval: Path, report: Callable[..., str]
) -> None:
    page = report(pretrained, retrieval, "--samples", "0")
    assert "2 runs side by side" in page
    matching = page.split("<figcaption>Text/image matching")[1].split("</svg>")[0]
    assert matching.count('class="line s0"') == matching.count('class="line s1"') == 1
    # losses with other chance values, here matching's, cannot be compared; those with one can
    best = re.findall(r'class="big">[\d.]+<br><small>(?:<b.*?</b>|chance) ([\d.]+)', page)
    assert best == ["2.08"]
    different = page.split('id="differences"')[1].split("</table>")[0]
    assert ">training.learning_rate<" not in different  # both have the default
    assert ">text_columns<" in different
    assert ">out<" not in different
    whole = page.split('id="settings"')[1].split("</table>")[0]
    assert '<tr class="differs"><th scope="row">text_columns</th><td>[]</td><td>title</td></tr>' in whole
    assert "<article" not in page


def test_a_run_that_is_going_on_has_a_page(
    fake_run: Callable[..., Path], report: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = fake_run()
    with (run / "log_history.jsonl").open("a") as file:
        file.write('{"step": 2, "lm_lo')
    page = report(run)
    assert "not finished: step 1, epoch 0.5 of 4" in page
    assert "No model has been kept yet" in page
    assert "not below chance" in page  # 9.0 against 5.7
    assert "Masked words: too few steps (1) to tell, so wait." in page
    assert "run: no predictions. No model has been kept yet" in capsys.readouterr().out
    assert "<figcaption>Masked words" in page
    assert "provenance.json is written with the first model" in page


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (6, "Masked words: too few steps (6) to learn it, so train in another folder with --training.min-steps 200"),
        (400, "Masked words: train longer (--training.min-steps)"),
    ],
)
def test_what_is_not_below_chance_comes_with_what_to_do(
    fake_run: Callable[..., Path], report: Callable[..., str], step: int, said: str
) -> None:
    log = [{"step": step, "loss": 2.0, "lm_loss": 5.7, "lm_loss_chance": 5.7, "contrastive_loss": 0.1}]
    page = report(fake_run(log=[log[0] | {"contrastive_loss_chance": 3.0}], finished={}))
    assert said in page
    assert page.count("Not below chance.") == 1


def test_a_classifier_has_its_accuracy_and_its_loss_against_the_entropy_of_the_labels(
    fake_run: Callable[..., Path], report: Callable[..., str]
) -> None:
    log = [{"step": 5, "loss": 0.4, "loss_chance": 0.69}, {"step": 5, "eval_accuracy": 81.5, "eval_macro_f1": 80.0}]
    recipe = {"source": "s.csv", "label": "kind", "training": {"epochs": 1}}
    kept = {"reached": {"step": 5, "eval_accuracy": 81.5}}
    page = report(fake_run(log=log, recipe=recipe, provenance=kept, finished={}))
    assert "Classification, finished at step 5" in page
    assert "<figcaption>Accuracy<span>kept 81.5%</span>" in page
    assert "<figcaption>Loss<span>0.4 · chance 0.69</span>" in page
    assert "58% of it" in page
    assert "No predictions" not in page


def test_a_stopped_run_shows_what_it_kept(pretrained: Path, tmp_path: Path, report: Callable[..., str]) -> None:
    run = tmp_path / "stopped"
    shutil.copytree(pretrained, run)
    (run / "finished.json").unlink()
    page = report(run, "--samples", "2")
    assert "would go on from step 2" in page
    assert page.count('<article class="q pair">') == 2


def test_pairs_that_cannot_be_had_are_a_note_unless_they_were_asked_for(
    pretrained: Path, tmp_path: Path, report: Callable[..., str], refused: Callable[..., str]
) -> None:
    run = tmp_path / "moved"
    shutil.copytree(pretrained, run)
    recipe = json.loads((run / "recipe.json").read_text())
    (run / "recipe.json").write_text(json.dumps(recipe | {"regions": str(tmp_path / "gone")}))
    page = report(run)
    assert "No predictions. gone: there is no region store." in page
    assert "--regions takes pairs from another store" in page
    assert "there is no region store" in refused(run, "--regions", tmp_path / "gone")
    (run / "model.safetensors").write_bytes(b"damaged")
    (run / "recipe.json").write_text(json.dumps(recipe))
    assert "its weights cannot be read" in report(run)
    del recipe["masking"]["text"]
    (run / "recipe.json").write_text(json.dumps(recipe))
    shutil.copy(pretrained / "model.safetensors", run)
    assert "has no &#39;text&#39;: another version of interbert wrote it" in report(run)


def test_a_source_of_other_images_is_refused(pretrained: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    from tests.conftest import draw

    (tmp_path / "other").mkdir()
    draw("pink", "square", (50, 50)).save(tmp_path / "other" / "a.png")
    shown = refused(pretrained, "--source", tmp_path / "other", "--out", tmp_path / "page.html", "--samples", "2")
    assert "has none of the images to show" in shown
    assert not (tmp_path / "page.html").exists()


def test_everything_that_a_file_says_is_escaped(fake_run: Callable[..., Path], report: Callable[..., str]) -> None:
    recipe = {"masking": {}, "regions": EVIL, EVIL: EVIL, "init_from": EVIL}
    start = {"source": EVIL, "filled": [EVIL], "random": [], "vocabulary rows filled": 3}
    page = report(
        fake_run("a&b", recipe=recipe, provenance={"git": EVIL, "versions": {EVIL: EVIL}}, initialisation=start),
        fake_run("b", recipe=recipe | {"regions": 1}, provenance={"git": "x"}),
    )
    assert "<img" not in page
    assert page.count("&lt;img") >= 8
    assert "a&amp;b" in page


def test_what_a_model_and_its_data_say_is_escaped() -> None:
    guess = Prediction(EVIL, 0.5)
    region = MaskedRegion((0.0, 0.0, 30.0, 40.0), guess, (guess,))
    regressed = MaskedRegion((10.0, 0.0, 60.0, 80.0), error=12.5, chance=2000.0)
    pair = PairPredictions(0, EVIL, (EVIL,), (), (region, regressed), 60, 80, 0.9, guess)
    html = render("pairs.html", cards=PairCards.of([pair], {0: "k"}))
    assert "<img" not in html
    assert 'style="left:0.0%;top:0.0%;width:50.0%;height:50.0%"' in html
    assert "squared error 12.5; the average feature has 2,000" in html
    assert "no token of it was hidden" in html
    assert "60 × 80" in html


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("recipe.json", "{", "recipe.json: is damaged"),
        ("recipe.json", "[]", "recipe.json: is damaged (a list, not an object)"),
        ("recipe.json", '{"training": 5}', "recipe.json: is damaged (training is no object)"),
        ("provenance.json", '{"git"', "provenance.json: is damaged"),
        ("provenance.json", '{"reached": 5}', "provenance.json: is damaged"),
        ("initialisation.json", '{"source": "x"}', "initialisation.json: is damaged"),
        ("log_history.jsonl", "", "log_history.jsonl: holds no whole line yet"),
        ("log_history.jsonl", '{"step": 1}\nx\n{"step": 2}\n', "log_history.jsonl, line 2"),
    ],
)
def test_a_damaged_file_is_named(
    fake_run: Callable[..., Path], refused: Callable[..., str], file: str, content: str, message: str
) -> None:
    run = fake_run()
    (run / file).write_text(content)
    shown = refused(run)
    assert str(run / message.split(":")[0]) in shown
    assert message in shown
    assert not (run / "report.html").exists()


def test_what_is_no_run_is_refused(fake_run: Callable[..., Path], refused: Callable[..., str], tmp_path: Path) -> None:
    run = fake_run()
    assert "gone: there is no such folder" in refused(tmp_path / "gone")
    assert "is a file" in refused(run / "recipe.json")
    (tmp_path / "empty").mkdir()
    assert "empty: holds no training run (no recipe.json)" in refused(tmp_path / "empty")
    page = tmp_path / "page.html"
    assert "is named twice" in refused(run, f"{run}/", "--out", page)
    assert "--out comparison.html" in refused(run, fake_run("other"))
    assert "has no minutes. Leave --axis out" in refused(run, "--axis", "minutes")
    assert "--samples must be at least 0" in refused(run, "--samples", "-1")
    assert "RUNS is missing" in refused()
    (run / "log_history.jsonl").unlink()
    assert "log_history.jsonl: is not there" in refused(run)


def test_runs_of_one_name_are_told_apart_by_their_folders(
    fake_run: Callable[..., Path], report: Callable[..., str], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        fake_run(f"{name}/model")
    page = report(tmp_path / "a" / "model", tmp_path / "b" / "model")
    assert "</i>a/model" in page
    assert "</i>b/model" in page


def test_runs_may_stand_before_and_after_the_options_or_in_a_recipe(
    fake_run: Callable[..., Path], tmp_path: Path
) -> None:
    first, second = fake_run("1"), fake_run("2")
    page = tmp_path / "page.html"
    assert main(["report", str(first), "--out", str(page), "--samples", "0", str(second)]) == 0
    assert "2 runs side by side" in page.read_text(encoding="utf-8")
    page.unlink()
    (tmp_path / "r.yaml").write_text(f"runs: ['{first}', '{second}']\nout: {page}\n")
    assert main(["report", "--config", str(tmp_path / "r.yaml")]) == 0
    assert "2 runs side by side" in page.read_text(encoding="utf-8")
