"""What `inspect` says of ultrasound files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from breastpredict.dicom.bounded import read_dataset
from breastpredict.dicom.source import unlogged
from breastpredict.dicom.ultrasound_area import colour_of, scan_area, vivid
from breastpredict.dicom.ultrasound_file import (
    BURNED_IN,
    given_to_others,
    grey_of,
    laterality_of,
    open_ultrasound,
    text_of,
)
from breastpredict.dicom.ultrasound_pixels import count_of_frames, read_header
from breastpredict.dicom.ultrasound_regions import b_mode, regions_of
from breastpredict.errors import InputError

_MANY_COLOURS = 0.002  # of a region; fewer are marks, and its outline need not be looked for


@dataclass(frozen=True)
class UltrasoundChoices:
    """What there is to choose among in a file.

    Attributes:
        frames: how many.
        regions: the B-mode regions that the file states, in words; number 1 first. Empty where it
            states none: then there is one, which is measured.
    """

    frames: int
    regions: tuple[str, ...]


@unlogged()
def ultrasound_choices(path: str | os.PathLike[str]) -> UltrasoundChoices:
    """The frames and B-mode regions of a file, by its header alone; a plain picture has one.

    Raises:
        InputError: no such file, or a header that is damaged or of something else.
    """
    file = Path(path)
    header = read_header(file)
    if header is None:
        return UltrasoundChoices(1, ())
    found = b_mode(regions_of(header, file))
    return UltrasoundChoices(count_of_frames(header, file), tuple(one.words for one in found))


@unlogged()
def describe_ultrasound(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file holds, without choosing among its B-mode regions; plain values for JSON.

    One frame is decoded, so that what cannot be read is known now.

    Raises:
        InputError: as `read_ultrasound` does, but for several regions.
    """
    opened = open_ultrasound(Path(path), None)
    rgb, warnings = opened.picture.rgb, list(opened.warnings)
    for region in opened.regions:
        other = given_to_others(region, opened.stated, opened.path, warnings)
        part = rgb[region.slices]
        coloured = vivid(part)
        if coloured.mean() < _MANY_COLOURS:
            continue
        scan = scan_area(grey_of(part), coloured | other)
        colour, share = ("grey", 0.0) if scan is None else colour_of(part, scan & ~other)
        if colour == "colour Doppler":
            warnings.append(f"{share:.0%} of the scan at {region.words} is in colours")
    if text_of(opened.header, "BurnedInAnnotation").upper() == "YES":
        warnings.append(BURNED_IN)
    return {
        "size": [rgb.shape[1], rgb.shape[0]],
        "frames": opened.frames,
        "frame": opened.frame,
        "frame_reason": opened.reason,
        "laterality": laterality_of(opened.header),
        "regions": [
            {
                "number": opened.regions.index(one) + 1 if one in opened.regions else None,
                "kind": one.kind,
                "box": list(one.box),
                "spacing_mm": None if one.spacing_mm is None else list(one.spacing_mm),
                "why_no_spacing": one.why_no_spacing,
                "by": one.by,
            }
            for one in opened.stated or opened.regions
        ],
        "warnings": list(dict.fromkeys(warnings)),
    }


def ultrasound_summaries(
    files: tuple[Path, ...], root: Path
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The ultrasound files of a study, and those that cannot be used with the reason.

    Returns:
        plain values for JSON, no identifiers; file names are relative to what was given.
    """
    usable, refused = [], []
    for path in files:
        name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        name = path.name if name == "." else name
        try:
            usable.append({"file": name, **describe_ultrasound(path)})
        except InputError as error:
            # Without the path: it is named above, and may lead into an unpacked archive.
            series, number = _series_of(path)
            reason = f"ultrasound {name}: {error.problem}"
            refused.append(
                {"series_uid": series, "series_number": number, "reason": reason, "files": 1}
            )
    return usable, refused


def ultrasound_lines(study: dict[str, Any]) -> list[str]:
    """The same in words, for `inspect_text`."""
    lines = []
    for one in study["ultrasound"]:
        side = {"R": "right breast", "L": "left breast", "B": "both breasts"}.get(
            one["laterality"], "laterality not stated"
        )
        columns, rows = one["size"]
        frames = one["frames"]
        of = (
            "1 frame"
            if frames == 1
            else f"frame {one['frame']} of {frames} ({one['frame_reason']})"
        )
        lines.append(f"  ultrasound {one['file']}: {columns} × {rows}, {of}, {side}")
        for region in one["regions"]:
            x0, y0, x1, y1 = region["box"]
            spacing = region["spacing_mm"]
            scale = (
                f"no spacing: {region['why_no_spacing']}"
                if spacing is None
                else " × ".join(f"{x:.4g}" for x in spacing) + " mm"
            )
            number = region["number"]
            what = f"region {number}, B-mode" if number else f"not used, {region['kind']}"
            scale = f", {scale}" if number else ""
            lines.append(f"    {what}: X {x0}–{x1}, Y {y0}–{y1}{scale}; by {region['by']}")
        lines.extend(f"    note: {warning}" for warning in one["warnings"])
    return lines


@unlogged()
def _series_of(path: Path) -> tuple[str, str]:
    """UID and number of a file's series; empty where damage hides them."""
    try:
        data = read_dataset(path, stop_before_pixels=True)
        return str(data.get("SeriesInstanceUID") or ""), str(data.get("SeriesNumber") or "")
    except Exception:  # pydicom raises many kinds on damage
        return "", ""
