"""What was found in a folder and why, for people and for programs."""

from __future__ import annotations

import math
import os
from typing import Any

from breastpredict import RESEARCH_USE_ONLY
from breastpredict.dicom.index import index_folder
from breastpredict.dicom.study import DceAcquisition, Study


def inspect_folder(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Studies, acquisitions, phases and the chosen one, as plain values for JSON (design §3).

    No patient identifiers; UIDs of study and series, because programs need them.

    Raises:
        InputError: no DICOM file in the folder.
    """
    return {
        "note": RESEARCH_USE_ONLY,
        "studies": [_study(study) for study in index_folder(folder)],
    }


def inspect_text(found: dict[str, Any]) -> str:
    """The same in words."""
    lines = []
    for number, study in enumerate(found["studies"], start=1):
        lines.append(
            f"Study {number}: {study['modality']}, {study['manufacturer'] or 'maker not stated'}"
        )
        for dce in study["dce"]:
            side = {"R": "right breast", "L": "left breast", "B": "both breasts"}.get(
                dce["laterality"], "laterality unknown"
            )
            i, j, k = dce["size"]
            spacing = " × ".join(f"{x:.3g}" for x in dce["spacing_mm"])
            lines.append(
                f"  DCE, {side}: {len(dce['phases'])} phases of {i} × {j} × {k}, {spacing} mm, "
                f"{dce['plane']}, told apart by {dce['key']}"
            )
            lines.append(f"    {'phase':>5}  {'time':>9}  {'role':<7}  slices  early")
            for phase in dce["phases"]:
                when = "?" if phase["time_s"] is None else f"{phase['time_s']:.1f} s"
                mark = "  <- early" if phase["index"] == dce["chosen"] else ""
                lines.append(
                    f"    {phase['index']:>5}  {when:>9}  {phase['role']:<7}  "
                    f"{phase['slices']:>6}{mark}"
                )
            lines.append(f"    times are counted from: {dce['phases'][0]['time_origin']}")
            chosen = "none" if dce["chosen"] is None else f"phase {dce['chosen']}"
            lines.append(f"    early phase: {chosen} ({dce['rule']}): {dce['reason']}")
            lines.extend(f"    note: {warning}" for warning in dce["warnings"])
        if not study["dce"]:
            lines.append("  no DCE acquisition")
        if study["segmentations"]:
            lines.append(f"  segmentations: {study['segmentations']}")
        for rejected in study["rejected"]:
            lines.append(f"  left out ({rejected['files']} files): {rejected['reason']}")
        if study["ignored_files"]:
            lines.append(f"  {study['ignored_files']} other files in the folder are not DICOM")
    lines.append(found["note"])
    return "\n".join(lines)


def _study(study: Study) -> dict[str, Any]:
    return {
        "study_uid": study.study_uid,
        "modality": study.modality,
        "manufacturer": study.manufacturer,
        "dce": [_dce(acquisition) for acquisition in study.dce],
        "ultrasound": [],
        "slides": [],
        "segmentations": len(study.segmentations),
        "rejected": [
            {"series_uid": r.series_uid, "reason": r.reason, "files": r.files}
            for r in study.rejected
        ],
        "ignored_files": study.ignored_files,
    }


def _dce(acquisition: DceAcquisition) -> dict[str, Any]:
    geometry = acquisition.phases[0].geometry
    return {
        "laterality": acquisition.laterality,
        "phases": [
            {
                "index": phase.index,
                "time_s": None if math.isnan(phase.time_s) else round(phase.time_s, 3),
                "time_origin": phase.time_origin,
                "role": phase.role,
                "series_uid": phase.series_uid,
                "slices": len(phase.instances),
            }
            for phase in acquisition.phases
        ],
        "chosen": acquisition.chosen,
        "rule": acquisition.rule,
        "reason": acquisition.reason,
        "warnings": list(acquisition.warnings),
        "key": acquisition.key,
        "size": list(geometry.size),
        "spacing_mm": [round(x, 5) for x in geometry.spacing],
        "plane": geometry.plane,
    }
