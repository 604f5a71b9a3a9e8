"""The pCR results as DICOM: valid, naming every image that went in, and in place on the glass."""

from __future__ import annotations

from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom_results import errors_of, items, read_report, texts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from breastpredict.dicom import Provenance
from breastpredict.dicom.write_pcr_sr import SourceImage, source_image, write_pcr_report
from breastpredict.dicom.write_sc import write_capture_of
from breastpredict.dicom.write_slide_pm import write_slide_map
from breastpredict.errors import InputError

PROVENANCE = Provenance(weights={"pcr": "ab" * 32}, synthetic=True)


@pytest.fixture(scope="module")
def sources(shared: Path) -> list[SourceImage]:
    """US-1, US-0 and the slide; of three studies, as in a hospital."""
    data = shared / "data"
    found = [
        source_image(data / "us" / "dicom" / "GREYSCALE_IMAGE.dcm"),
        source_image(data / "us" / "dicom" / "RGB_IMAGE.dcm"),
        source_image(data / "he" / "dicom_wsi_highdicom" / "sm_image.dcm"),
    ]
    assert None not in found
    return [one for one in found if one is not None]


def test_a_report_holds_the_output_as_numbers_and_names_every_input(
    sources: list[SourceImage], tmp_path: Path, dciodvfy: str
) -> None:
    written = write_pcr_report(
        tmp_path / "report.dcm",
        sources,
        provenance=PROVENANCE,
        probability=0.62345678901234,
        threshold=0.4125,
        baseline=0.35,
        interval_weeks=6.5,
        laterality="L",
        inputs=("subtype: TN", "US-1: position of US-0"),
    )
    assert errors_of(dciodvfy, written.path) == []
    data = pydicom.dcmread(written.path)
    numbers = {
        item.ConceptNameCodeSequence[0].CodeMeaning: float(
            item.MeasuredValueSequence[0].NumericValue
        )
        for item in items(data, "MeasuredValueSequence")
    }
    assert numbers == {
        "Model output P(pathologic complete response)": pytest.approx(0.62345678901234, abs=1e-12),
        "Threshold of P(pathologic complete response)": 0.4125,
        "Clinical variables only: P(pathologic complete response)": 0.35,
        "Interval between both ultrasound examinations": 6.5,
    }
    said = " | ".join(texts(data))
    assert "Pathologic complete response expected" in said
    assert "Input: subtype: TN" in said and "Input: US-1: position of US-0" in said
    assert "Left" in said and "Research use only" in said
    content = pydicom.Dataset()
    content.ContentSequence = data.ContentSequence  # the header names procedures of the source too
    named = {
        str(item.ReferencedSOPInstanceUID) for item in items(content, "ReferencedSOPInstanceUID")
    }
    assert named == {str(one.header.SOPInstanceUID) for one in sources}
    assert data.StudyInstanceUID == sources[0].header.StudyInstanceUID
    # Of the other studies it says so, for a PACS follows references by study.
    others = {str(item.StudyInstanceUID) for item in data.PertinentOtherEvidenceSequence}
    assert others == {str(one.header.StudyInstanceUID) for one in sources[1:]}
    group = read_report(written.path, tmp_path)["Measurements"][0]  # as Slicer reads it
    assert len(group["measurementItems"]) == 4


def test_a_refused_case_has_a_reason_and_no_output(
    sources: list[SourceImage], tmp_path: Path, dciodvfy: str
) -> None:
    written = write_pcr_report(
        tmp_path / "report.dcm",
        sources,
        provenance=PROVENANCE,
        probability=0.9,
        threshold=0.5,
        refusal="the region shows no H&E",
    )
    assert errors_of(dciodvfy, written.path) == []
    data = pydicom.dcmread(written.path)
    assert list(items(data, "MeasuredValueSequence")) == []
    assert any("Not assessed: the region shows no H&E" in text for text in texts(data))


@pytest.mark.parametrize(
    "wrong", [{"probability": float("nan"), "threshold": 0.5}, {"probability": 0.5}, {}]
)
def test_a_report_without_a_finite_output_is_not_written(
    wrong: dict[str, float], sources: list[SourceImage], tmp_path: Path
) -> None:
    with pytest.raises(InputError):
        write_pcr_report(tmp_path / "report.dcm", sources, provenance=PROVENANCE, **wrong)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_plain_picture_is_no_source_to_refer_to(shared: Path, tmp_path: Path) -> None:
    assert source_image(shared / "data" / "he" / "skimage" / "ihc.png") is None
    with pytest.raises(InputError, match="needs a DICOM image"):
        write_pcr_report(tmp_path / "r.dcm", [], provenance=PROVENANCE, refusal="why")


def test_a_capture_names_all_it_shows_and_only_frames_that_may_be_named(
    sources: list[SourceImage], shared: Path, tmp_path: Path, dciodvfy: str
) -> None:
    # A file of two frames whose class has one: to name a frame would be invalid.
    odd = source_image(shared / "data" / "us" / "dicom" / "OBXXXX1A_2frame.dcm", 2)
    assert odd is not None
    picture = np.full((120, 200, 3), 90, np.uint8)
    shown = [one.reference for one in (odd, *sources)]
    written = write_capture_of(
        picture, odd.header, shown, tmp_path / "capture.dcm", provenance=PROVENANCE
    )
    assert errors_of(dciodvfy, written.path) == []
    data = pydicom.dcmread(written.path)
    assert [item.ReferencedSOPInstanceUID for item in data.SourceImageSequence] == [
        one.header.SOPInstanceUID for one in (odd, *sources)
    ]
    assert data.Modality == "OT" and data.Rows > 120  # the warnings stand below the picture


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_map_lies_on_the_glass_where_its_rectangle_lies(
    data: st.DataObject,
    sources: list[SourceImage],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    slide = sources[2]
    x, y = data.draw(st.tuples(st.floats(0, 30), st.floats(0, 30)))
    width, height = data.draw(st.tuples(st.floats(1, 20), st.floats(1, 20)))
    rows, columns = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    out = tmp_path_factory.mktemp("map") / "map.dcm"
    values = np.arange(rows * columns, dtype=np.float32).reshape(rows, columns) / 7
    write_slide_map(
        values, slide, (x, y, width, height), out, quantity="occlusion", provenance=PROVENANCE
    )
    found = pydicom.dcmread(out)
    assert np.array_equal(found.pixel_array, values)
    # highdicom's own transformers, of outer edges: (0, 0) is the corner of the first pixel.
    of_map = hd.spatial.ImageToReferenceTransformer.for_image(found, frame_number=1)
    of_slide = hd.spatial.ImageToReferenceTransformer.for_image(
        slide.header, for_total_pixel_matrix=True
    )
    ends = of_map(np.array([[0.0, 0.0], [columns, rows]]))
    expected = of_slide(np.array([[x, y], [x + width, y + height]]))
    assert np.allclose(ends, expected, atol=1e-4)  # a DS has 16 characters; mm
    assert found.FrameOfReferenceUID == slide.header.FrameOfReferenceUID


def test_a_map_of_a_slide_is_valid_and_says_what_it_is(
    sources: list[SourceImage], tmp_path: Path, dciodvfy: str
) -> None:
    for quantity, code in (("gradcam", "130403"), ("occlusion", "130402")):
        written = write_slide_map(
            np.array([[0.1, -0.2]], np.float32),
            sources[2],
            (0, 0, 50, 50),
            tmp_path / f"{quantity}.dcm",
            quantity=quantity,  # type: ignore[arg-type]
            provenance=PROVENANCE,
        )
        assert errors_of(dciodvfy, written.path) == []
        data = pydicom.dcmread(written.path)
        mapping = data.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
        concepts = [item.CodeValue for item in items(mapping, "CodeValue")]
        assert code in concepts
        assert "RESEARCH USE ONLY" in data.SeriesDescription


def test_a_map_needs_finite_values_and_a_slide_that_says_where_it_lies(
    sources: list[SourceImage], tmp_path: Path
) -> None:
    out = tmp_path / "map.dcm"
    with pytest.raises(InputError, match="not finite"):
        write_slide_map(
            np.array([[np.nan]], np.float32),
            sources[2],
            (0, 0, 5, 5),
            out,
            quantity="occlusion",
            provenance=PROVENANCE,
        )
    with pytest.raises(InputError, match="where on the glass"):
        write_slide_map(
            np.ones((2, 2), np.float32),
            sources[0],
            (0, 0, 5, 5),
            out,
            quantity="occlusion",
            provenance=PROVENANCE,
        )
    assert not out.exists()
