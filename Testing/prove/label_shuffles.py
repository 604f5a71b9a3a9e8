"""With shuffled labels there is nothing to learn: the mean AUC over ten shuffles is 0.5 ± 0.05.

Labels are permuted among the patients of the training pool and among those of the external
cohorts; everything else is the real way, from DICOM to scores. A leak would show here.

    python Testing/prove/label_shuffles.py [--shuffles 10]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from evidence import record
from her2_phantom import TASKS, aucs, external, scores

from breastpredict.her2 import Her2Case, Her2Model, Her2TrainConfig, prepare_case, train_her2
from breastpredict.phantom import make_her2_phantom
from breastpredict.study import read_cohort

CASES = {"SITE-A": 170, "SITE-B": 80, "SITE-C": 80}
SEED = 404


def shuffled(cases: Sequence[Her2Case], seed: int) -> list[Her2Case]:
    """Labels permuted within the training pool and within the external cohorts."""
    rng = np.random.default_rng(seed)
    out = list(cases)
    for is_external in (False, True):
        where = [i for i, case in enumerate(cases) if (case.split == "external") == is_external]
        for i, j in zip(where, rng.permutation(where), strict=True):
            out[i] = replace(cases[i], her2=cases[j].her2)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shuffles", type=int, default=10)
    options = parser.parse_args()
    each: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        cases = read_cohort(make_her2_phantom(Path(name) / "cohort", CASES, seed=SEED))
        size = 64
        prepared = [
            prepare_case(case.study, image_size=size, segmentation=case.segmentation)
            for case in external(cases)
        ]
        for shuffle in range(options.shuffles):
            permuted = shuffled(cases, shuffle)
            run = Path(name) / f"run-{shuffle}"
            train_her2(
                permuted, run, Her2TrainConfig(preset="reduced", weights="none", seed=shuffle)
            )
            outcome = aucs(external(permuted), scores(Her2Model.load(run), prepared))
            each.append({task: outcome[task]["auc"] for task in TASKS})
            print("shuffle", shuffle, each[-1], flush=True)
    means = {task: round(float(np.mean([one[task] for one in each])), 3) for task in TASKS}
    record(
        "label_shuffles",
        {
            "mean AUC over the shuffles within 0.5 ± 0.05, both tasks": all(
                abs(mean - 0.5) <= 0.05 for mean in means.values()
            )
        },
        {"cases": CASES, "seed": SEED, "mean": means, "each": each},
    )


if __name__ == "__main__":
    main()
