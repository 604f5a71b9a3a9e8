"""What the mutation run (Testing/prove/mutations.py) found, each as a test; and a small run."""

from __future__ import annotations

import dataclasses
import gzip
import shutil
import struct
import sys
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from dce_volumes import TIMES, dce, files_below, only
from nifti_files import write_nifti
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from vendor_variants import assert_phases, reasons, save, vary, written

from breastpredict.dicom import LoadedPhase, read_mask, read_study, study_from_volumes
from breastpredict.errors import GateRefusal, InputError
from breastpredict.imaging import Geometry

sys.path.append(str(Path(__file__).resolve().parents[1] / "prove"))

from mutation_bases import Base, make_bases
from mutation_case import DEFECTS, SOUND, run_case
from mutation_kinds import KINDS, damage, kinds_for
from mutations import Answer, drawn, run

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
SLICES = 9


def raw(data: Dataset, keyword: str, value: bytes) -> None:
    """An element with bytes that pydicom would not write."""
    tag = Tag(keyword)
    vr = pydicom.datadict.dictionary_VR(tag)
    data[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


def change_one(
    folder: Path, keyword: str, value: bytes, k: int = 0, layout: str = "siemens"
) -> None:
    """A study in which a slice of the early phase has another value of an element."""
    one = written(folder, layout)
    file = one.phases[1].files[k]
    data = pydicom.dcmread(file)
    raw(data, keyword, value)
    save(data, file)


# --- what the run found ---------------------------------------------------------------------------


def test_a_length_of_gigabytes_takes_no_memory(tmp_path: Path) -> None:
    """Python makes room for what is asked of a file before it reads."""
    path = tmp_path / "mask.dcm"
    element = b"\x08\x00\x16\x00UN\0\0" + struct.pack("<I", 0xF0000000) + bytes(100)
    meta = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"
    path.write_bytes(bytes(128) + b"DICM" + meta + element)
    grid = Geometry((8, 8, 4), (1, 1, 1), (5, 5, 5), (1, 0, 0, 0, 1, 0, 0, 0, 1))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="segmentation"):
            read_mask(path, grid)
        with pytest.raises(InputError):
            read_study(path)
        assert tracemalloc.get_traced_memory()[1] < 2**26
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[2Jb", "a nul\0", "para\u2029graph", "a\rb"])
def test_an_error_that_quotes_a_damaged_file_is_one_line_of_text(text: str) -> None:
    for error in (InputError(text, path=text, remedy=text), GateRefusal("x", text)):
        assert str(error).isprintable() and "a" in str(error)


def test_a_table_with_nul_in_its_first_row_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "phases.csv").write_text("file,frame,rol\0\0,time_s\na,,pre,1\n")
    with pytest.raises(InputError, match="lacks role") as caught:
        read_study(tmp_path / "phases.csv")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("layout", ["siemens", "enhanced"])
@pytest.mark.parametrize("spacing", [1e-300, 1e9])
def test_a_pixel_spacing_that_no_patient_has_is_refused(
    tmp_path: Path, layout: str, spacing: float
) -> None:
    for file in files_below(written(tmp_path, layout).folder):
        data = pydicom.dcmread(file)
        groups = data.get("SharedFunctionalGroupsSequence")
        holder = groups[0].PixelMeasuresSequence[0] if groups else data
        holder.PixelSpacing = [f"{spacing:g}"] * 2
        save(data, file)
    study = read_study(tmp_path)
    assert study.dce == () and "PixelSpacing is absurd" in reasons(study)[0][0]


def test_a_grid_that_cannot_be_inverted_is_refused() -> None:
    with pytest.raises(InputError, match="absurd"):
        Geometry((8, 8, 4), (1e-200, 1, 1), (5, 5, 5), (1, 0, 0, 0, 1, 0, 0, 0, 1))


@pytest.mark.parametrize("keyword", ["AcquisitionTime", "ContentTime"])
def test_a_superscript_in_a_time_is_no_digit(tmp_path: Path, keyword: str) -> None:
    change_one(tmp_path, keyword, b"09\xb3130", k=2)
    assert_phases(only(read_study(tmp_path)), dce())


def test_a_time_damaged_in_one_slice_puts_no_phase_before_another_and_is_said(
    tmp_path: Path,
) -> None:
    one = written(tmp_path)
    data = pydicom.dcmread(one.phases[3].files[5])
    data.AcquisitionTime = data.ContentTime = "092000"
    save(data, one.phases[3].files[5])
    acquisition = only(read_study(tmp_path))
    assert_phases(acquisition, dce())
    assert acquisition.chosen == 2
    assert any("AcquisitionTime of one slice of phase 4" in w for w in acquisition.warnings)


def test_a_slice_that_says_it_is_a_structure_set_takes_no_phase_away(tmp_path: Path) -> None:
    one = written(tmp_path)
    files = one.phases[2].files
    first = min(files, key=lambda file: str(pydicom.dcmread(file).SOPInstanceUID))
    data = pydicom.dcmread(first)
    data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    save(data, first)
    study = read_study(tmp_path)
    assert study.segmentations == (first,)
    assert only(study).chosen is None and "slices" in only(study).reason


def test_a_repetition_time_damaged_in_one_slice_takes_no_phase_away(tmp_path: Path) -> None:
    change_one(tmp_path, "RepetitionTime", b"7.4 ")
    acquisition = only(read_study(tmp_path))
    assert_phases(acquisition, dce())
    assert acquisition.chosen == 2


def test_a_frame_of_reference_damaged_in_one_slice_takes_no_phase_away_and_is_said(
    tmp_path: Path,
) -> None:
    change_one(tmp_path, "FrameOfReferenceUID", b"2.25.7")
    acquisition = only(read_study(tmp_path))
    assert_phases(acquisition, dce())
    assert "The slices of phase 2 state several frames of reference" in acquisition.warnings


def test_a_phase_whose_first_slice_lies_beside_the_others_is_not_passed_over(
    tmp_path: Path,
) -> None:
    change_one(tmp_path, "ImagePositionPatient", b"12.1\\-60.0\\30.0 ")
    acquisition = only(read_study(tmp_path))
    assert acquisition.chosen is None
    assert "mm beside the others" in acquisition.reason


def test_a_slice_beside_the_line_of_the_others_is_said(tmp_path: Path) -> None:
    change_one(tmp_path, "ImagePositionPatient", b"13.0\\-60.0\\40.4 ", k=4)
    acquisition = only(read_study(tmp_path))
    assert_phases(acquisition, dce())
    assert "A slice of phase 2 lies 1.0 mm beside the line of the others" in acquisition.warnings


@pytest.mark.parametrize("value", [b"abc", b"NaN ", b"1e300 ", b"0 "])
@pytest.mark.parametrize("layout", ["siemens", "enhanced"])
def test_a_rescale_slope_that_is_no_number_is_never_taken_for_one(
    tmp_path: Path, layout: str, value: bytes
) -> None:
    one = written(tmp_path, layout)
    for file in files_below(one.folder)[:1]:
        data = pydicom.dcmread(file)
        holder: Dataset = data
        if layout == "enhanced":
            holder = Dataset()
            data.PerFrameFunctionalGroupsSequence[3].PixelValueTransformationSequence = [holder]
        raw(holder, "RescaleSlope", value)
        save(data, file)
    study = read_study(tmp_path)
    assert all(acquisition.chosen is None for acquisition in study.dce)
    assert any("RescaleSlope holds no usable number" in reason for reason, _ in reasons(study))


def test_a_slice_with_a_scale_of_its_own_is_said(tmp_path: Path) -> None:
    change_one(tmp_path, "RescaleSlope", b"2 ", k=3)
    warnings = only(read_study(tmp_path)).warnings
    assert any("RescaleSlope or RescaleIntercept differs" in warning for warning in warnings)


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated"])
@pytest.mark.parametrize("change", [-8, 8])
def test_pixels_are_not_read_in_another_shape_than_they_have(
    tmp_path: Path, keyword: str, change: int
) -> None:
    """In a file of all phases every slice would be sheared; of one phase, it would be missed."""
    for layout in ("enhanced", "enhanced-per-phase"):
        folder = tmp_path / layout
        file = written(folder, layout).phases[1].files[0]
        data = pydicom.dcmread(file)
        setattr(data, keyword, getattr(data, keyword) + change)
        save(data, file)
        study = read_study(folder)
        assert all(acquisition.chosen is None for acquisition in study.dce)
        assert any("than the header says" in reason for reason, _ in reasons(study))


def test_pixels_padded_to_a_block_are_read(tmp_path: Path) -> None:
    def pad(data: Dataset, p: int, k: int) -> None:
        data.PixelData = data.PixelData + bytes(6)

    vary(written(tmp_path), pad)
    assert_phases(only(read_study(tmp_path)), dce())


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.nrrd", "v.mha"])
def test_a_volume_of_more_voxels_than_its_header_states_is_refused(
    tmp_path: Path, name: str
) -> None:
    """Its header states another shape, and every row would begin at the wrong voxel."""
    path = tmp_path / name
    if ".nii" in name:
        array = sitk.GetArrayFromImage(dce()[0]).transpose(2, 1, 0).astype(np.int16)
        write_nifti(path, array, sform=np.diag([1.0, 1, 2, 1]), pixdim=(1, 1, 2), offset=(1, 2, 3))
    else:
        sitk.WriteImage(dce()[0], str(path), False)
    study_from_volumes([LoadedPhase(path, "post")])
    if name.endswith("gz"):
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(640)))
    else:
        path.write_bytes(path.read_bytes() + bytes(640))
    with pytest.raises(InputError, match="more voxels than its header states"):
        study_from_volumes([LoadedPhase(path, "post")])


@pytest.mark.parametrize(
    ("name", "binary", "text"),
    [
        ("v.mha", b"BinaryData = True", b"BinaryData = False"),
        ("v.nrrd", b"encoding: raw", b"encoding: txt"),
        ("v.nrrd", b"encoding: raw", b"encoding: ASCII"),
    ],
)
def test_voxels_as_text_are_refused_before_itk_reads_them(
    tmp_path: Path, name: str, binary: bytes, text: bytes
) -> None:
    """Where they are none, ITK writes or reads past its memory, and the process is killed."""
    path = tmp_path / name
    sitk.WriteImage(dce()[0], str(path), False)
    path.write_bytes(path.read_bytes().replace(binary, text))
    with pytest.raises(InputError, match="holds voxels as text"):
        study_from_volumes([LoadedPhase(path, "post")])


# --- the run itself -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Base]]:
    folder = tmp_path_factory.mktemp("bases")
    return folder, {base.name: base for base in make_bases(folder)}


def test_a_kind_and_a_seed_always_do_the_same(
    bases: tuple[Path, dict[str, Base]], tmp_path: Path
) -> None:
    folder, found = bases
    base = found["siemens-seg"]
    for seed in range(3):
        done = []
        for copy in ("a", "b"):
            to = tmp_path / f"{seed}{copy}"
            shutil.copytree(folder / base.name, to)
            what = damage(to, to / base.mask, base.name, "element", seed)
            done.append((what, [path.read_bytes() for path in files_below(to)]))
        assert done[0] == done[1]


def test_another_result_without_a_word_is_called_a_wrong_success(
    bases: tuple[Path, dict[str, Base]],
) -> None:
    folder, found = bases
    base = dataclasses.asdict(found["philips-nrrd"])
    truth = run_case(folder / "philips-nrrd", base, "none", 0, None).found
    for name, other in {"phase": [3, []], "geometry": [], "pixels": "x", "mask": []}.items():
        outcome = run_case(folder / "philips-nrrd", base, "none", 0, {**truth, name: other})
        assert outcome.kind == "wrong success", name
    assert run_case(folder / "philips-nrrd", base, "none", 0, truth).kind == "equal"


def test_damaged_inputs_are_refused_in_one_line_or_give_what_the_sound_one_gives(
    bases: tuple[Path, dict[str, Base]], tmp_path: Path
) -> None:
    cases = list(drawn(list(bases[1].values()), 100, 20_000))
    assert {case.kind for case in cases} > {"flip", "element", "truncate", "field"} & set(KINDS)
    answers: list[Answer] = list(run(cases, tmp_path))
    assert len(answers) == len(cases)
    assert [answer for answer in answers if answer.kind in DEFECTS] == []
    counts = Counter(answer.kind for answer in answers)
    assert set(counts) <= set(SOUND) and counts["refused"] > 30 and counts["equal"] > 30
    assert all("flip" in kinds_for(name) for name in bases[1]) and len(TIMES) == 4
