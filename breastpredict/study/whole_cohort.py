"""A cohort into a results folder: the course of either system's batch, here or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from breastpredict.study.batch import (
    BatchResult,
    Case,
    Cluster,
    Limits,
    Progress,
    System,
    run_cases,
    run_on_cluster,
)
from breastpredict.study.results import Results
from breastpredict.study.review import Layout, write_review


def predict_cohort(
    cases: Sequence[Case],
    load: Callable[[str | os.PathLike[str], str], System],
    run: str | os.PathLike[str],
    out: str | os.PathLike[str],
    review: Layout,
    *,
    module: str,
    device: str = "cpu",
    progress: Progress | None = None,
    limits: Limits | None = None,
    cluster: Cluster | None = None,
) -> BatchResult:
    """Do every case that is missing, failed or changed, and write the review page.

    Args:
        cases: of the system; with a cluster their paths are absolute.
        load: makes the system from a run and a device; it can be pickled.
        run: of the training.
        out: results folder.
        review: of the system's page.
        module: what reading and writing need.
        device: of the networks.
        progress: called with cases done, cases in all and a line.
        limits: of the processes.
        cluster: does the cases, on ``device``.

    Raises:
        InputError: no usable model or results folder, another run writes into it, or no cluster.
        OSError: the results folder is full or gone; what is done stays.
    """
    if cluster is not None:
        there = partial(load, Path(run).absolute(), device)
        here = load(run, "cpu")
        results = Results(out, review.system, review.table)
        done = run_on_cluster(
            cases, there, here, results, cluster, limits, progress, modules=(module,)
        )
        write_review(out, review)
        return done
    pool = (limits or Limits()).pool(len(cases), module)
    try:
        # The workers start while this process loads the networks, which takes as long.
        system = load(run, device)
        results = Results(out, review.system, review.table)
        done = run_cases(cases, system, results, pool, progress)
    finally:
        if pool is not None:
            pool.close()
    if cases:
        write_review(out, review)
    return done
