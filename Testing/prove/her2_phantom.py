"""Does the HER2 system learn what the phantom holds, and only that?

- External-cohort AUC above 0.75 in both tasks for three unseen seeds, at least 60 cases a task.
- Exchanging lesion pixels between two cases moves their predictions towards each other's.
- Blanking the lesion brings the AUC to 0.5.

    python Testing/prove/her2_phantom.py [--seeds 101 202 303] [--cases 320]
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from evidence import record
from numpy.typing import NDArray

from breastpredict.her2 import (
    Her2Case,
    Her2Model,
    Her2TrainConfig,
    PreparedCase,
    prepare_case,
    train_her2,
)
from breastpredict.imaging import normalise
from breastpredict.phantom import make_her2_phantom
from breastpredict.stats import roc_auc
from breastpredict.study import read_cohort

TASKS = ("her2_zero_vs_rest", "her2_low_vs_positive")


def external(cases: Sequence[Her2Case]) -> list[Her2Case]:
    """The cases no training may touch."""
    return [case for case in cases if case.split == "external"]


def labels(cases: Sequence[Her2Case], task: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which cases the task is asked of, and which of them are its positive class."""
    her2 = np.array([case.her2 for case in cases])
    if task == TASKS[0]:
        return np.ones(len(her2), bool), her2 != "zero"
    return her2 != "zero", her2 == "low"


def scores(model: Her2Model, prepared: Sequence[PreparedCase]) -> NDArray[np.float64]:
    """Both tasks' scores, shape (cases, 2)."""
    return np.array(
        [[s.score for s in model.predict(case, explain=None).scores] for case in prepared]
    )


def aucs(cases: Sequence[Her2Case], values: NDArray[np.float64]) -> dict[str, dict[str, float]]:
    """AUC with its interval in each task."""
    out = {}
    for column, task in enumerate(TASKS):
        asked, positive = labels(cases, task)
        estimate = roc_auc(positive[asked], values[asked, column])
        out[task] = {
            "n": int(asked.sum()),
            "auc": round(estimate.value, 3),
            "low": round(estimate.low, 3),
            "high": round(estimate.high, 3),
        }
    return out


def blanked(cases: Sequence[PreparedCase]) -> list[PreparedCase]:
    """Every lesion replaced by pixels of its surroundings.

    A box is blanked, not the outline: a blanked outline would still show the lesion's shape. All
    regions get the side of the largest, because a region's side follows its lesion's extent, and
    with it the sharpness of what is around: lobulated lesions reach further than round ones.
    """
    side = max(case.roi.side_mm for case in cases)
    return [_blanked(case, side) for case in cases]


def _blanked(case: PreparedCase, side_mm: float) -> PreparedCase:
    size = case.image.shape[-1]
    roi = replace(case.roi, side_mm=side_mm)
    image = normalise(roi.extract(case.slice_image, size, outside=math.nan))[np.newaxis]
    edge = size // 10
    inside = np.zeros((size, size), bool)
    inside[edge:-edge, edge:-edge] = True
    rng = np.random.default_rng(0)
    image[0, inside] = rng.choice(image[0, ~inside], inside.sum())
    return replace(case, image=image, roi=roi)


def mean_covers_half(areas: Sequence[dict[str, float]]) -> bool:
    """Whether the mean of independent AUCs lies within 2.58 standard errors (99 %) of 0.5.

    Each of six intervals of 95 % covering 0.5 would fail in one of four proofs by chance.
    """
    values = np.array([area["auc"] for area in areas])
    errors = np.array([(area["high"] - area["low"]) / (2 * 1.96) for area in areas])
    return abs(values.mean() - 0.5) < 2.58 * float(np.sqrt((errors**2).sum())) / len(values)


def exchanged(a: PreparedCase, b: PreparedCase) -> tuple[PreparedCase, PreparedCase]:
    """Both cases with the lesion pixels of the other."""
    size = a.image.shape[-1]
    lesion = _lesion(a, size) | _lesion(b, size)
    return (
        replace(a, image=np.where(lesion, b.image, a.image)),
        replace(b, image=np.where(lesion, a.image, b.image)),
    )


def _lesion(case: PreparedCase, size: int) -> NDArray[np.bool_]:
    k = case.slice.index
    return case.roi.extract(case.mask.to_image(k, k + 1), size) > 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 202, 303])
    parser.add_argument("--cases", type=int, default=340)
    options = parser.parse_args()
    per_seed = {}
    with tempfile.TemporaryDirectory() as name:
        for seed in options.seeds:
            folder = Path(name) / str(seed)
            cases = read_cohort(make_her2_phantom(folder / "cohort", options.cases, seed=seed))
            config = Her2TrainConfig(preset="reduced", weights="none", seed=seed)
            train_her2(cases, folder / "run", config)
            model = Her2Model.load(folder / "run", "cpu")
            outside = external(cases)
            prepared = [
                prepare_case(
                    case.study, image_size=model.image_size, segmentation=case.segmentation
                )
                for case in outside
            ]
            real = scores(model, prepared)
            half = len(prepared) // 2
            pairs = [exchanged(prepared[i], prepared[i + half]) for i in range(half)]
            swapped = scores(model, [p for p, _ in pairs])
            follows = [
                float(np.corrcoef(swapped[:, t], real[half : 2 * half, t])[0, 1]) for t in (0, 1)
            ]
            keeps = [float(np.corrcoef(swapped[:, t], real[:half, t])[0, 1]) for t in (0, 1)]
            per_seed[str(seed)] = {
                "external": aucs(outside, real),
                "blanked": aucs(outside, scores(model, blanked(prepared))),
                "exchanged": {
                    "mean_change": [
                        round(float(np.abs(swapped[:, t] - real[:half, t]).mean()), 3)
                        for t in (0, 1)
                    ],
                    "correlation_with_donor": [round(value, 3) for value in follows],
                    "correlation_with_own": [round(value, 3) for value in keeps],
                },
            }
            print(seed, per_seed[str(seed)], flush=True)
    record(
        "her2_phantom",
        {
            "external AUC > 0.75 in both tasks, n >= 60, every seed": all(
                result["external"][task]["auc"] > 0.75 and result["external"][task]["n"] >= 60
                for result in per_seed.values()
                for task in TASKS
            ),
            "a case with another's lesion scores like the other, not like itself": all(
                donor > own
                for result in per_seed.values()
                for donor, own in zip(
                    result["exchanged"]["correlation_with_donor"],
                    result["exchanged"]["correlation_with_own"],
                    strict=True,
                )
            ),
            "blanked lesion: the mean AUC over the seeds does not differ from 0.5": all(
                mean_covers_half([result["blanked"][task] for result in per_seed.values()])
                for task in TASKS
            ),
        },
        {"seeds": per_seed},
    )


if __name__ == "__main__":
    main()
