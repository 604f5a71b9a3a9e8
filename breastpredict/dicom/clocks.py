"""When volumes were acquired, by each tag that may tell it, on one clock."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from breastpredict.dicom.frames import seconds_of_day
from breastpredict.dicom.phases import Volume

KEYS = (
    "AcquisitionTime",
    "AcquisitionDateTime",
    "FrameReferenceDateTime",
    "ContentTime",
    "TemporalPositionTimeOffset",
    "PhilipsDynamicScanBegin",
    "TriggerTime",
    "GEAcquisitionDuration",
    "SeriesTime",
)
"""What may tell when a phase was acquired, in the order of trust. TriggerTime counts ms and the two
before it seconds, from the start of their series. FrameReferenceDateTime is the middle of a phase,
and the others before these its start. GE's private acquisition duration (0019,105A) spaces the
phases of a series that has no other time."""

_MOMENTS = ("AcquisitionTime", "AcquisitionDateTime", "FrameReferenceDateTime", "ContentTime")

_DAY = 86400.0


def order_in_time(volumes: Sequence[Volume]) -> list[Volume]:
    """Volumes of one stack, from one or several series, in order of time."""
    series = by_series(volumes)
    starts = _series_starts(volumes)
    rolled = bool(starts) and max(starts.values()) - min(starts.values()) > _DAY / 2

    def place(uid: str) -> tuple[float, float]:
        start = starts.get(uid, math.inf)
        if rolled and start < _DAY / 2:
            start += _DAY
        number = series[uid][0].header.number("SeriesNumber")
        return start, number if number is not None else math.inf

    out: list[Volume] = []
    for uid in sorted(series, key=place):
        out.extend(series[uid])
    return out


def clocks_of(volumes: Sequence[Volume]) -> list[float] | None:
    """When each volume was acquired by the first clock that all have; None where none is.

    Seconds of the day, or of an arbitrary day; they run on over midnight for volumes in order.
    """
    for key in _MOMENTS:
        starts = starts_by(volumes, key)
        if starts is not None:
            return list(starts.tolist())
    return None


def by_series(volumes: Sequence[Volume]) -> dict[str, list[Volume]]:
    """The volumes of each series, in its own order."""
    series: dict[str, list[Volume]] = {}
    for volume in volumes:
        series.setdefault(volume.series_uid, []).append(volume)
    return {uid: sorted(members, key=lambda v: v.order) for uid, members in series.items()}


def _series_starts(volumes: Sequence[Volume]) -> dict[str, float]:
    """When each series started, by the first clock that all of them have; empty where none is."""
    first = {uid: members[0] for uid, members in by_series(volumes).items()}
    for key in (*_MOMENTS, "SeriesTime"):
        found = {
            uid: seconds_of_day(v.header.text(key)) if key == "SeriesTime" else _clock(v, key)
            for uid, v in first.items()
        }
        starts = {uid: value for uid, value in found.items() if value is not None}
        if len(starts) == len(first):
            return starts
    return {}


def _clock(volume: Volume, key: str) -> float | None:
    """The earliest time of day in a volume, by a clock that may roll over midnight inside it."""
    values = [frame.times[key] for frame in volume.frames if key in frame.times]
    return _earliest(_unrolled(values)) if values else None


def _unrolled(values: Sequence[float]) -> list[float]:
    """Times of day that run on over midnight."""
    if values and max(values) - min(values) > _DAY / 2 and max(values) < _DAY:
        return [value if value > _DAY / 2 else value + _DAY for value in values]
    return list(values)


def _earliest(values: Sequence[float]) -> float:
    """The first time, unless one slice alone states it and the others lie close together later:
    then its header is damaged, and would put its phase before others."""
    ordered = sorted(values)
    return ordered[1] if _strays(ordered) else ordered[0]


def _strays(ordered: Sequence[float]) -> bool:
    if len(ordered) < 3:
        return False
    return ordered[1] - ordered[0] > max(1.0, 2 * (ordered[-1] - ordered[1]))


def stray_clocks(volume: Volume) -> list[str]:
    """The times by which one slice would have been acquired long before all others."""
    found = {
        key: sorted(_unrolled([f.times[key] for f in volume.frames if key in f.times]))
        for key in KEYS
    }
    return [key for key, values in found.items() if _strays(values)]


def starts_by(volumes: Sequence[Volume], key: str) -> NDArray[np.float64] | None:
    """The start of each volume by one key, in seconds of one clock; None where it cannot tell."""
    if key == "SeriesTime":
        values = [seconds_of_day(volume.header.text(key)) for volume in volumes]
    elif key in _MOMENTS:
        values = [_clock(volume, key) for volume in volumes]
    elif key == "GEAcquisitionDuration":
        values = _spaced(volumes, key)
    else:
        values = _relative(volumes, key)
    known = [value for value in values if value is not None]
    if len(known) < len(values) or not known:
        return None
    array = np.array(known, dtype=np.float64)
    # Over midnight: what comes later in order shows an earlier time of day.
    late = np.concatenate([[0.0], np.cumsum(np.diff(array) < -_DAY / 2) * _DAY])
    out: NDArray[np.float64] = array + late
    return out


def _relative(volumes: Sequence[Volume], key: str) -> list[float | None]:
    """Times counted from the start of the volume's own series, put on the clock of the day.

    Where each series holds one phase and the times differ, they are counted from the first one.
    """
    series, bases = by_series(volumes), _series_starts(volumes)
    told = any(key in frame.times for volume in volumes for frame in volume.frames)
    if not told or (len(series) > 1 and not bases):
        return [None] * len(volumes)
    scale = 1000.0 if key == "TriggerTime" else 1.0
    own: list[float | None] = []
    for volume in volumes:
        values = [frame.times[key] for frame in volume.frames if key in frame.times]
        if values:
            own.append(_earliest(values) / scale)
        else:  # a series of one phase needs no such tag
            own.append(0.0 if len(series) > 1 and len(series[volume.series_uid]) == 1 else None)
    together = len(series) == len(volumes) and len(set(own)) > 1
    first = bases.get(volumes[0].series_uid, 0.0)
    return [
        None if value is None else value + (first if together else bases.get(v.series_uid, 0.0))
        for v, value in zip(volumes, own, strict=True)
    ]


def _spaced(volumes: Sequence[Volume], key: str) -> list[float | None]:
    """The phases of each series at equal distances over its duration in µs."""
    series, bases = by_series(volumes), _series_starts(volumes)
    told = any(volume.header.number(key) is not None for volume in volumes)
    if not told or (len(series) > 1 and not bases):
        return [None] * len(volumes)
    out: list[float | None] = []
    for volume in volumes:
        whole, count = volume.header.number(key), len(series[volume.series_uid])
        base = bases.get(volume.series_uid, 0.0)
        if whole is not None and whole > 0:
            out.append(base + volume.order * whole / 1e6 / count)
        else:
            out.append(base if count == 1 and len(series) > 1 else None)
    return out
