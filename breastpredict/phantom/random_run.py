"""A run whose networks have learnt nothing, to try programs on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_random_run(
    out: str | os.PathLike[str], seed: int = 0, network: Mapping[str, Any] | None = None
) -> Path:
    """Two networks of seeded random weights, marked synthetic: their numbers mean nothing.

    Loads torch.

    Args:
        out: the run folder; bundles in it are replaced.
        seed: the same seed gives the same weights.
        network: what both are, as `breastpredict.models.build_vit` takes it; reduced if none.
    """
    import torch

    from breastpredict.her2.cases import LOW_VS_POSITIVE, POINTS_TO, ZERO_VS_REST
    from breastpredict.models import VIT_REDUCED, build_vit, save_bundle

    network = network or VIT_REDUCED
    negative = {ZERO_VS_REST: "zero", LOW_VS_POSITIVE: "positive"}
    for number, (task, positive) in enumerate(POINTS_TO.items()):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + number)
            model = build_vit(**network)
        save_bundle(
            Path(out) / task,
            model,
            network=network,
            metadata={
                "task": task,
                "positive_class": positive,
                "negative_class": negative[task],
                "threshold": 0.4,
                "prevalence": 0.5,
                "calibration": {"method": "none", "probability": False},
                "synthetic": True,
                "training_data": {},
            },
        )
    return Path(out)
