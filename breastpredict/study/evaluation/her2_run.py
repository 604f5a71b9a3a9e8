"""What a HER2 run says of the patients of an evaluation; see `told_run`."""

from __future__ import annotations

import os
from pathlib import Path

from breastpredict.her2.cases import LOW_VS_POSITIVE, ZERO_VS_REST
from breastpredict.her2.train_files import read_scores
from breastpredict.her2.train_folds import OUT_OF_FOLD
from breastpredict.study.evaluation.told_run import ToldRun, read_told_run, run_not_named

TASKS = (ZERO_VS_REST, LOW_VS_POSITIVE)


def read_her2_run(run: str | os.PathLike[str] | None, warnings: list[str]) -> ToldRun:
    """Read a run; what is not known of it becomes a warning.

    Raises:
        InputError: no run, or damaged files in it.
    """
    if run is None:
        return run_not_named(warnings)
    from breastpredict.models import read_bundle_metadata

    folder = Path(run)
    blocks = {task: read_bundle_metadata(folder / task)["breastpredict"] for task in TASKS}
    return read_told_run(folder, blocks, read_scores, warnings, OUT_OF_FOLD)
