from __future__ import annotations

import dataclasses
import errno
import inspect
import os
import subprocess
import sys
import typing
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from tests.conftest import draw, file_bytes

from interbert import __version__
from interbert.cli import extract as extract_verb
from interbert.cli.main import main
from interbert.cli.parser import option_kinds, parse_options
from interbert.cli.renamed import RENAMED, spelled
from interbert.cli.verbs import VERBS, verb_module
from interbert.errors import UsageError
from interbert.regions.store import RegionStore

SMALL = ["--input-size", "64", "--scales", "1", "--features", "head"]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs a command line: exit code, standard output, standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run


@pytest.fixture
def mistake(call: Callable[..., tuple[int, str, str]]) -> Callable[..., str]:
    """Runs a command line that is the user's mistake: its one line."""

    def run(*words: object) -> str:
        code, _, shown = call(*words)
        assert code == 2, shown
        assert shown.startswith("interbert: "), shown
        assert len(shown.splitlines()) == 1, shown
        return shown.strip().removeprefix("interbert: ")

    return run


@pytest.fixture
def options(monkeypatch: pytest.MonkeyPatch) -> Callable[..., extract_verb.Options]:
    """Options that ``interbert extract`` gets from a command line, without running it."""
    given: list[extract_verb.Options] = []
    monkeypatch.setattr(extract_verb, "run", given.append)

    def run(*words: object) -> extract_verb.Options:
        assert main(["extract", *map(str, words)]) == 0
        return given[-1]

    return run


def recipe(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_the_overview_names_every_verb(call: Callable[..., tuple[int, str, str]], words: list[str]) -> None:
    code, shown, _ = call(*words)
    assert code == 0
    for verb, (_, what) in VERBS.items():
        assert verb in shown
        assert what in shown


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_mentions_every_option(call: Callable[..., tuple[int, str, str]], verb: str) -> None:
    code, shown, errors = call(*verb.split(), "--help")
    assert (code, errors) == (0, "")
    module = verb_module(verb)
    required = [field.name for field in dataclasses.fields(module.Options) if field.default is field.default_factory]
    for name in option_kinds(module.Options):
        assert (name if name in required else spelled(name)) in shown, name
    assert f"usage: interbert {verb}" in shown
    assert (module.__doc__ or "").splitlines()[0] in shown


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_is_explained(call: Callable[..., tuple[int, str, str]], verb: str) -> None:
    _, shown, _ = call(*verb.split(), "-h")
    text = " ".join(shown.split())
    options = verb_module(verb).Options
    source = inspect.getsource(options)
    for field in fields(options):
        explained = source.split(f"    {field.name}: ", 1)[1].split('"""')[1]
        assert " ".join(explained.split())[:40].rstrip(".") in text, field.name


@pytest.mark.parametrize("group", ["finetune", "evaluate"])
def test_the_help_of_half_a_verb_is_that_of_the_whole(call: Callable[..., tuple[int, str, str]], group: str) -> None:
    code, shown, _ = call(group, "--help")
    assert code == 0
    assert f"usage: interbert {group} retrieval" in shown


def test_the_version_is_that_of_the_package(call: Callable[..., tuple[int, str, str]]) -> None:
    assert call("--version") == (0, f"interbert {__version__}\n", "")
    done = subprocess.run([sys.executable, "-m", "interbert", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"interbert {__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["extrakt", "a", "b"], "there is no verb 'extrakt'. Did you mean 'extract'?"),
        (["zzz"], "there is no verb 'zzz'. Verbs: extract, "),
        (["evaluate"], "evaluate: say what to evaluate, not nothing. There is: interbert evaluate retrieval"),
        (["finetune", "vga", "x"], "finetune: say what to finetune, not 'vga'. There is: interbert finetune retrieval"),
        (["extract"], "extract: SOURCE, OUT is missing. See: interbert extract --help"),
        (["extract", "a"], "extract: OUT is missing"),
        (["pretrain"], "pretrain: REGIONS, OUT is missing"),
        (["extract", "a", "b", "c"], "extract: there is no word c."),
        (["extract", "a", "b", "--texs", "t"], "Did you mean --text-columns?"),
        (["extract", "a", "b", "--zzz", "t"], "extract: there is no option --zzz. See: interbert extract --help"),
        (["extract", "a", "b", "--mirored"], "Did you mean --mirrored?"),
        (["pretrain", "a", "b", "--training.epoch", "3"], "Did you mean --training.epochs?"),
        (["extract", "a", "b", "--text", "title"], "Did you mean --text-columns?"),
        (["extract", "a", "b", "--limit", "many"], "--limit cannot be 'many'. It takes: a whole number."),
        (["extract", "a", "b", "--threshold", "much"], "--threshold cannot be 'much'. It takes: a number."),
        (["extract", "a", "b", "--scales", "1,x"], "--scales cannot be"),
        (["extract", "a", "b", "--mirrored=maybe"], "--mirrored cannot be 'maybe'. It takes: true or false."),
        (["pretrain", "a", "b", "--training.schedule", "square"], "--training.schedule cannot be 'square'."),
        (["pretrain", "a", "b", "--training.batch-size", "0"], "training.batch_size must be at least 1, not 0"),
        (["extract", "a", "b", "--limit"], "--limit"),
        (["demo"], "demo: OUT is missing"),
        (["search", "m", "text"], "search: say where the images are: --source"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_word_that_is_not_understood_is_answered_in_one_line(
    mistake: Callable[..., str], words: list[str], message: str
) -> None:
    assert message in mistake(*words)


def test_the_values_that_an_option_takes_are_listed(mistake: Callable[..., str]) -> None:
    shown = mistake("pretrain", "a", "b", "--training.schedule", "square")
    assert all(one in shown for one in ("linear", "cosine", "step"))


@pytest.mark.parametrize("spelling", ["--image-id-column", "--image_id_column", "--picture_id", "--picture-id"])
def test_options_are_spelled_with_either_dash(options: Callable[..., extract_verb.Options], spelling: str) -> None:
    assert options("a", "b", spelling, "sku").image_id_column == "sku"
    assert options("a", "b", f"{spelling}=my-sku").image_id_column == "my-sku"


def test_switches_need_no_value(options: Callable[..., extract_verb.Options]) -> None:
    assert options("a", "b", "--mirrored").mirrored is True
    assert options("a", "b").mirrored is False
    assert options("a", "b", "--mirrored", "false").mirrored is False
    assert options("a", "b", "--mirrored=true").mirrored is True
    assert options("a", "b", "--allow-no-text", "--limit", "3").allow_no_text is True
    first = options("--mirrored", "a", "b")
    assert (first.mirrored, first.source, first.out) == (True, "a", "b")


def test_lists_are_separated_by_commas(options: Callable[..., extract_verb.Options]) -> None:
    assert options("a", "b", "--text-columns", "title,title_zh").text_columns == ["title", "title_zh"]
    assert options("a", "b", "--text-columns=title").text_columns == ["title"]
    assert options("a", "b", "--text-columns", "[title, title_zh]").text_columns == ["title", "title_zh"]
    assert options("a", "b", "--scales", "2,3").scales == [2, 3]
    assert options("a", "b", "--scales", "2").scales == [2]


@pytest.mark.parametrize(
    "name", ["标题", "product name", "title: long", "2024", "yes", "null", "a#b", "it's", "{x}", "price $", "1.5", "*"]
)
def test_a_column_may_have_any_name(options: Callable[..., extract_verb.Options], name: str) -> None:
    given = options("a", "b", "--text-columns", name, "--image-column", f"{name} 1")
    assert (given.text_columns, given.image_column) == ([name], f"{name} 1")


def test_values_may_hold_signs_of_their_own(options: Callable[..., extract_verb.Options]) -> None:
    given = options("a-b_c=d.parquet", "out-dir", "--image-column", "photo-url", "--backbone=timm:resnet-50")
    assert (given.source, given.out) == ("a-b_c=d.parquet", "out-dir")
    assert (given.image_column, given.backbone) == ("photo-url", "timm:resnet-50")
    assert options("2024", "001").source == "2024"


def test_a_recipe_is_read_and_the_command_line_overrides_it(
    options: Callable[..., extract_verb.Options], tmp_path: Path
) -> None:
    path = recipe(tmp_path / "r.yaml", "source: a\nout: b\ntexts: [title, 标题]\nlimit: 5\nmirrored: true\n")
    given = options("--config", path)
    assert (given.source, given.out, given.text_columns) == ("a", "b", ["title", "标题"])
    assert (given.limit, given.mirrored, given.threshold) == (5, True, 0.2)
    given = options("--config", path, "--limit", "7", "--text-columns", "other")
    assert (given.source, given.limit, given.text_columns) == ("a", 7, ["other"])
    rest = recipe(tmp_path / "rest.yaml", "limit: 5\n")
    given = options("c", "d", "--config", rest)
    assert (given.source, given.out, given.limit) == ("c", "d", 5)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("source: a\nout: b\nlimitt: 5\n", "limit"),
        ("source: a\nout: b\nlimit: many\n", "--limit cannot be 'many'"),
        ("source: [a\n", "r.yaml"),
        ("- a\n- b\n", "r.yaml"),
        ("source: a\n", "OUT"),
    ],
    ids=["key", "value", "no yaml", "a list", "missing"],
)
def test_a_wrong_recipe_is_answered_in_one_line(
    mistake: Callable[..., str], tmp_path: Path, text: str, word: str
) -> None:
    assert word.lower() in mistake("extract", "--config", recipe(tmp_path / "r.yaml", text)).lower()


@pytest.mark.parametrize("verb", VERBS)
def test_an_empty_value_in_a_recipe_names_the_option_in_every_verb(tmp_path: Path, verb: str) -> None:
    options = verb_module(verb).Options
    required = [one.name for one in fields(options) if one.default is one.default_factory is dataclasses.MISSING]
    kinds = option_kinds(options)
    config = "--recipe" if "config" in kinds else "--config"
    groups = {name.rpartition(".")[0]: None for name in kinds if "." in name}
    for name, kind in {**kinds, **groups}.items():
        if name in required or type(None) in typing.get_args(kind):
            continue
        lines = [f"{'  ' * depth}{part}:" for depth, part in enumerate(name.split("."))]
        for more in ("", f"{required[0]}: {[] if kinds[required[0]] == list[str] else 'y'}\n"):
            file = recipe(tmp_path / "r.yaml", more + "\n".join(lines) + "\n")
            with pytest.raises(UsageError, match=f"^{verb}: {spelled(name)} has no value"):
                parse_options(verb, "", options, ["x"] * len(required) + [config, str(file)])


def test_null_is_a_value_where_an_option_allows_none(tmp_path: Path) -> None:
    file = recipe(tmp_path / "r.yaml", "training:\n  ema_decay:\nvalidation:\n")
    options = verb_module("pretrain").Options
    read = parse_options("pretrain", "", options, ["regions", "out", "--config", str(file)])
    assert read.training.ema_decay is None
    assert read.validation is None


def test_a_wrong_key_deep_in_a_recipe_is_named(mistake: Callable[..., str], tmp_path: Path) -> None:
    path = recipe(tmp_path / "r.yaml", "regions: a\nout: b\ntraining:\n  epoch: 5\n")
    shown = mistake("pretrain", "--config", path)
    assert "training.epoch" in shown
    assert "--training.epochs" in shown


def test_a_recipe_that_is_not_there_is_named(mistake: Callable[..., str], tmp_path: Path) -> None:
    assert "gone.yaml" in mistake("extract", "a", "b", "--config", tmp_path / "gone.yaml")


def test_a_whole_extraction_says_what_it_did_and_a_rerun_that_nothing_is_left(
    call: Callable[..., tuple[int, str, str]], shop: Path, tmp_path: Path
) -> None:
    words = [
        "extract",
        shop,
        tmp_path / "s",
        "--text-columns",
        "title,title_zh",
        "--image-id-column",
        "id",
        "--limit",
        "3",
        *SMALL,
    ]
    code, shown, _ = call(*words)
    assert code == 0
    assert f"{tmp_path / 's'}: 3 rows written" in shown
    assert len(RegionStore.open(tmp_path / "s")) == 3
    code, shown, _ = call(*words)
    assert code == 0
    assert "complete with 3 rows, nothing to do" in shown


def test_a_missing_source_is_named_and_nothing_is_made(mistake: Callable[..., str], tmp_path: Path) -> None:
    shown = mistake("extract", tmp_path / "gone.parquet", tmp_path / "s")
    assert f"{tmp_path / 'gone.parquet'}: there is no such file or folder" in shown
    assert not (tmp_path / "s").exists()


def test_a_wrong_column_suggests_the_right_one(mistake: Callable[..., str], shop: Path, tmp_path: Path) -> None:
    shown = mistake("extract", shop, tmp_path / "s", "--text-columns", "titel")
    assert f"{shop}: there is no column 'titel'. Did you mean 'title'? Columns: image, title, title_zh, id." in shown
    assert not (tmp_path / "s").exists()


def test_an_empty_folder_is_named(mistake: Callable[..., str], tmp_path: Path) -> None:
    assert f"{tmp_path}: holds neither images" in mistake("extract", tmp_path, tmp_path / "s")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--features", "head,stride4"], "no feature 'stride4'"),
        (["--scales", "7"], "49 windows"),
        (["--input-size", "100"], "input_size"),
        (["--backbone", "resnet"], "no backbone 'resnet'"),
        (["--limit", "0"], "--limit"),
        (["--limit", "-3"], "--limit"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_impossible_setting_is_named(
    mistake: Callable[..., str], shop: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    assert message in mistake("extract", shop, tmp_path / "s", "--text-columns", "title", *words)


@pytest.mark.parametrize("below", [False, True])
def test_an_output_folder_that_is_a_file_is_named(
    call: Callable[..., tuple[int, str, str]], shop: Path, tmp_path: Path, below: bool
) -> None:
    out = tmp_path / "file.txt"
    out.write_text("mine")
    out = out / "below" if below else out
    code, _, shown = call("extract", shop, out, "--text-columns", "title", "--limit", "2", *SMALL)
    assert code in (1, 2)
    assert [line for line in shown.splitlines() if str(out) in line]
    assert (tmp_path / "file.txt").read_text() == "mine"


def test_an_image_that_is_listed_twice_by_its_id_is_named(mistake: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(file_bytes(draw("red", "circle")))
    recipe(tmp_path / "metadata.csv", "file_name,title,sku\na.png,x,7\na.png,y,7\n")
    shown = mistake("extract", tmp_path, tmp_path / "s", "--image-id-column", "sku")
    assert "'sku' is no image id" in shown


@pytest.mark.parametrize("name", ["gone", "empty"])
def test_a_model_that_is_not_there_is_named(
    mistake: Callable[..., str], shop: Path, shop_store: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    model = tmp_path / name
    message = f"{model}: there is no model here"
    assert message in mistake("evaluate", "retrieval", model, shop_store)
    assert message in mistake("search", model, "red", "--source", shop, "--page", "none")
    assert message in mistake("finetune", "retrieval", model, shop_store, tmp_path / "out")


def test_a_store_that_is_not_there_is_named(mistake: Callable[..., str], tmp_path: Path) -> None:
    shown = mistake("pretrain", tmp_path / "gone", tmp_path / "out")
    assert f"{tmp_path / 'gone'}: there is no region store. Make one with: interbert extract" in shown


def test_a_page_in_a_folder_that_is_not_there_is_refused_first(
    mistake: Callable[..., str], shop: Path, tmp_path: Path
) -> None:
    page = tmp_path / "gone" / "page.html"
    assert f"{page}: its folder does not exist" in mistake("search", "m", "red", "--source", shop, "--page", page)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "out/x"), 1, "out/x: permission denied."),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "no space left on device."),
        (OSError(errno.EROFS, "Read-only file system", "out"), 1, "out: read-only file system."),
        (KeyboardInterrupt(), 130, "stopped. The same command continues"),
    ],
)
def test_what_stops_a_run_is_said_in_one_line(
    call: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    message: str,
) -> None:
    def stop(_: object) -> None:
        raise error

    monkeypatch.setattr(extract_verb, "run", stop)
    found, _, shown = call("extract", "a", "b")
    assert found == code
    assert shown.startswith(f"interbert: {message}")
    assert len(shown.splitlines()) == 1


def test_an_error_that_is_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(extract_verb, "run", broken)
    with pytest.raises(ZeroDivisionError):
        main(["extract", "a", "b"])


def test_output_that_nobody_reads_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "interbert", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    shown = process.stderr.read()
    process.stderr.close()
    assert (process.wait(timeout=60), shown) == (0, "")


def test_help_does_not_load_what_only_a_run_needs() -> None:
    code = (
        "import sys; sys.argv = ['/usr/bin/interbert']; from interbert.cli.main import main; "
        "from interbert.cli.verbs import VERBS; "
        "[main([*verb.split(), '--help']) for verb in VERBS]; "
        "print([name for name in ('torch', 'transformers', 'lance') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("text", ["training: 5\n", "training: null\n", "[1, 2]\n"])
def test_a_recipe_with_a_value_for_a_group_is_one_line(mistake, tmp_path: Path, text: str) -> None:
    (tmp_path / "r.yaml").write_text(text)
    assert "pretrain" in mistake("pretrain", "regions", "out", "--config", tmp_path / "r.yaml")


def test_a_recipe_that_is_no_text_is_one_line(mistake, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00\x01\x9f")
    assert "recipe" in mistake("pretrain", "regions", "out", "--config", tmp_path / "r.yaml")


@pytest.mark.parametrize("option", [("--limit", "-1"), ("--limit", "0"), ("--bootstrap", "-4"), ("--seed", "-1")])
def test_impossible_limits_of_an_evaluation_are_refused(mistake, option: tuple[str, str]) -> None:
    assert f"evaluate: {option[0]} must be at least" in mistake("evaluate", "retrieval", "m", "r", *option)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cascade", "0"], "--cascade must be at least 1"),
        (["--cascade", "many"], "--cascade cannot be"),
        (["--plot", "p.svg"], "--plot needs --cascade K or --qrels FILE"),
        (["--queries", "5"], "--queries needs --cascade K"),
        (["--judged-only"], "--judged-only is about judgements"),
        (["--query-texts", "q.jsonl"], "--query-texts is about judgements"),
        (["--qrels", "q.tsv", "--text-columns", "title"], "Give one of them"),
        (["--qrels", "q.tsv", "--min-grade", "0"], "--min-grade must be above 0, not 0.0: grade 0 means wrong"),
        (["--qrels", "q.tsv", "--judged-only", "--cascade", "5"], "no --cascade, --skip-joint or --plot"),
        (["--cascade", "5", "--plot", "nowhere/p.svg"], "its folder does not exist"),
        (["--cascade", "5", "--timed-queries", "-1"], "--timed-queries must be at least 0"),
    ],
)
def test_a_cascade_that_cannot_be_is_refused(mistake, words: list[str], message: str) -> None:
    assert message in mistake("evaluate", "retrieval", "m", "r", *words)


def test_numbers_of_a_list_may_stand_side_by_side() -> None:
    from interbert.cli.evaluate_retrieval import Options

    for words in (["10", "50", "m", "r"], ["10,50", "m", "r"], ["10", "50", "--seed", "7", "m", "r"]):
        options = parse_options("evaluate retrieval", "", Options, ["--cascade", *words])
        assert (options.cascade, options.model, options.regions) == ([10, 50], "m", "r")


def test_after_a_switch_an_option_may_be_spelt_with_dashes() -> None:
    from interbert.cli.evaluate_retrieval import Options

    words = ["m", "r", "--skip-joint", "--timed-queries", "3", "--zero-shot", "--qrels-columns", "a,b"]
    options = parse_options("evaluate retrieval", "", Options, words)
    assert (options.skip_joint, options.timed_queries, options.qrels_columns) == (True, 3, ["a", "b"])


def test_results_into_a_folder_are_refused_before_the_work(mistake, tmp_path: Path) -> None:
    assert "is a folder" in mistake("evaluate", "retrieval", "m", "r", "--out", tmp_path)
    assert "is a folder" in mistake("search", "m", "a text", "--source", "s", "--page", tmp_path)
    assert "holds an empty text" in mistake("search", "m", "a||b", "--source", "s", "--page", "none")


@pytest.mark.parametrize(("processes", "finalised"), [("1", True), ("2", False)])
def test_one_of_several_processes_ends_without_finalisation(processes: str, finalised: bool) -> None:
    code = (
        "import atexit, sys, interbert.cli.main as cli\n"
        "class Last:\n    def __del__(self): print('finalised')\n"
        "atexit.keep = Last()\n"
        "atexit.register(print, 'told')\n"
        "sys.argv = ['interbert', 'no-such-verb']\n"
        "cli.console()\n"
    )
    environment = os.environ | {"WORLD_SIZE": processes}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout.split()) == (2, ["told", "finalised"] if finalised else ["told"])
    assert "no-such-verb" in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_no_option_has_the_name_that_another_had_before(verb: str) -> None:
    assert not set(RENAMED) & set(option_kinds(verb_module(verb).Options))


def test_old_names_work_with_one_line_that_names_the_new_ones(
    options: Callable[..., extract_verb.Options], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("texts: [title, tags]\npicture: photo\n")
    given = options("a", "b", "--config", str(recipe), "--picture_id", "sku", "--top_k_classes=5")
    assert (given.text_columns, given.image_column, given.image_id_column) == (["title", "tags"], "photo", "sku")
    assert given.top_k_classes == 5
    words, fields = capsys.readouterr().err.splitlines()
    assert words.startswith("interbert: --picture_id is --image-id-column, --top_k_classes is --top-k-classes. ")
    assert fields.startswith("interbert: texts: is text_columns:, picture: is image_column:. ")
    options("a", "b", "--image-id-column", "sku")
    assert not capsys.readouterr().err


def test_an_option_that_never_was_is_not_said_to_be_an_old_name(call: Callable[..., tuple[int, str, str]]) -> None:
    code, _, errors = call("extract", "a", "b", "--no_such_option", "x")
    assert code == 2
    assert len(errors.splitlines()) == 1
    assert "there is no option --no-such-option" in errors


def test_options_that_are_no_more_are_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "old.yaml"
    for verb, more, line in (
        ("pretrain", "--warm-start.max-pairs 9", "--warm-start.max-pairs is gone: it is 100,000. Leave it out."),
        ("pretrain", "model: {region_loss_weight: 1.0}", "model.region_loss_weight is gone: it is 1. Leave it out."),
        ("pretrain", "--model.fusion=sum", "--model.fusion is gone: it is fusion in model.config_overrides."),
        ("pretrain", "negatives: {pool: 9}", "negatives.pool is gone: it is 32. Leave it out."),
        ("finetune retrieval", "rerank: 3", "rerank is gone: it is 16. Leave it out."),
        ("finetune retrieval", "--dual-prior", "--dual-prior is gone: it is done after every training that has a dual"),
        ("topics build", "--rerank 3", "--rerank is gone: only searches are reranked; "),
        ("extract", "--overlap 0.2", "--overlap is gone: it is 0.5. Leave it out."),
        ("extract", "frcnn: {nms: 0.3}", "frcnn.nms is gone: it is 0.3, the published detector's. Leave it out."),
    ):
        recipe.write_text(more)
        words = more.split() if more.startswith("--") else ["--config", str(recipe)]
        assert main([*verb.split(), "a", str(tmp_path / "out"), *words]) == 2
        (shown,) = capsys.readouterr().err.splitlines()
        assert shown.startswith(f"interbert: {verb}: {line}")


def test_what_one_verb_has_no_more_another_never_had(call: Callable[..., tuple[int, str, str]]) -> None:
    _, _, errors = call("extract", "a", "b", "--rerank", "9")
    assert "there is no option --rerank" in errors


def test_one_set_of_options_serves_both_detectors(
    options: Callable[..., extract_verb.Options], mistake: Callable[..., str], tmp_path: Path, capsys
) -> None:
    given = options("a", "b", "--frcnn.weights", "w", "--detector.min-boxes=3", "--frcnn.threshold", "0.5")
    assert (given.weights, given.min_boxes, given.threshold) == ("w", 3, 0.5)
    assert "--frcnn.weights is --weights, --detector.min-boxes is --min-boxes" in capsys.readouterr().err
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("frcnn: {weights: '', boxes: refined}\ndetector: {model: detr, max_boxes: 36}\n")
    given = options("a", "b", "--config", str(recipe))
    assert (given.weights, given.max_boxes, given.frcnn.boxes) == ("detr", 36, "refined")
    assert "detector.max_boxes: is max_boxes:" in capsys.readouterr().err
    recipe.write_text("frcnn: {min_boxes: 5}\ndetector: {min_boxes: 9}\n")
    shown = mistake("extract", "a", "b", "--config", str(recipe))
    assert "frcnn.min_boxes is 5 and detector.min_boxes is 9, which are one option now: min_boxes. Give one." in shown


@pytest.mark.parametrize(
    ("words", "ray"),
    [
        (["a", "b"], False),
        (["a", "b", "--ray"], True),
        (["--ray", "a", "b"], True),
        (["a", "b", "--ray", "auto"], "auto"),
        (["--ray", "head:6379", "a", "b"], "head:6379"),
        (["a", "b", "--ray=ray://head:10001"], "ray://head:10001"),
        (["a", "b", "--ray-address", "ray://head:10001", "--ray"], "ray://head:10001"),
        (["--ray", "--ray-address=auto", "a", "b"], "auto"),
    ],
)
def test_ray_is_a_switch_that_may_name_a_cluster(
    options: Callable[..., extract_verb.Options], words: list[str], ray: bool | str
) -> None:
    given = options(*words)
    assert (given.ray, given.source, given.out) == (ray, "a", "b")


def test_a_recipe_that_names_the_cluster_in_two_options_works(
    options: Callable[..., extract_verb.Options], tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    for text, ray in (("ray: true\nray_address: auto\n", "auto"), ("ray: true\nray_address: null\n", True)):
        recipe.write_text(text)
        assert options("a", "b", "--config", str(recipe)).ray == ray
