"""What ``import interbert`` connects: the Auto classes of transformers, and processors with region extractors.

Nothing heavy is imported for it: each part is connected when the module that it belongs to is imported, by whomever.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interbert.model.region_inputs import RegionMaker, RegionsLike


_actions: dict[str, Callable[[], None]] = {}
"""Full name of a module that is not imported yet -> what to do after it is."""


def after_import(module: str, action: Callable[[], None]) -> None:
    """Run a function once a module is imported: now if it is already, else right after its code has run.

    It runs at most once, in the thread that imports the module, before any other thread gets the module. One function
    for each module: the last one counts.

    Args:
        module: full name of the module, which need not be installed.
        action: takes nothing; what it raises, the import of the module raises.
    """
    if sys.modules.get(module) is not None:
        importlib.import_module(module)  # another thread may be in the middle of it
        action()
        return
    _actions[module] = action
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


class _Finder(MetaPathFinder):
    """Finds a module as the other finders do, and has its action run; leaves ``sys.meta_path`` after the last one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _actions:
            return None
        for finder in [one for one in sys.meta_path if one is not self and hasattr(one, "find_spec")]:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _ActingLoader(spec.loader, fullname)
                return spec
        return None


class _ActingLoader(Loader):
    """Runs a module as its own loader does, then its action. The module keeps its own loader."""

    def __init__(self, loader: Loader, module: str) -> None:
        self._loader = loader
        self._module = module

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        action = _actions.get(self._module)
        if action is not None:
            action()
            _actions.pop(self._module, None)  # not before: an import that failed can be tried again
        if not _actions and _finder in sys.meta_path:
            sys.meta_path.remove(_finder)


_finder = _Finder()


_CHUNK = 64
"""Images that are decoded at a time, at most."""


def connect() -> None:
    """Have the models registered and region extraction wired when they are needed; safe to repeat."""
    auto = "transformers.models.auto"
    after_import(f"{auto}.configuration_auto", _register_configuration)
    after_import(f"{auto}.modeling_auto", _register_models)
    after_import(f"{auto}.processing_auto", _register_processor)
    after_import("interbert.model.region_inputs", _wire_regions)


def _register_configuration() -> None:
    from transformers.models.auto.configuration_auto import AutoConfig

    from interbert.model.configuration import InterBertConfig

    AutoConfig.register(InterBertConfig.model_type, InterBertConfig, exist_ok=True)


def _register_models() -> None:
    from transformers.models.auto.modeling_auto import (
        AutoModel,
        AutoModelForMultipleChoice,
        AutoModelForPreTraining,
        AutoModelForSequenceClassification,
    )

    AutoModel.register(*_entry("modeling", "InterBertModel"), exist_ok=True)
    AutoModelForPreTraining.register(*_entry("modeling", "InterBertForPreTraining"), exist_ok=True)
    AutoModelForMultipleChoice.register(*_entry("modeling", "InterBertForMultipleChoice"), exist_ok=True)
    # the one that a directory's architectures name, else the first
    config, first = _entry("modeling", "InterBertForSequenceClassification")
    _, second = _entry("modeling", "InterBertForPairScoring")
    _, third = _entry("image_pairs", "InterBertForImagePairClassification")
    AutoModelForSequenceClassification.register(config, (first, second, third), exist_ok=True)


def _register_processor() -> None:
    from transformers.models.auto.processing_auto import AutoProcessor

    AutoProcessor.register(*_entry("processing", "InterBertProcessor"), exist_ok=True)


def _entry(module: str, name: str) -> tuple[Any, _ClassInUse]:
    from interbert.model.configuration import InterBertConfig

    return InterBertConfig, _ClassInUse(module, name, InterBertConfig)


class _ClassInUse:
    """Stands for a class of ``interbert.model`` in an Auto class, and imports it when it is used.

    The class itself cannot be imported there: the modules of our models import the Auto classes (by
    ``transformers.modeling_layers``), so these may be in the middle of one of them, in this thread or another.
    """

    def __init__(self, module: str, name: str, config: Any) -> None:
        self._module = module
        self.__name__ = name
        self.config_class = config  # the Auto classes ask for it when they register

    def __getattr__(self, name: str) -> Any:
        return getattr(self._imported(), name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._imported()(*args, **kwargs)

    def _imported(self) -> Any:
        return getattr(import_module(f"interbert.model.{self._module}"), self.__name__)


def _wire_regions() -> None:
    from interbert.model.region_inputs import wire_regions

    wire_regions(region_maker)


def region_maker(info: Mapping[str, Any], folder: str | Path | None = None) -> RegionMaker:
    """Images to regions, by the extractor that a model directory describes.

    Raises:
        ConfigError: such regions cannot be made here (they were imported).
    """
    from interbert.extraction.extractor import build_extractor
    from interbert.extraction.images import as_image, in_chunks

    extractor = build_extractor(info, folder)

    def make(images: Sequence[Any]) -> Sequence[RegionsLike]:
        opened = (as_image(one, f"image {place}") for place, one in enumerate(images))
        return [regions for chunk in in_chunks(opened, _CHUNK, lambda one: one) for regions in extractor.detect(chunk)]

    return make
