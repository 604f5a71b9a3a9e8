"""Slices in space: which make a stack, where one stack ends and the next begins, on what grid."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from breastpredict.dicom.frames import Frame
from breastpredict.errors import InputError
from breastpredict.imaging import Geometry

_POSITION_TOLERANCE_MM = 0.01
_LEVEL_MM = 0.02  # positions nearer than this are one: they are written with few digits
_WANDER_MM = 2.0  # within the plane: rounding and slight obliquity, never another breast
_SPACING_TOLERANCE = 0.02  # of the slice distance: positions are written with few digits


class NotAStack(Exception):
    """The frames are no stack of slices; the message says why."""


def along_normal(frames: Sequence[Frame]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each frame's distance along the normal, and its offset within the plane (mm)."""
    row, column = np.array(frames[0].orientation[:3]), np.array(frames[0].orientation[3:])
    positions = np.array([frame.position for frame in frames])
    normal = np.cross(row, column)
    return positions @ normal, np.stack([positions @ row, positions @ column], axis=1)


class SeveralKinds(NotAStack):
    """Several images stand at one place and time, and nothing tells them apart."""


def levels_of(along: NDArray[np.float64]) -> NDArray[np.int64]:
    """The number of each frame's position along the normal, from 0; positions alike share one."""
    order = np.argsort(along, kind="stable")
    new = np.diff(along[order]) > _LEVEL_MM
    levels = np.empty(len(along), np.int64)
    levels[order] = np.concatenate([[0], np.cumsum(new)])
    return levels


def stacks(frames: list[Frame]) -> list[list[Frame]]:
    """Frames told apart by place: the right and the left breast in one series.

    Enhanced files name their stacks. Else stacks differ by their offset within the plane, or a gap
    along the normal stands between them that is no multiple of the slice distance, lies at the
    midline of the body, or has no hole in the numbering of the slices. What is left of gaps is
    missing slices.
    """
    along, offset = along_normal(frames)
    named = _by_stack_id(frames, along)
    if named is not None:
        return named
    out = []
    for members in _by_offset(offset, along):
        # The middle of each position: several phases may have rounded it differently.
        level = levels_of(along[members])
        levels = np.array([along[members][level == n].mean() for n in range(level.max() + 1)])
        steps = np.diff(levels)
        cuts = []
        if len(steps) > 1:
            usual = float(np.median(steps))
            for at in np.flatnonzero(steps > 1.5 * usual):
                if _between_stacks(frames, members, along, levels, int(at), usual):
                    cuts.append((levels[at] + levels[at + 1]) / 2)
        which = np.digitize(along[members], cuts)
        for part in range(len(cuts) + 1):
            stack = [frames[members[i]] for i in np.flatnonzero(which == part)]
            if stack:
                out.append(stack)
    return out


def _by_stack_id(frames: list[Frame], along: NDArray[np.float64]) -> list[list[Frame]] | None:
    """By StackID (0020,9056), where it names stacks; some writers number the slices with it."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, frame in enumerate(frames):
        groups[frame.stack].append(index)
    if len(groups) < 2 or "" in groups:
        return None
    if any(levels_of(along[members]).max() < 1 for members in groups.values()):
        return None
    return [[frames[i] for i in members] for members in groups.values()]


def _by_offset(offset: NDArray[np.float64], along: NDArray[np.float64]) -> list[list[int]]:
    """Frames by their offset within the plane, as far as gaps separate them.

    In an oblique stack whose positions are rounded the offset wanders; that makes no gap.
    """
    groups = [np.arange(len(offset))]
    for axis in (0, 1, 0):  # once more along the first: a gap may show only within a part
        parts = []
        for members in groups:
            order = members[np.argsort(offset[members, axis], kind="stable")]
            gaps = np.flatnonzero(np.diff(offset[order, axis]) > _WANDER_MM) + 1
            parts.extend(np.split(order, gaps))
        groups = parts
    # A stack that leans (not along its normal) has as many offsets as slices: it is one stack.
    if len(groups) > 2 and any(levels_of(along[members]).max() < 1 for members in groups):
        groups = [np.arange(len(offset))]
    return [sorted(members.tolist()) for members in groups]


def _between_stacks(
    frames: Sequence[Frame],
    members: Sequence[int],
    along: NDArray[np.float64],
    levels: NDArray[np.float64],
    at: int,
    usual: float,
) -> bool:
    gap = float(levels[at + 1] - levels[at])
    multiple = gap / usual
    if abs(multiple - round(multiple)) > 0.05 or multiple > 10:
        return True
    normal = np.cross(frames[0].orientation[:3], frames[0].orientation[3:])
    if abs(normal[0]) > 0.8:  # sagittal: does the gap hold the midline, far from both edges?
        sides = [
            frames[i].position[0]
            for i in members
            if min(abs(along[i] - levels[at]), abs(along[i] - levels[at + 1])) < _LEVEL_MM
        ]
        if min(sides) < 0 < max(sides):
            return True
    numbers = sorted({frame.header.number("InstanceNumber") or 0 for frame in frames})
    return len(numbers) > 1 and numbers[-1] - numbers[0] + 1 == len(numbers) == len(frames)


def blocks_by_number(frames: list[Frame]) -> list[list[list[Frame]]]:
    """Stacks that overlap in space, told apart by the order of the slices in the series.

    InstanceNumber runs through one stack after the other; a block ends where the step between
    slices changes. Blocks at the same positions are one stack at several times. Every stack must
    be seen at least twice, or two stacks once each, overlapping; else nothing is concluded.

    Returns:
        For every stack its blocks in order of time.

    Raises:
        NotAStack: the order does not show blocks.
    """
    ordered = sorted(frames, key=lambda frame: frame.instance_number)
    if len({frame.instance_number for frame in ordered}) < len(ordered):
        raise NotAStack("InstanceNumber does not order the slices")
    along, _ = along_normal(ordered)
    blocks = [[0]]
    for i in range(1, len(ordered)):
        block = blocks[-1]
        step = along[i] - along[i - 1]
        if len(block) == 1 or abs(step - (along[block[1]] - along[block[0]])) < 0.1 * abs(step):
            block.append(i)
        else:
            blocks.append([i])
    places: dict[tuple[float, ...], list[list[int]]] = defaultdict(list)
    for block in blocks:
        places[tuple(np.round(along[block], 1).tolist())].append(block)
    seen_twice = min(len(same) for same in places.values()) >= 2
    ends = [(min(levels), max(levels)) for levels in places]
    # Two pieces that do not overlap may be one stack with a hole; two that do are two stacks.
    overlap = len(ends) == 2 and ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1]
    if min(map(len, blocks)) < 3 or not (seen_twice or (overlap and len(blocks) == 2)):
        raise NotAStack("the order of the slices shows no stacks")
    return [[[ordered[i] for i in block] for block in same] for same in places.values()]


def wander_of(frames: Sequence[Frame]) -> NDArray[np.float64]:
    """How far each slice of a stack lies beside the line from the first to the last, within the
    plane (mm)."""
    along, offset = along_normal(frames)
    share = (along - along[0]) / ((along[-1] - along[0]) or 1.0)
    line = offset[0] + share[:, np.newaxis] * (offset[-1] - offset[0])
    return np.asarray(np.linalg.norm(offset - line, axis=1))


def stack_geometry(frames: Sequence[Frame]) -> tuple[tuple[Frame, ...], Geometry]:
    """The frames of one stack at one time in order along the normal, and their grid.

    Raises:
        NotAStack: slices are missing, doubled or not evenly spaced.
    """
    along, _ = along_normal(frames)
    ranks = np.argsort(along, kind="stable")
    ordered = tuple(frames[i] for i in ranks)
    levels = along[ranks]
    steps = np.diff(levels)
    if len(ordered) == 1:  # one slice, repeated in time: its thickness is all there is
        steps = np.array([ordered[0].header.number("SliceThickness") or 0.0])
        if steps[0] <= 0:
            raise NotAStack("a single slice position without SliceThickness")
    step = float(np.median(steps))
    if step < _POSITION_TOLERANCE_MM:
        raise NotAStack("duplicate slices at one position")
    allowed = max(_SPACING_TOLERANCE * step, 2 * _POSITION_TOLERANCE_MM)
    if np.any(np.abs(steps - step) > allowed):
        worst = float(steps[np.argmax(np.abs(steps - step))])
        what = "slices are missing" if worst > 1.5 * step else "slices are not evenly spaced"
        raise NotAStack(f"{what} (steps of {step:.2f} mm and of {worst:.2f} mm)")
    first, last = np.array(ordered[0].position), np.array(ordered[-1].position)
    row, column = np.array(ordered[0].orientation[:3]), np.array(ordered[0].orientation[3:])
    row = row / np.linalg.norm(row)
    column = column - row * (row @ column)
    column = column / np.linalg.norm(column)
    normal = np.cross(row, column)
    mean_step = step
    if len(ordered) > 1:
        mean_step = float((last - first) @ normal) / (len(ordered) - 1)
    shear = np.linalg.norm((last - first) - normal * ((last - first) @ normal))
    if shear > max(1.0, 0.02 * abs(mean_step) * len(ordered)):
        raise NotAStack("the slices are not stacked along their normal")
    direction = np.stack([row, column, normal], axis=1)
    try:
        grid = Geometry(
            (*ordered[0].matrix, len(ordered)),
            (*ordered[0].spacing, mean_step),
            (float(first[0]), float(first[1]), float(first[2])),
            tuple(direction.ravel().tolist()),
        )
    except InputError as error:
        raise NotAStack(error.problem) from error
    return ordered, grid
