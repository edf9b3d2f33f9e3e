"""The extractor that the options of ``interbert extract`` choose.

Apart from them, since what stands under TYPE_CHECKING beside options is loaded for their help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interbert.extraction.settings import DetectorSettings, FrcnnOptions, FrcnnSettings, GivenSettings

if TYPE_CHECKING:
    from interbert.cli.extract import Options
    from interbert.extraction.extractor import RegionExtractor
    from interbert.extraction.frcnn.extractor import FrcnnExtractor
    from interbert.extraction.grid import GridExtractor


def require_used(options: Options) -> None:
    """Refuse options of an extractor that was not chosen: who gives them thinks it was.

    Raises:
        UsageError: naming the options and the extractors that read them.
    """
    from interbert.errors import UsageError

    used = {options.extractor}
    if options.extractor == "given":
        used.add(options.given.described_by)
    for name, default in (("frcnn", FrcnnOptions()), ("given", GivenSettings())):
        if name not in used and getattr(options, name) != default:
            raise UsageError(
                f"extract: --{name} options are read by --extractor {name}; the extractor is {options.extractor}."
            )
    unread = DetectorSettings(options.weights, options.min_boxes, options.max_boxes, options.threshold)
    if not used & {"frcnn", "detector"} and unread != DetectorSettings():
        raise UsageError(
            "extract: --weights, --min-boxes, --max-boxes and --threshold are read by --extractor frcnn and detector; "
            f"the extractor is {options.extractor}."
        )


def build_chosen(options: Options) -> RegionExtractor:
    """Build it.

    Raises:
        ConfigError: its weights, network or device are not there, or a setting is impossible.
    """
    if options.extractor == "frcnn":
        return _frcnn(options)
    if options.extractor == "detector":
        from interbert.extraction.detectors import open_detector

        settings = DetectorSettings(options.weights, options.min_boxes, options.max_boxes, options.threshold)
        return open_detector(settings, options.device)
    if options.extractor == "given":
        from interbert.extraction.given import GivenExtractor

        encoder = _frcnn(options) if options.given.described_by == "frcnn" else _grid(options)
        return GivenExtractor(encoder, options.given.keep_found)
    return _grid(options)


def _frcnn(options: Options) -> FrcnnExtractor:
    from interbert.extraction.frcnn.extractor import open_frcnn

    own = options.frcnn
    settings = FrcnnSettings(
        options.weights,
        options.min_boxes,
        options.max_boxes,
        options.threshold,
        boxes=own.boxes,
        precision=own.precision,
    )
    return open_frcnn(settings, options.device)


def _grid(options: Options) -> GridExtractor:
    from interbert.extraction.backbones import HUBS
    from interbert.extraction.grid import GridExtractor, GridSettings

    features = tuple(options.features)
    if options.backbone.partition(":")[0] in HUBS:  # other networks give their last map only
        features = tuple(name for name in features if name in ("colour", "head"))
    settings = GridSettings(options.backbone, options.input_size, tuple(options.scales), features=features)
    return GridExtractor(settings, device=options.device)
