"""What an operator can set of the service; the options of ``interbert serve`` are these."""

from __future__ import annotations

from dataclasses import dataclass

from interbert.errors import require_range


@dataclass(frozen=True)
class Limits:
    """The largest request that is read."""

    body_mib: float = 16.0
    """Bytes of a request's body, in MiB; bulk writes have ``bulk_mib``."""
    bulk_mib: float = 512.0
    """Bytes of a bulk write, in MiB."""
    image_megapixels: float = 40.0
    """Pixels of an image in a request, in millions."""
    batch: int = 256
    """Texts, images or documents of one request of /v1/embeddings and /rerank."""
    query_characters: int = 1000
    """Characters of a text to search for."""
    where_characters: int = 2000
    """Characters of a filter."""
    top_k: int = 200
    """Results of a page."""
    candidates: int = 500
    """Products recalled for the joint model."""

    def check(self) -> Limits:
        """Return self when every value is possible.

        Raises:
            ConfigError: naming the value.
        """
        for name, value in vars(self).items():
            require_range(f"serve: --limits.{name.replace('_', '-')}", value, 1e-6 if isinstance(value, float) else 1)
        return self


@dataclass(frozen=True)
class Queues:
    """How work is put into batches, and when it is refused."""

    encode_tokens: int = 2048
    """Tokens of a batch of texts to encode."""
    joint_tokens: int = 0
    """Tokens, of texts and images together, of a batch of pairs to score jointly; 0 is 2048 on a CPU, which gains
    nothing by more, and 65536 on a GPU."""
    waiting: int = 128
    """Requests that wait in each queue; more are answered with status 429, as are those that would take three quarters
    of the time until the deadline."""
    deadline_ms: float = 2000.0
    """A request that is not scored jointly by then gets the order of recall, marked ``degraded``."""
    explanations: int = 8
    """Explanations that wait for the one that is computed; more are answered with status 429."""
    threads: int = 0
    """Cores to compute on; 0 uses every one."""

    def check(self) -> Queues:
        """Return self when every value is possible.

        Raises:
            ConfigError: naming the value.
        """
        for name, value in vars(self).items():
            least = 0 if name in ("threads", "joint_tokens") else 1
            require_range(f"serve: --queues.{name.replace('_', '-')}", value, least)
        return self
