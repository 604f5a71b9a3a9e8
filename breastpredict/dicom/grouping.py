"""Which volumes, of one series or several, make an acquisition, and what it seems to miss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from breastpredict.dicom.headers import Header
from breastpredict.dicom.phases import Volume
from breastpredict.dicom.timing import order_in_time
from breastpredict.errors import InputError


def group_volumes(volumes: Sequence[Volume]) -> list[list[Volume]]:
    """Volumes of one grid, frame of reference and sequence, in order of time."""
    groups: list[list[Volume]] = []
    for volume in volumes:
        for group in groups:
            if _same_acquisition(group[0], volume):
                group.append(volume)
                break
        else:
            groups.append([volume])
    return [order_in_time(group) for group in groups]


def _same_acquisition(a: Volume, b: Volume) -> bool:
    first, second = a.frames[0].header, b.frames[0].header
    if first.text("FrameOfReferenceUID") != second.text("FrameOfReferenceUID"):
        return False
    if a.label != b.label or not a.geometry.same_grid(b.geometry, 0.05):
        return False
    return _same_sequence(first, second)


def _same_sequence(first: Header, second: Header) -> bool:
    for keyword in ("RepetitionTime", "EchoTime", "FlipAngle"):
        x, y = first.number(keyword), second.number(keyword)
        if x is not None and y is not None and abs(x - y) > 0.05 * max(abs(x), abs(y)):
            return False
    return True


def incomplete(reason: str, header: Header) -> InputError:
    """A phase with missing or contradicting slices."""
    return InputError(
        f"A phase cannot be used: {reason}",
        path=header.path.parent,
        remedy="Send the study again from the scanner or PACS, or choose the phase by hand",
    )


def damage_of(
    group: Sequence[Volume],
    damaged: Sequence[tuple[Header, InputError]],
    singles: Sequence[Volume],
) -> InputError | None:
    """What was left out although it seems to be a phase of this acquisition.

    Choosing the early phase among the rest would be a guess. Damaged files count when they have
    the acquisition's sequence, matrix and orientation; a volume that stands alone, when its slices
    lie in the planes of the acquisition's: it has lost some at an end.
    """
    own = group[0].frames[0].header
    for header, error in damaged:
        alike = all(
            header.text(keyword) in ("", own.text(keyword))
            for keyword in ("FrameOfReferenceUID", "Rows", "Columns")
        )
        axes, others = (h.numbers("ImageOrientationPatient") for h in (own, header))
        turned = len(axes) == len(others) == 6 and not np.allclose(axes, others, atol=1e-2)
        if alike and not turned and _same_sequence(own, header):
            return error
    for volume in singles:
        header = volume.frames[0].header
        if (
            header.text("FrameOfReferenceUID") == own.text("FrameOfReferenceUID")
            and volume.label == group[0].label
            and _same_sequence(own, header)
            and group[0].geometry.find_slab(volume.geometry, 0.05) is not None
        ):
            return incomplete(
                f"it has {len(volume.frames)} of {len(group[0].frames)} slices", header
            )
    return None
