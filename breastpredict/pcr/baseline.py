"""What a model must beat: a logistic regression on the four clinical variables alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from breastpredict.learning.baseline_file import load_baseline, save_baseline
from breastpredict.learning.baselines import Baseline, fit_baseline
from breastpredict.pcr.clinical import ER_LEVELS, NAMES, PcrClinical

FILE = "clinical_baseline.json"
ORDERS = {"er": ER_LEVELS}
"""Variables whose words have an order; the classes of the others have none."""


@dataclass(frozen=True)
class ClinicalBaseline:
    """The clinical baseline of a run; see `breastpredict.learning.baselines`."""

    baseline: Baseline

    def probability(self, clinical: PcrClinical) -> float:
        """Of a complete response, at the training prevalence."""
        return float(self.baseline.probability([clinical_row(clinical)])[0])


def clinical_row(clinical: PcrClinical) -> Mapping[str, str]:
    """The variables as a row of text, as a table has them; empty where not known."""
    values = {name: getattr(clinical, name) for name in NAMES}
    return {name: "" if value is None else str(value) for name, value in values.items()}


def fit_clinical(clinical: Sequence[PcrClinical], pcr: Sequence[int]) -> ClinicalBaseline:
    """Fit on training patients, nobody else's.

    Args:
        clinical: of the patients.
        pcr: 1 for a complete response.

    Raises:
        InputError: too few patients of a class, or no variable that says anything.
    """
    rows = [clinical_row(one) for one in clinical]
    return ClinicalBaseline(fit_baseline(rows, pcr, NAMES, ORDERS))


def write_baseline(run: Path, baseline: ClinicalBaseline) -> None:
    """Keep it in the run folder."""
    save_baseline(run / FILE, baseline.baseline)


def read_baseline(run: Path) -> ClinicalBaseline | None:
    """The run's; None where it has none.

    Raises:
        InputError: it is damaged.
    """
    path = run / FILE
    return ClinicalBaseline(load_baseline(path)) if path.is_file() else None
