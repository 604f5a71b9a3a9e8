"""Pathologic complete response from ultrasound at two times, a biopsy and clinical variables."""

from __future__ import annotations

from breastpredict.pcr.cases import PcrCase, UltrasoundSource
from breastpredict.pcr.clinical import (
    ER_LEVELS,
    NAMES,
    REGIMENS,
    SUBTYPES,
    PcrClinical,
    one_hot_names,
    pcr_label,
)
from breastpredict.pcr.facts import (
    MAP_METHODS,
    MapMethod,
    PcrFacts,
    PcrInputs,
    PcrMap,
    PcrOutputs,
    PcrPrediction,
)
from breastpredict.pcr.given_roi import BoxRoi, FromUs0, GivenRoi, MaskRoi, PointRoi, parse_roi
from breastpredict.pcr.inputs import PreparedPcr, given_inputs, prepare_pcr
from breastpredict.pcr.pair import Pair, check_pair
from breastpredict.pcr.policy import PcrPolicy
from breastpredict.pcr.predict import PcrModel
from breastpredict.pcr.ultrasound_roi import UltrasoundRoi, ultrasound_roi

__all__ = [
    "ER_LEVELS",
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
    "check_pair",
    "given_inputs",
    "one_hot_names",
    "parse_roi",
    "pcr_label",
    "prepare_pcr",
    "ultrasound_roi",
]
