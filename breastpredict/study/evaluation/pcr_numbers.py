"""Every number of a pCR evaluation: each variant beside the baseline, and the ablations."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from breastpredict.learning.evaluation import MODEL, Cases, Marker, evaluate_task
from breastpredict.learning.examples import BinaryTask
from breastpredict.pcr import NAMES, PcrCase
from breastpredict.study.evaluation.numbers import CLINICAL, TaskNumbers, as_trained, own_cut
from breastpredict.study.evaluation.pcr_cases import JoinedPcr, ScoredPcr
from breastpredict.study.evaluation.pcr_variants import Ablation, compare_variants


@dataclass(frozen=True)
class PcrNumbers:
    """The evaluation of a pCR cohort.

    Attributes:
        tasks: one a variant that predicted patients of the cohort; most patients first.
        variants: their names.
        ablation: the run's variants on its held-out patients; None where the run is not known.
    """

    tasks: tuple[TaskNumbers, ...]
    variants: tuple[str, ...]
    ablation: Ablation | None


def evaluate_pcr(joined: JoinedPcr, *, seed: int = 0) -> PcrNumbers:
    """Evaluate every variant against the clinical baseline.

    Args:
        joined: cohort and predictions.
        seed: of the bootstraps.

    Raises:
        InputError: a score was fitted on patients it would be judged on.
    """
    variants = [v for v in joined.thresholds if any(s.variant == v for s in joined.scored)]
    tasks: list[TaskNumbers] = []
    taken: set[str] = {"variants"}
    for variant in variants:
        name = _file_name(variant, taken)
        taken.add(name)
        tasks.append(_task(name, variant, joined, seed))
    return PcrNumbers(tuple(tasks), tuple(variants), compare_variants(joined, seed=seed))


def _file_name(variant: str, taken: set[str]) -> str:
    """A name for files and tables: a bundle's folder may be called anything."""
    name = re.sub(r"[^a-z0-9]+", "_", variant.lower()).strip("_")[:40] or "variant"
    numbered = (name if i == 1 else f"{name}_{i}" for i in range(1, len(taken) + 2))
    return next(one for one in numbered if one not in taken)


def _task(name: str, variant: str, joined: JoinedPcr, seed: int) -> TaskNumbers:
    place = {name: i for i, name in enumerate(dict.fromkeys(case.cohort for case in joined.cases))}
    scored = tuple(
        sorted(
            (s for s in joined.scored if s.variant == variant),
            key=lambda s: (place[s.case.cohort], s.case.focality == "multifocal"),
        )
    )
    cases = Cases(
        BinaryTask(name, positive="pcr", negative="no_pcr"),
        f"Complete response: variant {variant}",
        tuple(s.case.patient_id for s in scored),
        tuple(s.group for s in scored),
        np.array([bool(s.case.pcr) for s in scored], bool),
        np.array([s.training for s in scored], bool),
        _subgroups([s.case for s in scored]),
    )
    probability = joined.calibrated[variant]
    model = Marker(
        MODEL,
        np.array([s.score for s in scored], float),
        joined.thresholds[variant],
        joined.fitted_on,
        probability,
    )
    trained = as_trained(model, joined.trained_thresholds.get(variant))
    markers = (model, *trained, _clinical(joined, scored))
    baseline = None if joined.baseline is None else joined.baseline.baseline
    return TaskNumbers(
        evaluate_task(cases, markers, seed=seed), cases, scored, markers, probability, baseline
    )


def _clinical(joined: JoinedPcr, scored: Sequence[ScoredPcr]) -> Marker:
    """What the training fitted, as the predictions have it; never fitted here."""
    scores = np.array([s.clinical for s in scored], float)
    if not np.isfinite(scores).any():
        note = "no prediction has it: the run has no clinical baseline, or no patient the variables"
        return Marker(CLINICAL, np.full(len(scored), math.nan), None, note=note)
    if joined.baseline is None:
        note = "fitted by the training; where it cuts is known with --model only"
        return Marker(CLINICAL, scores, None, joined.fitted_on, True, note)
    found = joined.baseline.baseline
    note = f"{', '.join(found.columns)}; fitted by the training on {found.rows} patients"
    cut = own_cut(found, joined.fitted_on)
    return Marker(CLINICAL, scores, cut, joined.fitted_on, True, note)


def _subgroups(cases: Sequence[PcrCase]) -> dict[str, tuple[str, ...]]:
    """Variable → value of each case; "" where it is not known."""
    titles = {"subtype": "Subtype", "er": "Oestrogen receptor", "regimen": "Regimen"}
    assert set(titles) < set(NAMES)
    return {
        **{
            title: tuple(str(getattr(case.clinical, name) or "") for case in cases)
            for name, title in titles.items()
        },
        "Focality": tuple(case.focality or "" for case in cases),
        "Cohort": tuple(case.cohort for case in cases),
    }
