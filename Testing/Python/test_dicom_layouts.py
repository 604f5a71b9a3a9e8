"""Real pixels in every layout: the same phases, slice, crop and scores."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dce_volumes import assert_same_voxels, files_below, only
from pydicom import Dataset
from vendor_variants import (
    TEMPORAL,
    change_frames,
    frames_apart,
    joined_enhanced,
    new_uid,
    private,
    save,
    without,
)

from breastpredict.dicom import read_study
from breastpredict.her2 import Her2Model, prepare_case
from breastpredict.her2.inputs import PreparedCase
from breastpredict.phantom import LAYOUTS, write_dce

STARTS = (-60.0, 30.0, 120.0, 210.0, 300.0, 390.0)
LESION = (slice(14, 33), slice(90, 130), slice(100, 134))  # k, j, i
GATES = ("spacing", "plane", "intensity", "tumour-size")


# --- TCGA-AO-A03M, written as five kinds of scanner would have ---


@pytest.fixture(scope="module")
def tcga(shared: Path) -> list[sitk.Image]:
    folder = shared / "data" / "breast_mri" / "tcga_ao_a03m_right"
    names = ["R_s6_pre", *(f"R_s7_post{n}" for n in range(1, 6))]
    return [
        sitk.Cast(sitk.ReadImage(str(folder / f"{name}.nii.gz")), sitk.sitkUInt16) for name in names
    ]


@pytest.fixture(scope="module")
def mask(tcga: list[sitk.Image], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ellipsoid at its place, as NRRD."""
    values = np.zeros(sitk.GetArrayViewFromImage(tcga[0]).shape, np.uint8)
    axes = [np.linspace(-1, 1, s.stop - s.start) for s in LESION]
    k, j, i = np.meshgrid(*axes, indexing="ij")
    values[LESION] = k**2 + j**2 + i**2 <= 1
    image = sitk.GetImageFromArray(values)
    image.CopyInformation(tcga[0])
    path = tmp_path_factory.mktemp("mask") / "tumour.nrrd"
    sitk.WriteImage(image, str(path))
    return path


@pytest.fixture(scope="module")
def model(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Her2Model:
    """The tiny run with a head that answers to what it sees: a fresh one says 0.5 to everything."""
    import torch

    from breastpredict.models import VIT_REDUCED, build_vit, read_bundle_metadata, save_bundle

    run = tmp_path_factory.mktemp("run")
    for seed, bundle in enumerate(sorted(p for p in tiny_run.iterdir() if p.is_dir())):
        torch.manual_seed(seed)
        network = build_vit(**VIT_REDUCED)
        with torch.no_grad():
            network.head.weight.normal_(0, 0.5)
        metadata = read_bundle_metadata(bundle)["breastpredict"]
        save_bundle(run / bundle.name, network, network=VIT_REDUCED, metadata=metadata)
    return Her2Model.load(run)


@pytest.fixture(scope="module")
def cases(
    tcga: list[sitk.Image], mask: Path, model: Her2Model, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, PreparedCase]:
    """The same case from each layout."""
    out = {}
    for layout in LAYOUTS:
        folder = tmp_path_factory.mktemp(layout)
        write_dce(folder, tcga, layout=layout, times_s=STARTS)
        out[layout] = prepare_case(folder, segmentation=mask, image_size=model.image_size)
        shutil.rmtree(folder)
    return out


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_every_layout_gives_the_same_slice_crop_and_scores_bit_for_bit(
    cases: dict[str, PreparedCase], model: Her2Model, layout: str
) -> None:
    first, case = cases[LAYOUTS[0]], cases[layout]
    assert case.phase.index == first.phase.index == 2
    assert case.slice == first.slice
    assert case.roi == first.roi
    np.testing.assert_array_equal(case.image, first.image)
    found, expected = (
        model.predict(one, explain="attention", override_gates=GATES) for one in (case, first)
    )
    assert found.probabilities == expected.probabilities
    assert found.scores == expected.scores
    assert found.scores[0].score != 0.5
    assert found.map is not None and expected.map is not None
    np.testing.assert_array_equal(
        sitk.GetArrayViewFromImage(found.map), sitk.GetArrayViewFromImage(expected.map)
    )


# --- GE: a real series without what tells its phases ---


def bare(data: Dataset) -> None:
    without(data, *TEMPORAL)
    del data[0x0019, 0x105A]


def by_duration(data: Dataset) -> None:
    without(data, *TEMPORAL)


def by_trigger_time(data: Dataset) -> None:
    without(data, *(keyword for keyword in TEMPORAL if keyword != "TriggerTime"))
    without(data, "InstanceNumber")


@pytest.mark.parametrize(
    ("change", "key", "step"),
    [
        (bare, "InstanceNumber", np.nan),
        (by_duration, "InstanceNumber", 1.0000009),
        (by_trigger_time, "TriggerTime", 1.0),  # of each slice
    ],
)
def test_a_ge_series_without_temporal_positions_has_the_same_phases(
    shared: Path, tmp_path: Path, change: Callable[[Dataset], None], key: str, step: float
) -> None:
    source = shared / "data" / "dicom_mr" / "ge_multiphase"
    for number, file in enumerate(files_below(source)):
        if file.suffix == ".dcm":
            data = pydicom.dcmread(file)
            change(data)
            data.save_as(tmp_path / f"{number}")
    acquisition = only(read_study(tmp_path))
    assert acquisition.key == key
    expected = only(read_study(source)).phases
    for phase, like in zip(acquisition.phases, expected, strict=True):
        assert_same_voxels(phase, like.read())
        assert phase.time_s == pytest.approx(step * (phase.index - 1), abs=1e-4, nan_ok=True)


# --- Siemens XA: three real files, cut otherwise ---


@pytest.mark.parametrize(("how", "indexed"), [("one file", False), ("a file for each slice", True)])
def test_a_siemens_xa_series_is_the_same_however_it_is_cut(
    shared: Path, tmp_path: Path, how: str, indexed: bool
) -> None:
    """Without indices the times of the slices tell the phases: they were acquired one by one."""
    source = shared / "data" / "dicom_mr" / "siemens_xa60_enhanced"
    files = sorted(source.glob("*.dcm"))
    whole = joined_enhanced(files, tmp_path / "whole.dcm", one_stack=True)

    def unindexed(group: Dataset, p: int, k: int) -> None:
        without(group.FrameContentSequence[0], "TemporalPositionIndex", "DimensionIndexValues")
        without(group.FrameContentSequence[0], "FrameAcquisitionNumber")

    if not indexed:
        change_frames(whole, unindexed, 10)
    if how != "one file":
        frames_apart(whole, tmp_path / "apart", [range(n, n + 1) for n in range(30)])
        whole.unlink()
    acquisition = only(read_study(tmp_path))
    assert acquisition.key == ("TemporalPositionIndex" if indexed else "AcquisitionTime")
    expected = only(read_study(source)).phases
    for phase, like in zip(acquisition.phases, expected, strict=True):
        assert_same_voxels(phase, like.read())
        assert phase.time_s == pytest.approx(like.time_s, abs=1e-3)


# --- QIBA: a real reference object, timed as others of its kind ---


def as_acquired(data: Dataset) -> None:
    pass


def by_trigger(data: Dataset) -> None:
    """GE's way: milliseconds, and one AcquisitionTime."""
    text = str(data.AcquisitionTime).strip()
    clock = int(text[:2]) * 3600 + int(text[2:4]) * 60 + float(text[4:])
    data.TriggerTime = f"{(clock - 9 * 3600) * 1000:.0f}"
    data.AcquisitionTime = "090000"


def by_private_scan_begin(data: Dataset) -> None:
    by_trigger(data)
    began = float(data.TriggerTime) / 1000
    private(data, 0x2005, 0x10, "Philips MR Imaging DD 001", {0xA0: ("FL", began)})
    without(data, "TriggerTime")


@pytest.mark.parametrize("change", [as_acquired, by_trigger, by_private_scan_begin])
def test_a_qiba_object_with_its_flip_angles_in_one_series(
    shared: Path, tmp_path: Path, change: Callable[[Dataset], None]
) -> None:
    """61 phases 5.5 s apart over the minute; the angles of the T1 map are told apart from them."""
    source = shared / "data" / "dicom_mr" / "qiba_dro_q4_acqtime"
    model = pydicom.dcmread(source / "dcemri_testversion4_001.dcm", stop_before_pixels=True)
    for number, file in enumerate(sorted(source.glob("*.dcm"))):
        data = pydicom.dcmread(file)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
            setattr(data, keyword, getattr(model, keyword))
        data.SOPInstanceUID = new_uid(number)
        if "dcemri" in file.name:
            change(data)
        save(data, tmp_path / f"{number}")
    study = read_study(tmp_path)
    acquisition = only(study)
    assert acquisition.kind == "flip angle 25"
    times = [phase.time_s for phase in acquisition.phases]
    np.testing.assert_allclose(times, 5.5 * np.arange(61), atol=1e-3)
    assert sum(rejected.files for rejected in study.rejected) == 6
    pixels = pydicom.dcmread(source / "dcemri_testversion4_001.dcm").pixel_array
    first = sitk.GetArrayFromImage(acquisition.phases[0].read())
    np.testing.assert_array_equal(first[0], pixels)
