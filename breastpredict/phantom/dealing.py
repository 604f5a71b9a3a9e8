"""Dealing values evenly to the cases of a phantom, and working through its cases in order."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Case = TypeVar("Case")
Result = TypeVar("Result")


def spread(n: int, limits: tuple[float, float], rng: np.random.Generator) -> NDArray[np.float64]:
    """``n`` values, one from each of ``n`` equal parts of the interval, in random order."""
    low, high = limits
    return low + (high - low) * (rng.permutation(n) + rng.random(n)) / max(n, 1)


def apportion(total: int, fractions: Sequence[float]) -> list[int]:
    """Whole numbers nearest to the fractions that sum to ``total`` (largest remainder)."""
    exact = total * np.asarray(fractions, dtype=float) / sum(fractions)
    whole = np.floor(exact).astype(int)
    for index in np.argsort(whole - exact, kind="stable")[: total - int(whole.sum())]:
        whole[index] += 1
    return [int(n) for n in whole]


def in_order(
    task: Callable[[Case], Result], cases: Sequence[Case], workers: int | None
) -> Iterator[Result]:
    """Results in the order of the cases, from this process or several.

    Args:
        task: what is done with a case; it can be pickled.
        cases: what is worked on.
        workers: processes; None takes the machine's cores, at most 8. 1 starts none.
    """
    count = min(workers or min(os.cpu_count() or 1, 8), len(cases))
    if count <= 1:
        yield from map(task, cases)
        return
    # Spawned, not forked: the caller may have threads (torch, Qt) that a fork would break.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context) as pool:
        yield from pool.map(task, cases, chunksize=4)
