"""The clinical variables of the pCR model and its label: as typed, refused, or flagged."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breastpredict.errors import InputError
from breastpredict.pcr import (
    ER_LEVELS,
    REGIMENS,
    SUBTYPES,
    PcrClinical,
    one_hot_names,
    pcr_label,
)

SPELLINGS = {
    "subtype": {
        "HR+/HER2-": ["HR-positive/HER2-negative", "hr positive, her2 negative", "HER2−/HR+"],
        "HR+/HER2+": ["HR+ HER2+", "HER2-positive/HR-positive"],
        "HR-/HER2+": ["HR–/HER2+", "HR neg / HER2 pos"],
        "TN": ["TNBC", "Triple-negative", "triple negative breast cancer", "HR-/HER2-"],
    },
    "er": {
        "negative": ["-", "neg", "ER-negative", "ER-", "0.5 %", "0%"],
        "low": ["ER low", "low positive", "ER-low-positive", "1%", "10 %"],
        "positive": ["+", "ER+", "Positive", "90%", "10,5 %"],
    },
    "regimen": {
        "taxane": ["Taxane-based", "paclitaxel"],
        "anthracycline+taxane": ["Anthracycline with taxane", "AC-T", "epirubicin / docetaxel"],
        "taxane+platinum": ["Taxane- and platinum-based", "nab-paclitaxel + carboplatin", "TCb"],
        "anti-HER2": [
            "Use of anti-HER2 agents in HER2-positive cancer",
            "anti HER2",
            "TCbHP",
            "taxane, trastuzumab and pertuzumab",
        ],
    },
    "ki67": {35.0: ["35", "35 %", "35,0"], 0.0: ["0"], 100.0: ["100%"]},
}


@pytest.mark.parametrize("variable", SPELLINGS)
def test_values_are_understood_in_the_spellings_of_reports(variable: str) -> None:
    for value, texts in SPELLINGS[variable].items():
        for text in [str(value), *texts, f"  {texts[0].upper()} "]:
            assert getattr(PcrClinical.parse(**{variable: text}), variable) == value, text


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ki67", "140"),
        ("ki67", "-1"),
        ("ki67", "<10"),
        ("ki67", "nan"),
        ("regimen", "homeopathy"),
        ("regimen", "TC"),  # cyclophosphamide or carboplatin
        ("regimen", "platinum"),
        ("regimen", "anthracycline+taxane+platinum"),
        ("regimen", "taxane without trastuzumab"),
        ("er", "5"),  # percent, a score, a code?
        ("er", "140%"),
        ("er", "-+"),
        ("subtype", "luminal B"),
        ("subtype", "HER2-enriched"),
        ("subtype", "HR+"),
    ],
)
def test_what_is_no_value_is_refused_in_one_line_that_says_what_is_one(
    variable: str, text: str
) -> None:
    with pytest.raises(InputError) as caught:
        PcrClinical.parse(**{variable: text})
    assert f"{variable} is {text!r}" in str(caught.value) and "Use " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_are_checked_without_a_parser_too() -> None:
    wrong: dict[str, Any]
    for wrong in ({"ki67": 140.0}, {"ki67": float("nan")}, {"er": "+"}, {"regimen": "TC"}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            PcrClinical(**wrong)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=20))
def test_any_text_gives_a_known_value_or_one_line(text: str) -> None:
    for variable, known in (("subtype", SUBTYPES), ("er", ER_LEVELS), ("regimen", REGIMENS)):
        try:
            value = getattr(PcrClinical.parse(**{variable: text}), variable)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert value is None or value in known
    try:
        ki67 = PcrClinical.parse(ki67=text).ki67
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert ki67 is None or 0 <= ki67 <= 100


def test_the_vector_spreads_the_documented_order_over_0_to_1() -> None:
    vectors = [
        PcrClinical(subtype, er, ki67, regimen).vector()
        for subtype, er, ki67, regimen in itertools.product(
            SUBTYPES, ER_LEVELS, (0.0, 35.0, 100.0), REGIMENS
        )
    ]
    assert len({tuple(v.tolist()) for v in vectors}) == 4 * 3 * 3 * 4
    assert np.min(vectors) == 0 and np.max(vectors) == 1
    assert vectors[0].dtype == np.float32 and vectors[0].shape == (4,)
    case = PcrClinical("TN", "low", 35.0, "anthracycline+taxane").vector()
    assert case.tolist() == pytest.approx([2 / 3, 1 / 2, 0.35, 1 / 3])


def test_one_hot_names_what_each_number_is() -> None:
    values = PcrClinical("HR-/HER2+", "negative", 60, "anti-HER2").one_hot()
    named = dict(zip(one_hot_names(), values.tolist(), strict=True))
    assert {name for name, value in named.items() if value} == {
        "subtype HR-/HER2+",
        "er negative",
        "ki67",
        "regimen anti-HER2",
    }
    assert named["ki67"] == pytest.approx(0.6)


@pytest.mark.parametrize("unknown", ["", "NA", " unknown ", None])
def test_what_is_not_known_is_never_a_zero(unknown: str | None) -> None:
    clinical = PcrClinical.parse("TN", unknown, unknown, "taxane")
    assert clinical.er is None and clinical.ki67 is None
    assert clinical.missing == ("er", "ki67")
    for numbers in (clinical.vector, clinical.one_hot):
        with pytest.raises(InputError, match="er, ki67"):
            numbers()


@pytest.mark.parametrize(
    ("clinical", "says"),
    [
        (
            PcrClinical("HR+/HER2-", "positive", 20, "anti-HER2"),
            "anti-HER2 treatment of a HER2-neg",
        ),
        (PcrClinical("TN", "negative", 20, "anti-HER2"), "anti-HER2 treatment of a HER2-negative"),
        (PcrClinical("HR-/HER2+", "negative", 20, "taxane"), "without anti-HER2 agents"),
        (PcrClinical("TN", "low", 20, "taxane"), "ER is low positive"),
        (PcrClinical("HR-/HER2+", "positive", 20, "anti-HER2"), "ER is positive"),
        (PcrClinical("HR+/HER2-", "negative", 20, "taxane"), "only where PR is positive"),
        (PcrClinical(ki67=0.35), "fraction"),
    ],
)
def test_a_contradiction_is_said_in_words(clinical: PcrClinical, says: str) -> None:
    (only,) = clinical.contradictions()
    assert says in only


def test_what_fits_together_or_is_not_known_is_not_flagged() -> None:
    assert not PcrClinical().contradictions()
    assert not PcrClinical("TN", "negative", 80, "taxane+platinum").contradictions()
    assert not PcrClinical("HR+/HER2+", "low", 30, "anti-HER2").contradictions()
    assert not PcrClinical("HR+/HER2-", None, 1, "anthracycline+taxane").contradictions()
    assert len(PcrClinical("TN", "positive", 50, "anti-HER2").contradictions()) == 2


@pytest.mark.parametrize(
    ("pcr", "grade", "nodes", "label"),
    [
        ("", "5", "-", True),
        ("", 5, "−", True),
        ("", "5", "+", False),
        ("", "5", "", None),
        ("1", "5", "", True),
        ("0", "5", "NA", False),  # invasive cancer may remain in the nodes
        ("", "4", "", False),
        ("", "1", "-", False),
        ("", "", "+", False),
        ("", "", "-", None),
        ("1", "5", "-", True),
        ("0", "3", "+", False),
        ("1", "", "", True),
        (True, None, None, True),
        ("", "", "", None),
    ],
)
def test_a_complete_response_is_grade_5_without_tumour_in_the_nodes(
    pcr: Any, grade: Any, nodes: str | None, label: bool | None
) -> None:
    assert pcr_label(pcr, grade, nodes) is label


@pytest.mark.parametrize(
    ("pcr", "grade", "nodes"),
    [("1", "4", ""), ("1", "5", "+"), ("0", "5", "-"), (True, None, "+")],
)
def test_a_typed_label_against_the_pathology_is_refused(pcr: Any, grade: Any, nodes: str) -> None:
    with pytest.raises(InputError, match="against"):
        pcr_label(pcr, grade, nodes)


@pytest.mark.parametrize(("pcr", "grade", "nodes"), [("2", "", ""), ("", "6", ""), ("", "", "n0")])
def test_a_label_of_other_values_is_refused(pcr: str, grade: str, nodes: str) -> None:
    with pytest.raises(InputError, match="Use one of"):
        pcr_label(pcr, grade, nodes)
