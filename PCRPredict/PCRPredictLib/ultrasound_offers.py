"""What of ultrasound files can be loaded, and which two of them are a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from BreastPredictLib.words import SIDE_NOT_KNOWN, SIDES, iso_date


@dataclass(frozen=True)
class Offer:
    """A B-mode region.

    Attributes:
        path: the file.
        region: its number, from 1.
        measured: whether the file states the region and its spacing.
        name: of the node that it would be.
        words: what it is.
        warnings: what the reader must know.
    """

    path: Path
    region: int
    measured: bool
    name: str
    words: str
    warnings: tuple[str, ...]


def offers_of(files: Sequence[str]) -> list[Offer]:
    """The B-mode regions of ultrasound files; what has none, or is damaged, has no offer."""
    from breastpredict.dicom import describe_ultrasound
    from breastpredict.errors import InputError

    found = []
    for path in map(Path, files):
        try:
            described = describe_ultrasound(path)
        except InputError:
            continue
        usable = [region for region in described["regions"] if region["number"] is not None]
        found += [_offer(path, described, region, len(usable)) for region in usable]
    return found


def _offer(path: Path, described: dict[str, Any], region: dict[str, Any], count: int) -> Offer:
    side = SIDES.get(described["laterality"] or "", SIDE_NOT_KNOWN)
    which = f", region {region['number']} of {count}" if count > 1 else ""
    x0, y0, x1, y1 = region["box"]
    spacing = region["spacing_mm"]
    scale = (
        f"no spacing: {region['why_no_spacing']}"
        if spacing is None
        else " × ".join(f"{value:.4g}" for value in spacing) + " mm"
    )
    frames = described["frames"]
    frame = f", frame {described['frame']} of {frames}" if frames > 1 else ""
    return Offer(
        path,
        region["number"],
        region["by"] == "SequenceOfUltrasoundRegions" and spacing is not None,
        f"Ultrasound {side}{which}",
        f"B-mode at X {x0}–{x1}, Y {y0}–{y1} by {region['by']}, {scale}{frame}",
        tuple(described["warnings"]),
    )


def roles_of(offers: Sequence[Offer]) -> dict[Path, tuple[str, str]]:
    """File → ("US-0" or "US-1", what was checked), where the files are one pair; else empty.

    They are where there are two files of one region each, of two days, that pass
    `breastpredict.pcr.pair.check_pair`, and say whose they are.
    """
    from breastpredict.dicom import read_ultrasound
    from breastpredict.errors import InputError
    from breastpredict.pcr.pair import check_pair

    if len(offers) != 2 or len({offer.path for offer in offers}) != 2:
        return {}
    try:
        images = [read_ultrasound(offer.path, region=offer.region) for offer in offers]
        first, second = sorted(images, key=lambda image: image.study_date)
        pair = check_pair(first, second)
    except InputError:
        return {}
    if pair.interval_weeks is None or not first.patient_id:
        return {}
    roles = {first.path: "US-0", second.path: "US-1"}
    words = (
        f"{pair.interval_weeks:.1f} weeks from {iso_date(first.study_date)} to "
        f"{iso_date(second.study_date)}"
    )
    return {path: (role, "; ".join([words, *pair.warnings])) for path, role in roles.items()}
