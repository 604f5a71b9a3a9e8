"""A result's report, to where the user wants it."""

from __future__ import annotations

import shutil
from pathlib import Path


def save_report(folder: Path, target: Path) -> None:
    """Copy the report, which holds its pictures.

    Raises:
        OSError: it cannot be written there.
    """
    from breastpredict.files import write_atomic

    with write_atomic(target) as temporary:
        shutil.copyfile(folder / "report.html", temporary)
