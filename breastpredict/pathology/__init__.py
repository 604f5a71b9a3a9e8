"""Biopsy slides in: a rectangle of H&E-stained tissue as nine patches, and the way back."""

from __future__ import annotations

from breastpredict.pathology.files import open_slide
from breastpredict.pathology.gate import TissueMeasures, check_tissue, measure_tissue
from breastpredict.pathology.inspect import (
    describe_slide,
    inspect_everything,
    inspect_everything_text,
    slide_summaries,
)
from breastpredict.pathology.patches import PathologyPatches, read_patches, stitch
from breastpredict.pathology.region import SlideRegion
from breastpredict.pathology.slide import DicomOrigin, Level, Slide
from breastpredict.pathology.stain import (
    MACENKO_REFERENCE,
    Stains,
    measure_stains,
    normalise_stains,
)

__all__ = [
    "MACENKO_REFERENCE",
    "DicomOrigin",
    "Level",
    "PathologyPatches",
    "Slide",
    "SlideRegion",
    "Stains",
    "TissueMeasures",
    "check_tissue",
    "describe_slide",
    "inspect_everything",
    "inspect_everything_text",
    "measure_stains",
    "measure_tissue",
    "normalise_stains",
    "open_slide",
    "read_patches",
    "slide_summaries",
    "stitch",
]
