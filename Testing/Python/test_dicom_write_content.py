"""What the written objects say: numbers, reasons, warnings, in words, codes and pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_results import (
    MAPS,
    OBJECTS,
    PROVENANCE,
    Results,
    errors_of,
    items,
    read_report,
    results,
    texts,
)
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from breastpredict import RESEARCH_USE_ONLY, SYNTHETIC_WARNING, __version__
from breastpredict.dicom import Provenance, write_capture, write_parametric_map, write_report


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """One case: what is said depends on no layout."""
    return results(tmp_path_factory.mktemp("one"), "siemens")


def test_the_report_says_how_its_numbers_came_about(one: Results) -> None:
    said = texts(one.read("report"))
    for sentence in (
        "Phase: phase 3 (chosen with --phase)",
        f"Weights SHA-256 her2_zero_vs_rest: {'ab' * 32}",
        f"Weights SHA-256 her2_low_vs_positive: {'cd' * 32}",
        "Tumour outlined by: point",
        f"Software: BreastPredict {__version__}",
        __version__,
        *PROVENANCE.overrides,
        RESEARCH_USE_ONLY,
        SYNTHETIC_WARNING,
        "BreastPredict HER2",
        "Imaging Measurement Report",
    ):
        assert sentence in said, sentence
    codes = [
        (item.ConceptCodeSequence[0].CodeValue, item.ConceptCodeSequence[0].CodingSchemeDesignator)
        for item in items(one.read("report"), "ConceptCodeSequence")
        if item.ConceptNameCodeSequence[0].CodeValue == "48676-1"
    ]
    assert codes == [("C68748", "NCIt")]


@pytest.mark.parametrize("name", ["zero", "low", "positive"])
def test_the_predicted_class_stands_as_a_code_without_a_number(
    one: Results, tmp_path: Path, name: str
) -> None:
    path = tmp_path / "report.dcm"
    write_report(path, one.phase, provenance=Provenance(), predicted_class=name)
    (group,) = read_report(path, tmp_path)["Measurements"]
    assert group["measurementItems"] == []
    meanings = [
        evaluation["conceptValue"]["CodeMeaning"]
        for evaluation in group["qualitativeEvaluations"]
        if evaluation["conceptCode"]["CodeValue"] == "48676-1"
    ]
    assert meanings == [{"positive": "HER2/Neu Positive"}.get(name, f"HER2-{name}")]


def test_a_refusal_gives_the_reason_and_no_number_whatever_it_is_given(
    one: Results, tmp_path: Path, dciodvfy: str
) -> None:
    data = one.read("refused")
    assert not [item for item in items(data, "ValueType") if item.ValueType == "NUM"]
    assert not list(items(data, "MeasuredValueSequence"))
    assert data.CompletionFlag == "PARTIAL"
    (group,) = read_report(one.written["refused"].path, tmp_path)["Measurements"]
    assert group["measurementItems"] == []
    said = texts(data)
    assert "Not assessed" in said
    assert "Not assessed: The largest section of the tumour has 9.0 mm²." in said
    assert not {"HER2/Neu Positive", "HER2-low", "HER2-zero"} & set(said)
    assert RESEARCH_USE_ONLY in said and SYNTHETIC_WARNING in said
    alone = tmp_path / "alone.dcm"  # a case may be refused before there is a segmentation
    write_report(alone, one.phase, provenance=Provenance(), refusal="No enhancement.")
    assert errors_of(dciodvfy, alone) == []
    assert "Not assessed: No enhancement." in texts(pydicom.dcmread(alone))


@pytest.mark.parametrize("name", ["report", "refused"])
def test_private_codes_are_named_as_such(one: Results, name: str) -> None:
    data = one.read(name)
    schemes = {item.CodingSchemeDesignator for item in items(data, "CodingSchemeDesignator")}
    private = {scheme for scheme in schemes if scheme.startswith("99")}
    declared = [item.CodingSchemeDesignator for item in data.CodingSchemeIdentificationSequence]
    assert private == set(declared) == {"99BREASTPREDICT"} and len(declared) == 1


@pytest.mark.parametrize("name", OBJECTS)
def test_every_object_says_research_use_only_and_what_it_was_trained_on(
    one: Results, tmp_path: Path, name: str
) -> None:
    data = one.read(name)
    assert "RESEARCH USE ONLY" in data.SeriesDescription
    said = texts(data) if data.Modality == "SR" else [data.ImageComments]
    for sentence in (RESEARCH_USE_ONLY, SYNTHETIC_WARNING, *PROVENANCE.overrides):
        assert any(sentence in text for text in said), sentence
    if name in ("segmentation", *MAPS):
        assert data.ContentDescription == f"{SYNTHETIC_WARNING} Research use only."
        assert len(data.ContentDescription) <= 64


def test_objects_of_a_model_trained_on_patients_do_not_speak_of_synthetic_data(
    tmp_path: Path, dciodvfy: str
) -> None:
    trained = results(tmp_path, "philips", provenance=Provenance())
    for name in OBJECTS:
        assert errors_of(dciodvfy, trained.written[name].path) == []
        content = trained.written[name].path.read_bytes().lower()
        assert b"synthetic" not in content and b"research use only" in content


def words_in(band: NDArray[np.uint8]) -> list[NDArray[np.bool_]]:
    """The lines of bright text in a dark picture, each cut to its glyphs."""
    lit = band.max(axis=2) > 60
    rows = lit.any(axis=1)
    starts = np.flatnonzero(rows & ~np.roll(rows, 1))
    stops = np.flatnonzero(rows & ~np.roll(rows, -1)) + 1
    out = []
    for start, stop in zip(starts, stops, strict=True):
        columns = np.flatnonzero(lit[start:stop].any(axis=0))
        out.append(lit[start:stop, columns[0] : columns[-1] + 1])
    return out


def is_text(glyphs: NDArray[np.bool_], words: str) -> bool:
    """Whether the glyphs are these words in some size of the default font."""
    for size in range(8, 48):
        font = ImageFont.load_default(size)
        page = Image.new("RGB", (int(font.getlength(words)) + 20, 2 * size + 10))
        ImageDraw.Draw(page).text((8, 8), words, fill=(255, 210, 0), font=font)
        (drawn,) = words_in(np.asarray(page)) or (None,)
        if drawn is not None and drawn.shape == glyphs.shape and (drawn == glyphs).mean() > 0.97:
            return True
    return False


@pytest.mark.parametrize("columns", [1452, 700, 60])
def test_the_capture_shows_the_picture_above_its_warnings(
    one: Results, tmp_path: Path, columns: int
) -> None:
    """However narrow the picture is: the words are never cut."""
    picture = np.full((50, columns, 3), 90, np.uint8)
    picture[10:20, 5:15] = (255, 0, 0)
    shown = {}
    for synthetic in (False, True):
        path = tmp_path / f"{synthetic}.dcm"
        write_capture(picture, one.phase, path, provenance=Provenance(synthetic=synthetic))
        data = pydicom.dcmread(path)
        assert data.BurnedInAnnotation == "NO"  # PS3.3 C.7.6.1: nothing that identifies the patient
        pixels = data.pixel_array
        np.testing.assert_array_equal(pixels[:50, :columns], picture)
        shown[synthetic] = words_in(pixels[50:])
    use, warning = "RESEARCH USE ONLY", SYNTHETIC_WARNING.upper()
    assert len(shown[False]) == 1 and is_text(shown[False][0], use)
    assert len(shown[True]) == 2 and is_text(shown[True][0], use)
    assert is_text(shown[True][1], warning) and not is_text(shown[True][1], warning[:-5])


@pytest.mark.parametrize("values", [(0.0, 0.0), (-3.0, -1.0), (-1.0, 2.0), (1e-6, 1e-6)])
def test_maps_of_any_sign_are_valid_and_shown_from_nothing_to_most(
    one: Results, tmp_path: Path, dciodvfy: str, values: tuple[float, float]
) -> None:
    slab = one.phase.geometry.slab(0, 1)
    array = np.full(slab.size[::-1], values[0], np.float32)
    array[0, 0, 0] = values[1]
    path = tmp_path / "map.dcm"
    write_parametric_map(
        slab.to_image(array), one.phase, path, quantity="evidence", provenance=Provenance()
    )
    assert errors_of(dciodvfy, path) == []
    window = pydicom.dcmread(path).SharedFunctionalGroupsSequence[0].FrameVOILUTSequence[0]
    low = window.WindowCenter - window.WindowWidth / 2
    assert low == pytest.approx(min(0.0, values[0]), abs=1e-12)
    if values != (0.0, 0.0):
        assert low + window.WindowWidth == pytest.approx(max(0.0, values[1]), rel=1e-5, abs=1e-12)


def test_maps_are_told_apart_by_code_and_words(one: Results) -> None:
    found = {}
    for name in MAPS:
        mapping = one.read(name).SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
        quantity = mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
        found[name] = (quantity.CodeValue, mapping.LUTExplanation)
    assert found == {
        "attention": ("130404", "Class-agnostic attention map"),
        "rollout": ("130404", "Class-agnostic attention rollout"),
        "evidence": ("130403", "Class-specific evidence map"),
    }
