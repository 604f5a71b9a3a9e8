"""Planning a pCR phantom: who is in it, what tells of the outcome, and how much.

The outcome model, exact by construction (y = 1 for pCR, patients of Table 1 of the paper):

    logit P(y = 1) = ln(155 / 441) + 1.25 · change + 1.1 · tissue + clinical

- ``change``, what happens to the tumour between US-0 and US-1: normal with deviation 1 about
  ±1.25 / 2 by outcome. It shows in two ways, each with a disturbance of deviation 0.5 that cancels
  in their mean: the tumour's width shrinks (`CasePlan.shrinking`) and its echoes become brighter
  (`CasePlan.brightening`). The width and brightness *half-way* between the times vary widely and
  independently, so that one time alone tells little.
- ``tissue``: normal with deviation 1 about ±1.1 / 2; the logarithm of the density of lymphocytes in
  the stroma is linear in it. How much of the tissue is tumour, and how it is stained, vary
  independently.
- ``clinical``: ln P(variables | pCR) / P(variables | no pCR) in the paper's Table 1
  (`breastpredict.phantom.pcr_clinical`).

The three are independent given the outcome; so logistic regression on them is the ideal observer.
In a null phantom one of the three is dealt as if to other patients, of the same prevalence: its
frequencies stay, it is independent of the outcome, and its term in the formula is absent.

Scanner, screen, file formats, stain, width and brightness half-way are dealt within each cohort and
outcome from the same evenly spread values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from breastpredict.errors import InputError
from breastpredict.phantom.dealing import apportion, spread
from breastpredict.phantom.pcr_clinical import (
    NO_PCR,
    PCR,
    Clinical,
    clinical_score,
    draw_clinical,
)

Null = Literal["change", "tissue", "clinical"]
Size = Literal["small", "full"]

CHANGE_WEIGHT, TISSUE_WEIGHT = 1.25, 1.1
"""Of the latent variables in the logit: the distance between the outcomes' means."""

PREVALENCE = PCR / (PCR + NO_PCR)

COHORT_FRACTIONS: Mapping[str, float] = {
    "PHANTOM-A": 0.65,
    "PHANTOM-B": 0.15,
    "PHANTOM-TC2": 0.20,
}
"""How a total is shared out: the pool to train on, an external cohort, the multifocal one."""

SCANNERS = ("philips", "siemens", "mindray")
SLIDES = ("tiff", "svs", "dicom", "png")

_SHARES: Mapping[str, Mapping[str, float]] = {
    "scanner": dict(zip(SCANNERS, (0.4, 0.3, 0.3), strict=True)),
    "slide": dict(zip(SLIDES, (0.45, 0.25, 0.2, 0.1), strict=True)),
    "roi": {"box": 0.7, "mask": 0.3},
    "pixels": {"mono": 0.55, "rgb": 0.25, "frames": 0.2},
}
_DISTURBANCE = 0.5
VANISHES = 2.0
"""`CasePlan.shrinking` above which no tumour is seen any more on US-1."""


@dataclass(frozen=True)
class CasePlan:
    """One patient before anything is rendered. Random numbers come from (seed, number) alone.

    Attributes:
        pcr: the outcome.
        null: which of the three terms tells nothing, or None.
        size: "small", for CI, or "full".
        change, tissue: the latent variables; see the module.
        clinical: the clinical variables.
        shrinking, brightening: what the change does to width and brightness, in its unit.
        middle_width_mm: geometric mean of the tumour's widths at the two times.
        middle_contrast_db: mean of its brightness against the gland at the two times.
        posterior_db: enhancement (positive) or shadow behind it.
        nests: share of the tissue that is tumour.
        haematoxylin, eosin: how strongly the slide is stained, about 1.
        scanner, slide, roi, pixels: which layout, formats, kind of ROI and of pixels.
        laterality: "L" or "R".
        us0_date: of the first examination; the second is ``interval_days`` later.
        miller_payne, nodes: as pathologists report them after surgery.
    """

    seed: int
    number: int
    cohort: str
    split: str
    multifocal: bool
    pcr: bool
    null: Null | None
    size: Size
    change: float
    tissue: float
    clinical: Clinical
    shrinking: float
    brightening: float
    middle_width_mm: float
    middle_contrast_db: float
    posterior_db: float
    nests: float
    haematoxylin: float
    eosin: float
    scanner: str
    slide: str
    roi: str
    pixels: str
    laterality: str
    us0_date: date
    interval_days: int
    miller_payne: int
    nodes: str

    @property
    def patient_id(self) -> str:
        """The synthetic patient's ID."""
        return f"PHANTOM-PCR-{self.seed:04d}-{self.number:04d}"

    @property
    def patient_name(self) -> str:
        """A name nobody has."""
        return f"Phantom^Pcr{self.number:04d}"

    @property
    def visible(self) -> bool:
        """Whether the tumour is still seen on US-1."""
        return self.shrinking < VANISHES

    def width_mm(self, time: int) -> float:
        """The tumour's width on US-0 (0) or US-1 (1)."""
        half = (0.34 + 0.19 * self.shrinking) / 2
        return self.middle_width_mm * math.exp(half if time == 0 else -half)

    def contrast_db(self, time: int) -> float:
        """The tumour's brightness against the gland on US-0 or US-1; negative is darker."""
        half = (2.0 + 2.6 * self.brightening) / 2
        return self.middle_contrast_db + (-half if time == 0 else half)

    @property
    def lymphocytes_per_mm2(self) -> float:
        """Lymphocytes in a square millimetre of stroma."""
        return 750 * math.exp(0.75 * self.tissue)

    @property
    def terms(self) -> dict[str, float]:
        """What each of change, tissue and clinical adds to the logit; 0 where it tells nothing."""
        terms = {
            "change": CHANGE_WEIGHT * self.change,
            "tissue": TISSUE_WEIGHT * self.tissue,
            "clinical": clinical_score(self.clinical),
        }
        return {name: 0.0 if name == self.null else value for name, value in terms.items()}

    @property
    def logit(self) -> float:
        """Of the probability of pCR: what an ideal observer would say."""
        return math.log(PCR / NO_PCR) + sum(self.terms.values())

    def generator(self, purpose: int) -> np.random.Generator:
        """Random numbers of this case for one purpose, independent of the others."""
        return np.random.default_rng([self.seed, self.number, purpose])


def plan_pcr_cohorts(
    cases: int | Mapping[str, int],
    *,
    seed: int = 0,
    null: Null | None = None,
    size: Size = "small",
) -> list[CasePlan]:
    """Plan the patients of all cohorts, in the order of their numbers.

    Args:
        cases: the total, shared out by `COHORT_FRACTIONS`, or a number for each cohort.
        seed: everything follows from it.
        null: the term of the outcome model that is to tell nothing.
        size: of the pictures.

    Raises:
        InputError: no case, or an unknown cohort, null or size.
    """
    if null is not None and null not in get_args(Null):
        raise InputError(
            f"There is no null phantom {null}", remedy=f"Choose from {', '.join(get_args(Null))}"
        )
    if size not in get_args(Size):
        raise InputError(
            f"There is no size {size}", remedy=f"Choose from {', '.join(get_args(Size))}"
        )
    if isinstance(cases, int):
        shares = apportion(cases, list(COHORT_FRACTIONS.values()))
        counts = dict(zip(COHORT_FRACTIONS, shares, strict=True))
    else:
        counts = dict(cases)
    if unknown := set(counts) - set(COHORT_FRACTIONS):
        raise InputError(
            f"unknown cohort {', '.join(sorted(unknown))}",
            remedy=f"Choose from {', '.join(COHORT_FRACTIONS)}",
        )
    if min(counts.values(), default=0) < 0 or sum(counts.values()) < 1:
        raise InputError("a phantom cohort needs at least one case")
    plans: list[CasePlan] = []
    for order, (cohort, count) in enumerate(counts.items()):
        rng = np.random.default_rng([seed, 6151, order])
        numbers = len(plans) + 1 + rng.permutation(count)  # they do not tell the outcome
        for pcr, n in zip((True, False), apportion(count, (PCR, NO_PCR)), strict=True):
            own, numbers = numbers[:n], numbers[n:]
            plans += _plan(cohort, pcr, own, seed, null, size, rng)
    return sorted(plans, key=lambda plan: plan.number)


def _plan(
    cohort: str,
    pcr: bool,
    numbers: NDArray[np.int64],
    seed: int,
    null: Null | None,
    size: Size,
    rng: np.random.Generator,
) -> list[CasePlan]:
    """The patients of one cohort and outcome."""
    n = len(numbers)
    change = _latent(_as_if(pcr, n, null == "change", rng), CHANGE_WEIGHT, rng)
    tissue = _latent(_as_if(pcr, n, null == "tissue", rng), TISSUE_WEIGHT, rng)
    clinical = _as_if(pcr, n, null == "clinical", rng)
    apart = _DISTURBANCE * norm.ppf(spread(n, (0, 1), rng))
    multifocal = cohort == "PHANTOM-TC2"
    widest = 15.0 if multifocal else 24.0  # a second tumour must have room beside the first
    width = np.exp(spread(n, (math.log(8.0), math.log(widest)), rng))
    contrast = spread(n, (-21.0, -5.0), rng)
    posterior = spread(n, (-9.0, 6.0), rng)
    nests = spread(n, (0.35, 0.6), rng)
    haematoxylin, eosin = spread(n, (0.9, 1.15), rng), spread(n, (0.85, 1.15), rng)
    dealt = {name: _deal(n, shares, rng) for name, shares in _SHARES.items()}
    plans = []
    for c, number in enumerate(numbers):
        own = np.random.default_rng([seed, int(number), 0])
        miller_payne, nodes = _surgery(pcr, own)
        plans.append(
            CasePlan(
                seed=seed,
                number=int(number),
                cohort=cohort,
                split="" if cohort == "PHANTOM-A" else "external",
                multifocal=multifocal,
                pcr=pcr,
                null=null,
                size=size,
                change=float(change[c]),
                tissue=float(tissue[c]),
                clinical=draw_clinical(bool(clinical[c]), own),
                shrinking=float(change[c] + apart[c]),
                brightening=float(change[c] - apart[c]),
                middle_width_mm=float(width[c]),
                middle_contrast_db=float(contrast[c]),
                posterior_db=float(posterior[c]),
                nests=float(nests[c]),
                haematoxylin=float(haematoxylin[c]),
                eosin=float(eosin[c]),
                scanner=dealt["scanner"][c],
                slide=dealt["slide"][c],
                roi=dealt["roi"][c],
                pixels=dealt["pixels"][c],
                laterality="LR"[int(own.integers(2))],
                us0_date=date(2021, 1, 4) + timedelta(days=int(own.integers(700))),
                interval_days=int(own.integers(37, 50)),
                miller_payne=miller_payne,
                nodes=nodes,
            )
        )
    return plans


def _as_if(pcr: bool, n: int, null: bool, rng: np.random.Generator) -> NDArray[np.bool_]:
    """For one term: the outcome as which each patient is dealt, the true one unless it is null."""
    if not null:
        return np.full(n, pcr)
    positives = apportion(n, (PCR, NO_PCR))[0]
    return np.asarray(rng.permutation(n) < positives)


def _latent(
    outcome: NDArray[np.bool_], distance: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Normal values of deviation 1 about half the distance, up or down by outcome, well spread."""
    values = np.empty(len(outcome))
    for sign, chosen in ((0.5, outcome), (-0.5, ~outcome)):
        values[chosen] = sign * distance + norm.ppf(spread(int(chosen.sum()), (0, 1), rng))
    return values


def _deal(n: int, shares: Mapping[str, float], rng: np.random.Generator) -> list[str]:
    """``n`` names in the given shares, in random order."""
    counts = apportion(n, list(shares.values()))
    names = [name for name, count in zip(shares, counts, strict=True) for _ in range(count)]
    return [names[i] for i in rng.permutation(n)]


def _surgery(pcr: bool, rng: np.random.Generator) -> tuple[int, str]:
    """Miller–Payne grade and nodes that give the outcome by rule (papers.md B18)."""
    if pcr:
        return 5, "-"
    grade = int(rng.choice(5, p=(0.12, 0.30, 0.38, 0.16, 0.04))) + 1
    return grade, "+" if grade == 5 or rng.random() < 0.55 else "-"
