"""What changes nothing in reading a study, and what is refused with its name."""

from __future__ import annotations

import hashlib
import random
import shutil
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk
from dce_volumes import SAGITTAL, TIMES, dce, files_below
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from vendor_variants import new_uid, philips_component, save, vary, without, written

from breastpredict.dicom import Study, index_folder, read_study
from breastpredict.errors import InputError
from breastpredict.phantom import LAYOUTS, StudyHeader, write_dce

QUICK = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # a failure is as plain without shrinking, and quick
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

OPTIONAL = (
    "AccessionNumber AcquisitionDate BodyPartExamined ContentDate ContrastBolusAgent "
    "ContrastBolusRoute EchoTime EchoTrainLength FlipAngle FrameOfReferenceUID ImageType "
    "MagneticFieldStrength Manufacturer ManufacturerModelName Modality NumberOfAverages "
    "NumberOfTemporalPositions PatientAge PatientBirthDate PatientName PatientPosition "
    "PositionReferenceIndicator ProtocolName ReferringPhysicianName RepetitionTime "
    "ScanningSequence ScanOptions SequenceVariant SeriesDate SeriesDescription SeriesTime "
    "SliceLocation SoftwareVersions SpacingBetweenSlices SpecificCharacterSet StudyDate "
    "StudyDescription StudyID StudyTime WindowCenter WindowWidth"
).split()
"""Without any of these the phases, their times, roles and pixels are the same."""

OPTIONAL_GROUPS = (
    "ContrastBolusUsageSequence FrameVOILUTSequence MRAveragesSequence MREchoSequence "
    "MRFOVGeometrySequence MRImageFrameTypeSequence MRImagingModifierSequence MRModifierSequence "
    "MRReceiveCoilSequence MRTimingAndRelatedParametersSequence TemporalPositionSequence"
).split()

REDUNDANT = {
    "ge": ["TemporalPositionIdentifier", "SeriesNumber"],
    "siemens": ["AcquisitionTime", "SeriesNumber", "InstanceNumber", "AcquisitionNumber"],
    "philips": ["TemporalPositionIdentifier", "SeriesNumber", "InstanceNumber"],
    "enhanced": ["ContentTime", "AcquisitionDateTime", "InstanceNumber", "SeriesNumber"],
    "enhanced-per-phase": ["ContentTime", "AcquisitionDateTime", "InstanceNumber", "SeriesNumber"],
}
"""And these say again what others say."""

REQUIRED = (
    "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Rows Columns BitsAllocated "
    "PixelRepresentation PixelData"
).split()
OF_PLANE = ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"]
OF_FRAMES = ["NumberOfFrames", "PerFrameFunctionalGroupsSequence", *OF_PLANE]


def fingerprint(study: Study) -> list[object]:
    """What is read, without paths and words."""
    return [
        (
            acquisition.laterality,
            acquisition.chosen,
            [
                (
                    round(phase.time_s, 6),
                    phase.time_origin,
                    phase.role,
                    phase.geometry,
                    [(i.sop_instance_uid, i.frame) for i in phase.instances],
                    hashlib.sha256(sitk.GetArrayFromImage(phase.read()).tobytes()).hexdigest(),
                )
                for phase in acquisition.phases
            ],
        )
        for acquisition in study.dce
    ]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[object]]]:
    """A study in each layout as a scanner exports it, and what is read of it."""
    out = {}
    for layout in LAYOUTS:
        folder = tmp_path_factory.mktemp(layout)
        second = dce(axes=SAGITTAL, size=(20, 16, 7), origin=(-20.0, -60.0, 30.0))
        write_dce(
            folder,
            dce(axes=SAGITTAL),
            layout=layout,
            times_s=TIMES,
            second_stack=second if layout == "ge" else None,
            header=StudyHeader(trigger_times=True),
        )
        out[layout] = (folder, fingerprint(read_study(folder)))
    return out


def copied(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shutil.copytree(folder, tmp_path_factory.mktemp("copy") / "study")


@QUICK
@given(
    seed=st.integers(0, 2**32),
    gone=st.sets(st.sampled_from(OPTIONAL), min_size=1),
    share=st.sampled_from([0.1, 0.5, 1.0]),
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_optional_tags_removed_from_any_of_the_files_change_nothing(
    plain: dict[str, tuple[Path, list[object]]],
    tmp_path_factory: pytest.TempPathFactory,
    layout: str,
    seed: int,
    gone: set[str],
    share: float,
) -> None:
    chance = random.Random(seed)
    source, expected = plain[layout]
    folder = copied(source, tmp_path_factory)
    gone = gone | {chance.choice(REDUNDANT[layout])}
    for file in files_below(folder):
        data = pydicom.dcmread(file)
        for keyword in gone:
            if keyword in data and chance.random() < share:
                delattr(data, keyword)
        for name in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
            for group in data.get(name, ()):
                if chance.random() < share:
                    without(group, *chance.sample(OPTIONAL_GROUPS, 3))
        save(data, file)
    assert fingerprint(read_study(folder)) == expected
    shutil.rmtree(folder)


@QUICK
@given(seed=st.integers(0, 2**32), where=st.floats(0, 0.999))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_required_tag_that_is_missing_is_named_and_no_phase_is_chosen(
    plain: dict[str, tuple[Path, list[object]]],
    tmp_path_factory: pytest.TempPathFactory,
    layout: str,
    seed: int,
    where: float,
) -> None:
    """In one file of the study, whichever."""
    chance = random.Random(seed)
    enhanced = layout.startswith("enhanced")
    keyword = chance.choice(REQUIRED + (OF_FRAMES if enhanced else OF_PLANE))
    folder = copied(plain[layout][0], tmp_path_factory)
    files = files_below(folder)
    file = files[int(where * len(files))]
    data = pydicom.dcmread(file)
    if keyword in data:
        delattr(data, keyword)
    else:
        groups = data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence
        for item in (item for sequence in groups for item in sequence):
            for part in item:
                if part.VR == "SQ" and keyword in part.value[0]:
                    delattr(part.value[0], keyword)
    pydicom.dcmwrite(file, data)
    try:
        found = index_folder(folder)
    except InputError as error:
        assert keyword in str(error) and file.name in str(error)
        return
    said = [r.reason for study in found for r in study.rejected]
    said += [w for study in found for a in study.dce for w in (*a.warnings, a.reason)]
    assert any(keyword in line and file.name in line for line in said), (keyword, said)
    whole = plain[layout][1][0][2]  # type: ignore[index]
    for acquisition in (a for study in found for a in study.dce):
        if len(acquisition.phases[0].instances) == len(whole[0][4]):
            assert acquisition.chosen is None
    shutil.rmtree(folder)


@QUICK
@given(seed=st.integers(0, 2**32))
def test_unlike_series_beside_the_phases_change_nothing(
    plain: dict[str, tuple[Path, list[object]]],
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
) -> None:
    """T2, phase images, a localizer of three planes, a report, in any order of names."""
    chance = random.Random(seed)
    source, expected = plain["siemens"]
    folder = copied(source, tmp_path_factory)
    others = {
        "t2": {"RepetitionTime": "4200", "EchoTime": "96"},
        "phase": {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]},
        "localizer": {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        "report": {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.22", "Modality": "SR"},
    }
    model = [pydicom.dcmread(file) for file in files_below(source / "S0011")]
    for name, values in others.items():
        for k, data in enumerate(model):
            other = pydicom.Dataset(data)
            other.file_meta = data.file_meta
            other.SeriesInstanceUID, other.SOPInstanceUID = new_uid(name), new_uid(name, k)
            for keyword, value in values.items():
                setattr(other, keyword, value)
            if name == "localizer" and k % 2:
                other.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
            save(other, folder / f"{chance.randrange(10**9)}")
    study = read_study(folder)
    assert fingerprint(study) == expected
    assert sum(r.files for r in study.rejected) == len(others) * len(model)
    shutil.rmtree(folder)


def test_phase_images_alone_are_no_acquisition(tmp_path: Path) -> None:
    vary(written(tmp_path), lambda data, p, k: philips_component(data, 1))
    study = read_study(tmp_path)
    assert study.dce == ()
    assert {r.reason for r in study.rejected} == {"phase images, not magnitude"}
