"""From the frames of one series to stacks and their repetitions in time.

A series may hold one volume or all phases, one breast or both as two blocks with different slice
counts. Nothing here trusts one tag: every temporal key is tried, and one is taken only if it
explains all slices, that is, if each of its values holds each slice position exactly once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breastpredict.dicom.frames import TEMPORAL_KEYS, Frame
from breastpredict.dicom.headers import Header
from breastpredict.imaging import Geometry

_POSITION_TOLERANCE_MM = 0.01
_SPACING_TOLERANCE = 0.02  # of the slice distance: positions are written with few digits
_DAY = 86400.0


class NotAStack(Exception):
    """The frames are no stack of slices; the message says why."""


@dataclass(frozen=True)
class Volume:
    """One stack at one time.

    Attributes:
        frames: by slice, along the normal.
        geometry: its grid.
        key: the temporal key that told it apart, "" where the series holds one time.
        order: its place within the series.
    """

    frames: tuple[Frame, ...]
    geometry: Geometry
    key: str
    order: int

    @property
    def label(self) -> str:
        """What tells it from other images of the same grid, such as label and control."""
        return self.frames[0].header.text("PhilipsLabelType")


class LeftOut(NamedTuple):
    """Frames that could not be used: why, how many, and whether they are damaged."""

    reason: str
    files: int
    header: Header
    damaged: bool


@dataclass(frozen=True)
class Split:
    """The volumes of a series, what was noticed, and what could not be used."""

    volumes: tuple[Volume, ...]
    warnings: tuple[str, ...]
    rejected: tuple[LeftOut, ...]


def split_series(frames: Sequence[Frame]) -> Split:
    """Stacks and phases of one series.

    Frames are first told apart by what makes them another acquisition (orientation, matrix, pixel
    size, flip angle, echo time, magnitude or phase, laterality), then by place, then by time.
    """
    kinds: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        header = frame.header
        kinds[
            (
                tuple(np.round(frame.orientation, 3).tolist()),
                frame.matrix,
                tuple(np.round(frame.spacing, 4).tolist()),
                header.text("FlipAngle"),
                header.text("EchoTime"),
                frame.component,
                _series_kind(frame),
                header.text("ImageLaterality") or header.text("Laterality"),
            )
        ].append(frame)
    volumes: list[Volume] = []
    warnings: list[str] = []
    rejected: list[LeftOut] = []
    magnitude = any(key[5] in ("", "M") for key in kinds)
    for key, members in kinds.items():
        if magnitude and key[5] not in ("", "M"):
            reason = f"{key[5]} images beside the magnitude images"
            rejected.append(LeftOut(reason, len(members), members[0].header, False))
            continue
        try:
            found, notes = _by_place_and_time(members)
        except NotAStack as error:
            try:
                found, notes = _by_blocks(members)
            except NotAStack:
                rejected.append(LeftOut(str(error), len(members), members[0].header, True))
                continue
        volumes.extend(found)
        warnings.extend(notes)
    return Split(tuple(volumes), tuple(dict.fromkeys(warnings)), tuple(rejected))


def _by_place_and_time(frames: list[Frame]) -> tuple[list[Volume], list[str]]:
    volumes: list[Volume] = []
    warnings: list[str] = []
    for stack in _stacks(frames):
        found, notes = _repetitions(stack)
        volumes.extend(found)
        warnings.extend(notes)
    return volumes, warnings


def _series_kind(frame: Frame) -> str:
    """The third and later values of ImageType that mark another contrast, such as M_SE beside M."""
    parts = frame.header.text("ImageType").upper().split("\\")
    private = [frame.header.text(key) for key in ("PhilipsImageTypeMR", "PhilipsLabelType")]
    return "\\".join([*parts[2:], *private]) if frame.number is None else ""


def _along_normal(frames: Sequence[Frame]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each frame's distance along the normal, and its offset within the plane (mm)."""
    row, column = np.array(frames[0].orientation[:3]), np.array(frames[0].orientation[3:])
    positions = np.array([frame.position for frame in frames])
    normal = np.cross(row, column)
    return positions @ normal, np.stack([positions @ row, positions @ column], axis=1)


def _stacks(frames: list[Frame]) -> list[list[Frame]]:
    """Frames told apart by place: the right and the left breast in one series.

    Stacks differ by their offset within the plane, or a gap along the normal stands between them
    that is no multiple of the slice distance, lies at the midline of the body, or has no hole in
    the numbering of the slices. What is left of gaps is missing slices.
    """
    along, offset = _along_normal(frames)
    groups: dict[tuple[float, ...], list[int]] = defaultdict(list)
    for index, pair in enumerate(np.round(offset, 1).tolist()):
        groups[tuple(pair)].append(index)
    # In an oblique stack whose positions are rounded the offset wanders; then it tells nothing.
    if len(groups) > 2:
        groups = {(): list(range(len(frames)))}
    out = []
    for members in groups.values():
        levels = np.unique(np.round(along[members], 2))
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
            if abs(along[i] - levels[at]) < 0.01 or abs(along[i] - levels[at + 1]) < 0.01
        ]
        if min(sides) < 0 < max(sides):
            return True
    numbers = sorted({frame.header.number("InstanceNumber") or 0 for frame in frames})
    return len(numbers) > 1 and numbers[-1] - numbers[0] + 1 == len(numbers) == len(frames)


def _repetitions(frames: list[Frame]) -> tuple[list[Volume], list[str]]:
    """The times of one stack."""
    along, _ = _along_normal(frames)
    level = np.round(along / _POSITION_TOLERANCE_MM / 2).astype(int)
    counts = Counter(level.tolist())
    if max(counts.values()) == 1:
        if len(counts) == 1:
            raise NotAStack("a single slice, not a stack")
        return [_volume(frames, "", 0)], []
    explaining = {}
    for key in TEMPORAL_KEYS:
        if all(key in frame.times for frame in frames):
            groups: dict[float, list[int]] = defaultdict(list)
            for index, frame in enumerate(frames):
                groups[frame.times[key]].append(index)
            if len(groups) > 1 and all(
                len(group) == len(counts) == len({level[i] for i in group})
                for group in groups.values()
            ):
                explaining[key] = [groups[value] for value in _in_order(sorted(groups), key)]
    if explaining:
        key, chosen = next(iter(explaining.items()))
        same = {frozenset(group) for group in chosen}
        notes = [
            f"{other} groups the slices differently from {key}"
            for other, groups_ in explaining.items()
            if {frozenset(group) for group in groups_} != same
        ]
        notes += [
            f"{other} orders the phases differently from {key}"
            for other, groups_ in explaining.items()
            if {frozenset(group) for group in groups_} == same
            and [frozenset(g) for g in groups_] != [frozenset(g) for g in chosen]
        ]
        volumes = [
            _volume([frames[i] for i in group], key, order) for order, group in enumerate(chosen)
        ]
        return volumes, notes
    return _by_instance_number(frames, level.tolist(), counts)


def _in_order(values: list[float], key: str) -> list[float]:
    """Times of day that roll over midnight start after the largest gap."""
    if key not in ("AcquisitionTime", "ContentTime") or values[-1] - values[0] < _DAY / 2:
        return values
    gaps = np.diff(values)
    first = int(np.argmax(gaps)) + 1
    return values[first:] + values[:first]


def _by_instance_number(
    frames: list[Frame], level: list[int], counts: Counter[int]
) -> tuple[list[Volume], list[str]]:
    """No temporal key explains the slices: their order in the series does, or nothing."""
    repeated = [value for value, count in counts.items() if count > 1]
    order = sorted(range(len(frames)), key=lambda i: frames[i].instance_number)
    numbers = [frames[i].instance_number for i in order]
    if len(set(numbers)) < len(numbers) or len(set(counts.values())) > 1:
        raise NotAStack(
            "duplicate slices: some positions occur more often than others"
            if len(repeated) < len(counts)
            else "slices are missing: not every phase holds every position"
        )
    phases = next(iter(counts.values()))
    ordered = [level[i] for i in order]
    if len(set(ordered[: len(counts)])) == len(counts):  # phase after phase
        groups = [order[n : n + len(counts)] for n in range(0, len(order), len(counts))]
    else:  # slice after slice
        groups = [order[n::phases] for n in range(phases)]
    if any(len({level[i] for i in group}) != len(counts) for group in groups):
        raise NotAStack("slices repeat, and neither a temporal tag nor InstanceNumber says how")
    return [
        _volume([frames[i] for i in group], "InstanceNumber", place)
        for place, group in enumerate(groups)
    ], []


def _by_blocks(frames: list[Frame]) -> tuple[list[Volume], list[str]]:
    """Stacks that overlap in space, told apart by the order of the slices in the series.

    InstanceNumber runs through one stack after the other; a block ends where the step between
    slices changes. Blocks at the same positions are one stack at several times. Every stack must
    be seen at least twice, or two stacks once each, overlapping; else nothing is concluded.

    Raises:
        NotAStack: the order does not show blocks.
    """
    ordered = sorted(frames, key=lambda frame: frame.instance_number)
    if len({frame.instance_number for frame in ordered}) < len(ordered):
        raise NotAStack("InstanceNumber does not order the slices")
    along, _ = _along_normal(ordered)
    blocks = [[0]]
    for i in range(1, len(ordered)):
        block = blocks[-1]
        step = along[i] - along[i - 1]
        if len(block) == 1 or abs(step - (along[block[1]] - along[block[0]])) < 0.1 * abs(step):
            block.append(i)
        else:
            blocks.append([i])
    stacks: dict[tuple[float, ...], list[list[int]]] = defaultdict(list)
    for block in blocks:
        stacks[tuple(np.round(along[block], 1).tolist())].append(block)
    seen_twice = min(len(same) for same in stacks.values()) >= 2
    ends = [(min(levels), max(levels)) for levels in stacks]
    # Two pieces that do not overlap may be one stack with a hole; two that do are two stacks.
    overlap = len(ends) == 2 and ends[0][0] <= ends[1][1] and ends[1][0] <= ends[0][1]
    if min(map(len, blocks)) < 3 or not (seen_twice or (overlap and len(blocks) == 2)):
        raise NotAStack("the order of the slices shows no stacks")
    volumes = [
        _volume([ordered[i] for i in block], "InstanceNumber", place)
        for same in stacks.values()
        for place, block in enumerate(same)
    ]
    return volumes, ["Stacks that overlap in space were told apart by InstanceNumber"]


def _volume(frames: Sequence[Frame], key: str, order: int) -> Volume:
    along, _ = _along_normal(frames)
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
    return Volume(
        ordered,
        Geometry(
            (*ordered[0].matrix, len(ordered)),
            (*ordered[0].spacing, mean_step),
            (float(first[0]), float(first[1]), float(first[2])),
            tuple(direction.ravel().tolist()),
        ),
        key,
        order,
    )
