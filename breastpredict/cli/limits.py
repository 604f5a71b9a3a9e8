"""The options of a batch that say what it may use; both systems have them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from breastpredict.study import Limits
    from breastpredict.study.batch import Cluster


def add_limits(batch: argparse.ArgumentParser) -> None:
    """Add the options."""
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
