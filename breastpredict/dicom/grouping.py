"""Which volumes, of one series or several, make an acquisition, and what it seems to miss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from breastpredict.dicom.frames import sequence_of
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
    if a.header.text("FrameOfReferenceUID") != b.header.text("FrameOfReferenceUID"):
        return False
    if not _same_kind(a, b) or not a.geometry.same_grid(b.geometry, 0.05):
        return False
    return _same_sequence(a.frames[0].sequence, b.frames[0].sequence)


def _same_kind(a: Volume, b: Volume) -> bool:
    """Whether they are images of one kind: of water, of one flip angle, labelled or not.

    What tells the kinds of one series apart must agree; where a series holds one kind only, nothing
    but the label is asked, because pre and post may be processed differently.
    """
    names = {*a.apart, *b.apart, "label"}
    mine, theirs = a.frames[0].marks, b.frames[0].marks
    return all(mine.get(name) == theirs.get(name) for name in names)


def _same_sequence(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    for keyword in first.keys() & second.keys():
        x, y = first[keyword], second[keyword]
        if abs(x - y) > 0.05 * max(abs(x), abs(y)):
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
    own, sequence = group[0].header, group[0].frames[0].sequence
    for header, error in damaged:
        alike = all(
            header.text(keyword) in ("", own.text(keyword))
            for keyword in ("FrameOfReferenceUID", "Rows", "Columns")
        )
        axes, others = (h.numbers("ImageOrientationPatient") for h in (own, header))
        turned = len(axes) == len(others) == 6 and not np.allclose(axes, others, atol=1e-2)
        if alike and not turned and _same_sequence(sequence, sequence_of(header)):
            return error
    for volume in singles:
        header = volume.header
        if (
            header.text("FrameOfReferenceUID") == own.text("FrameOfReferenceUID")
            and _same_kind(volume, group[0])
            and _same_sequence(sequence, volume.frames[0].sequence)
            and group[0].geometry.find_slab(volume.geometry, 0.05) is not None
        ):
            return incomplete(
                f"it has {len(volume.frames)} of {len(group[0].frames)} slices", header
            )
    return None
