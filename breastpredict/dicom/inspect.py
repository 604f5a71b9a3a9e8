"""What was found in a folder and why, for people and for programs."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

from pydicom.datadict import tag_for_keyword

from breastpredict import RESEARCH_USE_ONLY
from breastpredict.dicom.index import index_folder
from breastpredict.dicom.scan import PRIVATE
from breastpredict.dicom.study import DceAcquisition, Study
from breastpredict.dicom.ultrasound_inspect import ultrasound_lines, ultrasound_summaries


def inspect_folder(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Studies, acquisitions, phases and the chosen one, as plain values for JSON (design §3).

    No patient identifiers; UIDs of study and series, because programs need them.

    Args:
        path: whatever `breastpredict.dicom.read_study` reads; several patients are no error here.

    Raises:
        InputError: there is no DICOM file.
    """
    return {
        "note": RESEARCH_USE_ONLY,
        "studies": [study_summary(study) for study in index_folder(path)],
    }


def inspect_text(
    found: dict[str, Any], also: Callable[[dict[str, Any]], list[str]] | None = None
) -> str:
    """The same in words.

    Args:
        found: as `inspect_folder` returns it.
        also: lines of a study on what other rooms found in it.
    """
    lines: list[str] = []
    for number, study in enumerate(found["studies"], start=1):
        maker = study["manufacturer"] or "maker not stated"
        source = study["source"]
        source = source if source == "loaded volumes" else f"a {source}"
        lines.append(f"Study {number}: {study['modality']}, {maker}, from {source}")
        lines.extend(f"  note: {note}" for note in study["notes"])
        for dce in study["dce"]:
            lines.extend(_acquisition_lines(dce))
        lines.extend(ultrasound_lines(study))
        lines.extend(also(study) if also else [])
        if not study["dce"] and not study["ultrasound"] and not study["slides"]:
            lines.append("  no DCE acquisition")
        if study["segmentations"]:
            lines.append(f"  segmentations: {study['segmentations']}")
        lines.extend(_left_out_lines(study["rejected"]))
    ignored = max((study["ignored_files"] for study in found["studies"]), default=0)
    if ignored:
        lines.append(f"Files that are not DICOM: {ignored}")
    lines.append(found["note"])
    return "\n".join(lines)


_SIDES = {"R": "right breast", "L": "left breast", "B": "both breasts"}


def _acquisition_lines(dce: dict[str, Any]) -> list[str]:
    side = _SIDES.get(dce["laterality"], "laterality unknown")
    i, j, k = dce["size"]
    spacing = " × ".join(f"{x:.3g}" for x in dce["spacing_mm"])
    kind = f", {dce['kind']}" if dce["kind"] else ""
    lines = [
        f"  DCE {dce['number']}, {side}{kind}: {len(dce['phases'])} phases of "
        f"{i} × {j} × {k}, {spacing} mm, {dce['plane']}, told apart by {dce['key']}",
        f"    {'phase':>5}  {'series':>6}  {'time':>9}  {'signal':>7}  {'role':<7}  slices",
    ]
    for phase in dce["phases"]:
        when = "?" if phase["time_s"] is None else f"{phase['time_s']:.1f} s"
        mark = "  <- early" if phase["index"] == dce["chosen"] else ""
        change = phase["enhancement"]
        signal = "" if change is None else f"{change:+.0%}".replace("-0%", "+0%")
        lines.append(
            f"    {phase['index']:>5}  {phase['series_number']:>6}  {when:>9}  {signal:>7}  "
            f"{phase['role']:<7}  {phase['slices']:>6}{mark}"
        )
    lines.append(f"    times are counted from: {dce['phases'][0]['time_origin']}")
    chosen = "none" if dce["chosen"] is None else f"phase {dce['chosen']} ({dce['rule']})"
    lines.append(f"    early phase: {chosen}: {dce['reason']}")
    lines.extend(f"    note: {warning}" for warning in dce["warnings"])
    lines.append("    why:")
    for decision in dce["decisions"]:
        if decision["what"] == "early phase":
            continue  # said above
        by = f" by {_with_tag(decision['by'])}" if decision["by"] else ""
        lines.append(f"      {decision['what']}{by}")
        lines.extend(
            f"        {_with_tag(name)}: {finding}"
            for name, finding in decision["details"].items()
            if finding
        )
    return lines


def _with_tag(name: str) -> str:
    """A keyword with its tag, as a viewer shows it; anything else as it is."""
    before, _, keyword = name.rpartition(" ")
    if keyword in PRIVATE:
        group, element, _, _ = PRIVATE[keyword]
        return f"{name} ({group:04X},xx{element:02X})"
    tag = tag_for_keyword(keyword) if not before or before.endswith(":") else None
    return name if tag is None else f"{name} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def _left_out_lines(rejected: list[dict[str, Any]]) -> list[str]:
    """Each reason once, with the series it stands for."""
    series: dict[str, list[str]] = {}
    files: Counter[str] = Counter()
    for one in rejected:
        numbers = series.setdefault(one["reason"], [])
        if one["series_number"] and one["series_number"] not in numbers:
            numbers.append(one["series_number"])
        files[one["reason"]] += one["files"]
    lines = []
    for reason, numbers in series.items():
        count = "1 file" if files[reason] == 1 else f"{files[reason]} files"
        what = f"series {_few(numbers)} ({count})" if numbers else count
        lines.append(f"  left out: {what}: {reason}")
    return lines


def _few(numbers: list[str]) -> str:
    return ", ".join(numbers) if len(numbers) <= 12 else f"{', '.join(numbers[:12])} and more"


def study_summary(study: Study) -> dict[str, Any]:
    """What `inspect_folder` says of one study."""
    ultrasound, refused = ultrasound_summaries(study.ultrasound, study.folder)
    return {
        "study_uid": study.study_uid,
        "modality": study.modality,
        "manufacturer": study.manufacturer,
        "source": study.source,
        "notes": list(study.notes),
        "dce": [_dce(number, acquisition) for number, acquisition in enumerate(study.dce, start=1)],
        "ultrasound": ultrasound,
        "slides": [],
        "segmentations": len(study.segmentations),
        "rejected": [
            {
                "series_uid": r.series_uid,
                "series_number": r.number,
                "reason": r.reason,
                "files": r.files,
            }
            for r in study.rejected
        ]
        + refused,
        "ignored_files": study.ignored_files,
    }


def _dce(number: int, acquisition: DceAcquisition) -> dict[str, Any]:
    geometry = acquisition.phases[0].geometry
    return {
        "number": number,
        "kind": acquisition.kind,
        "laterality": acquisition.laterality,
        "phases": [
            {
                "index": phase.index,
                "time_s": None if math.isnan(phase.time_s) else round(phase.time_s, 3),
                "time_origin": phase.time_origin,
                "role": phase.role,
                "series_uid": phase.series_uid,
                "series_number": phase.series_number,
                "enhancement": phase.enhancement,
                "slices": phase.geometry.size[2],
            }
            for phase in acquisition.phases
        ],
        "chosen": acquisition.chosen,
        "rule": acquisition.rule,
        "reason": acquisition.reason,
        "warnings": list(acquisition.warnings),
        "key": acquisition.key,
        "decisions": [
            {"what": d.what, "by": d.by, "details": dict(d.details)} for d in acquisition.decisions
        ],
        "size": list(geometry.size),
        "spacing_mm": [round(x, 5) for x in geometry.spacing],
        "plane": geometry.plane,
    }
