"""A run whose networks have learnt nothing, to try programs on."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_UNTRAINED = {
    "threshold": 0.4,
    "prevalence": 0.5,
    "calibration": {"method": "none", "probability": False},
    "synthetic": True,
    "training_data": {},
}


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
                **_UNTRAINED,
            },
        )
    return Path(out)


def write_random_pcr_run(
    out: str | os.PathLike[str], seed: int = 0, variants: Sequence[str] = ("full", "ultrasound")
) -> Path:
    """Reduced pCR networks of seeded random weights, marked synthetic: their numbers mean nothing.

    The baseline beside them is fitted to the clinical variables of planned phantoms. Loads torch.

    Args:
        out: the run folder; bundles in it are replaced.
        seed: the same seed gives the same weights.
        variants: of `breastpredict.models.pcr_network.PCR_VARIANTS`, one bundle each.
    """
    import torch

    from breastpredict.models import build_network, save_bundle
    from breastpredict.models.pcr_network import PCR_PRESETS, PCR_VARIANTS, pcr_variant
    from breastpredict.pcr import PcrClinical
    from breastpredict.pcr.baseline import fit_clinical, write_baseline
    from breastpredict.phantom.pcr_plan import plan_pcr_cohorts

    for number, variant in enumerate(variants):
        network = pcr_variant(PCR_PRESETS["reduced"], **PCR_VARIANTS[variant])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + number)
            model = build_network(network)
        save_bundle(
            Path(out) / variant,
            model,
            network=network,
            metadata={
                "task": f"pcr_{variant.replace('-', '_')}",
                "positive_class": "pcr",
                "negative_class": "no_pcr",
                **_UNTRAINED,
            },
        )
    plans = plan_pcr_cohorts({"PHANTOM-A": 80}, seed=seed)
    known = [
        PcrClinical.parse(one.subtype, one.er, one.ki67, one.regimen)
        for one in (plan.clinical for plan in plans)
    ]
    write_baseline(Path(out), fit_clinical(known, [int(plan.pcr) for plan in plans]))
    return Path(out)
