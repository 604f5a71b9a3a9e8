"""A study as read from DICOM: acquisitions, phases and their slices."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from breastpredict.dicom.pixels import FrameSource, read_frames
from breastpredict.errors import InputError
from breastpredict.imaging import Geometry


@dataclass(frozen=True, slots=True)
class Instance:
    """Where one slice of a phase comes from.

    Attributes:
        path: its file.
        frame: 1-based frame of a multi-frame file, None in a classic one.
        sop_class_uid, sop_instance_uid: of the file.
        source: how its pixels are read.
    """

    path: Path
    frame: int | None
    sop_class_uid: str
    sop_instance_uid: str
    source: FrameSource = field(repr=False, compare=False)


class VolumeSource(Protocol):
    """Pixels of a phase that is no DICOM."""

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Slices ``[start, stop)`` as ``[k, j, i]``.

        Raises:
            InputError: they cannot be read.
        """


@dataclass(frozen=True)
class Phase:
    """One time point of a DCE acquisition.

    Attributes:
        index: 1-based, in order of time, as users see it.
        time_s: centre of the acquisition in seconds from ``time_origin`` (its start where the
            duration is unknown); NaN where no tag tells a time.
        time_origin: what the time is counted from, in words.
        role: "pre", "post" (confirmed from the signal, or stated by the user for loaded volumes)
            or "unknown".
        enhancement: of its brightest changes against the first phase, as a share of the tissue's
            signal (see `breastpredict.dicom.timing.ENHANCEMENT`); None where not measured.
        series_uid: its series; empty for a loaded volume.
        series_number: as people see it; empty where absent.
        geometry: its grid; k runs along the cross product of row and column direction.
        instances: one for each slice k; none for a loaded volume.
        volume: where the pixels of a loaded volume come from.
    """

    index: int
    time_s: float
    time_origin: str
    role: str
    series_uid: str
    geometry: Geometry
    instances: tuple[Instance, ...] = field(repr=False)
    volume: VolumeSource | None = field(default=None, repr=False, compare=False)
    enhancement: float | None = None
    series_number: str = ""

    @property
    def is_dicom(self) -> bool:
        """Whether DICOM objects can refer to it."""
        return bool(self.instances)

    @property
    def facts(self) -> dict[str, Any]:
        """What a scene keeps of it; plain values for JSON, its time None where unknown."""
        return {
            "phase": self.index,
            "role": self.role,
            "time_s": None if math.isnan(self.time_s) else self.time_s,
            "instance_uids": list(dict.fromkeys(i.sop_instance_uid for i in self.instances)),
        }

    def read(self) -> sitk.Image:
        """The whole volume, float32, rescale applied.

        Raises:
            InputError: pixels are missing, truncated or cannot be decoded.
        """
        return self.read_slices(0, self.geometry.size[2])

    def read_slices(self, start: int, stop: int) -> sitk.Image:
        """Slices ``[start, stop)`` as an image on ``geometry.slab(start, stop)``; nothing else is
        decoded.

        Raises:
            InputError: pixels are missing, truncated or cannot be decoded.
        """
        slab = self.geometry.slab(start, stop)
        if self.volume is not None:
            return slab.to_image(self.volume.read(start, stop))
        sources = [instance.source for instance in self.instances[start:stop]]
        return slab.to_image(read_frames(sources))


@dataclass(frozen=True)
class Decision:
    """Something that was decided about an acquisition, and why.

    Attributes:
        what: "phases", "times", "roles", "laterality" or "early phase".
        by: what decided it.
        details: what else was looked at, name → finding.
    """

    what: str
    by: str
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class DceAcquisition:
    """The phases of one stack of slices.

    Attributes:
        laterality: "R", "L", "B" (both), or None where nothing tells.
        phases: in order of time.
        chosen: index of the early post-contrast phase; None when there is none.
        rule: by which rule it was chosen.
        reason: the rule's numbers, in words.
        warnings: what disagreed.
        key: the tag that told the phases apart.
        kind: what tells it from other images of its series, such as "flip angle 15"; or empty.
        decisions: how everything above was found.
        modality, manufacturer: of its series.
        damage: why no phase was chosen, where damaged or missing files are the reason.
    """

    laterality: str | None
    phases: tuple[Phase, ...]
    chosen: int | None
    rule: str
    reason: str
    warnings: tuple[str, ...]
    key: str = ""
    kind: str = ""
    decisions: tuple[Decision, ...] = ()
    modality: str = "MR"
    manufacturer: str = ""
    damage: InputError | None = field(default=None, repr=False, compare=False)

    def phase(self, index: int | None) -> Phase:
        """The phase with this 1-based index.

        Raises:
            InputError: there is none.
        """
        for phase in self.phases:
            if phase.index == index:
                return phase
        raise InputError(
            f"There is no phase {index}", remedy=f"Choose one from 1 to {len(self.phases)}"
        )

    @property
    def pre(self) -> tuple[Phase, ...]:
        """The phases before contrast."""
        return tuple(phase for phase in self.phases if phase.role == "pre")

    @property
    def post(self) -> tuple[Phase, ...]:
        """The phases after contrast."""
        return tuple(phase for phase in self.phases if phase.role == "post")


@dataclass(frozen=True)
class RejectedSeries:
    """A series, or part of one, that was left out, and why.

    Attributes:
        series_uid: the series.
        reason: in words.
        files: how many of its files.
        number: its SeriesNumber, as people see it; empty where absent.
    """

    series_uid: str
    reason: str
    files: int
    number: str = ""


@dataclass(frozen=True)
class Study:
    """What an input holds of one study.

    ``patient_id`` is for checks and for DICOM objects only; it is never shown or logged.

    Attributes:
        folder: the input as it was given.
        study_uid: empty for loaded volumes.
        dce: the acquisitions, the one of most phases first.
        rejected: what was left out, and why.
        segmentations: DICOM SEG and RTSTRUCT files found beside the images.
        ultrasound: its two-dimensional ultrasound files (see `read_ultrasound`).
        slides: its whole-slide microscopy files, labels and overviews among them.
        ignored_files: files that are not DICOM.
        source: the kind of input (see `breastpredict.dicom.listing`), or "loaded volumes".
        notes: what was passed over in the input.
        keep: holds what the images lie in (an unpacked archive) as long as the study is used.
    """

    folder: Path
    study_uid: str
    patient_id: str = field(repr=False)
    modality: str
    manufacturer: str
    description: str
    dce: tuple[DceAcquisition, ...]
    rejected: tuple[RejectedSeries, ...]
    segmentations: tuple[Path, ...]
    ignored_files: int = 0
    source: str = "folder"
    notes: tuple[str, ...] = ()
    keep: object = field(default=None, repr=False, compare=False)
    ultrasound: tuple[Path, ...] = ()
    slides: tuple[Path, ...] = ()
