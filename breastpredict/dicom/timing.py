"""When each phase was acquired, which are post-contrast, and which of those is the early one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from breastpredict.dicom.frames import seconds_of_day
from breastpredict.dicom.phases import Volume

EARLY_S = 90.0
"""Seconds after injection at which the early phase is wanted (design §2 HER2.1)."""

ENHANCEMENT = 0.1
"""A phase is post-contrast when its brightest 1 % of changes against the first phase exceed the
darkest 1 % by this share of the tissue's signal. Noise and motion change both sides alike."""

_DAY = 86400.0


@dataclass(frozen=True)
class Times:
    """Seconds of each volume (its centre where the duration is known) and what they count from.

    NaN where no tag tells the time.
    """

    seconds: tuple[float, ...]
    origin: str
    key: str
    injection_known: bool
    warnings: tuple[str, ...]


def order_in_time(volumes: Sequence[Volume]) -> list[Volume]:
    """Volumes of one stack, from one or several series, in order of time."""
    series: dict[str, list[Volume]] = {}
    for volume in volumes:
        series.setdefault(_header_text(volume, "SeriesInstanceUID"), []).append(volume)
    starts = {uid: _series_start(members) for uid, members in series.items()}
    known = [start for start in starts.values() if start is not None]
    rolled = bool(known) and max(known) - min(known) > _DAY / 2

    def place(uid: str) -> tuple[float, float]:
        start = starts[uid]
        if start is None:
            start = math.inf
        elif rolled and start < _DAY / 2:
            start += _DAY
        number = series[uid][0].frames[0].header.number("SeriesNumber")
        return start, number if number is not None else math.inf

    out: list[Volume] = []
    for uid in sorted(series, key=place):
        out.extend(sorted(series[uid], key=lambda volume: volume.order))
    return out


def times_of(volumes: Sequence[Volume]) -> Times:
    """Seconds of each volume in order of time.

    Keys are tried in the order AcquisitionTime, ContentTime, TemporalPositionTimeOffset,
    TriggerTime (ms from its series' start), SeriesTime; the first that increases over all volumes
    is taken. GE's private acquisition duration (0019,105A) spaces the phases of a series that has
    no other time.
    """
    for key in (
        "AcquisitionTime",
        "ContentTime",
        "TemporalPositionTimeOffset",
        "TriggerTime",
        "GEAcquisitionDuration",
        "SeriesTime",
    ):
        starts = _starts(volumes, key)
        if starts is not None and all(b > a for a, b in itertools.pairwise(starts)):
            break
    else:
        note = "No tag tells when the phases were acquired; only their order is known"
        unknown = tuple([math.nan] * len(volumes))
        return Times(unknown, "unknown (no tag tells the time)", "", False, (note,))
    centres = starts + _durations(volumes, starts) / 2
    injection = _injection(volumes, starts)
    if injection is not None:
        return Times(tuple((centres - injection).tolist()), "injection", key, True, ())
    return Times(tuple((centres - centres[0]).tolist()), "first phase", key, False, ())


def _header_text(volume: Volume, keyword: str) -> str:
    return volume.frames[0].header.text(keyword)


def _series_start(members: Sequence[Volume]) -> float | None:
    found = []
    for volume in members:
        for key in ("AcquisitionTime", "ContentTime"):
            value = _clock(volume, key)
            if value is not None:
                found.append(value)
                break
    if found:
        return min(found)
    return seconds_of_day(_header_text(members[0], "SeriesTime"))


def _clock(volume: Volume, key: str) -> float | None:
    """The earliest time of day in a volume, by a clock that may roll over midnight inside it."""
    values = [frame.times[key] for frame in volume.frames if key in frame.times]
    if not values:
        return None
    if max(values) - min(values) > _DAY / 2 and max(values) < _DAY:
        values = [value if value > _DAY / 2 else value + _DAY for value in values]
    return min(values)


def _starts(volumes: Sequence[Volume], key: str) -> NDArray[np.float64] | None:
    """The start of each volume by one key, in seconds of one clock; None where it cannot tell."""
    values: list[float] = []
    for volume in volumes:
        if key == "SeriesTime":
            clock = seconds_of_day(_header_text(volume, key))
        elif key in ("AcquisitionTime", "ContentTime"):
            clock = _clock(volume, key)
        else:
            clock = _relative(volume, volumes, key)
        if clock is None:
            return None
        values.append(clock)
    array = np.array(values, dtype=np.float64)
    # Over midnight: what comes later in order shows an earlier time of day.
    late = np.concatenate([[0.0], np.cumsum(np.diff(array) < -_DAY / 2) * _DAY])
    out: NDArray[np.float64] = array + late
    return out


def _relative(volume: Volume, volumes: Sequence[Volume], key: str) -> float | None:
    """A time counted from the start of the volume's own series, put on the clock of the day."""
    header = volume.frames[0].header
    uid = header.text("SeriesInstanceUID")
    several = len({_header_text(v, "SeriesInstanceUID") for v in volumes}) > 1
    base = 0.0
    if several:
        own = [v for v in volumes if _header_text(v, "SeriesInstanceUID") == uid]
        start = _series_start(own)
        if start is None:
            return None
        base = start
    else:
        base = _series_start(volumes) or 0.0
    if key == "GEAcquisitionDuration":
        whole = header.number(key)
        same = [v for v in volumes if _header_text(v, "SeriesInstanceUID") == uid]
        if not whole or whole <= 0:
            return base if len(same) == 1 else None
        return base + volume.order * whole / 1e6 / len(same)
    values = [frame.times.get(key) for frame in volume.frames]
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        # A series of one phase needs no such tag.
        same = [v for v in volumes if _header_text(v, "SeriesInstanceUID") == uid]
        return base if several and len(same) == 1 else None
    scale = 1000.0 if key == "TriggerTime" else 1.0
    return base + min(numbers) / scale


def _durations(volumes: Sequence[Volume], starts: NDArray[np.float64]) -> NDArray[np.float64]:
    """How long each acquisition took.

    Where the header does not say it, phases that follow each other in one go tell it by their
    distance: the median of the distances that are not longer than twice the shortest. With fewer
    than three phases nothing is known, and 0 makes the centre the start.
    """
    steps = np.diff(starts)
    usual = 0.0
    if len(steps) >= 2:
        usual = float(np.median(steps[steps <= 2 * steps.min()]))
    said = [volume.frames[0].duration_s for volume in volumes]
    return np.array([value if value is not None and value > 0 else usual for value in said])


def _injection(volumes: Sequence[Volume], starts: NDArray[np.float64]) -> float | None:
    """ContrastBolusStartTime (0018,1042) on the clock of ``starts``, where it makes sense."""
    for volume in volumes:
        injection = seconds_of_day(_header_text(volume, "ContrastBolusStartTime"))
        if injection is None:
            continue
        # The clock of the starts may count days (date and time): take the day of the first one.
        day = math.floor(starts[0] / _DAY) * _DAY
        candidates = [day + injection + shift for shift in (-_DAY, 0.0, _DAY)]
        best = min(candidates, key=lambda value: abs(value - starts[0]))
        if starts[0] - 3600 <= best <= starts[-1]:
            return float(best)
    return None


def roles_from_signal(sample: NDArray[np.float32]) -> list[str]:
    """Which phases come after contrast, from the pixels and not from names.

    Args:
        sample: ``[phases, ...]`` the same voxels of every phase.

    Returns:
        "pre" up to the first phase that enhances against the first one, "post" from there; all
        "unknown" when none does.
    """
    flat = sample.reshape(len(sample), -1).astype(np.float64)
    first = flat[0]
    bright = np.percentile(first, 99.0)
    tissue = first > 0.15 * bright
    if bright <= 0 or np.count_nonzero(tissue) < 50:
        return ["unknown"] * len(sample)
    scale = float(np.median(first[tissue]))
    enhanced = []
    for phase in flat:
        change = np.sort((phase - first)[tissue])
        few = max(1, len(change) // 100)
        enhanced.append((change[-few:].mean() + change[:few].mean()) / scale > ENHANCEMENT)
    if not any(enhanced):
        return ["unknown"] * len(sample)
    start = enhanced.index(True)
    return ["pre" if index < start else "post" for index in range(len(sample))]


def choose_early(times: Times, roles: Sequence[str]) -> tuple[int | None, str, str]:
    """The early post-contrast phase (1-based), the rule, and the reason in words."""
    post = [index for index, role in enumerate(roles) if role == "post"]
    if not post:
        if len(roles) < 2:
            return None, "none", "the acquisition has a single phase"
        return None, "none", "no phase shows enhancement over the first one"
    if times.injection_known:
        best = min(post, key=lambda index: (abs(times.seconds[index] - EARLY_S), index))
        return (
            best + 1,
            "nearest to 90 s after injection",
            f"phase {best + 1} is centred {times.seconds[best]:.1f} s after injection, nearest to "
            f"{EARLY_S:.0f} s of {len(post)} post-contrast phases",
        )
    first = post[0]
    when = times.seconds[first]
    after = "" if math.isnan(when) else f", {when:.1f} s after the first phase"
    return (
        first + 1,
        "first post-contrast phase",
        f"the time of injection is not known; phase {first + 1} is the first of {len(post)} whose "
        f"signal enhances{after}",
    )
