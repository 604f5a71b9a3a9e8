"""1000-fold bootstrap of the area under the ROC curve, 700 cases.

Baseline: what everybody writes, a loop that draws cases and calls scikit-learn. Both run in this
process, in turns. The intervals must be equal within resampling error, which is taken from the
spread of our limits over seeds. Prints the ratio; absolute times depend on the machine.

    python Testing/benchmarks/bootstrap_auc.py [--cases 700] [--resamples 1000] [--runs 5]
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from breastpredict.stats import bootstrap, roc_auc

Floats = NDArray[np.float64]
SEEDS = 40
REPEATS = 20
LIMIT = 4.0  # standard errors of the difference


def make_cases(n: int, decimals: int | None) -> tuple[NDArray[np.int64], Floats]:
    """Labels, 30 % positive, and scores with an area of about 0.8; rounded scores have ties."""
    rng = np.random.default_rng(0)
    labels = (np.arange(n) < 0.3 * n).astype(np.int64)
    scores = rng.normal(1.2 * labels)
    return labels, scores if decimals is None else scores.round(decimals)


def baseline(labels: NDArray[np.int64], scores: Floats, n: int, seed: int) -> tuple[float, float]:
    """A loop over scikit-learn."""
    rng = np.random.default_rng(seed)
    areas: list[float] = []
    while len(areas) < n:
        rows = rng.integers(0, len(labels), len(labels))
        if 0 < labels[rows].sum() < len(labels):
            areas.append(roc_auc_score(labels[rows], scores[rows]))
    low, high = np.quantile(areas, [0.025, 0.975])
    return float(low), float(high)


def product(labels: NDArray[np.int64], scores: Floats, n: int, seed: int) -> tuple[float, float]:
    """What an evaluation calls."""
    found = bootstrap(roc_auc, labels, scores, n=n, seed=seed)
    return found.low, found.high


def check(labels: NDArray[np.int64], scores: Floats, n: int) -> float:
    """Largest difference of a limit, in standard errors."""
    limits = np.array([product(labels, scores, n, seed) for seed in range(SEEDS)])
    error = limits.std(axis=0, ddof=1) * np.sqrt(1 + 1 / SEEDS)
    difference = np.abs(baseline(labels, scores, n, SEEDS) - limits.mean(axis=0)) / error
    assert difference.max() < LIMIT, difference
    return float(difference.max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=700)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    for words, decimals in (("distinct scores", None), ("tied scores", 1)):
        labels, scores = make_cases(options.cases, decimals)
        away = check(labels, scores, options.resamples)
        ratios = []
        for seed in range(options.runs):
            start = time.perf_counter()
            baseline(labels, scores, options.resamples, seed)
            middle = time.perf_counter()
            for repeat in range(REPEATS):  # it is short: one call would be measured by chance
                product(labels, scores, options.resamples, seed + repeat)
            ratios.append((middle - start) * REPEATS / (time.perf_counter() - middle))
        print(
            f"bootstrap of the area, {words}: {statistics.median(ratios):.0f} times faster "
            f"(goal 50; runs {', '.join(f'{r:.0f}' for r in ratios)}); "
            f"limits within {away:.1f} standard errors of the loop's"
        )


if __name__ == "__main__":
    main()
