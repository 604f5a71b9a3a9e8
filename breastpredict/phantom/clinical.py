"""Clinical variables and survival of synthetic patients, as COHORT.csv holds them."""

from __future__ import annotations

import numpy as np

from breastpredict.phantom.her2_plan import CasePlan

_STAINS = {
    "zero": (("0", ""), ("ultralow", ""), 0.8),
    "low": (("1+", ""), ("2+", "-"), 0.6),
    "positive": (("3+", ""), ("2+", "+"), 0.75),
}
"""IHC and ISH by class: 0 | 1+ or 2+/ISH− | 3+ or 2+/ISH+ (the paper's rule); how often the first
of the two."""

_HAZARD = {"zero": 1.25, "low": 0.75, "positive": 1.2}
"""Relative hazard: a modest effect, as in the paper (HER2-low lives longer)."""

_ER_POSITIVE = {"zero": 0.55, "low": 0.80, "positive": 0.55}


def clinical_row(plan: CasePlan) -> dict[str, str]:
    """The clinical columns of one patient; ``ihc`` and ``ish`` fit the planned class.

    Times are in months from surgery; recurrence-free survival ends with recurrence or death and
    is never longer than overall survival. Follow-up ends between 36 and 96 months.
    """
    rng = plan.generator(3)
    common, rare, often = _STAINS[plan.her2]
    ihc, ish = common if rng.random() < often else rare
    age = int(np.clip(round(rng.normal(52, 10)), 25, 85))
    size_mm = 2 * plan.radius_mm
    nodes = int(rng.choice(4, p=(0.52, 0.28, 0.13, 0.07)))
    er = rng.random() < _ER_POSITIVE[plan.her2]
    hazard = 0.006 * _HAZARD[plan.her2] * 1.35**nodes * 1.02 ** (size_mm - 20)
    follow_up = rng.uniform(36, 96)
    death = rng.exponential(1 / (0.6 * hazard))
    recurrence = rng.exponential(1 / hazard)
    os_months, rfs_months = min(death, follow_up), min(recurrence, death, follow_up)
    return {
        "ihc": ihc,
        "ish": ish,
        "age": str(age),
        "menopause": "post" if age + rng.normal(0, 3) > 51 else "pre",
        "histology": str(rng.choice(["IDC", "ILC", "other"], p=(0.88, 0.06, 0.06))),
        "pt": "T1" if size_mm <= 20 else "T2",
        "pn": f"N{nodes}",
        "grade": str(rng.choice([1, 2, 3], p=(0.06, 0.54, 0.40))),
        "er": "+" if er else "-",
        "pr": "+" if rng.random() < (0.8 if er else 0.05) else "-",
        "ki67": str(int(np.clip(round(100 * rng.beta(2.2, 4.5)), 1, 95))),
        "os_months": f"{os_months:.1f}",
        "os_event": str(int(death <= follow_up)),
        "rfs_months": f"{rfs_months:.1f}",
        "rfs_event": str(int(min(recurrence, death) <= follow_up)),
    }
