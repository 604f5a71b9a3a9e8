"""What kind of image a slice is, from the words that vendors put into its header.

Sources: PS3.3 C.7.6.1.1.2 and C.8.13.3.1.1 (Image Type, Frame Type), C.8.13.3.1.2 (complex image
component), and what GE, Siemens and Philips write into Image Type, values 3 and on.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

_COMPONENTS = {
    "magnitude": "M MAG MAGNITUDE M_FFE M_SE M_IR M_PCA".split(),
    "phase": ["P", "PHASE", "P_FFE", "P_SE", "P_IR", "P_PCA", "PHASE MAP", "VELOCITY MAP"],
    "real": "R REAL R_FFE R_SE R_IR R_PCA".split(),
    "imaginary": "I IMAGINARY I_FFE I_SE I_IR I_PCA".split(),
}
_TISSUES = {
    "water": "W WATER".split(),
    "fat": "F FAT".split(),
    "in phase": "IP IN_PHASE INPHASE IN-PHASE IN".split(),
    "opposed phase": (
        "OP OUT_PHASE OPP_PHASE OPPOSED_PHASE OUTPHASE OUT-PHASE OUT OPP OPPOSED".split()
    ),
    "fat fraction": "FF FAT_FRACTION FATFRACTION WATER_FRACTION PDFF".split(),
}
_BY_WORD = {
    **{word: name for name, words in _COMPONENTS.items() for word in words},
    **{word: name for name, words in _TISSUES.items() for word in words},
}
_GE_COMPONENTS = {0: "magnitude", 1: "phase", 2: "real", 3: "imaginary"}
_DERIVED = (
    "SUBTRACTION SUBTRACT SUBTRACTED SUB MIP MINIP MPR PROJECTION LOCALIZER PARAMETRIC ADC TRACEW "
    "MOCO MOCOMEAN MEAN SD ADDITION DIVISION"
).split()
_DERIVED.append("PROJECTION IMAGE")


def component_of(kinds: Sequence[str], stated: str = "", of_ge: float | None = None) -> str:
    """Magnitude, phase, real or imaginary; empty where nothing tells.

    Args:
        kinds: ImageType or FrameType from its third value on, upper case.
        stated: ComplexImageComponent (0008,9208).
        of_ge: GE's private image type (0043,102F).
    """
    if of_ge in _GE_COMPONENTS:
        return _GE_COMPONENTS[int(of_ge or 0)]
    if stated.lower() in _COMPONENTS:
        return stated.lower()
    return next((_BY_WORD[word] for word in kinds if _BY_WORD.get(word) in _COMPONENTS), "")


def tissue_of(kinds: Sequence[str]) -> str:
    """What a Dixon image shows: water, fat, in phase, opposed phase, fat fraction; or empty."""
    return next((_BY_WORD[word] for word in kinds if _BY_WORD.get(word) in _TISSUES), "")


def unfit(
    image_type: Sequence[str], component: str, tissue: str, b_value: float | None = None
) -> str:
    """Why an image cannot be of a phase of a DCE acquisition; empty where it can.

    Water and fat are computed from what was measured, and so called DERIVED by some; they are as
    good as it. Everything else that was computed is no phase.
    """
    words = set(image_type)
    if "MOSAIC" in words:
        return "a mosaic: many slices in one picture, not a stack of slices"
    found = [word for word in _DERIVED if word in words]
    if found:
        return f"derived or localizer ({', '.join(found)})"
    if tissue == "fat fraction":
        return "a map of fat, not a signal"
    if component not in ("", "magnitude"):
        return f"{component} images, not magnitude"
    if b_value:
        return "diffusion-weighted"
    if image_type and image_type[0] == "DERIVED" and not (tissue and "SECONDARY" not in words):
        return "derived images (ImageType DERIVED)"
    return ""


def marked(**marks: str) -> dict[str, str]:
    """Marks by name, empty ones left out."""
    return {name.replace("_", " "): value for name, value in marks.items() if value}


@lru_cache(maxsize=1 << 10)
def words_of(values: str) -> tuple[str, ...]:
    """The values of ImageType or FrameType in their places, upper case."""
    return tuple([part.strip().upper() for part in values.split("\\")]) if values else ()
