"""What is written as DICOM is valid, names its sources, and dcmqi reads it back as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dicom_results import (
    GEOMETRIES,
    MAPS,
    MEASUREMENTS,
    OBJECTS,
    PHASE,
    PROBABILITIES,
    SCORES,
    SIZE,
    SLICE,
    Results,
    errors_of,
    inconsistencies,
    indices_in,
    irregular_mask,
    items,
    read_map,
    read_mask,
    read_report,
    results,
)
from pydicom import Dataset

from breastpredict.phantom.mr_study import LAYOUTS


@pytest.fixture(
    scope="module",
    params=[(layout, geometry) for layout in LAYOUTS for geometry in GEOMETRIES],
    ids=lambda pair: f"{pair[0]}, {pair[1]}",
)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Every object of every layout in every geometry."""
    return results(tmp_path_factory.mktemp("results"), *request.param)


def frame_sources(results: Results, data: Dataset) -> list[tuple[int, Dataset]]:
    """Of each frame: the slice it lies on, by the plane's position alone; what it references."""
    out = []
    for group in data.PerFrameFunctionalGroupsSequence:
        place = [float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient]
        index = results.grid.TransformPhysicalPointToContinuousIndex(place)
        assert index == pytest.approx((0, 0, round(index[2])), abs=1e-3)
        (step,) = group.DerivationImageSequence
        (source,) = step.SourceImageSequence
        out.append((round(index[2]), source))
    return out


def expected_source(results: Results, k: int) -> tuple[str, str, int | None]:
    """SOP class, instance and frame of slice k of the phase, from the files as they were written:
    in order of time, then of place."""
    files = results.dce.phases[PHASE - 1].files
    data = pydicom.dcmread(files[k if len(files) > 1 else 0], stop_before_pixels=True)
    frame = None
    if "NumberOfFrames" in data:
        before = (PHASE - 1) * SIZE[2] if int(data.NumberOfFrames) > SIZE[2] else 0
        frame = before + k + 1
    return data.SOPClassUID, data.SOPInstanceUID, frame


def named(item: Dataset) -> tuple[str, str, int | None]:
    frame = item.get("ReferencedFrameNumber")
    return (
        item.ReferencedSOPClassUID,
        item.ReferencedSOPInstanceUID,
        None if frame is None else int(frame),
    )


def test_the_validator_finds_no_error(written: Results, dciodvfy: str) -> None:
    for name in OBJECTS:
        assert errors_of(dciodvfy, written.written[name].path) == [], name


def test_results_and_source_are_of_one_patient_study_and_place(
    written: Results, dciodvfy: str
) -> None:
    assert inconsistencies(dciodvfy, written.source, written.out) == []
    source = pydicom.dcmread(written.dce.phases[0].files[0], stop_before_pixels=True)
    for name in OBJECTS:
        data = written.read(name)
        for keyword in (
            "PatientID PatientName PatientBirthDate PatientSex PatientAge StudyInstanceUID StudyID "
            "StudyDate StudyTime StudyDescription AccessionNumber ReferringPhysicianName"
        ).split():
            assert data[keyword].value == source[keyword].value, (name, keyword)
        if name in ("segmentation", *MAPS):
            assert data.FrameOfReferenceUID == source.FrameOfReferenceUID
        assert data.SeriesInstanceUID != source.SeriesInstanceUID


def test_every_frame_names_the_slice_it_lies_on_and_no_other(written: Results) -> None:
    slices = {
        "segmentation": np.flatnonzero(irregular_mask().any(axis=(1, 2))).tolist(),
        **{
            name: list(range(start, start + len(values)))
            for name, (start, values) in written.maps.items()
        },
    }
    for name, expected in slices.items():
        found = frame_sources(written, written.read(name))
        assert sorted(k for k, _ in found) == expected, name
        for k, source in found:
            assert named(source) == expected_source(written, k), (name, k)


def test_every_reference_is_to_an_instance_of_the_phase_or_to_the_segmentation(
    written: Results,
) -> None:
    of_phase = {expected_source(written, k)[:2] for k in range(SIZE[2])}
    segmentation = written.written["segmentation"]
    own = (segmentation.sop_class_uid, segmentation.sop_instance_uid)
    for name in OBJECTS:
        data = written.read(name)
        found = [named(item)[:2] for item in items(data, "ReferencedSOPInstanceUID")]
        allowed = of_phase | {own} if name in ("report", "refused") else of_phase
        assert found and set(found) <= allowed, name
        for series in items(data, "ReferencedInstanceSequence"):  # each instance is listed once
            uids = [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence]
            assert len(uids) == len(set(uids)), name
    (source,) = written.read("capture").SourceImageSequence
    assert named(source) == expected_source(written, SLICE)
    for name in ("report", "refused"):
        images = [
            named(item.ReferencedSOPSequence[0])
            for item in items(written.read(name), "ReferencedSOPSequence")
            if item.get("ValueType") == "IMAGE"
        ]
        assert (*own, None) in [(*image[:2], None) for image in images]
        assert expected_source(written, SLICE) in images


def test_dcmqi_reads_the_mask_voxel_for_voxel(written: Results, tmp_path: Path) -> None:
    image = read_mask(written.written["segmentation"].path, tmp_path)
    found = np.zeros_like(written.mask)
    voxels = sitk.GetArrayFromImage(image)
    place = indices_in(written.grid, image)
    found[tuple(np.moveaxis(place, -1, 0))] = voxels
    np.testing.assert_array_equal(found, written.mask)


def test_dcmqi_reads_every_value_of_the_maps_at_its_place(written: Results, tmp_path: Path) -> None:
    for quantity, (start, values) in written.maps.items():
        image = read_map(written.written[quantity].path, tmp_path / quantity)
        place = indices_in(written.grid, image)
        assert image.GetSize() == (*SIZE[:2], len(values))
        found = np.full(SIZE[::-1], np.nan, np.float32)
        found[tuple(np.moveaxis(place, -1, 0))] = sitk.GetArrayFromImage(image)
        np.testing.assert_array_equal(found[start : start + len(values)], values)


def test_dcmqi_reads_the_numbers_of_the_report_and_the_segment_they_belong_to(
    written: Results, tmp_path: Path
) -> None:
    report = read_report(written.written["report"].path, tmp_path)
    (group,) = report["Measurements"]
    found = {
        item["quantity"]["CodeMeaning"]: float(item["value"]) for item in group["measurementItems"]
    }
    expected = {
        "Volume": MEASUREMENTS["volume_mm3"],
        "Area": MEASUREMENTS["area_mm2"],
        "Slice of largest cross-section (0-based)": MEASUREMENTS["slice_index"],
        **{f"Model output P(HER2-{name})": value for name, value in PROBABILITIES.items()},
        "Task 1 score, points to HER2-low or positive": SCORES[0][2],
        "Task 1 threshold, points to HER2-low or positive": SCORES[0][3],
        "Task 2 score, points to HER2-low": SCORES[1][2],
        "Task 2 threshold, points to HER2-low": SCORES[1][3],
    }
    assert found == pytest.approx(expected, rel=1e-12)
    segmentation = written.read("segmentation")
    assert group["ReferencedSegment"] == 1
    assert group["segmentationSOPInstanceUID"] == segmentation.SOPInstanceUID
    segment = segmentation.SegmentSequence[0]
    assert group["TrackingUniqueIdentifier"] == segment.TrackingUID
    assert report["imageLibrary"] == [expected_source(written, SLICE)[1]]


def test_a_side_is_the_sources_side(written: Results) -> None:
    """The phantom says it is the left breast, in classic and in Enhanced tags."""
    for name in MAPS:
        shared = written.read(name).SharedFunctionalGroupsSequence[0]
        assert shared.FrameAnatomySequence[0].FrameLaterality == "L"
    assert written.read("capture").ImageLaterality == "L"
