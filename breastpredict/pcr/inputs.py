"""From files to the pCR network's inputs: ultrasound squares, pathology patches, numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from breastpredict.dicom import UltrasoundImage
from breastpredict.errors import GateRefusal, InputError
from breastpredict.pathology import PathologyPatches, SlideRegion, open_slide, read_patches
from breastpredict.pcr.cases import PcrCase
from breastpredict.pcr.clinical import NAMES, PcrClinical, one_hot_names
from breastpredict.pcr.given_roi import FromUs0, GivenRoi
from breastpredict.pcr.pair import Pair, check_pair
from breastpredict.pcr.policy import DEFAULT_POLICY, PcrPolicy
from breastpredict.pcr.ultrasound_roi import UltrasoundRoi, ultrasound_roi

IMAGES = ("pathology", "us0", "us1")
TITLES = {
    "pathology": "the biopsy",
    "us0": "US-0",
    "us1": "US-1",
    "clinical": "clinical variables",
}
"""The inputs as readers know them."""


def given_inputs(case: PcrCase) -> tuple[str, ...]:
    """Names of the inputs there are, in the order of a network's; of the clinical ones any."""
    images = [name for name in IMAGES if getattr(case, name) is not None]
    known = len(case.clinical.missing) < len(NAMES)
    return (*images, *(("clinical",) if known else ()))


def require(case: PcrCase, needs: Sequence[str]) -> None:
    """Check that a patient has what a network takes: it is never replaced by zeros.

    Raises:
        InputError: something is missing.
    """
    missing = [TITLES[name] for name in needs if name not in given_inputs(case)]
    if missing:
        raise InputError(
            f"The model needs what this patient lacks: {', '.join(missing)}",
            remedy="Give it, or use a model that was trained without it",
        )


@dataclass(frozen=True)
class PreparedPcr:
    """What the network sees of a patient, and where it comes from.

    Attributes:
        inputs: name → array as it is kept: ``us0``, ``us1`` float32 ``[1, S, S]`` in [-1, 1];
            ``pathology`` uint8 ``[9, 3, S, S]``; ``clinical`` float32 ``[n]``. See
            `breastpredict.learning.examples.network_array`.
        us0, us1: the regions; the exact way back to the files. None where the network has none.
        pathology: the patches; the exact way back.
        pair: of both ultrasound images.
        clinical: what was known.
        clinical_names: the numbers of ``inputs["clinical"]``.
        given: names of all inputs there were.
        laterality: "R" or "L", where anything states it.
        features: what the gates compare with the training data.
        problems: gate → why what is there may not be what the network was made for.
        warnings: for the reader.
        policy: which regions these are.
    """

    inputs: Mapping[str, NDArray[Any]] = field(repr=False)
    us0: UltrasoundRoi | None = field(repr=False)
    us1: UltrasoundRoi | None = field(repr=False)
    pathology: PathologyPatches | None = field(repr=False)
    pair: Pair | None
    clinical: PcrClinical
    clinical_names: tuple[str, ...]
    given: tuple[str, ...]
    laterality: str | None
    features: dict[str, float | str]
    problems: dict[str, str]
    warnings: tuple[str, ...]
    policy: PcrPolicy = DEFAULT_POLICY

    @property
    def rois(self) -> dict[str, UltrasoundRoi]:
        """The ultrasound regions there are, by the name of their input."""
        found = {"us0": self.us0, "us1": self.us1}
        return {name: roi for name, roi in found.items() if roi is not None}


def prepare_pcr(
    case: PcrCase,
    *,
    needs: Sequence[str],
    image_size: int,
    clinical_names: Sequence[str] = NAMES,
    policy: PcrPolicy = DEFAULT_POLICY,
) -> PreparedPcr:
    """Prepare a patient for a network. Only what the network takes is decoded.

    Args:
        case: where the files are, and what is known.
        needs: names of the network's inputs.
        image_size: side S of an ultrasound input and of a patch.
        clinical_names: the network's clinical variables, see `clinical_values`.
        policy: which regions.

    Raises:
        InputError: an input is missing (it is never replaced by zeros), unusable, or the two
            ultrasound images are no pair.
        GateRefusal: "no-tumour", an empty mask.
    """
    require(case, needs)
    inputs: dict[str, NDArray[Any]] = {}
    features: dict[str, float | str] = {}
    problems: dict[str, str] = {}
    warnings: list[str] = []
    views, pair = _ultrasound(case, needs, policy, warnings)
    for name, view in views.items():
        inputs[name] = view.network_input(image_size)
        features.update(_ultrasound_features(name, view))
        if view.image.colour == "colour Doppler":
            problems["colour-doppler"] = f"{TITLES[name]} is in colours, as of colour Doppler"
    if pair is not None and pair.interval_weeks is not None:
        features["interval_weeks"] = pair.interval_weeks
    patches = None
    if "pathology" in needs and case.pathology is not None:
        patches = _pathology(case, image_size, problems)
        warnings += (*patches.warnings, *_compare_patients(patches, views))
        inputs["pathology"] = np.ascontiguousarray(patches.patches.transpose(0, 3, 1, 2))
        features.update(_pathology_features(patches))
    if "clinical" in needs:
        inputs["clinical"] = clinical_values(case.clinical, clinical_names)
    warnings += [f"Clinical variables: {words}" for words in case.clinical.contradictions()]
    return PreparedPcr(
        inputs=inputs,
        us0=views.get("us0"),
        us1=views.get("us1"),
        pathology=patches,
        pair=pair,
        clinical=case.clinical,
        clinical_names=tuple(clinical_names) if "clinical" in needs else (),
        given=given_inputs(case),
        laterality=_laterality(case, views),
        features=features,
        problems=problems,
        warnings=tuple(dict.fromkeys(warnings)),
        policy=policy,
    )


def clinical_values(clinical: PcrClinical, names: Sequence[str] = NAMES) -> NDArray[np.float32]:
    """The numbers of clinical variables by name.

    Args:
        clinical: of the patient.
        names: of `NAMES` (ordinals, see `PcrClinical.vector`) and of `one_hot_names`.

    Returns:
        float32 ``[names]`` in [0, 1].

    Raises:
        InputError: a variable that is asked for is not known of the patient, or does not exist.
    """
    known = {*NAMES, *one_hot_names()}
    if unknown := [name for name in names if name not in known]:
        raise InputError(f"There is no clinical variable {unknown[0][:60]!r}")
    lacking = sorted({name.split()[0] for name in names} & set(clinical.missing))
    if lacking:
        raise InputError(
            f"Not known of the clinical variables: {', '.join(lacking)}",
            remedy="Give them, or use a model that was trained without them",
        )
    # What the network does not take need not be known: any value stands in for it here.
    whole = replace(
        PcrClinical(subtype="TN", er="negative", ki67=0.0, regimen="taxane"),
        **{name: value for name in NAMES if (value := getattr(clinical, name)) is not None},
    )
    values = dict(zip(NAMES, whole.vector().tolist(), strict=True))
    values.update(zip(one_hot_names(), whole.one_hot().tolist(), strict=True))
    return np.array([values[name] for name in names], np.float32)


def _ultrasound(
    case: PcrCase, needs: Sequence[str], policy: PcrPolicy, warnings: list[str]
) -> tuple[dict[str, UltrasoundRoi], Pair | None]:
    """The regions of the times that are needed, and the check of both where both are."""
    given = {"us0": case.us0, "us1": case.us1}
    wanted = {name: one for name, one in given.items() if one is not None and name in needs}
    if not wanted:
        return {}, None
    # The position of a tumour that is gone is that at US-0, also for a network that sees US-1 only.
    us1 = wanted.get("us1")
    if us1 is not None and isinstance(us1.roi, FromUs0) and case.us0 is not None:
        wanted = {"us0": case.us0, "us1": us1}
    images = {name: one.read() for name, one in wanted.items()}
    pair = None
    if len(images) == 2 and case.us0 is not None and case.us1 is not None:
        pair = check_pair(
            images["us0"],
            images["us1"],
            us0_date=case.us0.date,
            us1_date=case.us1.date,
            laterality=case.laterality,
        )
        warnings += pair.warnings
    given_rois = {name: wanted[name].roi for name in images}
    views, notes = regions_of(images, given_rois, policy, needs)
    warnings += notes
    for name, view in views.items():
        said = (*view.image.warnings, *view.warnings)
        warnings += [f"{TITLES[name]}: {words}" for words in said]
    return {name: view for name, view in views.items() if name in needs}, pair


def regions_of(
    images: Mapping[str, UltrasoundImage],
    rois: Mapping[str, GivenRoi],
    policy: PcrPolicy = DEFAULT_POLICY,
    needs: Sequence[str] = ("us0", "us1"),
) -> tuple[dict[str, UltrasoundRoi], tuple[str, ...]]:
    """The squares on the images, and what is to be said of both together.

    Args:
        images: "us0", "us1", or both, in this order.
        rois: where the tumour is on each.
        policy: which regions.
        needs: names of the network's inputs; they are set to one scale where it takes both.

    Raises:
        GateRefusal, InputError: as `ultrasound_roi`.
    """
    views: dict[str, UltrasoundRoi] = {}
    for name, image in images.items():
        views[name] = ultrasound_roi(image, rois[name], us0=views.get("us0"), margin=policy.margin)
    notes: tuple[str, ...] = ()
    if len(views) == 2 and set(views) <= set(needs):
        views["us0"], views["us1"], notes = policy.link(views["us0"], views["us1"])
    return views, notes


def _pathology(case: PcrCase, image_size: int, problems: dict[str, str]) -> PathologyPatches:
    assert case.pathology is not None
    given = case.pathology_region
    region = None if given is None else SlideRegion(*given)
    with open_slide(case.pathology, mpp=case.pathology_mpp) as slide:
        patches = read_patches(slide, region, patch=image_size)
    try:
        patches.check()
    except GateRefusal as refusal:
        problems[refusal.gate] = refusal.reason
    return patches


def _compare_patients(
    patches: PathologyPatches, views: Mapping[str, UltrasoundRoi]
) -> tuple[str, ...]:
    """What is to be said where a DICOM slide names another patient than the ultrasound.

    Said and not refused: laboratories often number patients in their own way.
    """
    slide = "" if patches.origin is None else patches.origin.patient_id.strip().casefold()
    stated = {view.image.patient_id.strip().casefold() for view in views.values()} - {""}
    if slide and stated and slide not in stated:
        return (
            "The biopsy's patient identifier is not that of the ultrasound: check that it is of "
            "this patient",
        )
    return ()


def _ultrasound_features(name: str, view: UltrasoundRoi) -> dict[str, float | str]:
    """What is compared with the training data, as far as the file tells it."""
    features: dict[str, float | str] = {f"{name}_shown": 1.0 - view.share_outside}
    if view.side_mm is not None and view.image.spacing_mm is not None:
        features[f"{name}_side_mm"] = view.side_mm
        features[f"{name}_spacing_mm"] = view.image.spacing_mm[1]
    return features


def _pathology_features(patches: PathologyPatches) -> dict[str, float | str]:
    features: dict[str, float | str] = {}
    if patches.mpp is not None:
        features["region_um"] = max(
            patches.region.width * patches.mpp[0], patches.region.height * patches.mpp[1]
        )
    # Mean optical density a channel (Beer-Lambert): what differs between stains and scanners.
    unit = np.clip(patches.patches.astype(np.float64), 1, 255) / 255
    for channel, density in zip("rgb", -np.log10(unit).mean(axis=(0, 1, 2)), strict=True):
        features[f"density_{channel}"] = float(density)
    return features


def _laterality(case: PcrCase, views: Mapping[str, UltrasoundRoi]) -> str | None:
    stated = [case.laterality, *(view.image.laterality for view in views.values())]
    return next((side for side in stated if side in ("R", "L")), None)
