"""Which tag tells the phases of one series apart, and when each was acquired.

Every test writes the same four phases and lets their headers tell their times in another way.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dce_volumes import TIMES, assert_same_voxels, dce, files_below, only
from pydicom import Dataset
from vendor_variants import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    TEMPORAL,
    as_one_series,
    frames_apart,
    private,
    save,
    vary,
    without,
)

from breastpredict.dicom import DceAcquisition, read_study
from breastpredict.phantom import StudyHeader, write_dce

SLICES, PHASES = 9, 4
NO_INJECTION = StudyHeader(injection=False)

Tags = Callable[[Dataset, int, int], None]


def one_series(folder: Path, tags: Tags, *, place_after_place: bool = False) -> None:
    """Four phases in one series, without any temporal tag but what ``tags`` writes."""

    def change(data: Dataset, p: int, k: int) -> None:
        number = k * PHASES + p if place_after_place else p * SLICES + k
        without(data, *TEMPORAL)
        as_one_series(data, number + 1)
        tags(data, p, k)

    written = write_dce(folder, dce(), layout="siemens", times_s=TIMES, header=NO_INJECTION)
    vary(written, change)


def assert_the_phases(acquisition: DceAcquisition) -> None:
    """All four, in order, bit for bit."""
    assert len(acquisition.phases) == PHASES
    for phase, image in zip(acquisition.phases, dce(), strict=True):
        assert_same_voxels(phase, image)


def seconds(acquisition: DceAcquisition) -> list[float]:
    return [phase.time_s for phase in acquisition.phases]


def clock(p: int, k: int = 0, step: float = 90.0) -> str:
    """A TM that runs over the minute, with fractions."""
    total = 9 * 3600 + 29 * 60 + 31.25 + step * p + 0.1 * k
    hours, rest = divmod(total, 3600)
    return f"{hours:02.0f}{rest // 60:02.0f}{rest % 60:06.3f}"


# --- One tag alone ---


def position_identifier(data: Dataset, p: int, k: int) -> None:
    data.TemporalPositionIdentifier = p + 1


def time_offset(data: Dataset, p: int, k: int) -> None:
    data.TemporalPositionTimeOffset = 90.0 * p


def acquisition_time(data: Dataset, p: int, k: int) -> None:
    data.AcquisitionTime = clock(p)


def acquisition_datetime(data: Dataset, p: int, k: int) -> None:
    data.AcquisitionDateTime = f"20200102{clock(p)}"


def trigger_time(data: Dataset, p: int, k: int) -> None:
    data.TriggerTime = str(90000 * p)


def content_time(data: Dataset, p: int, k: int) -> None:
    data.ContentTime = clock(p)


def dynamic_scan_begin(data: Dataset, p: int, k: int) -> None:
    private(data, 0x2005, 0x10, "Philips MR Imaging DD 001", {0xA0: ("FL", 90.0 * p)})


@pytest.mark.parametrize(
    ("tags", "key"),
    [
        (position_identifier, "TemporalPositionIdentifier"),
        (time_offset, "TemporalPositionTimeOffset"),
        (acquisition_time, "AcquisitionTime"),
        (acquisition_datetime, "AcquisitionDateTime"),
        (trigger_time, "TriggerTime"),
        (content_time, "ContentTime"),
        (dynamic_scan_begin, "PhilipsDynamicScanBegin"),
    ],
)
def test_one_tag_alone_tells_the_phases(tmp_path: Path, tags: Tags, key: str) -> None:
    """InstanceNumber is not there to help."""

    def only_this(data: Dataset, p: int, k: int) -> None:
        tags(data, p, k)
        without(data, "InstanceNumber")

    one_series(tmp_path, only_this)
    acquisition = only(read_study(tmp_path))
    assert acquisition.key == key
    assert_the_phases(acquisition)
    if key == "TemporalPositionIdentifier":
        assert np.isnan(seconds(acquisition)).all()
    else:
        np.testing.assert_allclose(seconds(acquisition), [0, 90, 180, 270], atol=1e-3)


def by_binary_numbers(data: Dataset, p: int, k: int) -> None:
    time_offset(data, p, k)
    dynamic_scan_begin(data, p, k)


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_numbers_are_read_in_the_encoding_of_the_file(tmp_path: Path, syntax: str) -> None:
    one_series(tmp_path, by_binary_numbers)
    for file in files_below(tmp_path):
        save(pydicom.dcmread(file), file, syntax)
    acquisition = only(read_study(tmp_path))
    assert_the_phases(acquisition)
    np.testing.assert_allclose(seconds(acquisition), [0, 90, 180, 270], atol=1e-3)
    tried = next(d for d in acquisition.decisions if d.what == "phases").details
    for key in ("TemporalPositionTimeOffset", "PhilipsDynamicScanBegin"):
        assert tried[key].startswith("explains all slices")


@pytest.mark.parametrize("place_after_place", [False, True])
@pytest.mark.parametrize("number", [None, PHASES])
def test_without_any_temporal_tag_the_order_of_the_files_tells_the_phases(
    tmp_path: Path, place_after_place: bool, number: int | None
) -> None:
    def count(data: Dataset, p: int, k: int) -> None:
        data.NumberOfTemporalPositions = number

    one_series(tmp_path, count, place_after_place=place_after_place)
    acquisition = only(read_study(tmp_path))
    assert acquisition.key == "InstanceNumber"
    assert_the_phases(acquisition)
    assert not any("NumberOfTemporalPositions" in warning for warning in acquisition.warnings)
    assert any("only their order is known" in warning for warning in acquisition.warnings)


def test_another_number_of_phases_than_the_header_states_is_warned_of(tmp_path: Path) -> None:
    def count(data: Dataset, p: int, k: int) -> None:
        data.NumberOfTemporalPositions = 5

    one_series(tmp_path, count)
    warnings = only(read_study(tmp_path)).warnings
    assert "NumberOfTemporalPositions is 5, and 4 were found" in warnings


def test_without_temporal_tags_and_instance_numbers_nothing_is_guessed(tmp_path: Path) -> None:
    one_series(tmp_path, lambda data, p, k: without(data, "InstanceNumber"))
    study = read_study(tmp_path)
    assert study.dce == ()
    assert [rejected.files for rejected in study.rejected] == [PHASES * SLICES]


# --- Vendor habits ---


@pytest.mark.parametrize("keyword", ["AcquisitionTime", "ContentTime"])
def test_a_clock_that_runs_from_slice_to_slice_tells_phases_by_its_passes(
    tmp_path: Path, keyword: str
) -> None:
    """2-D slices are acquired one by one, odd ones first: no two images share a time."""

    def interleaved(data: Dataset, p: int, k: int) -> None:
        place = k // 2 if k % 2 == 0 else 5 + k // 2
        setattr(data, keyword, clock(p, place))
        without(data, "InstanceNumber")

    one_series(tmp_path, interleaved)
    acquisition = only(read_study(tmp_path))
    assert acquisition.key == keyword
    assert_the_phases(acquisition)
    np.testing.assert_allclose(seconds(acquisition), [0, 90, 180, 270], atol=1e-3)


def test_slices_that_overlap_in_time_are_no_passes(tmp_path: Path) -> None:
    """Times that run slice after slice over all phases tell nothing: the next key is tried."""

    def overlapping(data: Dataset, p: int, k: int) -> None:
        data.ContentTime = clock(0, k * PHASES + p)
        data.TemporalPositionIdentifier = p + 1

    one_series(tmp_path, overlapping)
    acquisition = only(read_study(tmp_path))
    assert acquisition.key == "TemporalPositionIdentifier"
    assert_the_phases(acquisition)


@pytest.mark.parametrize(
    ("creator", "block", "known"),
    [
        ("GEMS_ACQU_01", 0x10, True),
        ("GEMS_ACQU_01", 0x11, True),
        ("SOMEONE ELSE", 0x10, False),
    ],
)
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT])
def test_a_private_duration_counts_in_whatever_block_its_creator_claims(
    tmp_path: Path, creator: str, block: int, known: bool, syntax: str
) -> None:
    """GE (0019,xx5A): µs of the whole series."""

    def duration(data: Dataset, p: int, k: int) -> None:
        private(data, 0x0019, block, creator, {0x5A: ("FL", PHASES * 90e6)})

    one_series(tmp_path, duration)
    if syntax != EXPLICIT:
        for file in files_below(tmp_path):
            save(pydicom.dcmread(file), file, syntax)
    acquisition = only(read_study(tmp_path))
    assert_the_phases(acquisition)
    if known:
        np.testing.assert_allclose(seconds(acquisition), [0, 90, 180, 270], atol=1e-3)
    else:
        assert np.isnan(seconds(acquisition)).all()


def test_a_private_value_that_an_archive_wrote_as_unknown_is_read(tmp_path: Path) -> None:
    def unknown(data: Dataset, p: int, k: int) -> None:
        value = np.float32(90.0 * p).tobytes()
        private(data, 0x2005, 0x10, "Philips MR Imaging DD 001", {0xA0: ("UN", value)})
        without(data, "InstanceNumber")

    one_series(tmp_path, unknown)
    acquisition = only(read_study(tmp_path))
    assert acquisition.key == "PhilipsDynamicScanBegin"
    assert_the_phases(acquisition)


def test_a_private_value_of_another_creator_is_not_read(tmp_path: Path) -> None:
    def foreign(data: Dataset, p: int, k: int) -> None:
        # In reverse, so that a reader who believes it shows.
        private(data, 0x2005, 0x10, "SOMEONE ELSE", {0xA0: ("FL", 90.0 * (PHASES - p))})

    one_series(tmp_path, foreign)
    acquisition = only(read_study(tmp_path))
    assert acquisition.key == "InstanceNumber"
    assert_the_phases(acquisition)


def test_keys_that_disagree_are_reported(tmp_path: Path) -> None:
    def backwards(data: Dataset, p: int, k: int) -> None:
        data.TemporalPositionIdentifier = p + 1
        data.TriggerTime = str(90000 * (PHASES - p))

    one_series(tmp_path, backwards)
    acquisition = only(read_study(tmp_path))
    assert acquisition.key == "TemporalPositionIdentifier"
    assert any("TriggerTime orders the phases differently" in w for w in acquisition.warnings)
    phases = next(d for d in acquisition.decisions if d.what == "phases")
    assert phases.details["TriggerTime"] == "explains all slices: 4 values at 9 positions"


def test_times_of_one_tag_that_differ_from_those_of_another_are_reported(tmp_path: Path) -> None:
    def other_pace(data: Dataset, p: int, k: int) -> None:
        data.AcquisitionTime = clock(p)
        data.TriggerTime = str(60000 * p)

    one_series(tmp_path, other_pace)
    acquisition = only(read_study(tmp_path))
    assert "TriggerTime differs from AcquisitionTime by up to 90 s" in acquisition.warnings


@pytest.mark.parametrize("minutes", [0.5, 4])
def test_phases_over_midnight_are_told_by_time_of_day_alone(tmp_path: Path, minutes: float) -> None:
    def late(data: Dataset, p: int, k: int) -> None:
        moment = datetime(2020, 1, 3) + timedelta(seconds=90 * p) - timedelta(minutes=minutes)
        data.AcquisitionTime = data.ContentTime = f"{moment:%H%M%S}"
        without(data, "InstanceNumber")

    one_series(tmp_path, late)
    acquisition = only(read_study(tmp_path))
    assert_the_phases(acquisition)
    np.testing.assert_allclose(seconds(acquisition), [0, 90, 180, 270], atol=1e-3)


# --- Durations and the injection ---


@pytest.mark.parametrize("starts", [(-60, 30, 120, 210), (-310, 0, 60, 120)])
def test_a_duration_of_the_whole_series_does_not_shift_the_phases(
    tmp_path: Path, starts: tuple[float, ...]
) -> None:
    """As Philips writes it; a pause before the injection may be longer than all of it."""
    header = StudyHeader(injection=False)
    written = write_dce(tmp_path, dce(), layout="philips", times_s=starts, header=header)
    before = seconds(only(read_study(tmp_path)))
    whole = starts[-1] - starts[1] + 60.0

    def state(data: Dataset, p: int, k: int) -> None:
        data.AcquisitionDuration = whole

    vary(written, state)
    assert seconds(only(read_study(tmp_path))) == before


def test_a_duration_of_each_phase_places_its_centre(tmp_path: Path) -> None:
    written = write_dce(tmp_path, dce(), layout="siemens", times_s=TIMES)

    def state(data: Dataset, p: int, k: int) -> None:
        data.AcquisitionDuration = 60.0

    vary(written, state)
    acquisition = only(read_study(tmp_path))
    np.testing.assert_allclose(seconds(acquisition), [t + 30 for t in TIMES], atol=1e-3)


@pytest.mark.parametrize(
    ("when", "why"),
    [("093401", "phase 2 enhances, and ended 61 s before"), ("092700", "phase 1 does not enhance")],
)
def test_an_injection_that_the_signal_contradicts_is_not_used(
    tmp_path: Path, when: str, why: str
) -> None:
    written = write_dce(tmp_path, dce(), layout="siemens", times_s=TIMES)

    def inject(data: Dataset, p: int, k: int) -> None:
        data.ContrastBolusStartTime = when

    vary(written, inject)
    acquisition = only(read_study(tmp_path))
    assert {phase.time_origin for phase in acquisition.phases} == {"first phase"}
    assert acquisition.rule == "first post-contrast phase"
    assert any(why in warning for warning in acquisition.warnings)


@pytest.mark.parametrize("phase", ["DYNAMIC", "POST_CONTRAST"])
def test_a_stated_contrast_phase_that_the_signal_contradicts_is_warned_of(
    tmp_path: Path, phase: str
) -> None:
    """(0018,9344) in classic headers; the signal decides."""
    written = write_dce(tmp_path, dce(), layout="siemens", times_s=TIMES)

    def state(data: Dataset, p: int, k: int) -> None:
        data.ContrastBolusAgentPhase = "PRE_CONTRAST" if p < 2 else phase

    vary(written, state)
    acquisition = only(read_study(tmp_path))
    assert [p.role for p in acquisition.phases] == ["pre", "post", "post", "post"]
    assert acquisition.warnings == (
        "The header says that phase 2 is pre-contrast, the signal that it is post-contrast",
    )


def test_a_file_for_each_phase_is_timed_by_what_the_file_says(tmp_path: Path) -> None:
    """Enhanced MR in one series, whose frames know neither time nor index."""
    written = write_dce(
        tmp_path / "whole", dce(), layout="enhanced", times_s=TIMES, header=NO_INJECTION
    )

    def bare(data: Dataset, number: int, count: int) -> None:
        for group in data.PerFrameFunctionalGroupsSequence:
            without(group, "TemporalPositionSequence", "ContrastBolusUsageSequence")
            content = group.FrameContentSequence[0]
            for name in list(content.dir("Time", "Duration", "Temporal", "Acquisition", "Index")):
                delattr(content, name)
        without(data, *TEMPORAL)
        data.AcquisitionDateTime = f"20200102{clock(number)}"

    parts = [range(p * SLICES, (p + 1) * SLICES) for p in range(PHASES)]
    frames_apart(written.phases[0].files[0], tmp_path / "apart", parts, bare)
    acquisition = only(read_study(tmp_path / "apart"))
    assert acquisition.key == "AcquisitionDateTime"
    assert_the_phases(acquisition)
    np.testing.assert_allclose(seconds(acquisition), [0, 90, 180, 270], atol=1e-3)
