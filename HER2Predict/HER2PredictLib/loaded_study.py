"""Volumes of the scene that are no longer DICOM, as a study for the backend."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from BreastPredictLib.geometry import geometry_of


@dataclass(frozen=True)
class AssignedPhase:
    """A volume and what the user says of it.

    Attributes:
        volume: scalar volume node.
        role: "pre" or "post" contrast.
        time_s: from the injection, or None.
    """

    volume: Any
    role: str
    time_s: float | None = None


def write_phase_table(phases: Sequence[AssignedPhase], folder: Path, laterality: str = "") -> Path:
    """Write the volumes and the table that says what they are; returns the table.

    Raises:
        ValueError: no volumes, or one that cannot be used.
    """
    import SimpleITK as sitk

    if len(phases) < 2:
        raise ValueError("Assign a volume before and at least one after contrast.")
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, phase in enumerate(phases, start=1):
        if phase.volume is None or phase.volume.GetImageData() is None:
            raise ValueError(f"Phase {number} has no volume.")
        array = np.asarray(slicer.util.arrayFromVolume(phase.volume))
        image = geometry_of(phase.volume).to_image(array)
        name = f"volume-{number}.nrrd"
        sitk.WriteImage(image, str(folder / name), False)
        time = "" if phase.time_s is None else repr(float(phase.time_s))
        rows.append([name, phase.role, time, laterality])
    table = folder / "phases.csv"
    with open(table, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "role", "time_s", *(["laterality"] if laterality else [])])
        writer.writerows(row if laterality else row[:3] for row in rows)
    return table
