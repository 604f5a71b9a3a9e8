"""How often each interval of breastpredict.stats holds the truth, by simulation.

Two normal classes (binormal model, equal variances): negatives N(0, 1), positives N(d, 1), with
d = √2 Φ⁻¹(AUC). Each patient is positive with the given prevalence; a cohort with fewer than two
patients in a class is drawn again. Scores are cut at d/2, a threshold fixed beforehand; predicted
probabilities are the true ones. For the measures of three ordered classes the scores are N(0, 1),
N(d, 1) and N(2d, 1), cut at d/2 and 3d/2; the prevalence is the top class's, the others share the
rest.

    python Testing/prove/coverage.py [--fast]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: each process has one core

import numpy as np
from evidence import record
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from breastpredict.errors import InputError
from breastpredict.stats import (
    Estimate,
    binary_metrics,
    calibration,
    delong_test,
    fisher_odds_ratio,
    logistic,
    macro_auc,
    quadratic_kappa,
    roc_auc,
    youden_threshold,
)
from breastpredict.stats.metrics import F1Interval
from breastpredict.stats.resampling import bca_interval, percentile_interval, resampled_auc
from breastpredict.stats.roc import leave_one_out_auc

Floats = NDArray[np.float64]
SIZES = (50, 100, 300, 1000)
PREVALENCES = (0.1, 0.3, 0.5)
AREAS = (0.6, 0.8, 0.95)
CLOSED, FITTED, RESAMPLED = 2500, 1200, 1000
RESAMPLES = 399
ENOUGH = 300
NOMINAL = (0.93, 0.97)

DEFAULTS = (
    "auc logit-delong",
    "accuracy wilson",
    "sensitivity wilson",
    "specificity wilson",
    "ppv wilson",
    "npv wilson",
    "prevalence wilson",
    "f1 wilson",
    "calibration intercept",
    "calibration slope",
    "brier",
    "kappa fisher",
    "macro auc logit-delong",
)


class Cell(NamedTuple):
    """One point of the grid."""

    n: int
    prevalence: float
    area: float

    @property
    def distance(self) -> float:
        return float(np.sqrt(2) * norm.ppf(self.area))


def truths(cell: Cell) -> dict[str, float]:
    """The true value of everything that is estimated."""
    d, q = cell.distance, cell.prevalence
    rate = float(norm.cdf(d / 2))  # sensitivity and specificity at d/2
    called = q * rate + (1 - q) * (1 - rate)
    x = np.linspace(-9, 9 + 2 * d, 40001)
    step = x[1] - x[0]
    mixture = q * norm.pdf(x, d) + (1 - q) * norm.pdf(x)
    p = risk(x, cell)
    return {
        "auc": cell.area,
        "accuracy": rate,
        "sensitivity": rate,
        "specificity": rate,
        "ppv": q * rate / called,
        "npv": (1 - q) * rate / (1 - called),
        "prevalence": q,
        "f1": 2 * q * rate / (q + called),
        "calibration intercept": 0.0,
        "calibration slope": 1.0,
        "brier": float((p * (1 - p) * mixture).sum() * step),
        "odds ratio": float(np.exp(d)),
        "table odds ratio": (rate / (1 - rate)) ** 2,
        "kappa": true_kappa(cell),
        "macro auc": true_macro_auc(cell, x),
        "delong difference": 0.0,
    }


def risk(x: Floats, cell: Cell) -> Floats:
    """P(positive | score)."""
    d = cell.distance
    return np.asarray(expit(logit(cell.prevalence) + d * x - d * d / 2))


def shares(cell: Cell) -> Floats:
    """Shares of the three ordered classes."""
    rest = (1 - cell.prevalence) / 2
    return np.array([rest, rest, cell.prevalence])


def class_risks(x: Floats, cell: Cell) -> Floats:
    """P(class | score) [scores, 3]."""
    density = norm.pdf(x[:, np.newaxis], cell.distance * np.arange(3)) * shares(cell)
    return np.asarray(density / density.sum(axis=1, keepdims=True))


def true_kappa(cell: Cell) -> float:
    d = cell.distance
    edges = np.array([-np.inf, d / 2, 3 * d / 2, np.inf])
    table = np.diff(norm.cdf(edges, d * np.arange(3)[:, np.newaxis]), axis=1)
    table = table * shares(cell)[:, np.newaxis]
    weights = (np.arange(3)[:, np.newaxis] - np.arange(3)) ** 2
    expected = table.sum(axis=1) @ weights @ table.sum(axis=0)
    return float(1 - (table * weights).sum() / expected)


def true_macro_auc(cell: Cell, x: Floats) -> float:
    """By numerical integration over the scores, sorted by each class's probability."""
    density = norm.pdf(x[:, np.newaxis], cell.distance * np.arange(3)) * shares(cell)
    areas = []
    for c in range(3):
        order = np.argsort(class_risks(x, cell)[:, c])
        own, others = density[order, c], np.delete(density, c, axis=1).sum(axis=1)[order]
        below = np.cumsum(others) - others / 2
        areas.append((own * below).sum() / (own.sum() * others.sum()))
    return float(np.mean(areas))


class Tally:
    """Counts, for each interval, the truths it held and missed."""

    def __init__(self, true: dict[str, float]) -> None:
        self.true = true
        self.counts: dict[str, NDArray[np.int64]] = {}

    def add(self, name: str, quantity: str, estimate: Estimate | tuple[float, ...]) -> None:
        low, high = estimate[1:]
        true = self.true[quantity]
        found = self.counts.setdefault(name, np.zeros(4, dtype=np.int64))
        if np.isnan(low) or np.isnan(high):
            found[3] += 1
        else:
            found[0 if low <= true <= high else 1 if high < true else 2] += 1

    def add_if_defined(
        self,
        name: str,
        quantity: str,
        function: Callable[..., Estimate],
        *args: Any,
        **options: Any,
    ) -> None:
        try:
            self.add(name, quantity, function(*args, **options))
        except InputError:
            self.add(name, quantity, (np.nan, np.nan, np.nan))

    def summary(self) -> dict[str, dict[str, float]]:
        table = {}
        for name, (held, below, above, undefined) in self.counts.items():
            total = held + below + above
            table[name] = {
                "coverage": float(round(held / total, 4)),
                "interval_below_truth": float(round(below / total, 4)),
                "interval_above_truth": float(round(above / total, 4)),
                "undefined": float(round(undefined / (total + undefined), 4)),
            }
        return table


def simulate(cell: Cell, fast: bool) -> dict[str, dict[str, float]]:
    """Coverage of every interval at one point of the grid."""
    rng = np.random.default_rng([cell.n, round(100 * cell.prevalence), round(100 * cell.area)])
    tally = Tally(truths(cell))
    cut = 20 if fast else 1
    for repetition in range(CLOSED // cut):
        labels, scores = two_classes(rng, cell)
        closed_forms(tally, cell, rng, labels, scores)
        truth, probabilities, predicted = three_classes(rng, cell)
        tally.add_if_defined("kappa fisher", "kappa", quadratic_kappa, truth, predicted)
        tally.add("macro auc logit-delong", "macro auc", macro_auc(truth, probabilities))
        if repetition < FITTED // cut:
            fitted(tally, cell, labels, scores)
        if repetition < RESAMPLED // cut:
            draws = {"n": RESAMPLES, "seed": repetition}
            resampled(tally, cell, labels, scores, draws)
            several_classes(tally, truth, probabilities, predicted, draws)
    print(f"{cell}: done", file=sys.stderr, flush=True)
    return tally.summary()


def two_classes(rng: np.random.Generator, cell: Cell) -> tuple[NDArray[np.bool_], Floats]:
    while True:
        labels = rng.random(cell.n) < cell.prevalence
        if 2 <= labels.sum() <= cell.n - 2:
            return labels, rng.normal(size=cell.n) + cell.distance * labels


def three_classes(
    rng: np.random.Generator, cell: Cell
) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    while True:
        truth = rng.choice(3, size=cell.n, p=shares(cell))
        if np.bincount(truth, minlength=3).min() >= 2:
            scores = rng.normal(size=cell.n) + cell.distance * truth
            d = cell.distance
            predicted = (scores >= d / 2).astype(np.int64) + (scores >= 3 * d / 2)
            return truth, class_risks(scores, cell), predicted


def closed_forms(
    tally: Tally,
    cell: Cell,
    rng: np.random.Generator,
    labels: NDArray[np.bool_],
    scores: Floats,
) -> None:
    tally.add("auc logit-delong", "auc", roc_auc(labels, scores))
    tally.add("auc delong", "auc", roc_auc(labels, scores, "delong"))
    metrics = binary_metrics(labels, scores, cell.distance / 2)
    for name in ("accuracy", "sensitivity", "specificity", "ppv", "npv", "prevalence", "f1"):
        tally.add(f"{name} wilson", name, getattr(metrics, name))
    chosen = binary_metrics(labels, scores, youden_threshold(labels, scores))
    tally.add(
        "sensitivity at Youden's threshold of the same cases", "sensitivity", chosen.sensitivity
    )
    # Two markers of equal area whose scores correlate 0.5 within a class: the test must reject
    # 5 % of the time.
    other = 0.5 * (scores - cell.distance * labels) + np.sqrt(0.75) * rng.normal(size=cell.n)
    other = other + cell.distance * labels
    try:
        p = delong_test(labels, scores, other).p_value
        kept = (-1.0, 1.0) if p >= 0.05 else (1.0, 2.0)
    except InputError:
        kept = (np.nan, np.nan)
    tally.add("delong test keeps a true null at 5 %", "delong difference", (0.0, *kept))


def fitted(tally: Tally, cell: Cell, labels: NDArray[np.bool_], scores: Floats) -> None:
    found = calibration(labels, risk(scores, cell))
    tally.add("calibration intercept", "calibration intercept", found.intercept)
    tally.add("calibration slope", "calibration slope", found.slope)
    tally.add("brier", "brier", found.brier)


def resampled(
    tally: Tally, cell: Cell, labels: NDArray[np.bool_], scores: Floats, draws: dict[str, int]
) -> None:
    replicates = resampled_auc(labels, scores, **draws)
    area = roc_auc(labels, scores).value
    left_out = leave_one_out_auc(labels, scores)
    tally.add("auc percentile", "auc", (area, *percentile_interval(replicates, 0.95)))
    tally.add("auc bca", "auc", (area, *bca_interval(replicates, area, left_out, 0.95)))
    for method in ("percentile", "bca"):
        tally.add_if_defined(f"f1 {method}", "f1", f1_of, labels, scores, cell, method, draws)
    tally.add_if_defined("odds ratio wald", "odds ratio", odds_ratio_of, labels, scores)
    called = scores >= cell.distance / 2
    tally.add_if_defined("table odds ratio woolf", "table odds ratio", woolf_of, labels, called)


def several_classes(
    tally: Tally,
    truth: NDArray[np.int64],
    probabilities: Floats,
    predicted: NDArray[np.int64],
    draws: dict[str, int],
) -> None:
    for method in ("percentile", "bca"):
        tally.add_if_defined(
            f"kappa {method}", "kappa", quadratic_kappa, truth, predicted, interval=method, **draws
        )
    estimate = macro_auc(truth, probabilities, interval="percentile", **draws)
    tally.add("macro auc percentile", "macro auc", estimate)


def f1_of(
    labels: NDArray[np.bool_],
    scores: Floats,
    cell: Cell,
    method: F1Interval,
    draws: dict[str, int],
) -> Estimate:
    return binary_metrics(labels, scores, cell.distance / 2, f1_interval=method, **draws).f1


def odds_ratio_of(labels: NDArray[np.bool_], scores: Floats) -> Estimate:
    return logistic(labels, scores, interval="wald").rows[1].odds_ratio


def woolf_of(labels: NDArray[np.bool_], called: NDArray[np.bool_]) -> Estimate:
    table = np.bincount(2 * labels + called, minlength=4).reshape(2, 2)
    return fisher_odds_ratio(table).odds_ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="a twentieth of it, to try it out")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    grid = [Cell(n, q, a) for n in reversed(SIZES) for q in PREVALENCES for a in AREAS]
    with ProcessPoolExecutor(options.workers) as pool:
        tables = list(pool.map(simulate, grid, [options.fast] * len(grid)))
    found = dict(zip(grid, tables, strict=True))
    ranges = {
        name: {
            f"n {n}": span([found[c][name]["coverage"] for c in grid if c.n == n]) for n in SIZES
        }
        for name in tables[0]
    }
    margin = 2 * float(np.sqrt(0.95 * 0.05 / FITTED))
    claims = {
        f"{name}: 93 to 97 % for n of {ENOUGH} and more": all(
            NOMINAL[0] - margin <= found[c][name]["coverage"] <= NOMINAL[1] + margin
            for c in grid
            if c.n >= ENOUGH
        )
        for name in DEFAULTS
    }
    results = {
        "nominal": 0.95,
        "model": "binormal, equal variances; see Testing/prove/coverage.py",
        "repetitions": {
            "closed forms": CLOSED,
            "calibration": FITTED,
            "bootstrap and odds ratios": RESAMPLED,
            "resamples": RESAMPLES,
        },
        "monte_carlo_standard_error": {
            str(r): round(float(np.sqrt(0.95 * 0.05 / r)), 4) for r in (CLOSED, FITTED, RESAMPLED)
        },
        "lowest_and_highest_coverage": ranges,
        "cells": [{**c._asdict(), "intervals": found[c]} for c in grid],
    }
    if options.fast:
        for name, by_n in ranges.items():
            print(f"{name:55}", by_n)
        print([name for name, held in claims.items() if not held])
        return
    record("coverage", claims, results)


def span(values: list[float]) -> list[float]:
    return [min(values), max(values)]


if __name__ == "__main__":
    main()
