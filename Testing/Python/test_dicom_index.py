"""Indexing a folder: which files belong together, whatever their order, names and neighbours."""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dce_volumes import SAGITTAL, TIMES, dce, files_below, image_of, only
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breastpredict.dicom import (
    index_folder,
    inspect_folder,
    inspect_text,
    read_study,
)
from breastpredict.errors import InputError
from breastpredict.phantom import StudyHeader, write_dce

GEOMETRY_TAGS = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")


def edit(path: Path, **values: object) -> None:
    """Set (or, with None, remove) attributes of one file."""
    data = pydicom.dcmread(path)
    for keyword, value in values.items():
        if value is None:
            delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    data.save_as(path)


def cut(path: Path, missing_bytes: int) -> None:
    """Truncate a file within its pixels."""
    path.write_bytes(path.read_bytes()[:-missing_bytes])


# --- Order, names and neighbours change nothing ---


def fingerprint(folder: Path) -> list[object]:
    """What is read, without paths."""
    study = read_study(folder)
    return [
        (
            acquisition.laterality,
            acquisition.chosen,
            acquisition.reason,
            acquisition.warnings,
            [
                (
                    phase.time_s,
                    phase.role,
                    phase.geometry,
                    [(i.sop_instance_uid, i.frame) for i in phase.instances],
                    hashlib.sha256(sitk.GetArrayFromImage(phase.read()).tobytes()).hexdigest(),
                )
                for phase in acquisition.phases
            ],
        )
        for acquisition in study.dce
    ] + sorted((r.reason, r.files) for r in study.rejected)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[object]]]:
    """A study in each layout as a scanner exports it, and what is read of it."""
    out = {}
    for layout in ("ge", "siemens", "philips", "enhanced", "enhanced-per-phase"):
        folder = tmp_path_factory.mktemp(layout)
        write_dce(
            folder,
            dce(axes=SAGITTAL),
            layout=layout,
            times_s=TIMES,
            second_stack=dce(axes=SAGITTAL, size=(20, 16, 7), origin=(-20.0, -60.0, 30.0))
            if layout == "ge"
            else None,
            header=StudyHeader(trigger_times=True),
        )
        out[layout] = (folder, fingerprint(folder))
    return out


STRAY = {
    "readme.txt": b"Send to the PACS by Friday",
    "DICOMDIR": b"\0" * 128 + b"DICM not really",
    "empty": b"",
    "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(200),
    "almost.dcm": b"\0" * 128 + b"DICM" + bytes(300),
    "Thumbs.db": bytes(range(256)) * 4,
}


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32), depth=st.integers(0, 3))
@pytest.mark.parametrize("layout", ["ge", "siemens", "philips", "enhanced", "enhanced-per-phase"])
def test_names_nesting_and_stray_files_change_nothing(
    plain: dict[str, tuple[Path, list[object]]],
    tmp_path_factory: pytest.TempPathFactory,
    layout: str,
    seed: int,
    depth: int,
) -> None:
    chance = random.Random(seed)
    source, expected = plain[layout]
    folder = tmp_path_factory.mktemp("shuffled")
    files = files_below(source)
    chance.shuffle(files)
    for number, file in enumerate(files):
        where = folder.joinpath(*(f"{chance.randrange(3)}" for _ in range(depth)))
        where.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, where / f"{chance.randrange(10**6)}_{number}")
    for name, content in STRAY.items():
        (folder / name).write_bytes(content)
    assert fingerprint(folder) == expected
    shutil.rmtree(folder)


def test_copies_of_files_count_once(
    plain: dict[str, tuple[Path, list[object]]], tmp_path: Path
) -> None:
    source, expected = plain["siemens"]
    shutil.copytree(source, tmp_path / "all")
    shutil.copytree(source, tmp_path / "all again")
    assert fingerprint(tmp_path) == expected


def test_the_order_of_instance_numbers_is_not_trusted_over_position_and_time(
    plain: dict[str, tuple[Path, list[object]]], tmp_path: Path
) -> None:
    source, expected = plain["philips"]
    files = files_below(shutil.copytree(source, tmp_path / "study"))
    numbers = list(range(1, len(files) + 1))
    random.Random(4).shuffle(numbers)
    for file, number in zip(files, numbers, strict=True):
        edit(file, InstanceNumber=number)
    assert fingerprint(tmp_path) == expected


@pytest.mark.parametrize(
    "syntax",
    ["1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"],
)
def test_transfer_syntaxes_give_the_same(
    plain: dict[str, tuple[Path, list[object]]], tmp_path: Path, syntax: str
) -> None:
    """Implicit, big endian, deflated, RLE."""
    source, expected = plain["siemens"]
    for number, file in enumerate(files_below(source)):
        data = pydicom.dcmread(file)
        if syntax.endswith("2.5"):
            data.compress(syntax, generate_instance_uid=False)
        else:
            if syntax.endswith("2.2"):
                data.PixelData = data.pixel_array.astype(">u2").tobytes()
            data.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
        pydicom.dcmwrite(
            tmp_path / f"{number}",
            data,
            implicit_vr=syntax == "1.2.840.10008.1.2",
            little_endian=syntax != "1.2.840.10008.1.2.2",
        )
    assert fingerprint(tmp_path) == expected


def test_private_and_nested_sequences_of_undefined_length_are_stepped_over(
    plain: dict[str, tuple[Path, list[object]]], tmp_path: Path
) -> None:
    source, expected = plain["philips"]
    for number, file in enumerate(files_below(source)):
        data = pydicom.dcmread(file)
        item = pydicom.Dataset()
        inner = pydicom.Dataset()
        inner.PatientID = "another"
        inner.Rows = 3
        item.ReferencedImageSequence = [inner, inner]
        item.ImagePositionPatient = [1, 2, 3]
        item.is_undefined_length_sequence_item = True
        data.ReferencedStudySequence = [item, item]
        data["ReferencedStudySequence"].is_undefined_length = True
        block = data.private_block(0x0009, "SOMEONE", create=True)
        block.add_new(1, "SQ", [item])
        data[0x0009, 0x1001].is_undefined_length = True
        data.save_as(tmp_path / f"{number}")
    assert fingerprint(tmp_path) == expected


# --- What is kept out ---


@pytest.mark.parametrize(
    "image_type",
    [
        ["DERIVED", "PRIMARY", "M", "SUB"],
        ["DERIVED", "SECONDARY", "SUBTRACTION"],
        ["DERIVED", "SECONDARY", "PROJECTION IMAGE", "MIP"],
        ["ORIGINAL", "PRIMARY", "LOCALIZER"],
    ],
)
def test_derived_series_and_localizers_are_kept_out(
    plain: dict[str, tuple[Path, list[object]]], tmp_path: Path, image_type: list[str]
) -> None:
    source, expected = plain["siemens"]
    shutil.copytree(source, tmp_path / "study")
    extra = tmp_path / "extra"
    shutil.copytree(source / "S0010", extra)
    for number, file in enumerate(files_below(extra)):
        edit(
            file,
            ImageType=image_type,
            SeriesInstanceUID="2.25.77",
            SOPInstanceUID=f"2.25.78{number}",
        )
    study = read_study(tmp_path)
    assert [(r.series_uid, r.files) for r in study.rejected] == [("2.25.77", 9)]
    assert re.search("derived|localizer", study.rejected[0].reason)
    assert fingerprint(tmp_path)[: len(expected)] == expected


def test_another_sequence_on_the_same_grid_is_no_phase(tmp_path: Path) -> None:
    phases = dce()
    write_dce(tmp_path, phases, layout="siemens", times_s=TIMES)
    for number, file in enumerate(
        files_below(shutil.copytree(tmp_path / "S0010", tmp_path / "t2"))
    ):
        edit(
            file,
            SeriesInstanceUID="2.25.9",
            SOPInstanceUID=f"2.25.9{number}",
            RepetitionTime="4200",
            EchoTime="96",
        )
    study = read_study(tmp_path)
    assert len(only(study).phases) == 4
    assert [r.series_uid for r in study.rejected] == ["2.25.9"]


# --- Bad input ---


def refused(folder: Path) -> str:
    """The one line that reading the study ends with."""
    with pytest.raises(InputError) as caught:
        read_study(folder)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "empty" in refused(tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path / "absent")


def test_text_named_dcm(tmp_path: Path) -> None:
    (tmp_path / "image.dcm").write_text("This is a text, not an image. " * 40)
    assert "no DICOM file" in refused(tmp_path)


def test_two_patients_in_one_folder(tmp_path: Path) -> None:
    for number in (1, 2):
        header = StudyHeader(patient_id=f"secret-{number}", patient_name=f"Secret^{number}")
        write_dce(
            tmp_path / f"{number}", dce(2), layout="siemens", times_s=TIMES[:2], header=header
        )
    line = refused(tmp_path)
    assert "2 patients" in line and "secret" not in line.lower().replace(str(tmp_path), "")


def test_two_patients_under_one_study(tmp_path: Path) -> None:
    write_dce(tmp_path, dce(2), layout="siemens", times_s=TIMES[:2])
    edit(files_below(tmp_path)[0], PatientID="other")
    assert "2 patients" in refused(tmp_path)


def test_two_studies_are_told_apart_by_uid(tmp_path: Path) -> None:
    written = [
        write_dce(
            tmp_path / f"{seed}",
            dce(2),
            layout="siemens",
            times_s=TIMES[:2],
            header=StudyHeader(seed=seed),
        )
        for seed in (1, 2)
    ]
    assert "2 studies" in refused(tmp_path)
    for one in written:
        assert read_study(tmp_path, study_uid=one.study_uid).study_uid == one.study_uid
    with pytest.raises(InputError, match="not there"):
        read_study(tmp_path, study_uid="2.25.1")


@pytest.mark.parametrize("keyword", [*GEOMETRY_TAGS, "Rows", "Columns"])
@pytest.mark.parametrize("layout", ["siemens", "philips"])
def test_a_missing_geometry_tag_is_named(tmp_path: Path, layout: str, keyword: str) -> None:
    write_dce(tmp_path, dce(2), layout=layout, times_s=TIMES[:2])
    damaged = files_below(tmp_path)[-4]
    edit(damaged, **{keyword: None})
    study = read_study(tmp_path)
    assert study.dce == ()
    assert any(keyword in r.reason and damaged.name in r.reason for r in study.rejected)


@pytest.mark.parametrize(
    ("sequence", "keyword"),
    [
        ("PlanePositionSequence", "ImagePositionPatient"),
        ("PlaneOrientationSequence", "ImageOrientationPatient"),
        ("PixelMeasuresSequence", "PixelSpacing"),
    ],
)
def test_a_missing_geometry_tag_of_an_enhanced_file_is_named(
    tmp_path: Path, sequence: str, keyword: str
) -> None:
    write_dce(tmp_path, dce(2), layout="enhanced", times_s=TIMES[:2])
    file = files_below(tmp_path)[0]
    data = pydicom.dcmread(file)
    for group in (*data.PerFrameFunctionalGroupsSequence, data.SharedFunctionalGroupsSequence[0]):
        if sequence in group:
            delattr(group, sequence)
    data.save_as(file)
    study = read_study(tmp_path)
    assert study.dce == ()
    assert keyword in study.rejected[0].reason


@pytest.mark.parametrize(
    "values",
    [
        {"PixelSpacing": [0, 1]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImageOrientationPatient": [2, 0, 0, 0, 1, 0]},
    ],
)
def test_impossible_geometry_is_refused(tmp_path: Path, values: dict[str, object]) -> None:
    write_dce(tmp_path, dce(2), layout="siemens", times_s=TIMES[:2])
    edit(files_below(tmp_path)[3], **values)
    study = read_study(tmp_path)
    assert study.dce == ()
    assert any(next(iter(values)) in r.reason for r in study.rejected)


@pytest.mark.parametrize("layout", ["siemens", "philips", "ge"])
@pytest.mark.parametrize("which", [0, 4, 13])
def test_a_missing_slice_is_never_bridged(tmp_path: Path, layout: str, which: int) -> None:
    phases = dce(2)
    write_dce(tmp_path, phases, layout=layout, times_s=TIMES[:2])
    files_below(tmp_path)[which].unlink()
    study = read_study(tmp_path)
    for acquisition in study.dce:  # none, or nothing that holds a hole
        for phase in acquisition.phases:
            assert len(phase.instances) == 9
    assert study.rejected and all(r.reason for r in study.rejected)


def test_a_single_phase_is_no_dynamic_acquisition(tmp_path: Path) -> None:
    write_dce(tmp_path, dce(2), layout="siemens", times_s=TIMES[:2])
    shutil.rmtree(tmp_path / "S0011")
    study = read_study(tmp_path)
    assert study.dce == ()
    assert "single time point" in study.rejected[0].reason


def test_truncated_pixels_are_found_where_they_are_read(tmp_path: Path) -> None:
    write_dce(tmp_path, dce(2), layout="siemens", times_s=TIMES[:2])
    damaged = files_below(tmp_path)[0]
    cut(damaged, 100)
    phase = only(read_study(tmp_path)).phases[0]
    with pytest.raises(InputError, match="truncated") as caught:
        phase.read()
    assert damaged.name in str(caught.value)
    phase.read_slices(1, 9)


def test_truncated_pixels_of_an_enhanced_file(tmp_path: Path) -> None:
    write_dce(tmp_path, dce(2), layout="enhanced", times_s=TIMES[:2])
    cut(files_below(tmp_path)[0], 100)
    acquisition = only(read_study(tmp_path))
    acquisition.phases[0].read()
    with pytest.raises(InputError, match="truncated"):
        acquisition.phases[1].read()


def test_a_pixel_element_shorter_than_the_image_is_truncated(tmp_path: Path) -> None:
    write_dce(tmp_path, dce(2), layout="siemens", times_s=TIMES[:2])
    file = files_below(tmp_path)[0]
    data = pydicom.dcmread(file)
    data.PixelData = data.PixelData[:-64]
    data.save_as(file)
    with pytest.raises(InputError, match="truncated"):
        only(read_study(tmp_path)).phases[0].read()


def test_a_header_cut_in_the_middle_is_no_crash(tmp_path: Path) -> None:
    write_dce(tmp_path, dce(2), layout="siemens", times_s=TIMES[:2])
    whole = files_below(tmp_path)[0].read_bytes()
    for length in (0, 131, 133, 150, 400, 777, len(whole) - 700):
        (tmp_path / "cut").write_bytes(whole[:length])
        index_folder(tmp_path)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@given(places=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=6))
def test_damaged_bytes_give_a_study_or_one_clear_line(
    plain: dict[str, tuple[Path, list[object]]],
    tmp_path_factory: pytest.TempPathFactory,
    places: list[tuple[float, int]],
) -> None:
    source, _ = plain["siemens"]
    file = files_below(source)[0]
    content = bytearray(file.read_bytes())
    header = len(content) - 20 * 16 * 2
    for share, value in places:
        content[min(132 + int(share * (header - 132)), len(content) - 1)] = value
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "file").write_bytes(content)
    try:
        index_folder(folder)
    except InputError as error:
        assert "\n" not in str(error)
    finally:
        shutil.rmtree(folder)


# --- What is shown ---


def test_inspect_shows_the_contract_and_no_identifier(tmp_path: Path) -> None:
    header = StudyHeader(patient_id="secret-7", patient_name="Secret^Name")
    written = write_dce(tmp_path, dce(), layout="siemens", times_s=TIMES, header=header)
    found = json.loads(json.dumps(inspect_folder(tmp_path), allow_nan=False))
    (study,) = found["studies"]
    assert study["study_uid"] == written.study_uid and study["modality"] == "MR"
    (acquisition,) = study["dce"]
    assert acquisition["laterality"] == "L" and acquisition["chosen"] == 2
    assert acquisition["reason"]
    for number, (phase, made) in enumerate(
        zip(acquisition["phases"], written.phases, strict=True), start=1
    ):
        assert phase["index"] == number and phase["slices"] == 9
        assert phase["series_uid"] == made.series_uid
    text = inspect_text(found)
    assert "Research use only" in text and "<- early" in text
    for shown in (json.dumps(found), text):
        assert "secret" not in shown.lower()


def test_rescale_is_applied_in_double_precision(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(0, 1000, (5, 6, 7)).astype(np.float32)
    images = [image_of(values), image_of(values * 1.5)]
    write_dce(tmp_path, images, layout="siemens", times_s=TIMES[:2])
    for phase, image in zip(only(read_study(tmp_path)).phases, images, strict=True):
        data = pydicom.dcmread(phase.instances[0].path)
        exact = data.pixel_array * float(data.RescaleSlope) + float(data.RescaleIntercept)
        np.testing.assert_array_equal(
            sitk.GetArrayFromImage(phase.read())[0], exact.astype(np.float32)
        )
        step = float(data.RescaleSlope)
        np.testing.assert_allclose(
            sitk.GetArrayFromImage(phase.read()), sitk.GetArrayFromImage(image), atol=step
        )


def test_signed_pixels(tmp_path: Path) -> None:
    write_dce(tmp_path, dce(2), layout="siemens", times_s=TIMES[:2])
    expected = {}
    for file in files_below(tmp_path):
        data = pydicom.dcmread(file)
        pixels = data.pixel_array.astype(np.int16) - 300
        data.PixelRepresentation = 1
        data.PixelData = struct.pack(f"<{pixels.size}h", *pixels.ravel().tolist())
        data.save_as(file)
        expected[str(data.SOPInstanceUID)] = pixels
    for phase in only(read_study(tmp_path)).phases:
        volume = sitk.GetArrayFromImage(phase.read())
        for k, instance in enumerate(phase.instances):
            np.testing.assert_array_equal(volume[k], expected[instance.sop_instance_uid])
