"""When each phase was acquired, which are post-contrast, and which of those is the early one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from breastpredict.dicom.clocks import KEYS, starts_by
from breastpredict.dicom.frames import seconds_of_day
from breastpredict.dicom.phases import Volume

EARLY_S = 90.0
"""Seconds after injection at which the early phase is wanted (design §2 HER2.1)."""

ENHANCEMENT = 0.1
"""A phase is post-contrast when its brightest 1 % of changes against the first phase exceed the
darkest 1 % by this share of the tissue's signal. Noise and motion change both sides alike."""

ARRIVAL_S = 60.0
"""Contrast reaches the breast within this time of its injection."""

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


def times_of(volumes: Sequence[Volume], *, from_injection: bool = True) -> Times:
    """Seconds of each volume in order of time.

    `KEYS` are tried in their order; the first that increases over all volumes is taken, and the
    others that do are compared with it.

    Args:
        volumes: of one acquisition.
        from_injection: count from the injection, where the header tells it.
    """
    found: dict[str, NDArray[np.float64]] = {}
    tried: dict[str, str] = {}
    for key in KEYS:
        starts = starts_by(volumes, key)
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
    centres = starts + (0.0 if key == "FrameReferenceDateTime" else 0.5) * durations
    injection, finding = _injection(volumes, starts)
    if finding:
        tried["ContrastBolusStartTime"] = finding
    if not from_injection:
        injection = None
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


def _durations(
    volumes: Sequence[Volume], starts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], str]:
    """How long each acquisition took, and what told it.

    Where the header does not say it, phases that follow each other in one go tell it by their
    distance: the median of the distances that are not much longer than the shortest. With fewer
    than three phases nothing is known, and 0 makes the centre the start. A duration that reaches
    past the start of the next phase, or of any next phase of its series, is that of the whole
    series, and is not used.
    """
    steps = np.diff(starts)
    usual, said = 0.0, "unknown: times are the starts of the phases"
    if len(steps) >= 2:
        usual = float(np.median(steps[steps <= 1.5 * steps.min()]))
        said = "the distance of phases in a row"
    until = [*steps.tolist(), math.inf if len(steps) == 0 else float(steps.max())]
    within: dict[str, float] = {}
    for (a, b), step in zip(itertools.pairwise(volumes), steps.tolist(), strict=True):
        if a.series_uid == b.series_uid:
            within[a.series_uid] = min(step, within.get(a.series_uid, math.inf))
    stated: list[float | None] = []
    for volume, limit in zip(volumes, until, strict=True):
        value = volume.frames[0].duration_s
        limit = min(limit, within.get(volume.series_uid, math.inf))
        fits = value is not None and 0 < value <= limit + _rounding(limit)
        stated.append(value if fits else None)
    known = [value for value in stated if value is not None]
    if known:
        said = "the header" if len(known) == len(stated) else f"the header, else {said}"
    return np.array([usual if value is None else value for value in stated]), said


def _rounding(step: float) -> float:
    """By how much a duration may exceed the distance to the next phase: clocks are rounded."""
    return 0.02 * step + min(1.0, 0.1 * step)


def _injection(volumes: Sequence[Volume], starts: NDArray[np.float64]) -> tuple[float | None, str]:
    """ContrastBolusStartTime (0018,1042) on the clock of ``starts``; and what it says.

    None where it is absent, or so far from the phases that it must mean something else.
    """
    finding = ""
    stated = dict.fromkeys(
        frame.header.text("ContrastBolusStartTime") for volume in volumes for frame in volume.frames
    )
    for injection in map(seconds_of_day, stated):
        if injection is None:
            continue
        # The clock of the starts may count days (date and time): take the day of the first one.
        day = math.floor(starts[0] / _DAY) * _DAY
        candidates = [day + injection + shift for shift in (-_DAY, 0.0, _DAY)]
        best = min(candidates, key=lambda value: abs(value - starts[0]))
        finding = f"{best - starts[0]:+.1f} s from the start of phase 1"
        if starts[0] - 3600 <= best <= starts[-1]:
            return float(best), finding
        finding += ", outside of the acquisition: not used"
    return None, finding


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


def against_injection(times: Times, roles: Sequence[str]) -> str:
    """How the signal contradicts the time of injection in the header; empty where it does not."""
    if not times.injection_known or "post" not in roles:
        return ""
    first = list(roles).index("post")
    starts = np.array(times.seconds) - np.array(times.durations) / 2
    if times.durations[first] > 0:
        end = float(starts[first] + times.durations[first])
    else:
        end = float(starts[first + 1]) if first + 1 < len(starts) else math.inf
    if end < 0:
        return (
            f"phase {first + 1} enhances, and ended {-end:.0f} s before the injection that "
            "ContrastBolusStartTime states"
        )
    if first > 0 and starts[first - 1] > ARRIVAL_S:
        return (
            f"phase {first} does not enhance, and started {starts[first - 1]:.0f} s after the "
            "injection that ContrastBolusStartTime states"
        )
    return ""


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
