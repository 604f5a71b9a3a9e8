"""From the frames of one series to stacks and their repetitions in time.

A series may hold one volume or all phases, one breast or both as two blocks with different slice
counts. Nothing here trusts one tag: every temporal key is tried, and one is taken only if it
explains all slices, that is, if each of its values holds each slice position exactly once. What
the others say is kept beside it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from breastpredict.dicom.frames import CLOCKS, TEMPORAL_KEYS, Frame
from breastpredict.dicom.headers import Header
from breastpredict.dicom.stacks import (
    NotAStack,
    along_normal,
    blocks_by_number,
    stack_geometry,
    stacks,
)
from breastpredict.imaging import Geometry

_LEVEL_MM = 0.02  # positions this near are one
_DAY = 86400.0


@dataclass(frozen=True)
class Volume:
    """One stack at one time.

    Attributes:
        frames: by slice, along the normal.
        geometry: its grid.
        key: the temporal key that told it apart, "" where the series holds one time.
        order: its place within the series.
        tried: what each temporal key says of the series' slices.
        apart: what tells it from other images of its series at the same place, such as
            {"flip angle": "15"}; empty where there are none.
    """

    frames: tuple[Frame, ...]
    geometry: Geometry
    key: str
    order: int
    tried: Mapping[str, str]
    apart: Mapping[str, str]

    @property
    def header(self) -> Header:
        """Of its first slice."""
        return self.frames[0].header

    @property
    def series_uid(self) -> str:
        return self.header.text("SeriesInstanceUID")


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


@dataclass(frozen=True)
class _Times:
    """How one stack repeats: groups of frames by time, and what was left out."""

    groups: list[list[Frame]]
    key: str
    tried: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    rejected: tuple[LeftOut, ...] = ()


def split_series(frames: Sequence[Frame]) -> Split:
    """Stacks and phases of one series.

    Frames are first told apart by what makes them another acquisition (orientation, matrix, pixel
    size, and the marks of `Frame`), then by place, then by time.
    """
    kinds: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        kinds[
            (
                tuple(np.round(frame.orientation, 3).tolist()),
                frame.matrix,
                tuple(np.round(frame.spacing, 4).tolist()),
                tuple(sorted(frame.marks.items())),
            )
        ].append(frame)
    differing = _differing([members[0].marks for members in kinds.values()])
    magnitude = any(members[0].marks.get("component", "M") == "M" for members in kinds.values())
    volumes: list[Volume] = []
    warnings: list[str] = []
    rejected: list[LeftOut] = []
    for members in kinds.values():
        marks = members[0].marks
        component = marks.get("component", "M")
        if magnitude and component != "M":
            reason = f"{component} images beside the magnitude images"
            rejected.append(LeftOut(reason, _files(members), members[0].header, False))
            continue
        try:
            found, notes, left = _by_place_and_time(members)
        except NotAStack as error:
            try:
                found, notes, left = _by_blocks(members), [_OVERLAPPING], []
            except NotAStack:
                rejected.append(LeftOut(str(error), _files(members), members[0].header, True))
                continue
        apart = {name: marks.get(name, "none") for name in differing}
        volumes.extend(replace(volume, apart=apart) for volume in found)
        warnings.extend(notes)
        rejected.extend(left)
    return Split(tuple(volumes), tuple(dict.fromkeys(warnings)), tuple(rejected))


_OVERLAPPING = "Stacks that overlap in space were told apart by InstanceNumber"


def _files(frames: Sequence[Frame]) -> int:
    return len({frame.header.path for frame in frames})


def _differing(marks: Sequence[Mapping[str, str]]) -> list[str]:
    """The marks in which kinds of one series differ, sides apart: those are told by place."""
    names = sorted({name for kind in marks for name in kind if name != "side"})
    return [name for name in names if len({kind.get(name) for kind in marks}) > 1]


def _by_place_and_time(
    frames: list[Frame],
) -> tuple[list[Volume], list[str], list[LeftOut]]:
    volumes: list[Volume] = []
    warnings: list[str] = []
    rejected: list[LeftOut] = []
    for stack in stacks(frames):
        times = _repetitions(stack)
        for order, group in enumerate(times.groups):
            volumes.append(_volume(group, times.key, order, times.tried))
        warnings.extend(times.warnings)
        rejected.extend(times.rejected)
    return volumes, warnings, rejected


def _by_blocks(frames: list[Frame]) -> list[Volume]:
    return [
        _volume(block, "InstanceNumber", place, {"InstanceNumber": "orders blocks of slices"})
        for same in blocks_by_number(frames)
        for place, block in enumerate(same)
    ]


def _volume(frames: Sequence[Frame], key: str, order: int, tried: Mapping[str, str]) -> Volume:
    ordered, geometry = stack_geometry(frames)
    return Volume(ordered, geometry, key, order, tried, {})


def _repetitions(frames: list[Frame]) -> _Times:
    """The times of one stack."""
    along, _ = along_normal(frames)
    level: list[int] = np.round(along / _LEVEL_MM).astype(int).tolist()
    positions = Counter(level)
    if max(positions.values()) == 1:
        if len(positions) == 1:
            raise NotAStack("a single slice, not a stack")
        return _Times([frames], "", {})
    keys = {key: _groups_of(frames, key) for key in _keys_of(frames)}
    whole = {key: groups for key, groups in keys.items() if _explains(groups, level, positions)}
    tried = {
        key: _verdict(groups, frames, key, whole, level, positions) for key, groups in keys.items()
    }
    if whole:
        key, chosen = next(iter(whole.items()))
        return _Times(
            [[frames[i] for i in group] for group in chosen],
            key,
            tried,
            (*_disagreements(key, chosen, whole), *_count_note(frames, len(chosen))),
        )
    partial = _partly(frames, keys, level, positions)
    if partial is not None:
        return replace(partial, tried=tried)
    groups = _by_instance_number(frames, level, positions)
    note = _count_note(frames, len(groups))
    return _Times(
        groups, "InstanceNumber", {**tried, "InstanceNumber": "explains all slices"}, note
    )


def _keys_of(frames: Sequence[Frame]) -> list[str]:
    present = {key for frame in frames for key in frame.times}
    return [k for k in TEMPORAL_KEYS if k in present] + sorted(present - set(TEMPORAL_KEYS))


def _groups_of(frames: Sequence[Frame], key: str) -> list[list[int]]:
    """Indices of the frames of each value of a key, in its order; empty where one lacks it."""
    if not all(key in frame.times for frame in frames):
        return []
    groups: dict[float, list[int]] = defaultdict(list)
    for index, frame in enumerate(frames):
        groups[frame.times[key]].append(index)
    return [groups[value] for value in _in_order(sorted(groups), key)]


def _explains(groups: list[list[int]], level: list[int], positions: Counter[int]) -> bool:
    return len(groups) > 1 and all(
        len(group) == len(positions) == len({level[i] for i in group}) for group in groups
    )


def _verdict(
    groups: list[list[int]],
    frames: Sequence[Frame],
    key: str,
    whole: Mapping[str, object],
    level: list[int],
    positions: Counter[int],
) -> str:
    if not groups:
        having = sum(key in frame.times for frame in frames)
        return f"in {having} of {len(frames)} slices only"
    if len(groups) == 1:
        return "the same in all slices"
    if key in whole:
        return f"explains all slices: {len(groups)} values at {len(positions)} positions"
    complete = sum(
        len(group) == len(positions) == len({level[i] for i in group}) for group in groups
    )
    return f"{len(groups)} values, {complete} of which hold each of {len(positions)} positions once"


def _disagreements(
    key: str, chosen: list[list[int]], whole: Mapping[str, list[list[int]]]
) -> list[str]:
    sets = [frozenset(group) for group in chosen]
    notes = []
    for other, groups in whole.items():
        theirs = [frozenset(group) for group in groups]
        if set(theirs) != set(sets):
            notes.append(f"{other} groups the slices differently from {key}")
        elif theirs != sets:
            notes.append(f"{other} orders the phases differently from {key}")
    return notes


def _count_note(frames: Sequence[Frame], found: int) -> tuple[str, ...]:
    stated = frames[0].header.number("NumberOfTemporalPositions")
    if stated is None or stated in (0, 1, found):
        return ()
    return (f"NumberOfTemporalPositions is {stated:.0f}, and {found} were found",)


def _partly(
    frames: list[Frame],
    keys: Mapping[str, list[list[int]]],
    level: list[int],
    positions: Counter[int],
) -> _Times | None:
    """Phases by a key of which some lost slices: the whole ones are kept, the others named.

    At least half of the phases must be whole, and none may hold a position twice: else the key
    tells something other than phases.
    """
    for key, groups in keys.items():
        own = [{level[i] for i in group} for group in groups]
        if any(len(group) != len(found) for group, found in zip(groups, own, strict=True)):
            continue
        complete = [len(group) == len(positions) for group in groups]
        if len(groups) < 2 or sum(complete) * 2 < len(groups) or max(map(len, groups)) < 2:
            continue
        lost = [
            LeftOut(
                f"slices are missing: time {number} by {key} has {len(group)} of {len(positions)}",
                _files([frames[i] for i in group]),
                frames[group[0]].header,
                True,
            )
            for number, (group, whole) in enumerate(zip(groups, complete, strict=True), start=1)
            if not whole
        ]
        kept = [group for group, whole in zip(groups, complete, strict=True) if whole]
        return _Times([[frames[i] for i in group] for group in kept], key, {}, (), tuple(lost))
    return None


def _in_order(values: list[float], key: str) -> list[float]:
    """Times of day that roll over midnight start after the largest gap."""
    if key not in CLOCKS or values[-1] - values[0] < _DAY / 2 or values[-1] >= _DAY:
        return values
    first = int(np.argmax(np.diff(values))) + 1
    return values[first:] + values[:first]


def _by_instance_number(
    frames: list[Frame], level: list[int], positions: Counter[int]
) -> list[list[Frame]]:
    """No temporal key explains the slices: their order in the series does, or nothing.

    Raises:
        NotAStack: it does not.
    """
    repeated = [value for value, count in positions.items() if count > 1]
    order = sorted(range(len(frames)), key=lambda i: frames[i].instance_number)
    numbers = [frames[i].instance_number for i in order]
    if len(set(numbers)) < len(numbers) or len(set(positions.values())) > 1:
        raise NotAStack(
            "duplicate slices: some positions occur more often than others"
            if len(repeated) < len(positions)
            else "slices are missing: not every phase holds every position"
        )
    phases, count = next(iter(positions.values())), len(positions)
    ordered = [level[i] for i in order]
    if len(set(ordered[:count])) == count:  # phase after phase
        groups = [order[n : n + count] for n in range(0, len(order), count)]
    else:  # slice after slice
        groups = [order[n::phases] for n in range(phases)]
    if any(len({level[i] for i in group}) != count for group in groups):
        raise NotAStack("slices repeat, and neither a temporal tag nor InstanceNumber says how")
    return [[frames[i] for i in group] for group in groups]
