"""Series as archives and accidents leave them: lost, doubled, mixed and re-encoded files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dce_volumes import dce, files_below, only
from pydicom import Dataset
from vendor_variants import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG_2000,
    JPEG_LOSSLESS,
    JPEG_LS,
    RLE,
    assert_phases,
    compress,
    new_uid,
    reasons,
    save,
    vary,
    written,
)

from breastpredict.dicom import read_study
from breastpredict.errors import InputError
from breastpredict.phantom import StudyHeader

SLICES, PHASES = 9, 4

# --- What is lost or there twice ---


@pytest.mark.parametrize("k", [0, 4, 8])
@pytest.mark.parametrize("layout", ["siemens", "philips", "ge"])
def test_a_phase_that_lost_a_slice_is_named_the_others_are_kept_and_none_is_chosen(
    tmp_path: Path, layout: str, k: int
) -> None:
    written(tmp_path, layout).phases[2].files[k].unlink()
    study = read_study(tmp_path)
    acquisition = only(study)
    assert_phases(acquisition, [image for n, image in enumerate(dce()) if n != 2])
    assert acquisition.chosen is None
    assert "slices are missing" in acquisition.reason or "8 of 9 slices" in acquisition.reason
    assert [files for _, files in reasons(study)] == [SLICES - 1]


@pytest.mark.parametrize("layout", ["siemens", "philips", "enhanced-per-phase"])
@pytest.mark.parametrize("bytes_left", [134, 150, 400, 1200])
def test_a_file_that_was_cut_in_its_header_is_never_passed_over(
    tmp_path: Path, layout: str, bytes_left: int
) -> None:
    """A whole phase may be in it: then the next one would be taken for the early one."""
    one = written(tmp_path, layout)
    damaged = one.phases[1].files[0]
    damaged.write_bytes(damaged.read_bytes()[:bytes_left])
    study = read_study(tmp_path)
    assert all(acquisition.chosen is None for acquisition in study.dce)
    assert any(damaged.name in reason for reason, _ in reasons(study))


def send_again(files: Sequence[Path], folder: Path, first: int = 0) -> None:
    """The same images under new UIDs; ``first`` renumbers them."""
    for k, file in enumerate(files):
        data = pydicom.dcmread(file)
        data.SOPInstanceUID = new_uid("image", k)
        if first:
            data.InstanceNumber = first + k
        save(data, folder / f"again{k}.dcm")


@pytest.mark.parametrize(
    ("layout", "first"),
    [("siemens", 0), ("siemens", 500), ("philips", 0), ("enhanced-per-phase", 0)],
)
def test_a_phase_sent_twice_under_new_uids_counts_once(
    tmp_path: Path, layout: str, first: int
) -> None:
    send_again(written(tmp_path, layout).phases[1].files, tmp_path, first)
    study = read_study(tmp_path)
    assert_phases(only(study), dce())
    assert only(study).chosen == 2
    assert sum(files for _, files in reasons(study)) == (1 if "enhanced" in layout else SLICES)
    assert all("under other UIDs" in reason for reason, _ in reasons(study))


def test_a_phase_sent_twice_under_other_numbers_in_the_series_of_all_is_named(
    tmp_path: Path,
) -> None:
    send_again(written(tmp_path, "philips").phases[1].files, tmp_path, 500)
    acquisition = only(read_study(tmp_path))
    assert acquisition.chosen is None
    assert "duplicate slices: time 2" in acquisition.reason


def test_another_image_at_the_place_of_a_slice_makes_its_phase_unusable(tmp_path: Path) -> None:
    one = written(tmp_path, "philips")
    data = pydicom.dcmread(one.phases[1].files[3])
    data.SOPInstanceUID = new_uid("image")
    data.PixelData = (data.pixel_array + 1).tobytes()
    save(data, tmp_path / "other.dcm")
    acquisition = only(read_study(tmp_path))
    assert acquisition.chosen is None
    assert "duplicate slices: time 2 by TemporalPositionIdentifier" in acquisition.reason


def test_different_images_under_one_uid_are_refused(tmp_path: Path) -> None:
    one = written(tmp_path)

    def same(data: Dataset, p: int, k: int) -> None:
        data.SOPInstanceUID = "2.25.3"

    vary(one, same)
    study = read_study(tmp_path)
    assert study.dce == ()
    assert all("one SOPInstanceUID" in reason for reason, _ in reasons(study))


def test_two_acquisitions_of_one_grid_an_hour_apart_are_two(tmp_path: Path) -> None:
    written(tmp_path / "first")
    later = StudyHeader(start=datetime(2020, 1, 2, 10, 30))

    def rename(data: Dataset, p: int, k: int) -> None:
        data.SOPInstanceUID = new_uid("image", p, k)
        data.SeriesInstanceUID, data.SeriesNumber = new_uid("series", p), 50 + p

    vary(written(tmp_path / "second", phases=dce(seed=9), header=later), rename)
    study = read_study(tmp_path)
    assert [(a.kind, a.chosen) for a in study.dce] == [("run 1", 2), ("run 2", 2)]
    assert_phases(study.dce[0], dce())
    assert_phases(study.dce[1], dce(seed=9))


# --- Encodings ---


@pytest.mark.parametrize("syntax", [JPEG_LOSSLESS, JPEG_LS, JPEG_2000, RLE])
@pytest.mark.parametrize(("layout", "signed"), [("siemens", True), ("enhanced", False)])
def test_compressed_pixels_come_back_bit_for_bit(
    tmp_path: Path, layout: str, syntax: str, signed: bool
) -> None:
    low = 300 if signed else 0
    for file in files_below(written(tmp_path, layout).folder):
        data = pydicom.dcmread(file)
        if signed:
            data.PixelRepresentation = 1
            data.PixelData = (data.pixel_array.astype(np.int16) - low).tobytes()
        compress(data, syntax, tmp_path).save_as(file)
    expected = [sitk.Cast(image, sitk.sitkInt32) - low for image in dce()]
    assert_phases(only(read_study(tmp_path)), expected)


@pytest.mark.parametrize("layout", ["siemens", "enhanced"])
def test_a_codec_that_is_not_there_is_named_with_the_file(tmp_path: Path, layout: str) -> None:
    one = written(tmp_path, layout)
    for file in files_below(tmp_path):
        data = compress(pydicom.dcmread(file), RLE, tmp_path)
        data.file_meta.TransferSyntaxUID = pydicom.uid.UID("1.2.840.10008.1.2.4.201")
        data.save_as(file)
    acquisition = only(read_study(tmp_path))
    assert acquisition.chosen is None
    with pytest.raises(InputError, match="High-Throughput JPEG 2000") as caught:
        acquisition.phases[0].read()
    assert "There is no decoder" in str(caught.value)
    assert one.phases[0].files[0].name in str(caught.value)


def without_lengths(data: Dataset) -> None:
    """Sequences and items that end where they say so, at every level (PS3.5 7.5)."""
    for element in data:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for item in element.value:
                item.is_undefined_length_sequence_item = True
                without_lengths(item)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
@pytest.mark.parametrize(
    ("layout", "lengths"), [("enhanced", True), ("enhanced", False), ("enhanced-per-phase", False)]
)
def test_enhanced_files_are_the_same_in_every_encoding(
    tmp_path: Path, layout: str, lengths: bool, syntax: str
) -> None:
    folder = written(tmp_path, layout).folder
    expected = only(read_study(folder))
    for file in files_below(folder):
        data = pydicom.dcmread(file)
        if not lengths:
            without_lengths(data)
        save(data, file, syntax)
    acquisition = only(read_study(folder))
    assert_phases(acquisition, dce())
    assert acquisition.decisions == expected.decisions
    assert acquisition.phases == expected.phases


def test_files_without_preamble_are_read(tmp_path: Path) -> None:
    """With and without the file meta information."""
    one = written(tmp_path)
    for number, file in enumerate(files_below(one.folder)):
        data = file.read_bytes()
        meta = 144 + int(pydicom.dcmread(file).file_meta.FileMetaInformationGroupLength)
        file.write_bytes(data[132:] if number % 2 else data[meta:])
    assert_phases(only(read_study(tmp_path)), dce())


def test_a_name_outside_of_ascii_is_one_patient_in_every_object(tmp_path: Path) -> None:
    """Classic and Enhanced headers are read by different code."""
    header = StudyHeader(patient_name="Müller^Änne", patient_id="Ä-1")
    written(tmp_path / "classic", header=header)
    one = written(tmp_path / "enhanced", "enhanced", header=header)
    for number, file in enumerate(files_below(one.folder)):
        data = pydicom.dcmread(file)
        data.SOPInstanceUID, data.SeriesInstanceUID = new_uid("image", number), new_uid("series")
        save(data, file)
    assert read_study(tmp_path).dce
