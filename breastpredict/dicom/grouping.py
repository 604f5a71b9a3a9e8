"""Which volumes, of one series or several, make an acquisition, and what it seems to miss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from breastpredict.dicom.clocks import by_series, clocks_of, order_in_time
from breastpredict.dicom.frames import sequence_of
from breastpredict.dicom.headers import MR_CLASSIC, Header
from breastpredict.dicom.phases import Volume
from breastpredict.dicom.pixels import read_frames, source_of
from breastpredict.dicom.repetitions import LeftOut
from breastpredict.errors import InputError

PAUSE_S = 1200.0
"""No dynamic acquisition pauses this long between two phases: what comes after is another one."""

_NEAR_MM = 2.0
"""No other acquisition of the same sequence lies this near; a phase whose place is damaged does."""

_DAY = 86400.0


def group_volumes(volumes: Sequence[Volume]) -> tuple[list[list[Volume]], list[LeftOut]]:
    """Volumes of one grid, frame of reference, kind and sequence, in order of time.

    Returns:
        The groups, and the volumes that are of none: copies, and images whose kind nothing tells.
    """
    groups: list[list[Volume]] = []
    for volume in volumes:
        for group in groups:
            if _same_acquisition(group[0], volume):
                group.append(volume)
                break
        else:
            groups.append([volume])
    out: list[list[Volume]] = []
    left: list[LeftOut] = []
    for group in groups:
        parts, unused = _apart_at_one_time(group)
        left.extend(unused)
        for part in parts:
            out.extend(_runs(order_in_time(part)))
    return out, left


def _same_acquisition(a: Volume, b: Volume) -> bool:
    if not _one_space(frames_of_reference(a), frames_of_reference(b)):
        return False
    if not _same_kind(a, b) or not a.geometry.same_grid(b.geometry, 0.05):
        return False
    return _same_sequence(_sequence(a), _sequence(b))


def frames_of_reference(volume: Volume) -> set[str]:
    """What its slices state; one, unless a header is damaged."""
    return {frame.header.text("FrameOfReferenceUID") for frame in volume.frames} - {""}


def _one_space(a: set[str], b: set[str]) -> bool:
    return not a or not b or bool(a & b)


def _same_kind(a: Volume, b: Volume) -> bool:
    """Whether they are images of one kind: of water, of one flip angle, labelled or not.

    What tells the kinds of one series apart must agree; where a series holds one kind only, nothing
    but tissue and label is asked, because pre and post may be processed differently.
    """
    names = {*a.apart, *b.apart, "tissue", "label"}
    mine, theirs = a.frames[0].marks, b.frames[0].marks
    return all(mine.get(name) == theirs.get(name) for name in names)


def _sequence(volume: Volume) -> dict[str, float]:
    """What most of its slices say of the pulse sequence: one may be damaged."""
    stated: dict[str, list[float]] = {}
    for frame in volume.frames:
        for name, value in frame.sequence.items():
            stated.setdefault(name, []).append(value)
    return {name: sorted(values)[len(values) // 2] for name, values in stated.items()}


def _same_sequence(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    for keyword in first.keys() & second.keys():
        x, y = first[keyword], second[keyword]
        if abs(x - y) > 0.05 * max(abs(x), abs(y)):
            return False
    return True


# --- Images of one place and one time ---

_TELLING: tuple[tuple[str, Callable[[Volume], str]], ...] = (
    ("object", lambda v: "MR" if v.header.text("SOPClassUID") == MR_CLASSIC else "Enhanced MR"),
    ("image type", lambda v: v.frames[0].marks.get("image type", "none")),
    ("description", lambda v: v.header.text("SeriesDescription")),
)
"""What tells the images of several series at one place and time apart. A description is compared,
and never shown: people type what they like into it."""


def _apart_at_one_time(group: list[Volume]) -> tuple[list[list[Volume]], list[LeftOut]]:
    """Volumes of several series that were acquired at the same times are no phases of each other.

    They are copies (the same pixels; one is kept), or images of different kinds, such as water and
    fat under equal marks: then what tells them apart separates them, or none is used. Where one
    time stands in all headers the times tell nothing.
    """
    clocks = clocks_of(group)
    if clocks is None:
        return [group], []
    times = {id(v): round(t % _DAY, 2) for v, t in zip(group, clocks, strict=True)}
    if len(set(times.values())) < 2:
        return [group], []
    kept, left = _without_copies(group, times)
    if not _coincide(kept, times):
        return [kept], left
    for name, of in _TELLING:
        parts: dict[str, list[Volume]] = {}
        for volume in kept:
            parts.setdefault(of(volume), []).append(volume)
        if len(parts) > 1 and not any(_coincide(part, times) for part in parts.values()):
            return [
                [replace(v, apart={**v.apart, **_named(name, value, part)}) for v in part]
                for value, part in parts.items()
            ], left
    for members in by_series(kept).values():
        reason = (
            "acquired at the same times as another series of the same grid and sequence, and no "
            "tag tells which images belong together"
        )
        left.append(LeftOut(reason, _files(members), members[0].header, False))
    return [], left


def _named(name: str, value: str, part: Sequence[Volume]) -> dict[str, str]:
    if name != "description":
        return {name: value}
    return {"series": ", ".join(_by_number(part))}


def _coincide(volumes: Sequence[Volume], times: Mapping[int, float]) -> bool:
    """Whether two series have volumes of one time."""
    series: dict[float, set[str]] = {}
    for volume in volumes:
        series.setdefault(times[id(volume)], set()).add(volume.series_uid)
    return any(len(found) > 1 for found in series.values())


def _without_copies(
    group: Sequence[Volume], times: Mapping[int, float]
) -> tuple[list[Volume], list[LeftOut]]:
    """Volumes without those that hold the pixels of another of the same time.

    Within one series only where the times tell all other phases apart: some scanners give every
    phase of a series the time of its start.
    """
    several = len(set(times.values())) > 2
    kept: list[Volume] = []
    copies: dict[str, list[tuple[Volume, Volume]]] = {}
    for volume in sorted(group, key=_rank):
        original = next(
            (
                other
                for other in kept
                if times[id(other)] == times[id(volume)]
                and (several or other.series_uid != volume.series_uid)
                and same_pixels(other, volume)
            ),
            None,
        )
        if original is None:
            kept.append(volume)
        else:
            copies.setdefault(volume.series_uid, []).append((volume, original))
    left = []
    for pairs in copies.values():
        numbers = ", ".join(_by_number([original for _, original in pairs]))
        reason = f"a copy under other UIDs of what series {numbers} holds"
        found = [copy for copy, _ in pairs]
        left.append(LeftOut(reason, _files(found), found[0].header, False))
    return kept, left


def _rank(volume: Volume) -> tuple[bool, float, str, int]:
    number = volume.header.number("SeriesNumber")
    return (
        volume.header.text("SOPClassUID") != MR_CLASSIC,
        np.inf if number is None else number,
        volume.series_uid,
        volume.order,
    )


def same_pixels(a: Volume, b: Volume) -> bool:
    """Whether two volumes of one grid hold the same values, judged by three slices."""
    if len(a.frames) != len(b.frames):
        return False
    for k in {len(a.frames) // 2, len(a.frames) // 4, 3 * len(a.frames) // 4}:
        try:
            first, second = read_frames([source_of(a.frames[k]), source_of(b.frames[k])])
        except InputError:
            return False
        if not np.array_equal(first, second):
            return False
    return True


def _by_number(volumes: Sequence[Volume]) -> list[str]:
    """The numbers of their series, each once."""
    return list(dict.fromkeys(v.header.text("SeriesNumber") or "?" for v in volumes))


def _files(volumes: Sequence[Volume]) -> int:
    return len({frame.header.path for volume in volumes for frame in volume.frames})


# --- One acquisition after the other ---


def _runs(group: list[Volume]) -> list[list[Volume]]:
    """Volumes in order of time, parted where a pause separates two acquisitions of one grid.

    Both must have several phases: a single one before or after a pause belongs to the rest.
    """
    clocks = clocks_of(group)
    if clocks is None or len(group) < 4:
        return [group]
    cuts = [n for n, (a, b) in enumerate(pairwise(clocks), start=1) if b - a > PAUSE_S]
    for cut in cuts:
        if cut >= 2 and len(group) - cut >= 2:
            parts = [group[:cut], *_runs(group[cut:])]
            return [
                [replace(v, apart={**v.apart, "run": str(number)}) for v in part]
                for number, part in enumerate(parts, start=1)
            ]
    return [group]


# --- What is missing ---


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
    lie in the planes of the acquisition's: it has lost some at an end, or its place is damaged.
    """
    own, sequence = group[0].header, _sequence(group[0])
    for header, error in damaged:
        alike = header.text("FrameOfReferenceUID") in (
            "",
            *frames_of_reference(group[0]),
        ) and _same_matrix(own, header)
        axes, others = (h.numbers("ImageOrientationPatient") for h in (own, header))
        turned = len(axes) == len(others) == 6 and not np.allclose(axes, others, atol=1e-2)
        if alike and not turned and _same_sequence(sequence, sequence_of(header)):
            return error
    for volume in singles:
        header = volume.header
        if (
            _one_space(frames_of_reference(volume), frames_of_reference(group[0]))
            and _same_kind(volume, group[0])
            and _same_sequence(sequence, _sequence(volume))
            and group[0].geometry.find_slab(volume.geometry, _NEAR_MM) is not None
        ):
            few = f"it has {len(volume.frames)} of {len(group[0].frames)} slices"
            aside = f"it lies up to {_NEAR_MM:g} mm beside the others"
            return incomplete(few if len(volume.frames) < len(group[0].frames) else aside, header)
    return None


def _same_matrix(own: Header, damaged: Header) -> bool:
    """Whether a damaged file may be of a matrix: Rows and Columns may be what is damaged."""
    if 0 < own.pixel_length == damaged.pixel_length:
        return True
    return all(damaged.number(k) in (None, own.number(k)) for k in ("Rows", "Columns"))
