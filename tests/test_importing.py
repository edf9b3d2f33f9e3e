"""What ``import interbert`` does to the program that imports it: it makes the models known, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import interbert
from tests.conftest import AT_LENGTH

KNOWN = "from transformers import CONFIG_MAPPING\nprint('interbert' in CONFIG_MAPPING)\n"
SOURCES = str(Path(__file__).parent.parent / "src")


def run(folder: Path, *words: str, **variables: str) -> str:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), SOURCES])} | variables
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr[-600:]
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("name", "where"), [pytest.param("shop", "__init__.py", marks=AT_LENGTH), ("interbert_shop", "__init__.py")]
)
def test_a_package_that_is_run_by_its_name_knows_the_models(tmp_path: Path, name: str, where: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "__main__.py").touch()
    (tmp_path / name / where).write_text("import interbert\n")
    with (tmp_path / name / "__main__.py").open("a") as main:
        main.write(KNOWN)
    assert run(tmp_path, "-m", name, "search", "a red dress") == "True"


@pytest.mark.parametrize("file", ["interbert", pytest.param("bin/interbert.sh", marks=AT_LENGTH)])
def test_a_script_knows_the_models_whatever_it_is_called(tmp_path: Path, file: str) -> None:
    script = tmp_path / "scripts" / file
    script.parent.mkdir(parents=True)
    script.write_text("import interbert\n" + KNOWN)
    assert run(tmp_path, str(script)) == "True"


@pytest.mark.parametrize("words", [["-m", "interbert"], ["-m", "interbert.cli.main"], ["-minterbert"]])
def test_the_command_itself_stays_quick(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "transformers.py").write_text("raise SystemExit('transformers was imported')\n")
    assert "interbert VERB" in run(tmp_path, *words, "--help")


LOADED = """
import sys
before = set(sys.modules)
import interbert
names = {one.partition(".")[0] for one in set(sys.modules) - before}
print(interbert.__version__, sorted(names - sys.stdlib_module_names))
"""


def test_importing_loads_no_other_library(tmp_path: Path) -> None:
    assert run(tmp_path, "-c", LOADED) == f"{interbert.__version__} ['interbert']"


ALL_KNOWN = """
import sys
from transformers import AutoModel, AutoModelForMultipleChoice, AutoModelForPreTraining, AutoProcessor, CONFIG_MAPPING
from transformers import AutoModelForSequenceClassification
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
config = CONFIG_MAPPING["interbert"]
autos = (AutoModel, AutoModelForMultipleChoice, AutoModelForPreTraining, AutoModelForSequenceClassification)
assert all(config in one._model_mapping for one in autos) and config in PROCESSOR_MAPPING
from interbert.model import region_inputs
assert region_inputs._wired
print(*(type(one).__module__ for one in sys.meta_path if type(one).__module__.startswith("interbert")))
"""


@pytest.mark.parametrize(
    "first",
    [
        "from interbert.model import modeling",
        pytest.param("from interbert import InterBertProcessor", marks=AT_LENGTH),
        "from transformers import AutoModel, AutoProcessor\nimport interbert",
        pytest.param(
            "import importlib, interbert\nfrom transformers import AutoConfig\nimportlib.reload(interbert)",
            marks=AT_LENGTH,
        ),
    ],
)
def test_the_models_are_known_whatever_is_imported_first(tmp_path: Path, first: str) -> None:
    assert run(tmp_path, "-c", f"{first}\n{ALL_KNOWN}") == ""


STATE = """
import csv, json, locale, logging, os, signal, sys, warnings
import accelerate, datasets, huggingface_hub.utils, importlib, lance, numpy, PIL.Image, PIL.ImageFile, pandas, sklearn
import torch, torch.utils.tensorboard, torchvision, transformers
for extra in ("alembic", "fastapi", "lancedb", "onnxruntime", "onnxscript", "openvino", "ray", "sqlalchemy", "uvicorn"):
    try:
        importlib.import_module(extra)
    except ImportError:
        pass
from transformers import AutoModel, AutoProcessor, Trainer
from transformers.utils import logging as library
library.disable_progress_bar()
library.set_verbosity_info()

def state():
    return {
        "variables": dict(os.environ),
        "filters": [str(one) for one in warnings.filters],
        "levels": {n: one.level for n, one in logging.root.manager.loggerDict.items()
                   if isinstance(one, logging.Logger) and one.level},
        "root": [logging.root.level, len(logging.root.handlers)],
        "bars": [library.is_progress_bar_enabled(), huggingface_hub.utils.are_progress_bars_disabled()],
        "verbosity": [library.get_verbosity(), datasets.logging.get_verbosity()],
        "torch": [torch.get_num_threads(), torch.is_grad_enabled(), str(torch.get_default_dtype()),
                  torch.get_float32_matmul_precision(), torch.get_rng_state().sum().item(),
                  torch.backends.mkldnn.enabled, torch.backends.cudnn.benchmark],
        "numpy": [numpy.geterr(), int(numpy.random.get_state()[1].sum())],
        "pillow": [PIL.Image.MAX_IMAGE_PIXELS, PIL.ImageFile.LOAD_TRUNCATED_IMAGES],
        "csv": csv.field_size_limit(),
        "signals": [str(signal.getsignal(one)) for one in (signal.SIGINT, signal.SIGTERM)],
        "python": [locale.setlocale(locale.LC_ALL), sys.path[:], str(sys.excepthook)],
    }

csv.field_size_limit(1 << 30)
before = state()
"""
CHANGES = """
print(json.dumps({name: [value, state()[name]] for name, value in before.items() if value != state()[name]}))
"""


def test_importing_changes_nothing_of_the_process(tmp_path: Path) -> None:
    every = """
import interbert, importlib, pkgutil
for one in pkgutil.walk_packages(interbert.__path__, "interbert."):
    if not one.name.startswith("interbert.cli") and "__main__" not in one.name and "kernels" not in one.name:
        importlib.import_module(one.name)
"""
    assert run(tmp_path, "-c", STATE + every + CHANGES) == "{}"


def test_using_a_model_changes_nothing_of_the_process(tmp_path: Path, shop: Path, tiny_bert: str) -> None:
    use = f"""
from pathlib import Path
from tests.conftest import draw, tiny_config
from interbert import InterBertForImageTextRetrieval, InterBertProcessor, InterBertScorer
from interbert.checkpoints.bert import bert_tokenizer
from interbert.extraction.grid import GridExtractor, GridSettings
from interbert.model.region_inputs import InterBertRegionFeatureExtractor

generator = torch.get_rng_state()
info = GridExtractor(GridSettings(input_size=64, scales=(1, 2))).info
tokenizer = bert_tokenizer({tiny_bert!r})
config = tiny_config(vocab_size=len(tokenizer), region_feature_size=info.feature_size)
InterBertForImageTextRetrieval(config).save_pretrained({str(tmp_path)!r})
InterBertProcessor(InterBertRegionFeatureExtractor(info.to_dict()), tokenizer).save_pretrained({str(tmp_path)!r})
draw("red", "circle").save({str(tmp_path / "red.png")!r})
scorer = InterBertScorer({str(tmp_path)!r})
print(len(scorer.rank("a red circle", [{str(tmp_path / "red.png")!r}])))
torch.set_rng_state(generator)  # layers draw their first weights before the file's replace them, as all of torch's do
"""
    root = str(Path(__file__).parent.parent)
    done = run(tmp_path, "-c", STATE + use + CHANGES, PYTHONPATH=os.pathsep.join([SOURCES, root]))
    assert done.splitlines() == ["1", "{}"]
