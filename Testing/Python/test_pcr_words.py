"""A pCR patient in the words of a cohort table: what a user types and draws, and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from breastpredict.errors import InputError
from breastpredict.pcr import (
    BoxRoi,
    FromUs0,
    GivenRoi,
    MaskRoi,
    PcrCase,
    PcrClinical,
    PointRoi,
    UltrasoundSource,
    case_of,
    format_roi,
    parse_roi,
    words_of,
)

pixels = st.floats(-50, 5000, allow_nan=False)
names = st.text("abcXYZ019 ._-", min_size=1).map(lambda s: f"m{s.strip()}.png").map(Path)
masks = st.lists(names, min_size=1, max_size=3).map(lambda paths: MaskRoi(tuple(paths)))
points = st.builds(PointRoi, pixels, pixels, st.floats(8, 900))
boxes = st.tuples(pixels, pixels, pixels, pixels).map(
    lambda b: BoxRoi(min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
rois: st.SearchStrategy[GivenRoi] = st.one_of(masks, points, boxes)
numbers = st.none() | st.integers(1, 40)
sources = st.builds(
    UltrasoundSource,
    names,
    rois,
    numbers,
    numbers,
    st.none() | st.dates().map(lambda date: date.isoformat()),
)
clinical = st.builds(
    PcrClinical,
    st.sampled_from([None, "TN", "HR+/HER2-"]),
    st.sampled_from([None, "low", "positive"]),
    st.none() | st.integers(0, 1000).map(lambda tenths: tenths / 10),
    st.sampled_from([None, "taxane", "anti-HER2"]),
)
slide = st.none() | st.tuples(names, st.none() | st.just((1, 2, 30, 40)), st.none() | st.just(0.25))


@given(rois | st.just(FromUs0()))
def test_a_region_is_read_as_it_was_written(roi: GivenRoi) -> None:
    assert parse_roi(format_roi(roi)) == roi


@given(st.none() | sources, st.none() | sources, slide, clinical, st.sampled_from([None, "R"]))
def test_a_patient_is_read_as_it_was_written(
    us0: UltrasoundSource | None,
    us1: UltrasoundSource | None,
    pathology: tuple[Path, tuple[int, int, int, int] | None, float | None] | None,
    known: PcrClinical,
    side: str | None,
) -> None:
    path, region, mpp = pathology or (None, None, None)
    case = PcrCase(
        "P1",
        cohort="SITE",
        us0=us0,
        us1=us1,
        pathology=path,
        pathology_region=region,
        pathology_mpp=mpp,
        clinical=known,
        laterality=side,
    )
    assert case_of(words_of(case)) == case


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ({"us0": "a.dcm"}, "Where the tumour is on US-0 is not given"),
        ({"us1": "a.dcm", "us1_roi": "here"}, ""),
        ({"us0": "a.dcm", "us0_roi": "box:1,2,3"}, "The region is 'box:1,2,3'"),
        ({"us0": "a.dcm", "us0_roi": "box:1,2,3,4", "us0_frame": "last"}, "'last' is no number"),
        ({"pathology": "a.svs", "pathology_region": "1,2,3"}, "The region of the biopsy is"),
        ({"pathology": "a.svs", "pathology_mpp": "small"}, "no number of microns"),
        ({"ki67": "lots"}, "ki67 is 'lots'"),
    ],
)
def test_words_that_cannot_be_understood_are_named(words: dict[str, str], problem: str) -> None:
    if not problem:  # any other text is the path of a mask: whether it exists is seen when read
        assert case_of(words).us1 is not None
        return
    with pytest.raises(InputError, match=problem):
        case_of(words)
