"""Clinical variables of synthetic patients with the paper's frequencies in each outcome.

Source: papers.md B2, Table 1 of the paper (155 pCR, 441 not). The joint distribution is the one
that the table's margins allow without contradiction: hormone-receptor-negative tumours are
ER-negative, HER2-negative ones get no anti-HER2 agent, and the few ER-negative tumours that the
table still has among the hormone-receptor-positive ones are positive for PR. Ki-67 follows from the
subtype alone (HR+/HER2- against the rest): there is one pair of beta distributions from which the
table's mean and deviation come in both outcomes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import beta

PCR, NO_PCR = 155, 441
"""Patients with and without pCR in the paper."""

SUBTYPES = ("HR+/HER2-", "HR+/HER2+", "HR-/HER2+", "TN")
ER = ("negative", "low", "positive")
REGIMENS = ("anthracycline+taxane", "taxane", "taxane+platinum", "anti-HER2")


@dataclass(frozen=True)
class _Counts:
    """Table 1 in one outcome.

    Attributes:
        subtype: patients in the order of `SUBTYPES`.
        er: of the hormone-receptor-positive ones, in the order of `ER`.
        pr: PR-positive patients.
        anti_her2: of the HER2-positive ones, those with anti-HER2 agents.
        regimen: the others, in the order of `REGIMENS`.
        ki67: mean and deviation, percent.
    """

    subtype: tuple[int, int, int, int]
    er: tuple[int, int, int]
    pr: int
    anti_her2: int
    regimen: tuple[int, int, int]
    ki67: tuple[float, float]

    @property
    def er_given_hr(self) -> tuple[float, ...]:
        return tuple(n / sum(self.er) for n in self.er)

    @property
    def anti_her2_given_her2(self) -> float:
        return self.anti_her2 / (self.subtype[1] + self.subtype[2])

    @property
    def pr_given_er(self) -> float:
        """PR-positive, among the ER-positive and ER-low ones."""
        return (self.pr - self.er[0]) / (self.er[1] + self.er[2])


_TABLE = {
    True: _Counts((22, 39, 64, 30), (5, 13, 43), 43, 90, (55, 2, 8), (40.68, 19.59)),
    False: _Counts((289, 60, 44, 48), (8, 8, 333), 139, 76, (340, 10, 15), (27.35, 19.50)),
}


@dataclass(frozen=True)
class Clinical:
    """One patient's variables, as COHORT.csv holds them; Ki-67 in percent."""

    subtype: str
    er: str
    pr: str
    ki67: int
    regimen: str


def draw_clinical(pcr: bool, rng: np.random.Generator) -> Clinical:
    """A patient of the given outcome."""
    table = _TABLE[pcr]
    subtype = SUBTYPES[rng.choice(4, p=np.divide(table.subtype, sum(table.subtype)))]
    er, pr = "negative", "-"
    if _hr_positive(subtype):
        er = ER[rng.choice(3, p=table.er_given_hr)]
        pr = "+" if er == "negative" or rng.random() < table.pr_given_er else "-"
    ki67 = int(rng.choice(100, p=_ki67(subtype)))
    if _her2_positive(subtype) and rng.random() < table.anti_her2_given_her2:
        regimen = REGIMENS[3]
    else:
        regimen = REGIMENS[rng.choice(3, p=np.divide(table.regimen, sum(table.regimen)))]
    return Clinical(subtype, er, pr, ki67, regimen)


def clinical_score(patient: Clinical) -> float:
    """The natural logarithm of P(variables | pCR) / P(variables | no pCR): what they tell.

    PR is left out: the network is not given it.
    """
    return math.log(_probability(patient, True) / _probability(patient, False))


def _probability(patient: Clinical, pcr: bool) -> float:
    table = _TABLE[pcr]
    p = table.subtype[SUBTYPES.index(patient.subtype)] / sum(table.subtype)
    if _hr_positive(patient.subtype):
        p *= table.er_given_hr[ER.index(patient.er)]
    anti = table.anti_her2_given_her2 if _her2_positive(patient.subtype) else 0.0
    if patient.regimen == REGIMENS[3]:
        return p * anti
    return p * (1 - anti) * table.regimen[REGIMENS.index(patient.regimen)] / sum(table.regimen)


def _hr_positive(subtype: str) -> bool:
    return subtype.startswith("HR+")


def _her2_positive(subtype: str) -> bool:
    return subtype.endswith("HER2+")


@cache
def _ki67(subtype: str) -> tuple[float, ...]:
    """The probability of each whole percent from 0 to 99; 1 to 95 occur.

    With q the share of HR+/HER2- in an outcome, Ki-67 there has the mean q m0 + (1 - q) m1 and the
    variance q v0 + (1 - q) v1 + q (1 - q) (m0 - m1)²; two outcomes give m0, m1, v0 and v1.
    """
    share = np.array([t.subtype[0] / sum(t.subtype) for t in _TABLE.values()])
    parts = np.stack([share, 1 - share], axis=1)
    means, deviations = np.array([t.ki67 for t in _TABLE.values()]).T / 100
    mean = np.linalg.solve(parts, means)
    between = share * (1 - share) * (mean[0] - mean[1]) ** 2
    variance = np.linalg.solve(parts, deviations**2 - between)
    m, v = (float(x[0 if subtype == SUBTYPES[0] else 1]) for x in (mean, variance))
    together = m * (1 - m) / v - 1  # of the two shapes, from the moments
    edges = np.clip(np.arange(101) - 0.5, 0, 95.5)
    edges[:2], edges[96:] = 0.0, 100.0  # the ends take what lies beyond them
    mass = np.diff(beta.cdf(edges / 100, m * together, (1 - m) * together))
    return tuple(float(p) for p in mass / mass.sum())
