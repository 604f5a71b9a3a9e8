"""A cohort's network inputs as files, for ``python -m monai.bundle run`` on a bundle's train.json.

::

    CROPS/images/<hash>.npy          float32 [1, S, S], shared by both tasks
    CROPS/<task>/table.csv           image, label, set: one row per patient of the task

The split is that of ``her2 train`` with the same seed. File names tell nothing about patients.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from breastpredict.errors import InputError
from breastpredict.files import write_atomic, write_folder
from breastpredict.her2.cases import Her2Case
from breastpredict.her2.train_config import Her2TrainConfig
from breastpredict.her2.train_pool import TASKS, Progress, prepare_pool
from breastpredict.learning.run_files import CaseFailure, write_failures
from breastpredict.learning.tables import table_csv


def write_crops(
    cases: Sequence[Her2Case],
    out: Path,
    config: Her2TrainConfig | None = None,
    progress: Progress | None = None,
) -> tuple[CaseFailure, ...]:
    """Prepare every usable patient of the pool and write inputs and tables.

    Args:
        cases: the cohort; ``external`` and ``test`` rows are not read.
        out: a new or empty folder.
        config: preset (input size), region and seed count.
        progress: called along the way.

    Returns:
        The cases that could not be used; they are in ``failures.csv`` as well.

    Raises:
        InputError: as `breastpredict.her2.train_her2`; the folder is not empty.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            "The folder for the inputs is not empty", path=out, remedy="Give a new one"
        )
    with write_folder(out) as temporary:
        pool = prepare_pool(cases, temporary / "crops", config or Her2TrainConfig(), progress)
        names = {key: f"{secrets.token_hex(8)}.npy" for key in pool.split}
        for task in TASKS:
            rows = []
            for example in pool.examples(task):
                path = temporary / "images" / names[example.key]
                if not path.is_file():
                    with write_atomic(path) as part, open(part, "wb") as file:
                        np.save(file, example.image)
                rows.append((f"../images/{path.name}", example.label, pool.split[example.key]))
            (temporary / task.name).mkdir()
            (temporary / task.name / "table.csv").write_text(table_csv(rows), "utf-8")
        write_failures(temporary, pool.failures)
        shutil.rmtree(temporary / "crops", ignore_errors=True)
    return tuple(pool.failures)
