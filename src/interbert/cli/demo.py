"""From images to a page of search results, on this machine: describe regions, pretrain, fine-tune, rank, show.

Without --source it renders OpenMoji: 1,300 images to learn from, 200 held out, asked for in English and Chinese.
With --source it does the same on your own images and texts. OUT/index.html is the page, and the last line printed is
the command that serves the model over HTTP. What is done is not done again; a stopped demo continues.

    interbert demo demo
    interbert demo mine --source catalogue.parquet --text-columns title,title_zh
"""

from __future__ import annotations

from dataclasses import dataclass, field

from interbert.utils.terminal import say


@dataclass
class Options:
    """Options of ``interbert demo``."""

    out: str
    """Folder to write."""
    source: str | None = None
    """Your own images and texts: a file, a folder or a Hub id."""
    image_column: str | None = None
    """Column that holds the images; found when not given."""
    text_columns: list[str] = field(default_factory=list)
    """Columns that hold texts; found when not given."""
    product_id_column: str | None = None
    """Column with an id that images of one product share."""
    limit: int | None = None
    """Use at most so many images."""
    test: int = 200
    """Images to hold out and measure on."""
    validation: int = 80
    """Images to hold out and choose the best checkpoint on."""
    init_from: str = "minilm"
    """BERT to start from: minilm (offline), a directory or a Hub id."""
    effort: float | None = None
    """Multiplies the training; 1 is about five minutes on two cores that multiply bf16. Older ones take three times as
    long, and train half as much when nothing is said."""


def run(options: Options) -> None:
    """Run what is not done yet and say where the page is."""
    from pathlib import Path

    from interbert.demo import recipe
    from interbert.demo.pipeline import Demo, DemoSettings
    from interbert.demo.steps import Pace, StepRunner, StepState
    from interbert.errors import UsageError
    from interbert.extraction.columns import ColumnMapping
    from interbert.utils.terminal import in_words

    effort = recipe.usual_effort() if options.effort is None else options.effort
    if effort <= 0:
        raise UsageError(f"demo: --effort must be above 0, not {effort}.")
    if min(options.test, options.validation) < 4:
        raise UsageError("demo: --test and --validation must be at least 4.")
    folder = Path(options.out)
    demo = Demo(
        DemoSettings(
            folder=folder,
            source=options.source,
            mapping=ColumnMapping(options.image_column, tuple(options.text_columns), None, options.product_id_column),
            limit=options.limit,
            test=options.test,
            validation=options.validation,
            init_from=options.init_from,
            effort=effort,
        )
    )
    steps = demo.steps()
    numbers = {step.name: number for number, step in enumerate(steps, start=1)}

    pace = Pace()
    expected: dict[str, float] = {}

    def announce(state: StepState) -> None:
        step = state.step
        if state.done:
            pace.add(expected[step.name], state.seconds)
            say(f"  done in {state.seconds:.0f} s", flush=True)
            return
        expected[step.name] = demo.expected_seconds(step) * recipe.slowness()
        factor = pace.factor
        how = "on two cores" if factor is None else "by the steps before"
        about = in_words(expected[step.name] * (1.0 if factor is None else factor))
        say(f"[{numbers[step.name]}/{len(steps)}] {step.title} (about {about} {how})", flush=True)

    states = StepRunner(folder / "state", steps).run(announce)
    say(f"{sum(state.seconds for state in states):.0f} s of work in all")
    demo.summarise()
    say(f"page: {folder / 'index.html'}")
    say(f"serve it: {demo.serving_command()}")
