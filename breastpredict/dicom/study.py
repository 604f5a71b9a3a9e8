"""A study as read from DICOM: acquisitions, phases and their slices."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import SimpleITK as sitk

from breastpredict.dicom.pixels import FrameSource, read_frames
from breastpredict.errors import InputError
from breastpredict.imaging import Geometry


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Phase:
    """One time point of a DCE acquisition.

    Attributes:
        index: 1-based, in order of time, as users see it.
        time_s: centre of the acquisition in seconds from ``time_origin`` (its start where the
            duration is unknown); NaN where no tag tells a time.
        time_origin: what the time is counted from, in words.
        role: "pre", "post" (confirmed from the signal) or "unknown".
        series_uid: its series.
        geometry: its grid; k runs along the cross product of row and column direction.
        instances: one for each slice k.
    """

    index: int
    time_s: float
    time_origin: str
    role: str
    series_uid: str
    geometry: Geometry
    instances: tuple[Instance, ...] = field(repr=False)

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
        sources = [instance.source for instance in self.instances[start:stop]]
        return slab.to_image(read_frames(sources))


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
    """A series, or part of one, that was left out, and why."""

    series_uid: str
    reason: str
    files: int


@dataclass(frozen=True)
class Study:
    """What a folder holds of one study.

    ``patient_id`` is for checks and for DICOM objects only; it is never shown or logged.
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
