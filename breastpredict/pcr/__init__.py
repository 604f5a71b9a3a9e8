"""Pathologic complete response from ultrasound at two times, a biopsy and clinical variables."""

from __future__ import annotations

from breastpredict.pcr.cases import PcrCase, UltrasoundSource, case_of, words_of
from breastpredict.pcr.clinical import (
    ER_LEVELS,
    NAMES,
    REGIMENS,
    SUBTYPES,
    PcrClinical,
    one_hot_names,
    pcr_label,
)
from breastpredict.pcr.describe import describe_pcr_run
from breastpredict.pcr.facts import (
    EXPLANATIONS,
    MAP_METHODS,
    MapMethod,
    PcrFacts,
    PcrInputs,
    PcrMap,
    PcrOutputs,
    PcrPrediction,
)
from breastpredict.pcr.given_roi import (
    BoxRoi,
    FromUs0,
    GivenRoi,
    MaskRoi,
    PointRoi,
    format_roi,
    parse_roi,
)
from breastpredict.pcr.inputs import PreparedPcr, given_inputs, prepare_pcr, regions_of
from breastpredict.pcr.pair import Pair, check_pair
from breastpredict.pcr.policy import PcrPolicy
from breastpredict.pcr.predict import PcrModel
from breastpredict.pcr.ultrasound_roi import UltrasoundRoi, ultrasound_roi

__all__ = [
    "ER_LEVELS",
    "EXPLANATIONS",
    "MAP_METHODS",
    "NAMES",
    "REGIMENS",
    "SUBTYPES",
    "BoxRoi",
    "FromUs0",
    "GivenRoi",
    "MapMethod",
    "MaskRoi",
    "Pair",
    "PcrCase",
    "PcrClinical",
    "PcrFacts",
    "PcrInputs",
    "PcrMap",
    "PcrModel",
    "PcrOutputs",
    "PcrPolicy",
    "PcrPrediction",
    "PointRoi",
    "PreparedPcr",
    "UltrasoundRoi",
    "UltrasoundSource",
    "case_of",
    "check_pair",
    "describe_pcr_run",
    "format_roi",
    "given_inputs",
    "one_hot_names",
    "parse_roi",
    "pcr_label",
    "prepare_pcr",
    "regions_of",
    "ultrasound_roi",
    "words_of",
]
