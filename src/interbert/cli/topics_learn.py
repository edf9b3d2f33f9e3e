"""Teach a model what topics look like, once, from the titled pictures it was trained on.

Topic texts are short and general, the titles that a model learned from are long and particular. This keeps the
training products' vectors and titles beside the model (topics.safetensors, about 4 kB a product): a topic's pages are
then found by the pictures of the titles that fit it, in whatever language they are. Probabilities are fitted on topics
made of what validation titles have in common. Do it before `interbert index build`, and the index carries it along.

    interbert topics learn models/retrieval regions/train --validation regions/validation
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Options:
    """Options of ``interbert topics learn``."""

    model: str
    """Model directory; gets topics.safetensors."""
    regions: str
    """Region store of titled pictures: those that the model was trained on."""
    validation: str | None = None
    """Region store to calibrate on; without, a twentieth of the examples serves and probabilities come out too sure."""
    texts: list[str] = field(default_factory=list)
    """Source columns whose texts are titles; all when not given."""
    limit: int = 20_000
    """Examples at most, drawn at random."""
    phrases: int = 200
    """Made topics per column of texts to calibrate on."""
    seed: int = 0
    """Seed of all draws."""


def run(options: Options) -> None:
    """Teach and say how sure probabilities are."""
    from interbert.errors import require_range
    from interbert.locking import only_writer
    from interbert.search.topics.learn import learn_topics

    require_range("topics learn: --limit", options.limit, 2)
    require_range("topics learn: --phrases", options.phrases, 1)
    require_range("topics learn: --seed", options.seed, 0, 2**32)
    with only_writer(options.model):
        memory = learn_topics(
            options.model,
            options.regions,
            options.validation,
            fields=options.texts,
            limit=options.limit,
            phrases=options.phrases,
            seed=options.seed,
            progress=True,
        )
    found = memory.calibration
    print(
        f"{options.model}: {len(memory.examples):,} examples with texts in {', '.join(memory.examples.fields)}\n"
        f"log-odds = {found.transfer:.2f} x examples + {found.joint:.2f} x joint {found.bias:+.2f}, fitted on "
        f"{found.pairs:,} pairs of {found.topics} made topics (Brier score {found.brier:.3f})\n"
        f"titles say {100 * found.said:.0f}% of what is right; of items with a probability of a half or more, which "
        f"pages show, {100 * found.right:.0f}% are right"
    )
