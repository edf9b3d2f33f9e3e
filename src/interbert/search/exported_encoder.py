"""An index's model without torch: texts are encoded and pairs scored by OpenVINO, from files that the index keeps.

The files are made when the index is built (:mod:`interbert.search.exporting`). What they cannot do, such as describing
an image, is done by the model itself, which is loaded when it is first needed.

Shapes: n pairs or texts, T text tokens, R image tokens, H hidden size, D vector size.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from interbert.errors import CheckpointError, first_line
from interbert.search.exported_settings import ExportedSettings
from interbert.search.pair_batches import even_batches, filled
from interbert.search.query_encoder import ProductEncoder
from interbert.utils.bounded_files import read_json
from interbert.utils.mapped_files import let_go
from interbert.utils.runtimes import import_unreported
from interbert.utils.texts import whole_text

if TYPE_CHECKING:
    from interbert.model.modeling import InterBertForImageTextRetrieval
    from interbert.model.processing import InterBertProcessor
    from interbert.search.joint import JointRuntime

Float32 = NDArray[np.float32]

FOLDER = "exported"
"""Beside the files of the model that an index keeps."""
SETTINGS, TOKENIZER, WORDS = "exported.json", "tokenizer.json", "words.npy"
TEXT, JOINT = "text_encoder.xml", "joint.xml"

_CHARACTERS = 64
"""Of a text for each token that the model reads: what is cut anyway need not be tokenized."""

REMEDY = "interbert index build --rebuild makes the files anew."

_logger = logging.getLogger(__name__)


class Words:
    """A model's word embeddings [vocabulary,H], of which only the rows that texts have are read."""

    def __init__(self, file: Path, hidden_size: int) -> None:
        self._table = np.load(file, mmap_mode="r", allow_pickle=False)
        if self._table.ndim != 2 or self._table.shape[1] != hidden_size or self._table.dtype != np.float32:
            raise ValueError(f"{file.name} is {self._table.dtype} {list(self._table.shape)}")
        self._file = file

    def __len__(self) -> int:
        """Rows."""
        return len(self._table)

    def __getitem__(self, ids: NDArray[np.int64]) -> Float32:
        """Rows [n,T,H] of token ids [n,T].

        Raises:
            CheckpointError: a token has no row, or one that is damaged.
        """
        try:
            rows = np.asarray(self._table[ids])
        except IndexError as error:
            raise CheckpointError(f"{self._file}: has no row of a token ({error}). {REMEDY}") from error
        if not np.isfinite(rows).all():  # networks make finite numbers of them
            raise CheckpointError(f"{self._file}: is damaged (rows hold numbers that are not finite). {REMEDY}")
        return rows


class Network:
    """A compiled file of OpenVINO; threads may share it.

    Raises:
        CheckpointError: it is damaged, also when that shows first as it computes.
    """

    def __init__(self, file: Path, bf16: bool) -> None:
        openvino = import_unreported("openvino")
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if bf16 else "f32",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(threads()),
        }
        self._file = file
        with _computing(file):
            self._compiled = openvino.compile_model(str(file), "CPU", settings)
        self._weights = file.with_suffix(".bin")
        let_go(self._weights)
        self._used = False
        self._thread = threading.local()

    def __call__(self, *inputs: NDArray[Any]) -> Float32:
        """The output for inputs in the order of the file."""
        request = getattr(self._thread, "request", None)
        if request is None:  # one must not be used by two threads
            request = self._thread.request = self._compiled.create_infer_request()
        with _computing(self._file):
            found = np.array(request.infer(list(inputs))[0], dtype=np.float32)
        if not self._used:  # weights are mapped, and copied in the order in which they are computed with
            self._used = True
            let_go(self._weights)
        return found


@contextlib.contextmanager
def _computing(file: Path) -> Iterator[None]:
    """Tell what OpenVINO, which raises RuntimeError for everything, finds wrong with a file."""
    try:
        yield
    except RuntimeError as error:
        said = [line for line in map(str.strip, str(error).splitlines()) if line and "Exception from" not in line]
        reason = said[-1] if said else "unknown"
        raise CheckpointError(f"{file}: is damaged ({reason}). {REMEDY}") from error


class ExportedScorer:
    """The joint pass over listed pairs, as :class:`interbert.search.joint.PairScorer` has it."""

    runtime: Literal["torch", "openvino"] = "openvino"

    def __init__(self, folder: Path, settings: ExportedSettings, words: Words, bf16: bool | None) -> None:
        self._file, self._settings, self._words = folder / JOINT, settings, words
        self._bf16 = cpu_has_bf16() if bf16 is None else bf16
        self._network: Network | None = None
        self._compiling = threading.Lock()

    def prepare(self) -> None:
        """Compile the network, once."""
        if self._settings.reads_jointly:
            self._prepared()

    def _prepared(self) -> Network:
        with self._compiling:
            if self._network is None:
                self._network = Network(self._file, self._bf16)
            return self._network

    def pairs(
        self,
        texts: Sequence[Sequence[int]],
        tokens: Sequence[Float32],
        text_of: NDArray[np.int64],
        image_of: NDArray[np.int64],
        progress: Callable[[int], None] | None = None,
    ) -> Float32:
        """Logit differences [n] of listed pairs; arguments as of :meth:`interbert.search.joint.JointScorer.pairs`."""
        scores = np.full(len(text_of), self._settings.dual_score_offset or 0.0, dtype=np.float32)
        if not self._settings.reads_jointly:
            if progress is not None:
                progress(len(scores))
            return scores
        lengths = np.array([len(one) for one in texts], dtype=np.int64)[text_of]
        counts = np.array([len(one) for one in tokens], dtype=np.int64)[image_of]
        for batch in even_batches(lengths, counts):
            ids = np.array([texts[place] for place in text_of[batch]], dtype=np.int64)
            images = np.stack([tokens[place] for place in image_of[batch]])
            scores[batch] = self._prepared()(self._words[filled(ids)], filled(images))[: len(batch)]
            if progress is not None:
                progress(len(batch))
        return scores


class ExportedEncoder(ProductEncoder):
    """A :class:`~interbert.search.query_encoder.ProductEncoder` that loads torch and the model when it has to.

    Args:
        directory: a model's files, with the exported ones in a folder among them.
        bf16: score jointly in bf16; None does where the CPU has it.
        joint_runtime: what was asked for; the next build's model is opened by it, too.

    Raises:
        CheckpointError: the exported files cannot be read.
        ImportError: OpenVINO is not installed.
    """

    def __init__(self, directory: Path, bf16: bool | None, joint_runtime: JointRuntime | None) -> None:
        folder = directory / FOLDER
        try:
            self._settings = ExportedSettings.read(folder / SETTINGS)
            self._settings.require_of(read_json(directory / "config.json"))
            self._words = Words(folder / WORDS, self._settings.hidden_size)
            self._tokenizer = _tokenizer(folder / TOKENIZER, self._settings.max_text_tokens)
            _require_fitting(folder, self._settings, self._tokenizer, self._words)
            self._text = Network(folder / TEXT, bf16=False)
        except (ImportError, CheckpointError):
            raise
        except Exception as error:  # of the file system, of JSON, of tokenizers
            raise CheckpointError(f"{folder}: cannot be read ({first_line(error)}).") from error
        self._directory = directory
        self._loading = threading.Lock()
        self._whole: ProductEncoder | None = None
        scorer = ExportedScorer(folder, self._settings, self._words, bf16)
        self._begin(self._settings, scorer, bf16, joint_runtime)

    def _loaded(self) -> ProductEncoder:
        """The model itself."""
        with self._loading:
            if self._whole is None:
                self._whole = ProductEncoder.load(self._directory, "cpu", self.bf16)
            return self._whole

    @property
    def model(self) -> InterBertForImageTextRetrieval:
        """The model itself, which is loaded now if it was not yet."""
        return self._loaded().model

    @property
    def processor(self) -> InterBertProcessor:
        """The model's tokenizer and region scaling, loaded likewise."""
        return self._loaded().processor

    @property
    def device_type(self) -> str:
        """cpu."""
        return "cpu"

    def texts_to_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of any texts, cut at what the model reads."""
        most = _CHARACTERS * self._settings.max_text_tokens
        return [one.ids for one in self._tokenizer.encode_batch([whole_text(text[:most]) for text in texts])]

    def is_whole_word(self, word: str) -> bool:
        """Whether the tokenizer has an entry for the whole word."""
        ids = self._tokenizer.encode(word, add_special_tokens=False).ids
        return len(ids) == 1 and ids[0] != self._settings.unknown_id

    def knows(self, tokens: Sequence[int]) -> bool:
        """Whether a text's token ids hold a token that the model knows."""
        return bool(set(tokens) - set(self._settings.special_ids))

    def _text_directions(self, ids: Sequence[Sequence[int]]) -> Float32:
        lengths = np.array([len(one) for one in ids], dtype=np.int64)
        vectors: dict[int, Float32] = {}
        for batch in even_batches(lengths, np.zeros_like(lengths)):
            rows = np.array([ids[place] for place in batch], dtype=np.int64)
            inputs = (self._words[rows], rows) if self._settings.contrastive_lexical else (self._words[rows],)
            vectors |= dict(zip(batch.tolist(), self._text(*inputs), strict=True))
        return np.stack([vectors[place] for place in range(len(ids))])


def exported_encoder(
    directory: Path, bf16: bool | None, joint_runtime: JointRuntime | None, on_cpu: bool
) -> ExportedEncoder | None:
    """The exported model of a directory; None without one, where torch is asked for, or the model goes to a GPU.

    Args:
        directory: of the model.
        bf16, joint_runtime: as of the class.
        on_cpu: the model is to compute on the CPU.
    """
    if joint_runtime == "torch" or not on_cpu or not (directory / FOLDER / SETTINGS).is_file():
        return None
    try:
        return ExportedEncoder(directory, bf16, joint_runtime)
    except ImportError:
        return None
    except CheckpointError as error:
        _logger.warning(f"{str(error).removesuffix(f' {REMEDY}')} The model itself is used. {REMEDY}")
        return None


def _require_fitting(folder: Path, settings: ExportedSettings, tokenizer: Any, words: Words) -> None:
    """Check, without compiling it, that the joint pass is there, and that every token has a row.

    Raises:
        ValueError: one is missing.
    """
    for file in (folder / JOINT, (folder / JOINT).with_suffix(".bin")) if settings.reads_jointly else ():
        if not file.is_file():
            raise ValueError(f"there is no {file.name}")
    if tokenizer.get_vocab_size() > len(words):
        raise ValueError(f"{WORDS} has {len(words)} rows, its tokenizer {tokenizer.get_vocab_size()} tokens")


def has_gpu() -> bool:
    """Whether there may be a GPU for torch to compute on, without asking torch."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return not hidden and any(Path("/dev", name).exists() for name in ("nvidiactl", "nvidia0", "kfd", "dxg"))


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware."""
    openvino = import_unreported("openvino")
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def threads() -> int:
    """Threads that a network computes with: as many as OMP_NUM_THREADS says, else one for each core."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    return int(said) if said.isascii() and said.isdecimal() and int(said) else os.cpu_count() or 1


def _tokenizer(file: Path, most: int) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_truncation(most)
    tokenizer.no_padding()
    return tokenizer
