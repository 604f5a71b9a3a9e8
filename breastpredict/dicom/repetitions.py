"""How the slices of one stack repeat in time.

Nothing here trusts one tag: every temporal key is tried, and one is taken only if it explains all
slices, that is, if each of its values holds each slice position exactly once. What the others say
is kept beside it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from breastpredict.dicom.frames import CLOCKS, TEMPORAL_KEYS, Frame
from breastpredict.dicom.headers import Header
from breastpredict.dicom.stacks import NotAStack, SeveralKinds, along_normal, levels_of

_DAY = 86400.0


class LeftOut(NamedTuple):
    """Frames that could not be used: why, how many, and whether they are damaged."""

    reason: str
    files: int
    header: Header
    damaged: bool


@dataclass(frozen=True)
class Repetitions:
    """How one stack repeats: groups of frames by time, and what was left out."""

    groups: list[list[Frame]]
    key: str
    tried: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    rejected: tuple[LeftOut, ...] = ()


def repetitions(frames: list[Frame]) -> Repetitions:
    """The times of one stack."""
    along, _ = along_normal(frames)
    level = levels_of(along).tolist()
    positions = Counter(level)
    if max(positions.values()) == 1:
        if len(positions) == 1:
            raise NotAStack("a single slice, not a stack")
        return Repetitions([frames], "", {})
    keys = {key: _groups_of(frames, key) for key in _keys_of(frames)}
    whole = {key: groups for key, groups in keys.items() if _explains(groups, level, positions)}
    passes = {
        key: found
        for key in keys
        if key not in whole and (found := _passes_of(frames, key, level, positions))
    }
    whole |= passes  # what each value tells is trusted more than what only their order tells
    tried = {
        key: _verdict(groups, frames, key, whole, level, positions, key in passes)
        for key, groups in keys.items()
    }
    if whole:
        key, chosen = next(iter(whole.items()))
        return Repetitions(
            [[frames[i] for i in group] for group in chosen],
            key,
            tried,
            (*_disagreements(key, chosen, whole), *_count_note(frames, len(chosen))),
        )
    _check_one_kind(keys, level, positions)
    partial = _partly(frames, keys, level, positions)
    if partial is not None:
        return replace(partial, tried=tried)
    by_number, lost = _by_instance_number(frames, level, positions)
    groups = [[frames[i] for i in group] for group in by_number]
    verdict = "explains all slices" if not lost else "explains all slices but those that are lost"
    return Repetitions(
        groups,
        "InstanceNumber",
        {**tried, "InstanceNumber": verdict},
        _count_note(frames, len(groups) + len(lost)),
        lost,
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


def _passes_of(
    frames: Sequence[Frame], key: str, level: list[int], positions: Counter[int]
) -> list[list[int]]:
    """Phases by a key that differs from slice to slice: in its order, each position once, again.

    Empty where it is not so: a time of the slice tells phases only if every slice of one phase
    comes before every slice of the next.
    """
    if not all(key in frame.times for frame in frames):
        return []
    values = [frame.times[key] for frame in frames]
    distinct = _in_order(sorted(set(values)), key)
    phases, left = divmod(len(frames), len(positions))
    if left or phases < 2 or len(distinct) <= phases:
        return []
    rank = {value: place for place, value in enumerate(distinct)}
    ordered = sorted(range(len(frames)), key=lambda index: rank[values[index]])
    groups = [ordered[n : n + len(positions)] for n in range(0, len(ordered), len(positions))]
    apart = all(rank[values[a[-1]]] < rank[values[b[0]]] for a, b in pairwise(groups))
    return groups if apart and _explains(groups, level, positions) else []


def _verdict(
    groups: list[list[int]],
    frames: Sequence[Frame],
    key: str,
    whole: Mapping[str, list[list[int]]],
    level: list[int],
    positions: Counter[int],
    in_passes: bool,
) -> str:
    if in_passes:
        return (
            f"explains all slices: its values make {len(whole[key])} passes over "
            f"{len(positions)} positions"
        )
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


_NAMES_TIMES = ("TemporalPositionIdentifier", "TemporalPositionIndex")
_MANY = 3  # times of a clock: two may be those of pre and post, several phases each


def _check_one_kind(
    keys: Mapping[str, list[list[int]]], level: list[int], positions: Counter[int]
) -> None:
    """Raise SeveralKinds where each time of a key holds every position several times."""
    for key, groups in keys.items():
        if len(groups) < (2 if key in _NAMES_TIMES else _MANY) or key == "AcquisitionNumber":
            continue
        held = [Counter(level[i] for i in group) for group in groups]
        counts = {count for group in held for count in group.values()}
        if len(counts) == 1 and min(counts) > 1 and all(len(h) == len(positions) for h in held):
            raise SeveralKinds(
                f"{min(counts)} images stand at each place and each of {len(groups)} times by "
                f"{key}, and no tag tells them apart"
            )


def _partly(
    frames: list[Frame],
    keys: Mapping[str, list[list[int]]],
    level: list[int],
    positions: Counter[int],
) -> Repetitions | None:
    """Phases by a key of which some lost slices, or hold some twice: the whole ones are kept.

    At least half of the phases must be whole: else the key tells something other than phases.
    """
    for key, groups in keys.items():
        held = [Counter(level[i] for i in group) for group in groups]
        whole = [
            len(group) == len(own) == len(positions)
            for group, own in zip(groups, held, strict=True)
        ]
        if len(groups) < 2 or sum(whole) * 2 < len(groups) or len(positions) < 2:
            continue
        lost = [
            LeftOut(
                _what_is_wrong(number, key, own, len(positions)),
                _files([frames[i] for i in group]),
                frames[group[0]].header,
                True,
            )
            for number, (group, own, good) in enumerate(
                zip(groups, held, whole, strict=True), start=1
            )
            if not good
        ]
        kept = [group for group, good in zip(groups, whole, strict=True) if good]
        return Repetitions([[frames[i] for i in group] for group in kept], key, {}, (), tuple(lost))
    return None


def _what_is_wrong(number: int, key: str, own: Counter[int], count: int) -> str:
    if len(own) < count:
        return f"slices are missing: time {number} by {key} has {len(own)} of {count}"
    twice = sum(times > 1 for times in own.values())
    return f"duplicate slices: time {number} by {key} has {twice} of {count} positions twice"


def _in_order(values: list[float], key: str) -> list[float]:
    """Times of day that roll over midnight start after the largest gap."""
    if key not in CLOCKS or values[-1] - values[0] < _DAY / 2 or values[-1] >= _DAY:
        return values
    first = int(np.argmax(np.diff(values))) + 1
    return values[first:] + values[:first]


def _by_instance_number(
    frames: list[Frame], level: list[int], positions: Counter[int]
) -> tuple[list[list[int]], tuple[LeftOut, ...]]:
    """No temporal key explains the slices: their order in the series does, or nothing.

    Slices run phase after phase, or place after place. Where some are lost, the numbers that are
    left still tell the phase of each, if all of them agree with that order.

    Raises:
        NotAStack: it does not.
    """
    numbers = [frame.instance_number for frame in frames]
    if all(frame.number is None for frame in frames):
        numbers = [frame.header.number("InstanceNumber") or 0.0 for frame in frames]
    phases, count = max(positions.values()), len(positions)
    if len(set(numbers)) < len(numbers):
        raise NotAStack(
            "duplicate slices: some positions occur more often than others, under equal "
            "InstanceNumbers"
        )
    order = sorted(range(len(frames)), key=lambda i: numbers[i])
    if len(frames) == phases * count:
        slots = {index: slot for slot, index in enumerate(order)}
        for places in (_phase_after_phase, _place_after_place):
            groups = places(slots, level, phases, count)
            if groups:
                return groups, ()
        raise NotAStack("slices repeat, and neither a temporal tag nor InstanceNumber says how")
    first, last = numbers[order[0]], numbers[order[-1]]
    for start in {first, last - phases * count + 1}:
        slots = {index: round(numbers[index] - start) for index in order}
        if min(slots.values()) < 0 or max(slots.values()) >= phases * count:
            continue
        # Without holes in the numbers, a second time that is shorter may be another, shorter stack.
        if phases < _MANY and last - first + 1 != phases * count:
            continue
        for places in (_phase_after_phase, _place_after_place):
            groups = places(slots, level, phases, count)
            if groups:
                return _whole_ones(frames, groups, count)
    most = sum(times == phases for times in positions.values())
    raise NotAStack(
        f"{most} of {count} positions hold {phases} images, and the others fewer: slices are "
        "missing, or some are duplicate"
    )


def _phase_after_phase(
    slots: Mapping[int, int], level: list[int], phases: int, count: int
) -> list[list[int]]:
    """Phases, if every one runs through the same places in the same order; else nothing."""
    place_of: dict[int, int] = {}
    groups: list[list[int]] = [[] for _ in range(phases)]
    whole = len(slots) == phases * count
    for index, slot in slots.items():
        phase, place = divmod(slot, count)
        groups[phase].append(index)
        if not whole and place_of.setdefault(place, level[index]) != level[index]:
            return []
    if not whole:
        return groups if len(set(place_of.values())) == len(place_of) else []
    return groups if all(len({level[i] for i in group}) == count for group in groups) else []


def _place_after_place(
    slots: Mapping[int, int], level: list[int], phases: int, count: int
) -> list[list[int]]:
    """Phases, if all images of one place stand together, then those of the next; else nothing."""
    place_of: dict[int, int] = {}
    groups: list[list[int]] = [[] for _ in range(phases)]
    for index, slot in slots.items():
        place, phase = divmod(slot, phases)
        groups[phase].append(index)
        if place_of.setdefault(place, level[index]) != level[index]:
            return []
    return groups if len(set(place_of.values())) == len(place_of) == count else []


def _whole_ones(
    frames: list[Frame], groups: list[list[int]], count: int
) -> tuple[list[list[int]], tuple[LeftOut, ...]]:
    whole = [group for group in groups if len(group) == count]
    if len(whole) * 2 < len(groups):
        raise NotAStack("slices are missing: most phases do not hold every position")
    lost = [
        LeftOut(
            f"slices are missing: phase {number} by InstanceNumber has {len(group)} of {count}",
            _files([frames[i] for i in group]),
            frames[group[0]].header,
            True,
        )
        for number, group in enumerate(groups, start=1)
        if 0 < len(group) < count
    ]
    return whole, tuple(lost)


def _files(frames: Sequence[Frame]) -> int:
    return len({frame.header.path for frame in frames})
