"""What the pCR network sees of a patient, and when the patient is none for it."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pcr_runs import SIZE, drawn_case
from slide_files import on_glass, write_dicom_slide
from ultrasound_screens import dataset, rectangle, region, save, screen

from breastpredict.errors import GateRefusal, InputError
from breastpredict.pcr import (
    NAMES,
    FromUs0,
    PcrCase,
    PcrClinical,
    PcrPolicy,
    UltrasoundSource,
    given_inputs,
    one_hot_names,
    parse_roi,
    prepare_pcr,
)
from breastpredict.pcr.gates import DENSITY_SHARE, FACTOR, GATES, LEAST_SLACK
from breastpredict.pcr.inputs import PreparedPcr, clinical_values

ALL = ("pathology", "us0", "us1", "clinical")
ULTRASOUND = ("us0", "us1", "clinical")


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> PcrCase:
    """A tumour of radius 40 columns that becomes one of 20."""
    return drawn_case(tmp_path_factory.mktemp("case"))


def prepared(case: PcrCase, *needs: str, **options: object) -> PreparedPcr:
    return prepare_pcr(case, needs=needs or ALL, image_size=SIZE, **options)  # type: ignore[arg-type]


def one_line(error: Exception) -> str:
    text = str(error)
    assert text and "\n" not in text
    return text


# --- Images ---


def dark_share(values: np.ndarray) -> float:
    """Of the square: the black disc in the speckle."""
    return float((values[0] < -0.95).mean())


def test_arrays_have_the_shapes_types_and_ranges_the_network_takes(case: PcrCase) -> None:
    found = prepared(case)
    assert list(found.inputs) == ["us0", "us1", "pathology", "clinical"]
    for name in ("us0", "us1"):
        values = found.inputs[name]
        assert values.shape == (1, SIZE, SIZE) and values.dtype == np.float32
        assert values.min() >= -1 and values.max() <= 1 and np.ptp(values) > 1
    assert found.inputs["pathology"].shape == (9, 3, SIZE, SIZE)
    assert found.inputs["pathology"].dtype == np.uint8
    assert found.inputs["clinical"].dtype == np.float32 and found.inputs["clinical"].shape == (4,)
    assert found.given == ALL and found.laterality == "R"


def test_with_one_scale_a_tumour_that_shrinks_is_seen_to_shrink(case: PcrCase) -> None:
    found = prepared(case, *ULTRASOUND)
    assert found.us0 is not None and found.us1 is not None
    assert found.us0.side_mm == found.us1.side_mm == pytest.approx(81 * 0.5 * 1.4)
    ratio = dark_share(found.inputs["us1"]) / dark_share(found.inputs["us0"])
    assert ratio == pytest.approx((20 / 40) ** 2, rel=0.15)


def test_with_its_own_scale_each_time_shows_its_tumour_alike(case: PcrCase) -> None:
    found = prepared(case, *ULTRASOUND, policy=PcrPolicy(scale="own"))
    assert found.us0 is not None and found.us1 is not None
    assert found.us1.side_mm == pytest.approx(41 * 0.5 * 1.4)
    ratio = dark_share(found.inputs["us1"]) / dark_share(found.inputs["us0"])
    assert ratio == pytest.approx(1.0, rel=0.15)


def zoomed(case: PcrCase, folder: Path, regions: list[object]) -> PcrCase:
    """US-1 with other regions: the same pixels stand for other lengths."""
    pixels = screen(rectangle(), 1)
    data = dataset(pixels, regions, StudyDate="20240313", ImageLaterality="R")  # type: ignore[arg-type]
    data.StudyInstanceUID = "1.2.3.4567.99"
    assert case.us1 is not None
    return replace(case, us1=replace(case.us1, path=save(data, folder / "zoomed.dcm")))


def test_one_scale_is_in_millimetres_whatever_the_depth_setting(
    case: PcrCase, tmp_path: Path
) -> None:
    half = [region(PhysicalDeltaX=0.025, PhysicalDeltaY=0.02)]
    found = prepared(zoomed(case, tmp_path, half), *ULTRASOUND)
    assert found.us0 is not None and found.us1 is not None
    assert found.us0.side_mm == found.us1.side_mm == pytest.approx(81 * 0.5 * 1.4)
    (x0, _, x1, _), (a0, _, a1, _) = found.us0.box, found.us1.box
    assert a1 - a0 == pytest.approx(2 * (x1 - x0))  # in columns: they are half as wide
    assert found.features["us1_spacing_mm"] == pytest.approx(0.2)
    assert any("depth settings differ" in line for line in found.warnings)


def test_where_one_image_has_no_spacing_no_scale_is_made_up(case: PcrCase, tmp_path: Path) -> None:
    found = prepared(zoomed(case, tmp_path, []), *ULTRASOUND)
    assert found.us0 is not None and found.us1 is not None
    assert found.us0.side_mm is not None and found.us1.side_mm is None
    assert found.us1.square.side_mm == pytest.approx(41 * 1.4)  # pixels, as without a policy
    assert any("not at one scale" in line for line in found.warnings)
    assert "us1_side_mm" not in found.features and "us1_spacing_mm" not in found.features


def test_a_tumour_that_is_gone_is_looked_for_where_it_was(case: PcrCase) -> None:
    assert case.us1 is not None
    gone = replace(case, us1=replace(case.us1, roi=FromUs0()))
    both = prepared(gone, *ULTRASOUND)
    assert both.us0 is not None and both.us1 is not None
    assert both.us1.center == pytest.approx(both.us0.center)
    assert "no longer visible" in both.us1.reason
    # Also for a network that sees US-1 only: US-0 says where, and is no input.
    alone = prepared(gone, "us1")
    assert list(alone.inputs) == ["us1"] and alone.us0 is None
    assert np.array_equal(alone.inputs["us1"], both.inputs["us1"])


def test_only_what_the_network_takes_is_read(case: PcrCase, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert case.us0 is not None and case.us1 is not None
    no_slide = prepared(replace(case, pathology=absent), *ULTRASOUND)
    assert no_slide.pathology is None and "pathology" in no_slide.given
    no_pair = replace(case, us0=replace(case.us0, path=absent), us1=replace(case.us1, path=absent))
    assert list(prepared(no_pair, "pathology", "clinical").inputs) == ["pathology", "clinical"]
    no_us1 = replace(case, us1=replace(case.us1, path=absent))
    assert list(prepared(no_us1, "us0").inputs) == ["us0"]
    for needs in ("pathology", "us0", "us1"):  # and what it takes is
        whole = replace(no_pair, pathology=absent)
        with pytest.raises(InputError) as caught:
            prepared(whole, needs)
        assert str(absent) in one_line(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pathology": None}, "the biopsy"),
        ({"us0": None}, "US-0"),
        ({"us1": None}, "US-1"),
        ({"clinical": PcrClinical()}, "clinical variables"),
        ({"clinical": PcrClinical(subtype="TN", ki67=20)}, "er, regimen"),
    ],
)
def test_what_is_missing_is_refused_in_one_line_and_never_zero(
    change: dict[str, object], words: str, case: PcrCase
) -> None:
    with pytest.raises(InputError) as caught:
        prepared(replace(case, **change))  # type: ignore[arg-type]
    assert words in one_line(caught.value)
    for name in change:
        assert name not in given_inputs(replace(case, **change)) or "er" in words  # type: ignore[arg-type]


@pytest.mark.parametrize(("stated", "said"), [("PID-4711", False), ("LAB-1", True), ("", False)])
def test_a_slide_of_another_patient_is_noticed(
    stated: str, said: bool, case: PcrCase, tmp_path: Path
) -> None:
    slide = on_glass(300, 400, (40, 40, 340, 240))
    files = write_dicom_slide(tmp_path, slide, (1,), mpp=2.0, label=False, PatientID=stated)
    found = prepared(replace(case, pathology=files[0]), "pathology", "us0", "us1")
    assert said == any("patient identifier is not that of" in line for line in found.warnings)
    assert not any("LAB-1" in line or "4711" in line for line in found.warnings)


# --- Clinical variables ---


def test_clinical_values_come_by_name_in_the_order_asked_for() -> None:
    known = PcrClinical("HR-/HER2+", "low", 25.0, "anti-HER2")
    assert clinical_values(known).tolist() == known.vector().tolist() == [1.0, 0.5, 0.25, 1.0]
    assert clinical_values(known, ("ki67", "er")).tolist() == [0.25, 0.5]
    assert clinical_values(known, one_hot_names()).tolist() == known.one_hot().tolist()
    few = ("er low", "subtype TN", "ki67", "regimen anti-HER2")
    assert clinical_values(known, few).tolist() == [1.0, 0.0, 0.25, 1.0]


def test_a_value_that_is_not_taken_need_not_be_known() -> None:
    half = PcrClinical(er="positive", ki67=50.0)
    assert clinical_values(half, ("er", "ki67")).tolist() == [1.0, 0.5]
    for names in (("regimen",), ("ki67", "subtype TN"), NAMES):
        with pytest.raises(InputError, match="Not known") as caught:
            clinical_values(half, names)
        one_line(caught.value)
    with pytest.raises(InputError, match="no clinical variable"):
        clinical_values(half, ("age",))


def test_contradictions_are_said_and_no_refusal(case: PcrCase) -> None:
    odd = replace(case, clinical=PcrClinical("TN", "negative", 60.0, "anti-HER2"))
    found = prepared(odd, *ULTRASOUND)
    assert any("Clinical variables: anti-HER2 treatment" in line for line in found.warnings)


# --- Gates ---


def test_a_biopsy_that_is_no_h_and_e_is_refused_unless_overridden(
    case: PcrCase, shared: Path
) -> None:
    stained = replace(case, pathology=shared / "data" / "he" / "skimage" / "ihc.png")
    found = prepared(stained, "pathology")
    asked = {**found.features, **found.problems}
    with pytest.raises(GateRefusal) as caught:
        GATES.check(asked, {})
    assert caught.value.gate == "pathology" and caught.value.reason.endswith(".")
    (said,) = GATES.check(asked, {}, ("pathology",))
    assert said.startswith("Gate 'pathology' was overridden: ")
    assert GATES.check(prepared(case, "pathology").features, {}) == ()


def test_colour_doppler_is_refused_unless_overridden(case: PcrCase, tmp_path: Path) -> None:
    grey = screen(rectangle(), 1)
    flow = np.repeat(grey[..., None], 3, axis=2)
    flow[130:170, 150:190, 0], flow[130:170, 150:190, 1:] = 220, 30
    data = dataset(flow, [region()], StudyDate="20240313", StudyInstanceUID="1.2.3.4567.8")
    path = save(data, tmp_path / "flow.dcm")
    box = parse_roi("box:150,110,230,190")
    found = prepared(replace(case, us1=UltrasoundSource(path, box)), *ULTRASOUND)
    with pytest.raises(GateRefusal, match="colour Doppler") as caught:
        GATES.check(found.problems, {})
    assert caught.value.gate == "colour-doppler" and "US-1" in caught.value.reason
    assert len(GATES.check(found.problems, {}, ("colour-doppler",))) == 1


def test_an_empty_mask_leaves_nothing_to_override(case: PcrCase, shared: Path) -> None:
    normal = shared / "data" / "us" / "busi" / "normal"
    source = UltrasoundSource(normal / "normal_1.png", parse_roi(str(normal / "normal_1_mask.png")))
    with pytest.raises(GateRefusal) as caught:
        prepared(replace(case, us0=source), "us0")
    assert caught.value.gate == "no-tumour"
    with pytest.raises(InputError, match="cannot be overridden"):
        GATES.check({}, {}, ("no-tumour",))
    with pytest.raises(InputError, match="There is no gate"):
        GATES.check({}, {}, ("no_such",))


def trained(**limits: tuple[float, float]) -> dict[str, object]:
    return {
        name: {"kind": "number", "min": low, "max": high, "cases": 9}
        for name, (low, high) in limits.items()
    }


LENGTHS = {
    "spacing": ("us0_spacing_mm", "us1_spacing_mm"),
    "region-size": ("us0_side_mm", "us1_side_mm", "region_um"),
    "interval": ("interval_weeks",),
}


@pytest.mark.parametrize(
    ("gate", "feature"), [(gate, name) for gate, names in LENGTHS.items() for name in names]
)
@settings(max_examples=20, deadline=None)
@given(low=st.floats(0.01, 50), wide=st.floats(1, 20))
def test_a_length_may_leave_the_training_range_by_half_and_no_more(
    gate: str, feature: str, low: float, wide: float
) -> None:
    high = low * wide
    training = trained(**{feature: (low, high)})
    for inside in (low / FACTOR * 1.001, low, high, high * FACTOR * 0.999):
        assert GATES.check({feature: inside}, training) == ()
    for outside in (low / FACTOR * 0.999, high * FACTOR * 1.001):
        with pytest.raises(GateRefusal) as caught:
            GATES.check({feature: outside}, training)
        assert caught.value.gate == gate
        assert len(GATES.check({feature: outside}, training, (gate,))) == 1


@pytest.mark.parametrize("channel", "rgb")
@settings(max_examples=20, deadline=None)
@given(low=st.floats(0, 1), width=st.floats(0, 1))
def test_a_stain_may_leave_the_training_range_by_half_its_width_and_a_little(
    channel: str, low: float, width: float
) -> None:
    feature, high = f"density_{channel}", low + width
    slack = max(DENSITY_SHARE * width, LEAST_SLACK)
    training = trained(**{feature: (low, high)})
    for inside in (low - slack * 0.999, high + slack * 0.999):
        assert GATES.check({feature: inside}, training) == ()
    for outside in (low - slack * 1.001, high + slack * 1.001):
        with pytest.raises(GateRefusal) as caught:
            GATES.check({feature: outside}, training)
        assert caught.value.gate == "stain"


def test_what_the_file_does_not_tell_is_no_refusal() -> None:
    training = trained(us0_spacing_mm=(0.1, 0.1), interval_weeks=(5, 6), density_r=(0.1, 0.2))
    assert GATES.check({}, training) == ()


def test_a_refusal_names_every_gate_that_refuses() -> None:
    training = trained(us0_spacing_mm=(0.1, 0.1), interval_weeks=(5.0, 6.0))
    features = {"us0_spacing_mm": 1.0, "interval_weeks": 40.0}
    with pytest.raises(GateRefusal) as caught:
        GATES.check(features, training)
    assert caught.value.gate == "spacing"
    assert "(spacing)" in caught.value.reason and "(interval)" in caught.value.reason
    with pytest.raises(GateRefusal) as caught:
        GATES.check(features, training, ("spacing",))
    assert caught.value.gate == "interval"


def test_features_are_what_the_files_say(case: PcrCase) -> None:
    features = prepared(case).features
    assert features["us0_side_mm"] == features["us1_side_mm"] == pytest.approx(81 * 0.5 * 1.4)
    assert features["us0_spacing_mm"] == pytest.approx(0.4)
    assert features["interval_weeks"] == pytest.approx(6.0)
    assert features["us0_shown"] == features["us1_shown"] == 1.0
    assert "region_um" not in features  # a picture without a scale
    scaled = prepared(replace(case, pathology_mpp=4.0), "pathology").features
    assert scaled["region_um"] == pytest.approx(192 * 4.0)
    # Densities of the stains: pink tissue takes green out most.
    densities = [float(features[f"density_{channel}"]) for channel in "rgb"]
    assert densities[1] == max(densities) and all(map(math.isfinite, densities))


# --- Real files ---


def real(shared: Path, us0: str, us1: str, slide: str) -> PcrCase:
    """Two real images, taken for a pair, and a real biopsy."""
    data = shared / "data"

    def source(name: str, date: str) -> UltrasoundSource:
        path = data / "us" / name
        if path.suffix == ".dcm":
            return UltrasoundSource(path, parse_roi(ROIS[path.name]), date=date)
        masks = sorted(path.parent.glob(f"{path.stem}_mask*.png"))
        return UltrasoundSource(path, parse_roi(";".join(map(str, masks))), date=date)

    return PcrCase(
        patient_id="R",
        us0=source(us0, "2024-01-01"),
        us1=source(us1, "2024-02-12"),
        pathology=data / "he" / slide,
    )


ROIS = {"GREYSCALE_IMAGE.dcm": "point:512,340,200", "RGB_IMAGE.dcm": "point:340,260,160"}


@pytest.mark.parametrize(
    ("us0", "us1", "slide"),
    [
        ("busi/benign/benign_100.png", "busi/malignant/malignant_53.png", "torchstain/source.png"),
        ("busi/malignant/malignant_1.png", "busi/malignant/malignant_2.png", "stardist/histo.jpg"),
    ],
)
def test_real_pictures_become_inputs(us0: str, us1: str, slide: str, shared: Path) -> None:
    found = prepared(real(shared, us0, us1, slide), "pathology", "us0", "us1")
    for name in ("us0", "us1"):
        assert np.isfinite(found.inputs[name]).all() and np.ptp(found.inputs[name]) > 1
        assert found.rois[name].side_mm is None and "no spacing" in found.rois[name].side_text
    if "100" in us0:
        assert found.us0 is not None and found.us0.lesions == 2
    assert not any(name.endswith("_mm") for name in found.features)
    assert found.pathology is not None and found.pathology.mpp is None
    assert any("scale in pixels" in line for line in found.warnings)
    assert found.pair is not None and found.pair.interval_weeks == 6.0


def test_a_real_pair_in_dicom_has_lengths(shared: Path) -> None:
    case = real(
        shared, "dicom/GREYSCALE_IMAGE.dcm", "dicom/GREYSCALE_IMAGE.dcm", "torchstain/source.png"
    )
    found = prepared(case, "us0")
    assert found.us0 is not None and found.us0.side_mm == pytest.approx(200 * 0.0649, rel=0.01)
    with pytest.raises(InputError, match="same image"):
        prepared(case, "us0", "us1")
