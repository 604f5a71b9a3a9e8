"""From the frames of one series to stacks and their repetitions in time.

A series may hold one volume or all phases, one breast or both as two blocks with different slice
counts, images of several kinds at each place, and copies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from breastpredict.dicom.frames import Frame
from breastpredict.dicom.headers import Header
from breastpredict.dicom.pixels import read_frames, source_of
from breastpredict.dicom.repetitions import LeftOut, repetitions
from breastpredict.dicom.stacks import (
    NotAStack,
    SeveralKinds,
    blocks_by_number,
    stack_geometry,
    stacks,
)
from breastpredict.errors import InputError
from breastpredict.imaging import Geometry


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
        notes: what disagreed in its series.
    """

    frames: tuple[Frame, ...]
    geometry: Geometry
    key: str
    order: int
    tried: Mapping[str, str]
    apart: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def header(self) -> Header:
        """Of its first slice."""
        return self.frames[0].header

    @property
    def series_uid(self) -> str:
        return self.header.text("SeriesInstanceUID")


@dataclass(frozen=True)
class Split:
    """The volumes of a series, and what could not be used."""

    volumes: tuple[Volume, ...]
    rejected: tuple[LeftOut, ...]


def split_series(frames: Sequence[Frame]) -> Split:
    """Stacks and phases of one series.

    Frames are first told apart by what makes them another acquisition (orientation, matrix, pixel
    size, and the marks of `Frame`), then by place, then by time.
    """
    volumes: list[Volume] = []
    rejected = [
        LeftOut(reason, _files(members), members[0].header, False)
        for reason, members in _unfit(frames).items()
    ]
    kinds = _kinds([frame for frame in frames if not frame.unfit])
    differing = _differing([members[0].marks for members in kinds])
    for kind in kinds:
        members, copies = _without_copies(kind)
        rejected.extend(copies)
        found, left = _of_one_kind(members)
        apart = {name: members[0].marks.get(name, "none") for name in differing}
        volumes.extend(replace(volume, apart=apart) for volume in found)
        rejected.extend(left)
    return Split(tuple(volumes), tuple(rejected))


_OVERLAPPING = "Stacks that overlap in space were told apart by InstanceNumber"


def _unfit(frames: Sequence[Frame]) -> dict[str, list[Frame]]:
    """Frames that are of no phase, by the reason."""
    found: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        if frame.unfit:
            found[frame.unfit].append(frame)
    return found


def _kinds(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Frames of one orientation, matrix, pixel size and set of marks.

    Orientations and sizes are compared with a tolerance: some writers round them anew in each
    slice. Of marks that a header may leave out, one value and its absence are the same.
    """
    stated: dict[str, set[str]] = {name: set() for name in _MAY_BE_ABSENT}
    for frame in frames:
        for name in _MAY_BE_ABSENT & frame.marks.keys():
            stated[name].add(frame.marks[name])
    idle = {name for name, values in stated.items() if len(values) < 2}
    exact: dict[tuple[object, ...], dict[tuple[object, ...], list[Frame]]] = defaultdict(dict)
    for frame in frames:
        marks = tuple((name, frame.marks[name]) for name in sorted(frame.marks.keys() - idle))
        planes = exact[frame.matrix, marks]
        planes.setdefault((frame.orientation, frame.spacing), []).append(frame)
    kinds: list[list[Frame]] = []
    for planes in exact.values():
        alike: list[list[Frame]] = []
        for members in planes.values():
            for kind in alike:
                if _alike(kind[0], members[0]):
                    kind.extend(members)
                    break
            else:
                alike.append(list(members))
        kinds.extend(alike)
    return kinds


_MAY_BE_ABSENT = frozenset(("flip angle", "echo time", "image type", "side"))


def _alike(a: Frame, b: Frame) -> bool:
    return all(
        [abs(x - y) < 1e-3 for x, y in zip(a.orientation, b.orientation, strict=True)]
        + [abs(x - y) < 1e-3 * x for x, y in zip(a.spacing, b.spacing, strict=True)]
    )


def _files(frames: Sequence[Frame]) -> int:
    return len({frame.header.path for frame in frames})


def _differing(marks: Sequence[Mapping[str, str]]) -> list[str]:
    """As few marks as tell the kinds of one series apart; sides apart, which are told by place."""
    names = list(dict.fromkeys(name for kind in marks for name in kind if name != "side"))
    wanted = len({tuple(kind.get(name) for name in names) for kind in marks})
    chosen: list[str] = []
    for name in names:  # in the order in which `marked` was given them: the plainest first
        before = len({tuple(kind.get(n) for n in chosen) for kind in marks})
        if before == wanted:
            break
        if len({tuple(kind.get(n) for n in [*chosen, name]) for kind in marks}) > before:
            chosen.append(name)
    return chosen


def _without_copies(frames: list[Frame]) -> tuple[list[Frame], list[LeftOut]]:
    """Frames without those that are there again under another UID, with the same pixels."""
    kept: list[Frame] = []
    copies: list[Frame] = []
    seen: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        times = tuple(sorted(frame.times.items()))
        same = seen[frame.position, times, frame.instance_number]
        if any(_same_pixels(frame, other) for other in same):
            copies.append(frame)
        else:
            same.append(frame)
            kept.append(frame)
    if not copies:
        return frames, []
    reason = "copies under other UIDs of slices of the same series"
    return kept, [LeftOut(reason, _files(copies), copies[0].header, False)]


def _same_pixels(a: Frame, b: Frame) -> bool:
    try:
        first, second = read_frames([source_of(a), source_of(b)])
    except InputError:
        return False
    return np.array_equal(first, second)


def _of_one_kind(frames: list[Frame]) -> tuple[list[Volume], list[LeftOut]]:
    volumes: list[Volume] = []
    rejected: list[LeftOut] = []
    failed: list[LeftOut] = []
    by_order = True
    for stack in stacks(frames):
        try:
            times = repetitions(stack)
            volumes.extend(
                [
                    _volume(group, times.key, order, times.tried, times.warnings)
                    for order, group in enumerate(times.groups)
                ]
            )
            rejected.extend(times.rejected)
        except NotAStack as error:
            failed.append(LeftOut(str(error), _files(stack), stack[0].header, True))
            by_order = by_order and not isinstance(error, SeveralKinds)
    if failed and by_order:
        try:
            return _by_blocks(frames), []
        except NotAStack:
            pass
    return volumes, [*rejected, *failed]


def _by_blocks(frames: list[Frame]) -> list[Volume]:
    tried = {"InstanceNumber": "orders blocks of slices"}
    return [
        _volume(block, "InstanceNumber", place, tried, (_OVERLAPPING,))
        for same in blocks_by_number(frames)
        for place, block in enumerate(same)
    ]


def _volume(
    frames: Sequence[Frame],
    key: str,
    order: int,
    tried: Mapping[str, str],
    notes: tuple[str, ...],
) -> Volume:
    ordered, geometry = stack_geometry(frames)
    return Volume(ordered, geometry, key, order, tried, {}, notes)
