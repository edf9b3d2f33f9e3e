"""Options of ``interbert extract``, apart from what runs it: its help loads nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from interbert.extraction.detector_settings import DetectorSettings
from interbert.extraction.frcnn.settings import FrcnnSettings
from interbert.extraction.given_settings import GivenSettings


@dataclass
class Options:
    """Options of ``interbert extract``."""

    source: str
    """Pictures and texts: a file, a folder or a Hub id."""
    out: str
    """Folder of the region store."""
    picture: str | None = None
    """Column that holds the pictures; found when not given."""
    texts: list[str] = field(default_factory=list)
    """Columns that hold texts, one or several; found when not given."""
    picture_id: str | None = None
    """Column with an id that is unique per picture; the row number when not given."""
    product_id: str | None = None
    """Column with an id that pictures of one product share; 'product_id', 'item_id' or 'id' when there is one."""
    split: str | None = None
    """Split of a Hub data set."""
    captions: str | None = None
    """Caption file: Karpathy's JSON, COCO's annotations, jsonline, MUGE's queries, results.csv, csv or tsv."""
    caption_split: list[str] = field(default_factory=list)
    """Splits of Karpathy's file to take, such as train,restval."""
    extractor: Literal["grid", "frcnn", "detector", "given"] = "grid"
    """Who finds and describes regions. The five options from --backbone on are the grid's."""
    device: str = "auto"
    """Where to compute: cpu, cuda, cuda:1; auto takes CUDA where there is one."""
    backbone: str = "efficientnet_lite0"
    """Network that describes regions: efficientnet_lite0 (offline), a folder that interbert finetune backbone wrote, or
    timm:NAME, torchvision:NAME, transformers:NAME."""
    input_size: int = 256
    """Long side of what the backbone sees, in pixels; a multiple of 32."""
    scales: list[int] = field(default_factory=lambda: [1, 2, 3])
    """Grids of windows, k means k x k; at most 36 windows."""
    overlap: float = 0.5
    """How much larger than a grid cell a window is, as a share of the cell."""
    features: list[str] = field(default_factory=lambda: ["colour", "stride8", "stride16", "head"])
    """Parts of a region's feature."""
    frcnn: FrcnnSettings = field(default_factory=FrcnnSettings)
    """The paper's detector."""
    detector: DetectorSettings = field(default_factory=DetectorSettings)
    """A detector of transformers."""
    given: GivenSettings = field(default_factory=GivenSettings)
    """Boxes that the source has."""
    mirrored: bool = False
    """Store each picture's mirror image too, as one more view to train on."""
    allow_no_text: bool = False
    """Keep pictures that have no text (for search)."""
    limit: int | None = None
    """Only the first so many rows."""
    top_k_classes: int | None = None
    """Of a new store: keep so many classes of each region and the remainder, not all probabilities."""
    ray: bool = False
    """Extract on the workers of a Ray cluster; without a cluster, on all cores of this machine."""
    ray_address: str | None = None
    """Address of the cluster, such as auto or ray://head:10001; it is found when not given."""
    ray_cpus: float = 1.0
    """Cores that a worker takes."""
    ray_gpus: float = 0.0
    """Share of a GPU that a worker takes; 0.5 puts two workers on each."""
