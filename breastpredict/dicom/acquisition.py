"""From the volumes of an acquisition to its phases: times, roles, side, and the early phase."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from breastpredict.dicom.clocks import by_series, stray_clocks
from breastpredict.dicom.frames import Frame
from breastpredict.dicom.grouping import frames_of_reference
from breastpredict.dicom.phases import Volume
from breastpredict.dicom.pixels import read_frames, source_of
from breastpredict.dicom.stacks import wander_of
from breastpredict.dicom.study import DceAcquisition, Decision, Instance, Phase
from breastpredict.dicom.timing import (
    ENHANCEMENT,
    Roles,
    against_injection,
    choose_early,
    roles_from_signal,
    times_of,
)
from breastpredict.errors import InputError

_SAMPLED_SLICES = 7
_WANDER_MM = 0.25  # of slices beside their line: positions are rounded to a tenth of a millimetre
_SAMPLED_SHARE = 0.6  # of the stack, around its middle


def acquisition_of(volumes: Sequence[Volume], damage: InputError | None) -> DceAcquisition:
    """The acquisition that volumes of one grid and sequence make, in order of time.

    Args:
        volumes: two or more.
        damage: what seems to be a phase and could not be used; then none is chosen.
    """
    times = times_of(volumes)
    sample, damaged = _sample(volumes)
    found = Roles(("unknown",) * len(volumes), ())
    if sample is not None:
        found = roles_from_signal(sample)
    roles = found.roles
    contradiction = against_injection(times, roles)
    if contradiction:
        times = times_of(volumes, from_injection=False)
    chosen, rule, reason = choose_early(times, roles)
    if sample is None:
        damage = damaged[0]
        reason = f"the signal could not be read: {damage}"
    elif damage is not None:
        chosen, rule, reason = None, "none", f"what may be a phase is damaged: {damage}"
    elif chosen is None and damaged:  # the slices that enhance may be those that are damaged
        damage = damaged[0]
        reason = f"{reason}, in what could be read: {damage}"
    header = volumes[0].header
    side, side_by = _laterality(volumes)
    key = next((v.key for v in volumes if v.key), "") or times.key or "SeriesNumber"
    phases = tuple(
        Phase(
            index=number,
            time_s=seconds,
            time_origin=times.origin,
            role=role,
            series_uid=volume.series_uid,
            series_number=volume.header.text("SeriesNumber"),
            geometry=volumes[0].geometry,
            instances=tuple(_instance(frame) for frame in volume.frames),
            enhancement=found.enhancement[number - 1] if found.enhancement else None,
        )
        for number, (volume, seconds, role) in enumerate(
            zip(volumes, times.seconds, roles, strict=True), start=1
        )
    )
    return DceAcquisition(
        laterality=side,
        phases=phases,
        chosen=chosen,
        rule=rule,
        reason=reason,
        warnings=(
            *times.warnings,
            *([f"The injection is not used: {contradiction}"] if contradiction else []),
            *dict.fromkeys(note for volume in volumes for note in volume.notes),
            *dict.fromkeys(str(error) for error in damaged),
            *_slice_warnings(volumes),
            *_side_warning(volumes, side),
            *_contrast_warnings(volumes, roles),
        ),
        damage=damage,
        key=key,
        kind=kind_of(volumes[0]),
        decisions=(
            Decision("phases", key, {"series": _in_series(volumes), **_tried(volumes)}),
            Decision(
                "times",
                times.key or "nothing",
                {**times.tried, "counted from": times.origin, "durations": times.durations_from},
            ),
            Decision("roles", f"the signal: above {ENHANCEMENT:+.0%} is post-contrast"),
            Decision("laterality", side_by),
            Decision("early phase", rule, {"reason": reason}),
        ),
        modality=header.text("Modality") or "MR",  # its SOP class says so
        manufacturer=header.text("Manufacturer"),
    )


def kind_of(volume: Volume) -> str:
    """In words, what tells these images from others of the study at the same place."""
    marks = volume.frames[0].marks
    said = {name: marks[name] for name in ("tissue", "label") if name in marks}
    said |= {name: value for name, value in volume.apart.items() if name not in ("", *said)}
    words = (value if name == "tissue" else f"{name} {value}" for name, value in said.items())
    return ", ".join(words)


def _in_series(volumes: Sequence[Volume]) -> str:
    """In words, how the phases are spread over series."""
    series = by_series(volumes)
    if len(series) == 1:
        return "one for all phases"
    if len(series) == len(volumes):
        return "one for each phase"
    return ", ".join(
        f"{len(members)} {'phase' if len(members) == 1 else 'phases'} in "
        f"{members[0].header.text('SeriesNumber') or '?'}"
        for members in series.values()
    )


def _tried(volumes: Sequence[Volume]) -> dict[str, str]:
    """What each temporal key says, for each series that holds several phases."""
    series = {volume.series_uid: volume for volume in volumes if volume.tried}
    if len(series) == 1:
        return dict(next(iter(series.values())).tried)
    return {
        f"series {volume.header.text('SeriesNumber') or '?'}: {key}": verdict
        for volume in series.values()
        for key, verdict in volume.tried.items()
    }


def _instance(frame: Frame) -> Instance:
    header = frame.header
    return Instance(
        header.path,
        frame.number,
        header.text("SOPClassUID"),
        header.text("SOPInstanceUID"),
        source_of(frame),
    )


def _sample(
    volumes: Sequence[Volume],
) -> tuple[NDArray[np.float32] | None, list[InputError]]:
    """The same few slices of every phase, every second pixel; and what was damaged.

    A slice that one phase cannot show is left out of all: prediction may not need it. None where
    nothing is left.
    """
    count = volumes[0].geometry.size[2]
    margin = (1 - _SAMPLED_SHARE) / 2 * (count - 1)
    chosen = np.linspace(margin, count - 1 - margin, min(_SAMPLED_SLICES, count))
    slices: list[NDArray[np.float32]] = []
    damaged: list[InputError] = []
    for k in sorted({round(float(k)) for k in chosen}):
        try:
            sources = [source_of(volume.frames[k]) for volume in volumes]
            slices.append(read_frames(sources)[:, ::2, ::2])
        except InputError as error:
            damaged.append(error)
    return (np.stack(slices, axis=1) if slices else None), damaged


def _laterality(volumes: Sequence[Volume]) -> tuple[str | None, str]:
    """R, L or B and what tells it: a tag, else where the stack lies."""
    for volume in volumes:
        header = volume.header
        for keyword in ("ImageLaterality", "Laterality"):
            if header.text(keyword).upper() in ("R", "L", "B"):
                return header.text(keyword).upper(), keyword
        side = volume.frames[0].marks.get("side", "")
        if side in ("R", "L", "B"):
            return side, "FrameLaterality"
    side_by_place = _side(volumes[0])
    return side_by_place, "where the slices lie" if side_by_place else "nothing"


def _side(volume: Volume) -> str | None:
    """By place: LPS, so the patient's right is x < 0."""
    x = volume.geometry.corners()[:, 0]
    width = float(x.max() - x.min())
    outside = 0.15 * width  # a unilateral field of view may reach a little over the midline
    if x.max() <= outside and x.min() < 0:
        return "R"
    if x.min() >= -outside and x.max() > 0:
        return "L"
    return "B" if x.min() < 0 < x.max() else None


def _slice_warnings(volumes: Sequence[Volume]) -> Iterator[str]:
    """What slices of one phase state differently, and should not."""
    for number, volume in enumerate(volumes, start=1):
        if len(frames_of_reference(volume)) > 1:
            yield f"The slices of phase {number} state several frames of reference"
        for key in stray_clocks(volume):
            yield f"{key} of one slice of phase {number} is far before the others': not used"
        aside = float(np.max(wander_of(volume.frames)))
        if aside > _WANDER_MM:
            yield f"A slice of phase {number} lies {aside:.1f} mm beside the line of the others"
        if len({frame.rescale for frame in volume.frames}) > 1:
            yield (
                f"RescaleSlope or RescaleIntercept differs between the slices of phase {number}: "
                "each is scaled by its own"
            )


def _side_warning(volumes: Sequence[Volume], side: str | None) -> tuple[str, ...]:
    place = _side(volumes[0])
    if side in ("R", "L") and place in ("R", "L") and side != place:
        return (f"The laterality tag says {side}, but the slices lie on the side of {place}",)
    return ()


def _contrast_warnings(volumes: Sequence[Volume], roles: Sequence[str]) -> Iterator[str]:
    """Where the header states another role (ContrastBolusAgentPhase) than the signal shows."""
    for number, (volume, role) in enumerate(zip(volumes, roles, strict=True), start=1):
        stated = volume.frames[0].contrast
        if stated and role != "unknown" and stated != role:
            yield (
                f"The header says that phase {number} is {stated}-contrast, the signal that it is "
                f"{role}-contrast"
            )
