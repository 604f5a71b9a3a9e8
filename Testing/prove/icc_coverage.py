"""Bias and coverage of every form of breastpredict.stats.icc, by simulated reader studies.

Ratings follow the model of each form: subjects N(0, σ²), raters N(0, τ²), error N(0, ε²). ICC1 and
ICC2 draw the raters at random, ICC1 other ones for each subject; for ICC3 the raters are fixed,
their offsets spread evenly with variance τ², and the truth is σ² / (σ² + ε²). σ² + τ² + ε² = 1.

    python Testing/prove/icc_coverage.py [--fast]
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy: each process has one core

import numpy as np
from evidence import record
from numpy.typing import NDArray

from breastpredict.stats import icc, planned_icc_interval
from breastpredict.stats.intraclass import FORMS, Form

Floats = NDArray[np.float64]
STUDIES = 4000
SUBJECTS = (20, 60)
RATERS = (2, 4)
SHARES = (0.5, 0.8, 0.95)
RATER_SHARES = (0.0, 0.3)
"""Of what is not the subjects' own: how much is the raters'."""
EXACT: tuple[Form, ...] = ("ICC1", "ICC3", "ICC1k", "ICC3k")
AGREEMENT: tuple[Form, ...] = ("ICC2", "ICC2k")
"""Their intervals rest on the raters' spread, which two raters tell with one degree of freedom."""
BIAS = 0.02


class Cell(NamedTuple):
    """One point of the grid.

    Attributes:
        subjects, raters: of a study.
        share: of the subjects' variance in the whole.
        of_raters: the raters' part of the rest.
    """

    subjects: int
    raters: int
    share: float
    of_raters: float

    @property
    def variances(self) -> tuple[float, float, float]:
        """Of subjects, raters and error."""
        rest = 1 - self.share
        return self.share, rest * self.of_raters, rest * (1 - self.of_raters)


def truth(cell: Cell, form: Form) -> float:
    """The coefficient that the form estimates."""
    subjects, raters, error = cell.variances
    noise = error if form.startswith("ICC3") else raters + error
    return subjects / (subjects + (noise / cell.raters if form.endswith("k") else noise))


def study(cell: Cell, form: Form, rng: np.random.Generator) -> Floats:
    """Ratings [subjects, raters]."""
    n, k = cell.subjects, cell.raters
    subjects, raters, error = np.sqrt(cell.variances)
    if form.startswith("ICC1"):
        offsets = rng.normal(0, raters, (n, k))
    elif form.startswith("ICC2"):
        offsets = rng.normal(0, raters, (1, k))
    else:
        even = np.linspace(-1, 1, k)
        offsets = (raters * even / even.std())[np.newaxis]
    return np.asarray(
        rng.normal(0, subjects, (n, 1)) + offsets + rng.normal(0, error, (n, k)), dtype=np.float64
    )


def simulate(cell: Cell, studies: int) -> dict[str, dict[str, float]]:
    """Bias of each form, and how often its interval holds the truth."""
    out = {}
    for number, form in enumerate(FORMS):
        rng = np.random.default_rng([*map(round, (100 * cell.share, 100 * cell.of_raters)),
                                     cell.subjects, cell.raters, number])  # fmt: skip
        true = truth(cell, form)
        rows = [icc(study(cell, form, rng))[form] for _ in range(studies)]
        estimates, low, high = (
            np.array([getattr(row, name) for row in rows]) for name in ("estimate", "low", "high")
        )
        out[form] = {
            "truth": round(true, 4),
            "bias": float(round(estimates.mean() - true, 4)),
            "coverage": float(round(((low <= true) & (true <= high)).mean(), 4)),
            "interval_below_truth": float(round((high < true).mean(), 4)),
            "interval_above_truth": float(round((low > true).mean(), 4)),
            "mean_low": float(round(low.mean(), 4)),
            "mean_high": float(round(high.mean(), 4)),
            "planned_low": round(
                planned_icc_interval(true, cell.subjects, cell.raters, form=form).low, 4
            ),
        }
    print(f"{cell}: done", file=sys.stderr, flush=True)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="a tenth of it, to try it out")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    studies = STUDIES // 10 if options.fast else STUDIES
    grid = [
        Cell(n, k, s, r) for n in SUBJECTS for k in RATERS for s in SHARES for r in RATER_SHARES
    ]
    with ProcessPoolExecutor(options.workers) as pool:
        found = dict(zip(grid, pool.map(simulate, grid, [studies] * len(grid)), strict=True))
    error = float(np.sqrt(0.95 * 0.05 / studies))
    ranges = {
        form: {
            "lowest_coverage": min(found[c][form]["coverage"] for c in grid),
            "highest_coverage": max(found[c][form]["coverage"] for c in grid),
            "largest_bias": max((found[c][form]["bias"] for c in grid), key=abs),
            "largest_bias_at_60": max(
                (found[c][form]["bias"] for c in grid if c.subjects == 60), key=abs
            ),
        }
        for form in FORMS
    }
    claims = {
        **{
            f"{form}: exact, 95 % within 4 Monte Carlo errors everywhere": all(
                abs(found[c][form]["coverage"] - 0.95) <= 4 * error for c in grid
            )
            for form in EXACT
        },
        **{
            f"{form}: 93 to 97 % where the raters do not differ": all(
                0.93 - 2 * error <= found[c][form]["coverage"] <= 0.97 + 2 * error
                for c in grid
                if c.of_raters == 0.0
            )
            for form in AGREEMENT
        },
        **{
            f"{form}: at least {low:.0%} where {k} raters make 30 % of the rest": all(
                found[c][form]["coverage"] >= low - 2 * error
                for c in grid
                if c.of_raters > 0.0 and c.raters == k
            )
            for form in AGREEMENT
            for k, low in ((2, 0.90), (4, 0.92))
        },
        f"single forms: bias below {BIAS} at 60 subjects where the raters do not differ": all(
            abs(found[c][form]["bias"]) < BIAS
            for form in ("ICC1", "ICC2", "ICC3")
            for c in grid
            if c.subjects == 60 and c.of_raters == 0.0
        ),
    }
    results = {
        "nominal": 0.95,
        "model": "two-way normal model; see Testing/prove/icc_coverage.py",
        "studies_per_cell_and_form": studies,
        "monte_carlo_standard_error": round(error, 4),
        "ranges": ranges,
        "cells": [{**c._asdict(), "forms": found[c]} for c in grid],
    }
    if options.fast:
        for form, numbers in ranges.items():
            print(form, numbers)
        print([name for name, held in claims.items() if not held])
        return
    record("icc_coverage", claims, results)


if __name__ == "__main__":
    main()
