"""DICOM segmentations of every kind and writer come in voxel for voxel, or with the reason not."""

from __future__ import annotations

import io
import random
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dce_volumes import oblique_axes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mask_objects import BREAST, LESION, MrCase, array_of, blobs, edited, mr_case, write_seg
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from breastpredict.dicom import read_mask, read_study
from breastpredict.errors import BreastPredictError, GateRefusal, InputError
from breastpredict.imaging import Geometry

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # pydicom and highdicom on writing

THREE = (("Lesion", LESION), ("Breast", BREAST), ("Empty", BREAST))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> MrCase:
    """An oblique study whose slices fill no whole number of bytes."""
    return mr_case(tmp_path_factory.mktemp("study") / "dicom", axes=oblique_axes())


@pytest.fixture(scope="module")
def seg(case: MrCase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two overlapping segments and an empty one; frames without a voxel are left out."""
    array = np.concatenate([blobs(case, 2), np.zeros_like(blobs(case))], axis=-1)
    return write_seg(tmp_path_factory.mktemp("seg") / "seg.dcm", case.images, array, names=THREE)


def read(path: Path, case: MrCase, segment: str | None = "Lesion") -> np.ndarray:
    return array_of(read_mask(path, case.phase.geometry, segment=segment, study=case.study))


# --- the reference sets ---------------------------------------------------------------------------


VOLUMES = [
    ("highdicom", "seg_image_ct_binary.dcm"),
    ("highdicom", "seg_image_ct_binary_fractional.dcm"),
    ("highdicom", "seg_image_ct_binary_overlap.dcm"),
    ("highdicom", "seg_image_ct_binary_single_frame.dcm"),
    ("highdicom", "seg_image_ct_true_fractional.dcm"),
    ("pydicom_data", "liver.dcm"),
    ("pydicom_data", "liver_nonbyte_aligned.dcm"),
]


@pytest.mark.parametrize("folder, name", VOLUMES, ids=[name for _, name in VOLUMES])
def test_segmentations_of_the_reference_sets_are_read_as_highdicom_and_dcmqi_read_them(
    shared: Path, tmp_path: Path, folder: str, name: str
) -> None:
    path = shared / "data" / "seg_sr_pm" / folder / name
    written = pydicom.dcmread(path)
    for segment in (int(item.SegmentNumber) for item in written.SegmentSequence):
        theirs = hd.seg.segread(path).get_volume(segment_numbers=[segment])
        expected = np.squeeze(theirs.array, 3) >= 0.5
        mine = read_mask(path, geometry_of(theirs), segment=str(segment))
        np.testing.assert_array_equal(array_of(mine), expected)
        assert expected.any()
        if written.SegmentationType == "BINARY":
            image = by_dcmqi(path, tmp_path)[segment]
            mine = read_mask(path, Geometry.from_image(image), segment=str(segment))
            np.testing.assert_array_equal(array_of(mine), sitk.GetArrayFromImage(image) > 0)


def geometry_of(volume: hd.Volume) -> Geometry:
    """The grid of a volume of highdicom, whose affine maps (k, j, i) to LPS."""
    columns = volume.affine[:3, :3][:, ::-1]
    spacing = np.linalg.norm(columns, axis=0)
    i, j, k = volume.spatial_shape[::-1]
    x, y, z = volume.affine[:3, 3].tolist()
    a, b, c = spacing.tolist()
    return Geometry((i, j, k), (a, b, c), (x, y, z), tuple((columns / spacing).ravel().tolist()))


def by_dcmqi(path: Path, folder: Path) -> dict[int, sitk.Image]:
    """What dcmqi makes of a SEG: number of the segment → image of 0 and its number."""
    tool = Path(sys.executable).parent / "segimage2itkimage"
    subprocess.run(
        [tool, "--inputDICOM", path, "--outputDirectory", folder, "-t", "nrrd"],
        check=True,
        capture_output=True,
    )
    return {int(file.stem): sitk.ReadImage(str(file)) for file in folder.glob("[0-9].nrrd")}


def test_run_lengths_of_bits_are_what_the_same_bits_are(shared: Path) -> None:
    """pydicom, highdicom and dcmqi refuse this file; its twin is not compressed."""
    folder = shared / "data" / "seg_sr_pm" / "pydicom_data"
    onto = geometry_of(hd.seg.segread(folder / "liver.dcm").get_volume())
    plain = array_of(read_mask(folder / "liver.dcm", onto))
    np.testing.assert_array_equal(array_of(read_mask(folder / "liver_rle.dcm", onto)), plain)
    assert np.count_nonzero(plain) == int(pydicom.dcmread(folder / "liver.dcm").pixel_array.sum())


def test_what_is_no_segmentation_of_a_volume_is_refused_with_the_reason(shared: Path) -> None:
    onto = Geometry((10, 10, 10), (1, 1, 1), (0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    read_ones = {name for _, name in VOLUMES} | {"liver_rle.dcm"}
    reasons = {}
    for path in (shared / "data" / "seg_sr_pm").rglob("*.dcm"):
        if path.name not in read_ones:
            with pytest.raises(InputError) as refused:
                read_mask(path, onto, segment="1")
            reasons[path.name] = refused.value.problem
    assert len(reasons) == 12
    for name, reason in reasons.items():
        if name.startswith("seg_image_sm"):
            assert reason == (
                "This is a segmentation of a microscope slide, not of a volume in the patient"
            )
        elif name == "seg_image_cr_binary.dcm":
            assert "no place in the patient" in reason
        else:
            assert reason == "The DICOM file is no segmentation (SEG or RTSTRUCT)"


# --- kinds and codings ----------------------------------------------------------------------------


PLAIN = [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
CODINGS = [
    *(("BINARY", syntax) for syntax in PLAIN),  # highdicom compresses no bits: see below
    *(("FRACTIONAL", syntax) for syntax in (*PLAIN, RLELossless, JPEGLSLossless)),
    *(("LABELMAP", syntax) for syntax in (*PLAIN, RLELossless, JPEGLSLossless)),
]


@pytest.mark.parametrize("omit", [True, False], ids=["sparse", "all slices"])
@pytest.mark.parametrize(
    "kind, syntax", CODINGS, ids=[f"{kind} {syntax.name}" for kind, syntax in CODINGS]
)
def test_every_kind_comes_back_voxel_for_voxel(
    case: MrCase, tmp_path: Path, kind: str, syntax: UID, omit: bool
) -> None:
    array = np.concatenate([blobs(case, 2), np.zeros_like(blobs(case))], axis=-1)
    if kind == "LABELMAP":  # cannot overlap
        array[..., 1] &= ~array[..., 0]
        given = (array * [1, 2, 3]).sum(axis=-1).astype(np.uint8)
    else:
        given = array.astype(float) if kind == "FRACTIONAL" else array
    path = write_seg(
        tmp_path / "seg.dcm", case.images, given, kind, THREE,
        transfer_syntax_uid=syntax, omit_empty_frames=omit,
    )  # fmt: skip
    np.testing.assert_array_equal(read(path, case), array[..., 0])
    np.testing.assert_array_equal(read(path, case, "2"), array[..., 1])
    with pytest.raises(GateRefusal, match="no-tumour"):
        read(path, case, "Empty")


@pytest.mark.parametrize("meaning", ["PROBABILITY", "OCCUPANCY"])
@pytest.mark.parametrize("full", [255, 100, 1])
def test_of_fractions_at_least_half_counts(
    case: MrCase, tmp_path: Path, meaning: str, full: int
) -> None:
    fractions = np.round(np.random.default_rng(1).random(blobs(case).shape[:3]) * full) / full
    path = write_seg(
        tmp_path / "seg.dcm", case.images, fractions, "FRACTIONAL",
        fractional_type=meaning, max_fractional_value=full,
    )  # fmt: skip
    np.testing.assert_array_equal(read(path, case), fractions >= 0.5)


def as_explicit_big_endian(data: Dataset) -> Dataset:
    """Bits as OW: the bytes of every 16 bits change places (PS3.5 8.1.1)."""
    pixels = data.PixelData + b"\0" * (len(data.PixelData) % 2)
    data.PixelData = np.frombuffer(pixels, "<u2").astype(">u2").tobytes()
    data["PixelData"].VR = "OW"
    data.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    return data


def as_deflated(data: Dataset) -> Dataset:
    data.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    return data


def frames_of_bits(data: Dataset) -> list[bytes]:
    """Each frame by itself, padded to a byte."""
    frames = data.pixel_array.reshape(int(data.NumberOfFrames), -1)
    return [np.packbits(frame, bitorder="little").tobytes() for frame in frames]


def as_run_lengths(data: Dataset) -> Dataset:
    """Literal and repeated runs, and the byte that says nothing (PS3.5 G.3)."""
    frames = []
    for raw in frames_of_bits(data):
        body = b"\x80"
        for value, run in groupby(raw):
            count = len(list(run))
            while count:
                part = min(count, 128)
                body += bytes([257 - part, value]) if part > 1 else bytes([0, value])
                count -= part
        header = np.array([1, 64] + [0] * 14, "<u4").tobytes()
        frames.append(header + body + b"\0" * (len(body) % 2))
    return encapsulated(data, frames, RLELossless)


DEFLATED_FRAMES = UID("1.2.840.10008.1.2.8.1")  # newer than pydicom's list


def as_deflated_frames(data: Dataset) -> Dataset:
    packed = []
    for raw in frames_of_bits(data):
        deflate = zlib.compressobj(wbits=-15)
        frame = deflate.compress(raw) + deflate.flush()
        packed.append(frame + b"\0" * (len(frame) % 2))
    return encapsulated(data, packed, DEFLATED_FRAMES)


def as_jpeg_2000(data: Dataset) -> Dataset:
    frames = []
    for frame in data.pixel_array:
        out = io.BytesIO()
        Image.fromarray(frame * 255).save(out, "JPEG2000", irreversible=False, no_jp2=True)
        frames.append(out.getvalue() + b"\0" * (len(out.getvalue()) % 2))
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    return encapsulated(data, frames, JPEG2000Lossless)


def encapsulated(data: Dataset, frames: list[bytes], syntax: UID) -> Dataset:
    data.PixelData = encapsulate(frames)
    data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    data.file_meta.TransferSyntaxUID = syntax
    return data


@pytest.mark.parametrize(
    "coding",
    [as_explicit_big_endian, as_deflated, as_run_lengths, as_deflated_frames, as_jpeg_2000],
)
def test_codings_that_other_writers_use_change_nothing(
    case: MrCase, seg: Path, tmp_path: Path, coding: Callable[[Dataset], Dataset]
) -> None:
    coded = edited(seg, tmp_path / "coded.dcm", coding)
    for segment in ("Lesion", "Breast"):
        np.testing.assert_array_equal(read(coded, case, segment), read(seg, case, segment))


def test_a_coding_without_a_decoder_is_named(case: MrCase, seg: Path, tmp_path: Path) -> None:
    def change(data: Dataset) -> Dataset:
        return encapsulated(data, frames_of_bits(data), UID("1.2.840.10008.1.2.4.201"))

    with pytest.raises(InputError, match=r"cannot be decoded \(High-Throughput JPEG 2000"):
        read(edited(seg, tmp_path / "coded.dcm", change), case)


def test_large_frames_of_run_lengths_are_read(case: MrCase, tmp_path: Path) -> None:
    """A row of bytes that is longer than any matrix may be."""
    big = mr_case(tmp_path / "big", (1024, 1024, 2), lesion=(slice(0, 2), slice(5, 9), slice(5, 9)))
    array = np.zeros((2, 1024, 1024), bool)
    array[1, 900:1000, 17:1001] = True
    seg = write_seg(tmp_path / "seg.dcm", big.images, array)
    np.testing.assert_array_equal(
        read(edited(seg, tmp_path / "rle.dcm", as_run_lengths), big), array
    )


# --- habits of writers ----------------------------------------------------------------------------


def in_random_order(data: Dataset) -> None:
    frames = list(data.pixel_array)
    groups = list(data.PerFrameFunctionalGroupsSequence)
    order = list(range(len(frames)))
    random.Random(3).shuffle(order)
    data.PerFrameFunctionalGroupsSequence = [groups[n] for n in order]
    bits = np.stack([frames[n] for n in order]).ravel()
    data.PixelData = np.packbits(bits, bitorder="little").tobytes() + b"\0"


def with_orientation_in_every_frame(data: Dataset) -> None:
    shared = data.SharedFunctionalGroupsSequence[0]
    for item in data.PerFrameFunctionalGroupsSequence:
        item.PlaneOrientationSequence = shared.PlaneOrientationSequence
        item.PixelMeasuresSequence = shared.PixelMeasuresSequence
    del data.SharedFunctionalGroupsSequence


def with_a_wrong_slice_distance(data: Dataset) -> None:
    measures = data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SpacingBetweenSlices, measures.SliceThickness = "0.65", "1.3"  # parts of 2.6


def without_a_slice_distance(data: Dataset) -> None:
    measures = data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SliceThickness = "0"
    measures.pop("SpacingBetweenSlices", None)


def without_what_is_optional(data: Dataset) -> None:
    for item in data.SegmentSequence:
        del item.SegmentedPropertyTypeCodeSequence, item.SegmentedPropertyCategoryCodeSequence
    del data.FrameOfReferenceUID, data.DimensionIndexSequence
    for item in data.PerFrameFunctionalGroupsSequence:
        del item.FrameContentSequence
        item.pop("DerivationImageSequence", None)


def with_few_digits(data: Dataset) -> None:
    for item in data.PerFrameFunctionalGroupsSequence:
        place = item.PlanePositionSequence[0]
        place.ImagePositionPatient = [f"{value:.2f}" for value in place.ImagePositionPatient]


def with_every_frame_twice(data: Dataset) -> None:
    data.PerFrameFunctionalGroupsSequence = 2 * list(data.PerFrameFunctionalGroupsSequence)
    bits = np.concatenate([data.pixel_array, data.pixel_array]).ravel()
    data.NumberOfFrames *= 2
    data.PixelData = np.packbits(bits, bitorder="little").tobytes() + b"\0"


HABITS = [
    in_random_order,
    with_every_frame_twice,
    with_orientation_in_every_frame,
    with_a_wrong_slice_distance,
    without_a_slice_distance,
    without_what_is_optional,
    with_few_digits,
]


@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.__name__)
def test_habits_of_other_writers_change_nothing(
    case: MrCase, seg: Path, tmp_path: Path, habit: Callable[[Dataset], None]
) -> None:
    changed = edited(seg, tmp_path / "changed.dcm", habit)
    np.testing.assert_array_equal(read(changed, case), blobs(case, 2)[..., 0])


def test_a_single_segment_may_be_named_once_for_all_frames(case: MrCase, tmp_path: Path) -> None:
    def share(data: Dataset) -> None:
        shared = data.SharedFunctionalGroupsSequence[0]
        first = data.PerFrameFunctionalGroupsSequence[0]
        shared.SegmentIdentificationSequence = first.SegmentIdentificationSequence
        for item in data.PerFrameFunctionalGroupsSequence:
            del item.SegmentIdentificationSequence

    seg = write_seg(tmp_path / "seg.dcm", case.images, blobs(case)[..., 0])
    np.testing.assert_array_equal(
        read(edited(seg, tmp_path / "shared.dcm", share), case, None), blobs(case)[..., 0]
    )


def test_a_single_frame_needs_no_slice_distance_on_the_images(case: MrCase, tmp_path: Path) -> None:
    array = np.zeros_like(blobs(case)[..., 0])
    array[4, 10:17, 20:33] = True
    seg = write_seg(tmp_path / "seg.dcm", case.images, array)
    bare = edited(seg, tmp_path / "bare.dcm", without_a_slice_distance)
    assert int(pydicom.dcmread(bare).NumberOfFrames) == 1
    np.testing.assert_array_equal(read(bare, case), array)
    other = Geometry((40, 40, 40), (1, 1, 1), (0, -70, 20), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    with pytest.raises(InputError, match="state no slice distance"):
        read_mask(bare, other)


def test_dcmqi_is_read_like_highdicom(case: MrCase, seg: Path, tmp_path: Path) -> None:
    """The mask as dcmqi writes it, from an image in another order of axes."""
    image = case.phase.geometry.to_image(blobs(case)[..., 0])
    image = sitk.PermuteAxes(image, (0, 1, 2))
    sitk.WriteImage(image, str(tmp_path / "mask.nrrd"))
    meta = tmp_path / "meta.json"
    meta.write_text(DCMQI_META, encoding="utf-8")
    tool = Path(sys.executable).parent / "itkimage2segimage"
    files = ",".join(str(instance.path) for instance in case.phase.instances)
    subprocess.run(
        [tool, "--inputImageList", tmp_path / "mask.nrrd", "--inputDICOMList", files,
         "--inputMetadata", meta, "--outputDICOM", tmp_path / "dcmqi.dcm"],
        check=True, capture_output=True,
    )  # fmt: skip
    np.testing.assert_array_equal(read(tmp_path / "dcmqi.dcm", case, None), blobs(case)[..., 0])
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(by_dcmqi(seg, tmp_path / ".")[1]) > 0,
        array_of(
            read_mask(seg, Geometry.from_image(by_dcmqi(seg, tmp_path / ".")[1]), segment="1")
        ),
    )


DCMQI_META = """{"ContentCreatorName": "Reader", "ClinicalTrialSeriesID": "1",
"ClinicalTrialTimePointID": "1", "SeriesDescription": "Segmentation", "SeriesNumber": "300",
"InstanceNumber": "1", "BodyPartExamined": "BREAST", "segmentAttributes": [[{"labelID": 1,
"SegmentDescription": "Lesion", "SegmentLabel": "Lesion", "SegmentAlgorithmType": "MANUAL",
"SegmentedPropertyCategoryCodeSequence": {"CodeValue": "49755003", "CodingSchemeDesignator": "SCT",
"CodeMeaning": "Morphologically Altered Structure"},
"SegmentedPropertyTypeCodeSequence": {"CodeValue": "108369006", "CodingSchemeDesignator": "SCT",
"CodeMeaning": "Neoplasm"}}]], "ContentLabel": "SEG", "ContentDescription": "Lesion",
"ClinicalTrialCoordinatingCenterName": "x"}"""


# --- which segment, where -------------------------------------------------------------------------


def test_the_only_tumour_is_taken_and_a_doubt_is_said(
    case: MrCase, seg: Path, tmp_path: Path
) -> None:
    np.testing.assert_array_equal(read(seg, case, None), blobs(case, 2)[..., 0])
    two = write_seg(
        tmp_path / "two.dcm", case.images, blobs(case, 2),
        names=(("Mass", LESION), ("Satellite", LESION)),
    )  # fmt: skip
    with pytest.raises(InputError, match="unclear which segment is the tumour: 1: Mass, 2: Sat"):
        read(two, case, None)
    with pytest.raises(InputError, match="no segment 'Nothing'; the file has 1: Mass, 2: Sat"):
        read(two, case, "Nothing")
    np.testing.assert_array_equal(read(two, case, "2"), blobs(case, 2)[..., 1])


def test_the_background_of_a_label_map_is_no_segment(case: MrCase, tmp_path: Path) -> None:
    path = write_seg(
        tmp_path / "map.dcm", case.images, blobs(case)[..., 0], "LABELMAP", (("Any", BREAST),)
    )
    assert [s.SegmentNumber for s in pydicom.dcmread(path).SegmentSequence] == [0, 1]
    np.testing.assert_array_equal(read(path, case, None), blobs(case)[..., 0])


@pytest.mark.parametrize("change", [None, with_a_wrong_slice_distance, without_a_slice_distance])
def test_on_another_grid_it_lies_at_the_same_place(
    case: MrCase, tmp_path: Path, change: Callable[[Dataset], None] | None
) -> None:
    """An ellipsoid, told by its own formula at the voxels of a finer, turned grid."""
    centre = case.phase.geometry.index_to_physical(np.array([24.0, 18.0, 4.0]))
    radii = np.array([12.0, 9.0, 8.0])

    def ellipsoid(grid: Geometry) -> np.ndarray:
        k, j, i = np.indices(grid.size[::-1])
        points = grid.index_to_physical(np.stack([i, j, k], axis=-1)) - centre
        return np.sum((points / radii) ** 2, axis=-1)

    seg = write_seg(tmp_path / "seg.dcm", case.images, ellipsoid(case.phase.geometry) <= 1)
    if change is not None:
        edited(seg, seg, change)
    x, y, z = (centre - [20, 20, 20]).tolist()
    other = Geometry((41, 41, 41), (1, 1, 1), (x, y, z), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    found, level = array_of(read_mask(seg, other)), ellipsoid(other)
    # Within a voxel of the surface (2.6 mm of slice distance, and the tilt) anything may be.
    assert found[level < 0.55].all() and not found[level > 1.6].any()
    volume = 4 / 3 * np.pi * np.prod(radii)
    if change is not with_a_wrong_slice_distance:
        assert np.count_nonzero(found) == pytest.approx(volume, rel=0.03)
    middle = np.argwhere(found).mean(axis=0)
    np.testing.assert_allclose(middle, 20.0, atol=0.3)


def test_what_reaches_past_the_images_is_cut_and_said(
    case: MrCase, seg: Path, tmp_path: Path
) -> None:
    whole = case.phase.geometry
    part = whole.region((0, 0, 0), (51, 18, 9))
    found = read_mask(seg, part, segment="Breast")
    np.testing.assert_array_equal(array_of(found), blobs(case, 2)[:, :18, :, 1])
    assert found.warnings == ("A part of the tumour mask lies outside of the images",)
    assert read_mask(seg, whole, segment="Breast").warnings == ()
    full = write_seg(tmp_path / "full.dcm", case.images, np.ones_like(blobs(case)[..., 0]))
    x, y, z = whole.index_to_physical(np.array([0.7, 0.7, 0.7])).tolist()
    shifted = replace(whole, origin=(x, y, z))
    assert read_mask(full, shifted).warnings == ()  # by less than a voxel
    with pytest.raises(InputError, match="lies outside of the images"):
        read_mask(seg, whole.region((0, 0, 0), (4, 37, 9)), segment="Lesion")


# --- of whom --------------------------------------------------------------------------------------


def test_of_another_patient_or_study_it_is_refused(case: MrCase, seg: Path, tmp_path: Path) -> None:
    other = edited(seg, tmp_path / "a.dcm", lambda d: setattr(d, "PatientID", "P2"))
    with pytest.raises(InputError, match="of another patient"):
        read(other, case)
    other = edited(seg, tmp_path / "b.dcm", lambda d: setattr(d, "StudyInstanceUID", "1.2.3"))
    with pytest.raises(InputError, match="of another study"):
        read(other, case)


def test_in_a_study_of_its_own_it_may_refer_to_the_images(
    case: MrCase, seg: Path, tmp_path: Path
) -> None:
    def move(data: Dataset) -> None:
        item = Dataset()
        item.StudyInstanceUID = data.StudyInstanceUID
        data.StudiesContainingOtherReferencedInstancesSequence = [item]
        data.StudyInstanceUID = generate_uid()

    moved = edited(seg, tmp_path / "moved.dcm", move)
    np.testing.assert_array_equal(read(moved, case), read(seg, case))


@pytest.mark.parametrize("alphabet", ["ISO_IR 192", "ISO_IR 100"])
def test_a_patient_is_the_same_in_another_alphabet(tmp_path: Path, alphabet: str) -> None:
    own = mr_case(tmp_path / "images")
    for path in (tmp_path / "images").rglob("*.dcm"):
        edited(path, path, lambda d: d.update({"SpecificCharacterSet": "ISO_IR 192"}))
        edited(path, path, lambda d: setattr(d, "PatientID", "MÜLLER-7"))
    study = read_study(tmp_path / "images")
    seg = write_seg(tmp_path / "seg.dcm", own.images, blobs(own)[..., 0])
    edited(seg, seg, lambda d: setattr(d, "SpecificCharacterSet", alphabet))
    edited(seg, seg, lambda d: setattr(d, "PatientID", "MÜLLER-7"))
    found = read_mask(seg, own.phase.geometry, study=study)
    np.testing.assert_array_equal(array_of(found), blobs(own)[..., 0])
    # A writer that kept the bytes and states another alphabet.
    seg.write_bytes(seg.read_bytes().replace(b"ISO_IR 192", b"ISO_IR 100"))
    np.testing.assert_array_equal(
        array_of(read_mask(seg, own.phase.geometry, study=study)), blobs(own)[..., 0]
    )
    with pytest.raises(InputError, match="of another patient"):
        other = edited(seg, seg, lambda d: setattr(d, "PatientID", "MÖLLER-7"))
        read_mask(other, own.phase.geometry, study=study)


def test_in_another_frame_of_reference_it_is_to_be_checked(
    case: MrCase, seg: Path, tmp_path: Path
) -> None:
    onto, warnings = case.phase.geometry, []
    for change in (lambda d: None, lambda d: setattr(d, "FrameOfReferenceUID", generate_uid())):
        path = edited(seg, tmp_path / "frame.dcm", change)
        warnings.append(read_mask(path, onto, segment="1", study=case.study).warnings)
    assert warnings[0] == ()
    assert len(warnings[1]) == 1 and "another frame of reference" in warnings[1][0]


# --- only what is needed --------------------------------------------------------------------------


def test_frames_of_other_segments_are_not_decoded(case: MrCase, seg: Path, tmp_path: Path) -> None:
    def damage(data: Dataset) -> None:
        as_run_lengths(data)
        frames = list(generate_frames(data.PixelData, number_of_frames=int(data.NumberOfFrames)))
        for n, item in enumerate(data.PerFrameFunctionalGroupsSequence):
            if item.SegmentIdentificationSequence[0].ReferencedSegmentNumber != 1:
                frames[n] = b"\xff" * 66
        encapsulated(data, frames, RLELossless)

    damaged = edited(seg, tmp_path / "damaged.dcm", damage)
    np.testing.assert_array_equal(read(damaged, case), blobs(case, 2)[..., 0])
    with pytest.raises(InputError, match=r"truncated or cannot be decoded \(RLE Lossless\)"):
        read(damaged, case, "Breast")


def test_one_of_sixty_segments_costs_little_more_than_the_file(tmp_path: Path) -> None:
    big = mr_case(tmp_path / "big", (256, 256, 12))
    array = np.zeros((12, 256, 256, 60), bool)
    for n in range(60):
        array[:, n : n + 100, 2 * n : 2 * n + 80, n] = True
    names = [(f"Segment {n}", LESION) for n in range(60)]
    seg = write_seg(tmp_path / "seg.dcm", big.images, array, names=names)
    read_mask(seg, big.phase.geometry, segment="1")  # pydicom's tables are loaded
    tracemalloc.start()
    found = read_mask(seg, big.phase.geometry, segment="38", study=big.study)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(array_of(found), array[..., 37])
    assert peak < array.nbytes / 3 < 3 * seg.stat().st_size  # file and functional groups


# --- damage ---------------------------------------------------------------------------------------


def frame(data: Dataset, n: int, sequence: str) -> Dataset:
    item: Dataset = data.PerFrameFunctionalGroupsSequence[n][sequence][0]
    return item


def shared_item(data: Dataset, sequence: str) -> Dataset:
    item: Dataset = data.SharedFunctionalGroupsSequence[0][sequence][0]
    return item


def beside_one_another(data: Dataset) -> None:
    place = frame(data, 1, "PlanePositionSequence")
    orientation = shared_item(data, "PlaneOrientationSequence").ImageOrientationPatient
    row = np.array(orientation[:3], float)
    place.ImagePositionPatient = [
        f"{x:.4f}" for x in np.array(place.ImagePositionPatient, float) + 30 * row
    ]


def turned_frame(data: Dataset) -> None:
    item = Dataset()
    item.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    data.PerFrameFunctionalGroupsSequence[0].PlaneOrientationSequence = [item]


def coarser_frame(data: Dataset) -> None:
    item = Dataset()
    item.PixelSpacing, item.SliceThickness = [2, 2], 1
    data.PerFrameFunctionalGroupsSequence[0].PixelMeasuresSequence = [item]


def uneven(data: Dataset) -> None:
    place = frame(data, 1, "PlanePositionSequence")
    first = np.array(frame(data, 0, "PlanePositionSequence").ImagePositionPatient, float)
    second = np.array(place.ImagePositionPatient, float)
    place.ImagePositionPatient = [f"{x:.4f}" for x in first + 1.37 * (second - first)]


DAMAGE: dict[str, tuple[Callable[[Dataset], object], str]] = {
    "frames beside one another": (beside_one_another, "not above one another"),
    "a frame in another plane": (turned_frame, "not parallel"),
    "a frame of other pixels": (coarser_frame, "differ in pixel spacing"),
    "frames at odd distances": (uneven, "not evenly spaced"),
    "no position": (
        lambda d: d.PerFrameFunctionalGroupsSequence[0].__delattr__("PlanePositionSequence"),
        "does not state PlanePositionSequence",
    ),
    "no segment of a frame": (
        lambda d: d.PerFrameFunctionalGroupsSequence[0].__delattr__(
            "SegmentIdentificationSequence"
        ),
        "does not state SegmentIdentificationSequence",
    ),
    "groups of fewer frames": (
        lambda d: d.PerFrameFunctionalGroupsSequence.pop(),
        "does not describe all its frames",
    ),
    "no groups": (
        lambda d: d.__delattr__("PerFrameFunctionalGroupsSequence"),
        "no functional groups",
    ),
    "pixels cut off": (
        lambda d: setattr(d, "PixelData", d.PixelData[:100]),
        "truncated or cannot be decoded",
    ),
    "no pixels": (lambda d: d.__delattr__("PixelData"), "truncated or cannot be decoded"),
    "an absurd matrix": (
        lambda d: (setattr(d, "Rows", 65535), setattr(d, "Columns", 65535)),
        "absurd size",
    ),
    "no spacing": (
        lambda d: setattr(shared_item(d, "PixelMeasuresSequence"), "PixelSpacing", None),
        "damaged or incomplete|no sound geometry",
    ),
    "spacing of nought": (
        lambda d: setattr(shared_item(d, "PixelMeasuresSequence"), "PixelSpacing", [0, 0]),
        "must be > 0",
    ),
    "an infinite position": (
        lambda d: setattr(
            frame(d, 0, "PlanePositionSequence"), "ImagePositionPatient", ["inf", "0", "0"]
        ),
        "no sound geometry",
    ),
    "no segments": (lambda d: d.__delattr__("SegmentSequence"), "damaged or incomplete"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_one_clear_line(case: MrCase, tmp_path: Path, seg: Path, what: str) -> None:
    change, said = DAMAGE[what]
    damaged = edited(seg, tmp_path / "damaged.dcm", lambda data: change(data) and None)
    other = case.phase.geometry.region((1, 1, 0), (51, 37, 9))  # not the grid of the frames
    with pytest.raises(InputError, match=said) as refused:
        read_mask(damaged, other, segment="1")
    assert "\n" not in str(refused.value) and str(damaged) in str(refused.value)


def test_fractions_of_nothing_are_no_mask(case: MrCase, tmp_path: Path) -> None:
    path = write_seg(
        tmp_path / "seg.dcm", case.images, blobs(case)[..., 0].astype(float), "FRACTIONAL"
    )
    edited(path, path, lambda data: setattr(data, "MaximumFractionalValue", 0))
    with pytest.raises(InputError, match="MaximumFractionalValue is not above 0"):
        read(path, case)


@settings(
    max_examples=60, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
@given(places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8))
@pytest.mark.filterwarnings("ignore")
def test_damaged_bytes_give_a_mask_or_one_clear_line(
    case: MrCase, seg: Path, tmp_path: Path, places: list[tuple[float, int]]
) -> None:
    raw = bytearray(seg.read_bytes())
    header = raw.index(b"\xe0\x7f\x10\x00")  # pixels are but pixels
    for where, value in places:
        raw[int(where * header)] = value
    path = tmp_path / "damaged.dcm"
    path.write_bytes(raw)
    try:
        found = read_mask(path, case.phase.geometry, segment="1", study=case.study)
    except BreastPredictError as error:
        assert "\n" not in str(error)
    else:
        assert array_of(found).any()
