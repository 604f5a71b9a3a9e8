"""When each phase was acquired, which are post-contrast, and which of those is the early one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from breastpredict.dicom.frames import CLOCKS, seconds_of_day
from breastpredict.dicom.phases import Volume

EARLY_S = 90.0
"""Seconds after injection at which the early phase is wanted (design §2 HER2.1)."""

ENHANCEMENT = 0.1
"""A phase is post-contrast when its brightest 1 % of changes against the first phase exceed the
darkest 1 % by this share of the tissue's signal. Noise and motion change both sides alike."""

KEYS = (
    "AcquisitionTime",
    "AcquisitionDateTime",
    "ContentTime",
    "TemporalPositionTimeOffset",
    "PhilipsDynamicScanBegin",
    "TriggerTime",
    "GEAcquisitionDuration",
    "SeriesTime",
)
"""What may tell when a phase was acquired, in the order of trust. TriggerTime counts ms and the two
before it seconds, from the start of their series. GE's private acquisition duration (0019,105A)
spaces the phases of a series that has no other time."""

_OVERLAP = 1.1  # clocks and durations are rounded
_DISAGREEMENT_S = 5.0
_DISAGREEMENT = 0.1  # of the time from first to last phase
_DAY = 86400.0


@dataclass(frozen=True)
class Times:
    """When the volumes were acquired.

    Attributes:
        seconds: of each (its centre where the duration is known); NaN where no tag tells it.
        origin: what they are counted from.
        key: the tag that told them, empty for none.
        injection_known: the origin is the injection.
        durations: of each in seconds, 0 where unknown.
        durations_from: what told them.
        tried: what each tag says.
        warnings: what disagrees.
    """

    seconds: tuple[float, ...]
    origin: str
    key: str
    injection_known: bool
    durations: tuple[float, ...] = ()
    durations_from: str = ""
    tried: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


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

    `KEYS` are tried in their order; the first that increases over all volumes is taken, and the
    others that do are compared with it.
    """
    found: dict[str, NDArray[np.float64]] = {}
    tried: dict[str, str] = {}
    for key in KEYS:
        starts = _starts(volumes, key)
        if starts is None:
            continue  # absent, or not in all phases
        if all(b > a for a, b in itertools.pairwise(starts)):
            found[key] = starts
            tried[key] = f"increases over {starts[-1] - starts[0]:.1f} s"
        else:
            constant = bool(np.ptp(starts) == 0)
            tried[key] = "the same in all phases" if constant else "does not increase"
    if not found:
        note = "No tag tells when the phases were acquired; only their order is known"
        unknown = tuple([math.nan] * len(volumes))
        origin = "unknown (no tag tells the time)"
        return Times(unknown, origin, "", False, tried=tried, warnings=(note,))
    key, starts = next(iter(found.items()))
    durations, said = _durations(volumes, starts)
    centres = starts + durations / 2
    injection = _injection(volumes, starts)
    zero = centres[0] if injection is None else injection
    return Times(
        tuple((centres - zero).tolist()),
        "first phase" if injection is None else "injection",
        key,
        injection is not None,
        tuple(durations.tolist()),
        said,
        tried,
        tuple(_disagreements(key, found)),
    )


def _disagreements(key: str, found: Mapping[str, NDArray[np.float64]]) -> list[str]:
    chosen = found[key] - found[key][0]
    notes = []
    for other, starts in found.items():
        if other in (key, "SeriesTime", "GEAcquisitionDuration"):  # coarse by their nature
            continue
        apart = float(np.abs((starts - starts[0]) - chosen).max())
        if apart > max(_DISAGREEMENT_S, _DISAGREEMENT * float(chosen[-1])):
            notes.append(f"{other} differs from {key} by up to {apart:.0f} s")
    return notes


def _header_text(volume: Volume, keyword: str) -> str:
    return volume.frames[0].header.text(keyword)


def _series_start(members: Sequence[Volume]) -> float | None:
    found = []
    for volume in members:
        for key in CLOCKS:
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
        elif key in (*CLOCKS, "AcquisitionDateTime"):
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
        whole = header.number(key) if header.private(key) else None
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


def _durations(
    volumes: Sequence[Volume], starts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], str]:
    """How long each acquisition took, and what told it.

    Where the header does not say it, phases that follow each other in one go tell it by their
    distance: the median of the distances that are not longer than twice the shortest. With fewer
    than three phases nothing is known, and 0 makes the centre the start. A duration that reaches
    past the start of the next phase is that of the whole series, and is not used.
    """
    steps = np.diff(starts)
    usual, said = 0.0, "unknown: times are the starts of the phases"
    if len(steps) >= 2:
        usual = float(np.median(steps[steps <= 2 * steps.min()]))
        said = "the distance of phases in a row"
    until = [*steps.tolist(), math.inf if len(steps) == 0 else float(steps.max())]
    stated = [
        value if value is not None and 0 < value <= _OVERLAP * limit else None
        for value, limit in zip((v.frames[0].duration_s for v in volumes), until, strict=True)
    ]
    known = [value for value in stated if value is not None]
    if known:
        said = "the header" if len(known) == len(stated) else f"the header, else {said}"
    return np.array([usual if value is None else value for value in stated]), said


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


@dataclass(frozen=True)
class Roles:
    """Which phases come after contrast, and what they were told by.

    Attributes:
        roles: "pre" up to the first phase that enhances against the first one, "post" from there;
            all "unknown" when none does.
        enhancement: of each phase against the first, as a share of the tissue's signal (see
            `ENHANCEMENT`); empty where it could not be measured.
    """

    roles: tuple[str, ...]
    enhancement: tuple[float, ...]


def roles_from_signal(sample: NDArray[np.float32]) -> Roles:
    """Which phases come after contrast, from the pixels and not from names.

    Args:
        sample: ``[phases, ...]`` the same voxels of every phase.
    """
    flat = sample.reshape(len(sample), -1).astype(np.float64)
    first = flat[0]
    bright = np.percentile(first, 99.0)
    tissue = first > 0.15 * bright
    unknown = ("unknown",) * len(sample)
    if bright <= 0 or np.count_nonzero(tissue) < 50:
        return Roles(unknown, ())
    scale = float(np.median(first[tissue]))
    enhancement = []
    for phase in flat:
        change = np.sort((phase - first)[tissue])
        few = max(1, len(change) // 100)
        enhancement.append(float(change[-few:].mean() + change[:few].mean()) / scale)
    after = [value > ENHANCEMENT for value in enhancement]
    if not any(after):
        return Roles(unknown, tuple(enhancement))
    start = after.index(True)
    roles = tuple("pre" if index < start else "post" for index in range(len(sample)))
    return Roles(roles, tuple(enhancement))


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
