"""ViT-tiny itself, at 224²: trained on a phantom cohort, predicting the external cohorts.

The demo uses a reduced network to end in minutes; this shows that the published configuration
(12 layers, 3 heads, width 192, patches of 16) goes the same way, and writes down time and memory.
It starts from random weights, because ImageNet weights cannot be had offline; what it reaches is
therefore no measure of the published model.

    python Testing/prove/vit_tiny.py [--cases 340] [--epochs 60]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

from evidence import record
from her2_phantom import TASKS, aucs, external, scores

from breastpredict.her2 import Her2Model, Her2TrainConfig, prepare_case, train_her2
from breastpredict.models import VIT_TINY, build_vit
from breastpredict.phantom import make_her2_phantom
from breastpredict.study import read_cohort


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=340)
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    parameters = sum(p.numel() for p in build_vit(**VIT_TINY).parameters())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = read_cohort(make_her2_phantom(folder / "cohort", options.cases, seed=505))
        start = time.perf_counter()
        # From random weights a small cohort needs a faster rate and every epoch: early stopping is
        # meant for fine-tuning, and would end this within the first, flat epochs.
        config = Her2TrainConfig(
            preset="tiny",
            weights="none",
            epochs=options.epochs,
            learning_rate=5e-4,
            patience=0,
            seed=505,
        )
        train_her2(cases, folder / "run", config)
        training = time.perf_counter() - start
        model = Her2Model.load(folder / "run", "cpu")
        outside = external(cases)
        prepared = [
            prepare_case(case.study, image_size=model.image_size, segmentation=case.segmentation)
            for case in outside
        ]
        start = time.perf_counter()
        values = scores(model, prepared)
        predicting = time.perf_counter() - start
    result = aucs(outside, values)
    record(
        "vit_tiny",
        {
            "5.5 million parameters, as published": 5.4e6 < parameters < 5.6e6,
            "input 224²": model.image_size == 224,
            "both tasks scored for every external case": values.shape == (len(outside), 2),
        },
        {
            "parameters": parameters,
            "training_cases": len(cases) - len(outside),
            "epochs": options.epochs,
            "training_seconds_both_tasks": round(training),
            "prediction_ms_per_case_both_tasks": round(1000 * predicting / len(outside)),
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            "external_auc": {task: result[task] for task in TASKS},
        },
    )


if __name__ == "__main__":
    main()
