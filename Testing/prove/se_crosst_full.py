"""SE-CrossT itself, at 512²: one training step by the paper's recipe, and predictions.

The reduced network shows that the way learns; this shows that the published size goes the same way
(85 million parameters, twelve images a patient), and writes down time and memory. Nothing is learnt
in one step: the outputs mean nothing.

    python Testing/prove/se_crosst_full.py
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path

import torch
from evidence import record

from breastpredict.learning.examples import BinaryTask, MultiInputExample
from breastpredict.learning.ranges import training_ranges
from breastpredict.learning.recipes import recipe
from breastpredict.learning.training import train_binary
from breastpredict.models import build_network
from breastpredict.models.pcr_network import SE_CROSST_T
from breastpredict.pcr import PcrModel, prepare_pcr
from breastpredict.pcr.policy import DEFAULT_POLICY
from breastpredict.phantom import make_pcr_phantom
from breastpredict.study import read_pcr_cohort
from breastpredict.study.pcr_batch import predict_pcr_case

PER_OUTCOME = 3  # one to fit, one to tune, one held out
MODALITIES = ("pathology", "us0", "us1", "clinical")


def main() -> None:
    size = SE_CROSST_T["image_size"]
    parameters = sum(p.numel() for p in build_network(SE_CROSST_T).parameters())
    # The paper's settings; its twenty copies of every patient would be twenty times the same step.
    settings = recipe(
        "paper", epochs=1, choose_from=1, batch_size=2, copies=1, ultrasound_repeats=1
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = make_pcr_phantom(folder / "cohort", {"PHANTOM-A": 16}, seed=7, size="full")
        cases = read_pcr_cohort(table)
        chosen = [
            case
            for outcome in (True, False)
            for case in [c for c in cases if c.pcr is outcome][:PER_OUTCOME]
        ]
        assert len(chosen) == 2 * PER_OUTCOME
        start = time.perf_counter()
        prepared = [prepare_pcr(c, needs=MODALITIES, image_size=size) for c in chosen]
        reading = time.perf_counter() - start
        examples = [
            MultiInputExample(case.patient_id, one.inputs, int(bool(case.pcr)))
            for case, one in zip(chosen, prepared, strict=True)
        ]
        fitted = examples[::3] + examples[1::3]  # of both outcomes
        steps: list[float] = []
        start = time.perf_counter()
        train_binary(
            fitted,
            examples[2::3],
            BinaryTask("pcr_full", "pcr", "no_pcr"),
            folder / "run",
            network=SE_CROSST_T,
            weights="none",
            config=settings,
            tuning={example.key for example in examples[1::3]},
            synthetic=True,
            training_data=training_ranges([one.features for one in prepared]),
            about={"input": DEFAULT_POLICY.to_json()},
            on_epoch=lambda _: steps.append(time.perf_counter() - start),
            figure=False,
        )
        training = time.perf_counter() - start
        memory_training = _peak_mb()
        model = PcrModel.load(folder / "run")
        seconds = {}
        for explain in ((), ("gradcam",)):
            start = time.perf_counter()
            _, prediction = predict_pcr_case(
                chosen[2],
                model,
                folder / "out",
                explain=explain,
                override_gates=("stain", "spacing", "region-size", "interval"),
            )
            seconds["+".join(explain) or "prediction alone"] = time.perf_counter() - start
        written = sorted(path.name for path in (folder / "out").rglob("*.*") if path.is_file())
    record(
        "se_crosst_full",
        {
            "85.1 million parameters, as reference/models.md": round(parameters / 1e6, 1) == 85.1,
            "input 512²": size == 512,
            "the prediction is a finite probability": 0 <= prediction.score.score <= 1,
            "a report, a capture and maps of every image were written": {
                "report.dcm",
                "capture.dcm",
                "pathology_gradcam.nrrd",
                "us0_gradcam.nrrd",
                "us1_gradcam.nrrd",
            }
            <= set(written),
        },
        {
            "parameters": parameters,
            "threads": torch.get_num_threads(),
            "reading_seconds_per_patient": round(reading / len(chosen), 1),
            # One positive patient, mirrored twice, and one negative: two steps of two.
            "seconds_of_two_steps_of_two_and_of_scoring_two": round(steps[0], 1),
            "training_and_scoring_seconds": round(training),
            "case_seconds": {name: round(value, 1) for name, value in seconds.items()},
            "peak_memory_mb_training": round(memory_training),
            "peak_memory_mb": round(_peak_mb()),
            "settings": settings.to_json(),
        },
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
