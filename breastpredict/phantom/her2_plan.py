"""Planning a HER2 phantom cohort: who is in it, and what is independent of HER2 status.

Size, enhancement, washout, vendor, spacing and noise are dealt within each cohort *and* class from
the same evenly spread values, so that none of them tells the classes apart even in a small sample.
Only `breastpredict.phantom.lesion` knows the class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from breastpredict.errors import InputError
from breastpredict.phantom.dealing import apportion, spread
from breastpredict.phantom.mr_study import Layout

CLASSES = ("zero", "low", "positive")

CLASS_FRACTIONS = (138 / 708, 344 / 708, 226 / 708)
"""HER2-zero, -low and -positive in the paper's training cohort."""

COHORT_FRACTIONS: Mapping[str, float] = {"SITE-A": 0.70, "SITE-B": 0.15, "SITE-C": 0.15}
"""How a total number of cases is shared out. SITE-A is for training, the others are external."""


@dataclass(frozen=True)
class Site:
    """What differs between the cohorts: scanners, voxel sizes (mm), noise and brightness."""

    vendors: Mapping[Layout, float]
    in_plane_mm: tuple[float, float]
    slice_mm: tuple[float, float]
    noise: tuple[float, float]
    gain: tuple[float, float]


SITES: Mapping[str, Site] = {
    "SITE-A": Site(
        {"ge": 0.4, "siemens": 0.3, "philips": 0.3}, (0.90, 1.10), (2.4, 3.0), (12, 24), (0.7, 1.4)
    ),
    "SITE-B": Site(
        {"siemens": 0.6, "philips": 0.4}, (0.95, 1.05), (2.5, 2.8), (18, 24), (0.8, 1.1)
    ),
    "SITE-C": Site({"philips": 0.3, "ge": 0.7}, (0.92, 1.00), (2.6, 3.0), (14, 20), (1.0, 1.35)),
}


@dataclass(frozen=True)
class CasePlan:
    """One case before it is rendered. Its random numbers come from (seed, number) alone.

    Attributes:
        her2: "zero", "low" or "positive".
        layout: how its DICOM files are laid out.
        matrix: in-plane voxels (square); slices: how many.
        spacing: i, j, k in mm.
        radius_mm: of the sphere of the main lesion's volume.
        early_enhancement: mean over the lesion of (early − pre) / pre.
        washout: kep in 1/min.
        noise: deviation of the noise at gain 1; lesions are at about 600 after contrast.
        gain: of the receiver: every value is multiplied by it.
    """

    seed: int
    number: int
    cohort: str
    split: str
    her2: str
    layout: Layout
    matrix: int
    slices: int
    phases: int
    spacing: tuple[float, float, float]
    radius_mm: float
    early_enhancement: float
    washout: float
    noise: float
    gain: float

    @property
    def patient_id(self) -> str:
        """The synthetic patient's ID."""
        return f"PHANTOM-{self.seed:04d}-{self.number:04d}"

    def generator(self, purpose: int) -> np.random.Generator:
        """Random numbers of this case for one purpose, independent of the others."""
        return np.random.default_rng([self.seed, self.number, purpose])


def plan_her2_cohorts(
    cases: int | Mapping[str, int],
    *,
    seed: int = 0,
    matrix: int = 96,
    slices: int = 18,
    phases: int = 3,
) -> list[CasePlan]:
    """Plan the cases of all cohorts, in the order of their numbers.

    Args:
        cases: the total, shared out by `COHORT_FRACTIONS`, or a number for each cohort.
        seed: everything follows from it.
        matrix: in-plane voxels; the field of view stays, voxels get smaller. At least 48.
        slices: per phase; the extent covered stays. At least 8.
        phases: one before contrast and the rest after. At least 2.

    Raises:
        InputError: too few cases, voxels or phases, or an unknown cohort.
    """
    if matrix < 48 or slices < 8 or phases < 2:
        raise InputError("a phantom needs at least a matrix of 48, 8 slices and 2 phases")
    if isinstance(cases, int):
        names = list(COHORT_FRACTIONS)
        counts = dict(zip(names, apportion(cases, list(COHORT_FRACTIONS.values())), strict=True))
    else:
        counts = dict(cases)
    if unknown := set(counts) - set(SITES):
        raise InputError(
            f"unknown cohort {', '.join(sorted(unknown))}", remedy=f"Choose from {', '.join(SITES)}"
        )
    if min(counts.values(), default=0) < 0 or sum(counts.values()) < 1:
        raise InputError("a phantom cohort needs at least one case")
    plans: list[CasePlan] = []
    for order, (cohort, count) in enumerate(counts.items()):
        rng = np.random.default_rng([seed, 7919, order])
        plans += _plan_site(cohort, count, len(plans), seed, (matrix, slices, phases), rng)
    return plans


def _plan_site(
    cohort: str,
    count: int,
    before: int,
    seed: int,
    size: tuple[int, int, int],
    rng: np.random.Generator,
) -> list[CasePlan]:
    site, (matrix, slices, phases) = SITES[cohort], size
    plans: list[CasePlan] = []
    order = before + 1 + rng.permutation(count)  # numbers do not tell the class either
    for her2, n in zip(CLASSES, apportion(count, CLASS_FRACTIONS), strict=True):
        vendors: list[Layout] = []
        for vendor, k in zip(site.vendors, apportion(n, list(site.vendors.values())), strict=True):
            vendors += [vendor] * k
        rng.shuffle(vendors)
        radius = spread(n, (8.0, 14.5), rng)
        enhancement = spread(n, (0.75, 1.45), rng)
        washout = spread(n, (0.35, 1.1), rng)
        in_plane = spread(n, site.in_plane_mm, rng) * 96 / matrix
        slice_mm = spread(n, site.slice_mm, rng) * 18 / slices
        noise, gain = spread(n, site.noise, rng), spread(n, site.gain, rng)
        for c in range(n):
            pixel = round(float(in_plane[c]), 4)
            plans.append(
                CasePlan(
                    seed=seed,
                    number=int(order[len(plans)]),
                    cohort=cohort,
                    split="" if cohort == "SITE-A" else "external",
                    her2=her2,
                    layout=vendors[c],
                    matrix=matrix,
                    slices=slices,
                    phases=phases,
                    spacing=(pixel, pixel, round(float(slice_mm[c]), 2)),
                    radius_mm=float(radius[c]),
                    early_enhancement=float(enhancement[c]),
                    washout=float(washout[c]),
                    noise=float(noise[c]),
                    gain=float(gain[c]),
                )
            )
    return sorted(plans, key=lambda plan: plan.number)
