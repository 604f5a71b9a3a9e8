"""Networks of known maps, and planted cases for them: dark places speak for pCR, and nothing else.

Every weight is set by hand: each token is the mean grey of its place, no token hears of another,
and the logit is a constant minus the mean grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from breastpredict.pcr import PcrCase, PcrClinical, PointRoi, UltrasoundSource
from breastpredict.pcr.verify import PlantedCase

SIDE = 32
IMAGES = ("pathology", "us0", "us1")


def dark_network(sign: float = 1.0, images: Sequence[str] = IMAGES) -> Any:
    """The network; with ``sign`` -1 bright places speak for pCR."""
    import torch

    from breastpredict.models import SE_CROSST_REDUCED, build_network, pcr_variant

    model: Any = build_network(
        pcr_variant(
            SE_CROSST_REDUCED,
            modalities=images,
            image_size=SIDE,
            dims=[8, 8, 16, 16],
            heads=[1, 1, 2, 2],
            depths=[1, 1, 1, 1],
            se_ratio=4,
        )
    ).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.zero_()
            if "norm" in name and name.endswith("weight"):
                weight.fill_(1)
            # The narrowest patch of each embedding: the grey, and two numbers that outweigh it, so
            # that norms leave it nearly as it is.
            if name.endswith("projections.0.weight"):
                if ".stages.0." in name:
                    weight[0] = 1 / weight[0].numel()
                else:
                    for channel in range(3):
                        weight[channel, channel] = 0.25
            if name.endswith("projections.0.bias") and ".stages.0." in name:
                weight[1], weight[2] = 5, -5
            if name.endswith("project.0.weight"):
                joined = weight.shape[1] // 16
                weight[0, [16 * part for part in range(joined)]] = -sign
            if name.endswith("project.0.bias"):
                weight[0] = 6  # there GELU is the identity
        ways = model.classifier.weight.shape[1] // 8
        model.classifier.weight[0, ::8] = 10
        # Six of each GELU, and about five of each pathway's mean greys: the logit is about 1.
        model.classifier.bias.fill_(-10 * 6 * ways + sign * 5 * ways + 1)
    return model


def save_dark_run(
    folder: Path,
    *,
    threshold: float = 0.2,
    sign: float = 1.0,
    images: Sequence[str] = IMAGES,
) -> Path:
    """A run of that one network."""
    from breastpredict.models import save_bundle

    model = dark_network(sign, images)
    save_bundle(
        folder / "pcr_by_hand",
        model,
        network=model.network,
        metadata={
            "task": "pcr_by_hand",
            "positive_class": "pcr",
            "negative_class": "no_pcr",
            "threshold": threshold,
            "prevalence": 0.25,
            "calibration": {"method": "none", "probability": False},
            "synthetic": True,
            "training_data": {},
        },
    )
    return folder


def dark_cases(folder: Path, count: int = 20) -> list[PlantedCase]:
    """Grey pictures with a black disc beside the middle, and slides of one patch with dark dots."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(4)
    found = []
    y, x = np.indices((280, 320))
    for number in range(count):
        sources, discs = {}, {}
        for name in ("us0", "us1"):
            column, row = rng.uniform(140, 180), rng.uniform(120, 160)
            disc = np.hypot(x - column, y - row) < 17
            grey = rng.normal(150, 12, disc.shape)
            grey[disc] = rng.normal(30, 5, int(disc.sum()))
            grey = np.clip(grey, 1, 255).astype(np.uint8)
            path = folder / f"{number}_{name}.png"
            Image.fromarray(grey).save(path)
            away = rng.uniform(18, 28, 2) * rng.choice((-1, 1), 2)
            sources[name] = UltrasoundSource(path, PointRoi(column + away[0], row + away[1], 110))
            discs[name] = disc
        patches = np.zeros(9, bool)
        patches[rng.integers(9)] = True
        tissue = np.full((192, 192, 3), (215, 150, 200), float) + rng.normal(0, 4, (192, 192, 3))
        row, column = divmod(int(patches.argmax()), 3)
        dark = np.zeros((192, 192), bool)
        dark[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64] = rng.random((64, 64)) < 0.4
        tissue[dark] = (60, 40, 110)
        slide = folder / f"{number}_slide.png"
        Image.fromarray(np.clip(tissue, 0, 255).astype(np.uint8)).save(slide)
        case = PcrCase(
            patient_id=f"P{number}",
            us0=sources["us0"],
            us1=sources["us1"],
            pathology=slide,
            clinical=PcrClinical(),
        )
        found.append(PlantedCase(case, discs, patches))
    return found
