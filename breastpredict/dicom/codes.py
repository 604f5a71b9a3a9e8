"""The coding scheme of what is written, and what no public code was found for.

No verified code exists for HER2-low, HER2-zero and for a model's score, so those are private, in a
scheme that each object names in Coding Scheme Identification (0008,0110).
"""

from __future__ import annotations

from highdicom.sr.coding import CodedConcept
from pydicom import Dataset

PRIVATE_SCHEME = "99BREASTPREDICT"


def private(value: str, meaning: str) -> CodedConcept:
    """A concept of our own scheme."""
    return CodedConcept(value, PRIVATE_SCHEME, meaning)


NEOPLASM = CodedConcept("108369006", "SCT", "Neoplasm")
ABNORMAL_STRUCTURE = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
BREAST = CodedConcept("76752008", "SCT", "Breast")
ARTIFICIAL_INTELLIGENCE = CodedConcept("123110", "DCM", "Artificial Intelligence")
SALIENCY = CodedConcept("130404", "DCM", "Saliency map")
GRADIENT_ACTIVATION = CodedConcept("130403", "DCM", "Gradient-weighted class activation map")
CLASS_ACTIVATION = CodedConcept("130402", "DCM", "Class activation map")
SEGMENTATION = CodedConcept("113076", "DCM", "Segmentation")
IMAGE_PROCESSING = CodedConcept("110001", "DCM", "Image Processing")
NO_UNITS = CodedConcept("1", "UCUM", "no units")
SQUARE_MM = CodedConcept("mm2", "UCUM", "mm2")
CUBIC_MM = CodedConcept("mm3", "UCUM", "mm3")
VOLUME = CodedConcept("118565006", "SCT", "Volume")
AREA = CodedConcept("42798000", "SCT", "Area")
IMAGING_PROCEDURE = CodedConcept("363679005", "SCT", "Imaging procedure")
HER2_CONCEPT = CodedConcept("48676-1", "LN", "HER2 [Interpretation] in Tissue")
HER2_CLASS = {
    "zero": private("HER2-ZERO", "HER2-zero"),
    "low": private("HER2-LOW", "HER2-low"),
    "positive": CodedConcept("C68748", "NCIt", "HER2/Neu Positive"),
}
"""The predicted class. NCIt C68748 is verified for positive; the others are private."""

HER2_PROBABILITY = {
    name: private(f"P-HER2-{name.upper()}", f"Model output P(HER2-{name})")
    for name in ("zero", "low", "positive")
}
PCR_CONCEPT = private("PCR", "Pathologic complete response, predicted")
PCR_CLASS = {
    True: private("PCR-EXPECTED", "Pathologic complete response expected"),
    False: private("PCR-NOT-EXPECTED", "Pathologic complete response not expected"),
}
PCR_PROBABILITY = private("P-PCR", "Model output P(pathologic complete response)")
PCR_THRESHOLD = private("PCR-THRESHOLD", "Threshold of P(pathologic complete response)")
PCR_BASELINE = private("P-PCR-CLINICAL", "Clinical variables only: P(pathologic complete response)")
INTERVAL = private("US-INTERVAL", "Interval between both ultrasound examinations")
WEEKS = CodedConcept("wk", "UCUM", "week")
NOT_ASSESSED = private("NOT-ASSESSED", "Not assessed")
SLICE_NUMBER = private("LARGEST-SLICE", "Slice of largest cross-section (0-based)")


def identify_private_scheme(data: Dataset) -> None:
    """Add our scheme to Coding Scheme Identification (PS3.3 C.12.1.1.1)."""
    item = Dataset()
    item.CodingSchemeDesignator = PRIVATE_SCHEME
    item.CodingSchemeName = "BreastPredict private codes"
    item.CodingSchemeResponsibleOrganization = "BreastPredict"
    others = [
        existing
        for existing in data.get("CodingSchemeIdentificationSequence", [])
        if existing.CodingSchemeDesignator != PRIVATE_SCHEME
    ]
    data.CodingSchemeIdentificationSequence = [*others, item]
