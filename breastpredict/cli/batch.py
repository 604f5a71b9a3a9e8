"""What ``her2 batch`` and ``pcr batch`` are both given, and what they tell at the end."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from breastpredict.errors import InputError
from breastpredict.learning.site import SitePatient

if TYPE_CHECKING:
    from breastpredict.study import BatchResult, Limits
    from breastpredict.study.batch import Cluster

_Case = TypeVar("_Case", bound=SitePatient)


def add_cohorts(batch: argparse.ArgumentParser) -> None:
    """Add the choice of cohorts of the table."""
    batch.add_argument("--cohort", action="append", dest="only", default=[], metavar="NAME")


def add_limits(batch: argparse.ArgumentParser) -> None:
    """Add the options that say what a batch may use."""
    batch.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes that read and write cases; one for each core if none is given; 0: "
        "everything in this process, without the two limits below",
    )
    batch.add_argument(
        "--timeout", type=float, default=600.0, metavar="S",
        help="seconds that reading a case, or writing it, may take (default %(default)g)",
    )  # fmt: skip
    batch.add_argument(
        "--memory", type=float, default=4.0, metavar="GB",
        help="memory that each of the processes may take (default %(default)g)",
    )  # fmt: skip
    batch.add_argument(
        "--dask", metavar="ADDRESS",
        help="let the workers of a Dask cluster do the cases: its scheduler's address or file",
    )  # fmt: skip


def chosen(cases: Sequence[_Case], options: argparse.Namespace) -> list[_Case]:
    """The cases of the cohorts that were named; all where none was.

    Raises:
        InputError: the table has no such cohort.
    """
    if not options.only:
        return list(cases)
    unknown = set(options.only) - {case.cohort for case in cases}
    if unknown:
        raise InputError(f"There is no cohort {', '.join(sorted(unknown))}", path=options.cohort)
    return [case for case in cases if case.cohort in options.only]


def cluster_of(options: argparse.Namespace) -> Cluster | None:
    """The cluster that was given. Its workers are elsewhere, so paths are made absolute."""
    from breastpredict.study.batch import Cluster

    if options.dask is None:
        return None
    options.cohort = options.cohort.absolute()
    return Cluster(options.dask)


def limits_of(options: argparse.Namespace) -> Limits:
    """What was given.

    Raises:
        InputError: a limit that is none.
    """
    from breastpredict.study import Limits

    return Limits(options.workers, options.timeout, options.memory)


def tell_batch(done: BatchResult, options: argparse.Namespace) -> int:
    """Print what was done; the exit code."""
    print(
        f"{done.predicted} predicted, {done.skipped} done already, {done.failed} failed: "
        f"{options.out}"
    )
    return 1 if done.failed else 0
