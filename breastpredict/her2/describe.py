"""What a trained run says of itself, without loading a network."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from breastpredict import SYNTHETIC_WARNING
from breastpredict.her2.cases import POINTS_TO, TITLES
from breastpredict.her2.roi_policy import RoiPolicy
from breastpredict.learning.described import described_bundle


def describe_run(run: str | os.PathLike[str]) -> dict[str, Any]:
    """The two bundles of a run, as plain values. Does not import torch.

    Returns:
        ``tasks``, each as `breastpredict.learning.described.described_bundle` gives it, held out
        being the 20 %; ``input``, the region the networks see; ``synthetic`` and
        ``synthetic_note``.

    Raises:
        InputError: no run, or damaged bundles.
    """
    from breastpredict.models import read_bundle_metadata

    tasks = []
    synthetic = False
    for task in POINTS_TO:
        metadata = read_bundle_metadata(Path(run) / task)
        block = metadata["breastpredict"]
        synthetic = synthetic or block["synthetic"]
        tasks.append(described_bundle(metadata, TITLES[task]))
    policy = RoiPolicy.from_block(block).to_json()
    note = SYNTHETIC_WARNING if synthetic else ""
    return {"tasks": tasks, "input": policy, "synthetic": synthetic, "synthetic_note": note}
